// Copies to an accelerator that the host does not wait for.

#include <ATen/core/Tensor.h>

#include "guarded.hpp"

// `tensor`, which is in the host's memory, on the GPU of this number. From memory that the driver may read by itself, which
// libtorch keeps until it has been. NULL with a message on failure.
extern "C" at::Tensor *imbalance_sent(const at::Tensor *tensor, int16_t device, char *message, size_t length) {
    return guarded(message, length, [&] {
        const c10::Device to(c10::kCUDA, static_cast<c10::DeviceIndex>(device));
        return new at::Tensor(tensor->pin_memory().to(to, /*non_blocking=*/true));
    });
}
