// What calls from Rust are wrapped in, which no exception may leave.

#pragma once

#include <cstring>
#include <exception>

// What `work` returns; where it throws, nothing (0, NULL, `false`) with the reason in `message`.
template <typename F> auto guarded(char *message, size_t size, F work) -> decltype(work()) {
    try {
        return work();
    } catch (const std::exception &error) {
        std::strncpy(message, error.what(), size - 1);
        message[size - 1] = 0;
    }
    return {};
}
