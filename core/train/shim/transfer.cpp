// Copies to an accelerator that the host does not wait for.

#include <ATen/core/Tensor.h>
#include <cstring>
#include <exception>

// `tensor`, which is in the host's memory, on the GPU of this number. From memory that the driver may read by itself, which
// libtorch keeps until it has been. NULL with a message on failure.
extern "C" at::Tensor *imbalance_sent(const at::Tensor *tensor, int16_t device, char *message, size_t length) {
    try {
        const c10::Device to(c10::kCUDA, static_cast<c10::DeviceIndex>(device));
        return new at::Tensor(tensor->pin_memory().to(to, /*non_blocking=*/true));
    } catch (const std::exception &error) {
        std::strncpy(message, error.what(), length - 1);
        message[length - 1] = 0;
        return nullptr;
    }
}
