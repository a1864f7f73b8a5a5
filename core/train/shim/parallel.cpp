// libtorch's own threads, for our kernels between its operations.

#include <ATen/TensorIterator.h>
#include <ATen/ops/empty.h>

// Calls `work(context, i)` for every `i` below `count`, several at a time. `work` lets no panic out.
//
// `at::parallel_for` is a template whose OpenMP directive would be compiled here, without OpenMP (a loop) or with a second runtime
// beside libtorch's. An iterator over `count` bytes runs within libtorch.
extern "C" void imbalance_parallel(size_t count, void (*work)(void *, size_t), void *context) {
    auto places = at::empty({static_cast<int64_t>(count)}, at::kByte);
    const auto *first = static_cast<const char *>(places.const_data_ptr());
    auto iterator = at::TensorIterator::nullary_op(places);
    iterator.for_each(
        [&](char **data, const int64_t *strides, int64_t inner, int64_t outer) {
            for (int64_t row = 0; row < outer; ++row) {
                for (int64_t at = 0; at < inner; ++at) {
                    const char *place = data[0] + row * strides[1] + at * strides[0];
                    work(context, static_cast<size_t>(place - first));
                }
            }
        },
        1);
}
