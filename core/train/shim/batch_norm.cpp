// Batch normalisation that is computed elsewhere, as a node of libtorch's graph, and that of frozen statistics on accelerators.

#include <ATen/Functions.h>
#include <optional>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/variable.h>

#include "guarded.hpp"

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The gradients by x, weight, bias and the added tensor (or NULL): new tensors on the heap, or a message.
using Backward = bool (*)(const at::Tensor *const *saved, const at::Tensor *gradient, int64_t flags,
                          at::Tensor **gradients, char *message, size_t size);

constexpr size_t GRADIENTS = 4;
constexpr size_t MESSAGE = 512;

struct BatchNorm : torch::autograd::Function<BatchNorm> {
    static at::Tensor forward(AutogradContext *context, const at::Tensor &x, const at::Tensor &weight, const at::Tensor &bias,
                              const std::optional<at::Tensor> &added, const c10::List<at::Tensor> &results, int64_t flags,
                              Backward backward) {
        const at::Tensor y = results.get(0);
        // `y` is needed only where a tensor was added: without one, x tells which values the ReLU stopped.
        context->save_for_backward({x, weight, bias, added ? y : at::Tensor(), results.get(1), results.get(2)});
        context->saved_data["flags"] = flags;
        context->saved_data["backward"] = reinterpret_cast<int64_t>(backward);
        return y;
    }

    static variable_list backward(AutogradContext *context, variable_list upstream) {
        const variable_list saved = context->get_saved_variables();
        std::vector<const at::Tensor *> pointers;
        for (const auto &tensor : saved) {
            pointers.push_back(tensor.defined() ? &tensor : nullptr);
        }
        const auto backward = reinterpret_cast<Backward>(context->saved_data["backward"].toInt());
        at::Tensor *gradients[GRADIENTS] = {};
        char message[MESSAGE] = {};
        const bool ok = backward(pointers.data(), &upstream[0], context->saved_data["flags"].toInt(), gradients, message,
                                 sizeof(message));
        // One place for each argument of forward().
        variable_list all(7);
        for (size_t at = 0; at < GRADIENTS; ++at) {
            if (gradients[at] != nullptr) {
                all[at] = std::move(*gradients[at]);
                delete gradients[at];
            }
        }
        TORCH_CHECK(ok, message);
        return all;
    }
};

// x · scale + shift, in one pass each way that keeps the layout of x, computes in float32 whatever its type, and does not keep x.
struct Affine : torch::autograd::Function<Affine> {
    static at::Tensor forward(AutogradContext *context, const at::Tensor &x, const at::Tensor &scale, const at::Tensor &shift) {
        auto y = at::empty_like(x);
        at::addcmul_out(y, shift, x, scale, 1);
        context->save_for_backward({scale});
        context->saved_data["strides"] = y.strides();
        return y;
    }

    static variable_list backward(AutogradContext *context, variable_list upstream) {
        const at::Tensor &by_y = upstream[0];
        auto by_x = at::empty_strided(by_y.sizes(), context->saved_data["strides"].toIntVector(), by_y.options());
        at::mul_out(by_x, by_y, context->get_saved_variables()[0]);
        return {by_x, at::Tensor(), at::Tensor()};
    }
};

} // namespace

// `scale` and `shift`: `[1, channels, 1, 1]`, float32. NULL with a message on failure.
extern "C" at::Tensor *imbalance_affine(const at::Tensor *x, const at::Tensor *scale, const at::Tensor *shift, char *message,
                                        size_t size) {
    return guarded(message, size, [&] { return new at::Tensor(Affine::apply(*x, *scale, *shift)); });
}

// `inputs`: x, weight, bias, added or NULL, y, mean, inverse deviation. Gives `y` with `backward` behind it; NULL with a
// message on failure.
extern "C" at::Tensor *imbalance_batch_norm(at::Tensor *const *inputs, int64_t flags, Backward backward, char *message,
                                            size_t size) {
    return guarded(message, size, [&] {
        const auto added = inputs[3] == nullptr ? std::nullopt : std::optional<at::Tensor>(*inputs[3]);
        // In a list, so that `y` is not taken for an input, whose output would be a view of it.
        const c10::List<at::Tensor> results({*inputs[4], *inputs[5], *inputs[6]});
        return new at::Tensor(BatchNorm::apply(*inputs[0], *inputs[1], *inputs[2], added, results, flags, backward));
    });
}
