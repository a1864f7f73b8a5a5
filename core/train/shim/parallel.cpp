// libtorch's own threads, for our kernels between its operations.

#include <ATen/Parallel.h>

// Calls `work(context, i)` for every `i` below `count`, several at a time. `work` lets no panic out.
extern "C" void imbalance_parallel(size_t count, void (*work)(void *, size_t), void *context) {
    at::parallel_for(0, static_cast<int64_t>(count), 1, [&](int64_t begin, int64_t end) {
        for (int64_t at = begin; at < end; ++at) {
            work(context, static_cast<size_t>(at));
        }
    });
}
