// A loss whose gradients are already known, as a node of libtorch's graph.
//
// tch has no custom autograd function, and expressing the gradient with tensor operations
// (`(logits * gradient).sum()`) would hold another tensor as large as the logits.

#include <optional>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/variable.h>

#include "guarded.hpp"

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr size_t MOST_INPUTS = 3;

struct FusedLoss : torch::autograd::Function<FusedLoss> {
    static at::Tensor forward(AutogradContext *context, const std::optional<at::Tensor> &first,
                              const std::optional<at::Tensor> &second, const std::optional<at::Tensor> &third,
                              const c10::List<at::Tensor> &gradients, const at::Tensor &value) {
        // Kept beside the graph rather than by save_for_backward: they are no part of it, and are used once.
        context->saved_data["gradients"] = gradients;
        c10::List<int64_t> types;
        for (const auto &input : {first, second, third}) {
            types.push_back(input ? static_cast<int64_t>(input->scalar_type()) : 0);
        }
        context->saved_data["types"] = types;
        return value.clone();
    }

    static variable_list backward(AutogradContext *context, variable_list upstream) {
        const auto gradients = context->saved_data["gradients"].toTensorList();
        const auto types = context->saved_data["types"].toIntList();
        context->saved_data.clear();
        // On an accelerator, asking for the factor would wait for it.
        const bool known = upstream[0].device().is_cpu();
        const double factor = known ? upstream[0].item<double>() : 0.0;
        variable_list all(MOST_INPUTS + 2);
        for (size_t at = 0; at < gradients.size(); ++at) {
            at::Tensor gradient = gradients.get(at);
            if (!known) {
                gradient.mul_(upstream[0].to(gradient.scalar_type()));
            } else if (factor != 1.0) {
                gradient.mul_(factor);
            }
            // Only now: what float16 cannot hold before the factor, it may after.
            all[at] = gradient.to(static_cast<at::ScalarType>(types.get(at)));
        }
        return all;
    }
};

} // namespace

// The scalar `value`, whose gradient by `inputs[i]` is `gradients[i]`, for at most three inputs. A gradient may be its
// input's own memory, overwritten. One backward pass; it scales the gradients in place. NULL with a message on failure.
extern "C" at::Tensor *imbalance_fused_loss(at::Tensor *const *inputs, at::Tensor *const *gradients, size_t count,
                                            at::Tensor *value, char *message, size_t size) {
    return guarded(message, size, [&] {
        TORCH_CHECK(count <= MOST_INPUTS, "at most ", MOST_INPUTS, " inputs");
        std::optional<at::Tensor> all[MOST_INPUTS];
        c10::List<at::Tensor> kept;
        for (size_t at = 0; at < count; ++at) {
            all[at] = *inputs[at];
            kept.push_back(*gradients[at]);
            if (inputs[at]->data_ptr() == gradients[at]->data_ptr()) {
                // An operation that kept these logits for its own backward pass now says so, instead of using what
                // is no longer there.
                torch::autograd::impl::bump_version(*inputs[at]);
            }
        }
        return new at::Tensor(FusedLoss::apply(all[0], all[1], all[2], kept, *value));
    });
}
