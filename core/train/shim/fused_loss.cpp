// A loss whose gradient is already known, as a node of libtorch's graph.
//
// tch has no custom autograd function, and expressing the gradient with tensor operations
// (`(logits * gradient).sum()`) would hold another tensor as large as the logits.

#include <cstring>
#include <exception>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/variable.h>

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct FusedLoss : torch::autograd::Function<FusedLoss> {
    static at::Tensor forward(AutogradContext *context, const at::Tensor &logits, const at::Tensor &gradient, double value) {
        // Kept beside the graph rather than by save_for_backward: it is no part of it, and is used once.
        context->saved_data["gradient"] = gradient;
        return at::scalar_tensor(value, logits.options());
    }

    static variable_list backward(AutogradContext *context, variable_list upstream) {
        at::Tensor gradient = context->saved_data["gradient"].toTensor();
        context->saved_data.clear();
        const double factor = upstream[0].item<double>();
        if (factor != 1.0) {
            gradient.mul_(factor);
        }
        return {gradient, at::Tensor(), at::Tensor()};
    }
};

} // namespace

// The scalar `value`, whose gradient by `logits` is `gradient` (which may be the logits' own memory,
// overwritten). One backward pass; it scales `gradient` in place. NULL with a message on failure.
extern "C" at::Tensor *imbalance_fused_loss(at::Tensor *logits, at::Tensor *gradient, double value, char *message,
                                            size_t size) {
    try {
        if (logits->data_ptr() == gradient->data_ptr()) {
            // An operation that kept these logits for its own backward pass now says so, instead of using what
            // is no longer there.
            torch::autograd::impl::bump_version(*logits);
        }
        return new at::Tensor(FusedLoss::apply(*logits, *gradient, value));
    } catch (const std::exception &error) {
        std::strncpy(message, error.what(), size - 1);
        message[size - 1] = '\0';
        return nullptr;
    }
}
