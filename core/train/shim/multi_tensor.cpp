// Operations on lists of tensors that an accelerator does in a launch or a few, and that tch does not bind.

#include <ATen/Functions.h>
#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <limits>
#include <vector>

#include "guarded.hpp"

namespace {

std::vector<at::Tensor> list(at::Tensor *const *tensors, size_t count) {
    std::vector<at::Tensor> made;
    made.reserve(count);
    for (size_t at = 0; at < count; ++at) {
        made.push_back(*tensors[at]);
    }
    return made;
}

// As `guarded`, without a graph.
template <typename F> auto plainly(char *message, size_t size, F work) -> decltype(work()) {
    return guarded(message, size, [&] {
        at::NoGradGuard no_grad;
        return work();
    });
}

} // namespace

// The 2-norm of all of them as one vector, float32 of no dimensions. NULL with a message on failure, `false` below.
extern "C" at::Tensor *imbalance_norm_of_all(at::Tensor *const *tensors, size_t count, char *message, size_t length) {
    return plainly(message, length, [&] {
        auto norms = at::_foreach_norm(list(tensors, count), 2);
        for (auto &norm : norms) {
            norm = norm.to(at::kFloat);
        }
        return new at::Tensor(at::stack(norms).norm());
    });
}

// The largest magnitude of all of them.
extern "C" at::Tensor *imbalance_largest_of_all(at::Tensor *const *tensors, size_t count, char *message, size_t length) {
    return plainly(message, length, [&] {
        const auto all = list(tensors, count);
        std::vector<at::Tensor> largest;
        for (const auto &tensor : at::_foreach_norm(all, std::numeric_limits<double>::infinity())) {
            largest.push_back(tensor.to(at::kDouble));
        }
        return new at::Tensor(at::stack(largest).max());
    });
}

// a ← a + share·(b − a), for lists of one length.
extern "C" bool imbalance_lerp_all(at::Tensor *const *to, at::Tensor *const *from, size_t count, double share, char *message,
                                   size_t length) {
    return plainly(message, length, [&] {
        at::_foreach_lerp_(list(to, count), list(from, count), share);
        return true;
    });
}

// All times a number on their device: as many new tensors.
extern "C" bool imbalance_multiply_all(at::Tensor *const *tensors, size_t count, const at::Tensor *factor, at::Tensor **made,
                                       char *message, size_t length) {
    return plainly(message, length, [&] {
        auto products = at::_foreach_mul(list(tensors, count), *factor);
        for (size_t at = 0; at < count; ++at) {
            made[at] = new at::Tensor(std::move(products[at]));
        }
        return true;
    });
}

// All times a number of the host, copied unless it is 1.
static std::vector<at::Tensor> scaled(std::vector<at::Tensor> gradients, double factor) {
    return factor == 1.0 ? std::move(gradients) : at::_foreach_mul(gradients, factor);
}

// One update of SGD, of weights and gradients of one type and of the same layout. `velocities` is empty without momentum.
extern "C" bool imbalance_sgd_all(at::Tensor *const *weights, at::Tensor *const *gradients, at::Tensor *const *velocities,
                                  size_t count, double scale, double weight_decay, double momentum, double lr, bool nesterov,
                                  char *message, size_t length) {
    return plainly(message, length, [&] {
        const auto directions = scaled(list(gradients, count), scale);
        at::_fused_sgd_(list(weights, count), directions, list(velocities, momentum == 0.0 ? 0 : count), weight_decay, momentum,
                        lr, /*dampening=*/0, nesterov, /*maximize=*/false, /*is_first_step=*/false);
        return true;
    });
}

// One update of AdamW, the `updates`th of these weights, from 1.
extern "C" bool imbalance_adamw_all(at::Tensor *const *weights, at::Tensor *const *gradients, at::Tensor *const *means,
                                    at::Tensor *const *squares, size_t count, double scale, double weight_decay, double beta1,
                                    double beta2, double epsilon, double lr, uint64_t updates, char *message, size_t length) {
    return plainly(message, length, [&] {
        const auto directions = scaled(list(gradients, count), scale);
        const auto options = weights[0]->options().dtype(at::kFloat).requires_grad(false);
        const std::vector<at::Tensor> steps(count, at::full({}, static_cast<double>(updates), options));
        at::_fused_adamw_(list(weights, count), directions, list(means, count), list(squares, count), {}, steps, lr, beta1,
                          beta2, weight_decay, epsilon, /*amsgrad=*/false, /*maximize=*/false);
        return true;
    });
}
