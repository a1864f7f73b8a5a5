// Counters by name, written to the file that CUDA_CALLS names, and the process's number, when the process ends.
#pragma once

#include <atomic>

namespace calls {

struct Counter {
    const char *name;
    std::atomic<long> count{0};
};

} // namespace calls

// The counter of this name, which lives as long as the process. The runtime's stand-in has it.
extern "C" calls::Counter *cuda_calls_counter(const char *kind, const char *name);

// Counts a call from this place.
#define COUNT(kind, name)                                                                                                        \
    do {                                                                                                                         \
        static calls::Counter *const counter = cuda_calls_counter(kind, name);                                                   \
        counter->count.fetch_add(1, std::memory_order_relaxed);                                                                  \
    } while (false)
