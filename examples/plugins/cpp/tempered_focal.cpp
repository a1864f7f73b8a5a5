// A whole loss plugin in C++17: focal loss at a temperature, with class weights of the effective number.
//
//     l(m, c) = -w_c T (1 - q)^gamma log q,   q = 1 / (1 + exp(-m / T))
//
// T > 1 keeps the gradient of sure predictions alive; the factor T keeps the slope at even odds as it is without it.
// Weights: Cui et al. 2019, w_c in proportion to (1 - beta) / (1 - beta^n_c), scaled to sum to the number of classes.
//
// From the root of the repository:
//
//     c++ -std=c++17 -O2 -shared -fPIC -I core/include -o libtoolkit_loss_tempered_focal.so
//         examples/plugins/cpp/tempered_focal.cpp
//     toolkit losses check ./libtoolkit_loss_tempered_focal.so
//     toolkit losses install ./libtoolkit_loss_tempered_focal.so
#include <cstdio>
#include <exception>
#include <memory>
#include <stdexcept>
#include <vector>

#include "toolkit_loss.h"

namespace {

enum Param { TEMPERATURE, GAMMA, BETA, PARAMS };

const toolkit_loss_param params[PARAMS] = {
    // name, help, choices, kind, bounds, default, default on a sigmoid head, minimum, maximum
    {"temperature", "divides the log-odds; above 1 sure predictions keep more of their gradient", nullptr,
     TOOLKIT_PARAM_NUMBER, TOOLKIT_MINIMUM_INCLUSIVE | TOOLKIT_MAXIMUM_INCLUSIVE, 1.5, 1.5, 0.1, 100},
    {"gamma", "how strongly sure predictions are discounted", nullptr, TOOLKIT_PARAM_NUMBER,
     TOOLKIT_MINIMUM_INCLUSIVE | TOOLKIT_MAXIMUM_INCLUSIVE, 1, 2, 0, 100},
    {"beta", "how fast further examples of a class stop counting; 0 is no weighting", nullptr, TOOLKIT_PARAM_NUMBER,
     TOOLKIT_MINIMUM_INCLUSIVE, 0.999, 0, 0, 1},
};

class TemperedFocal {
public:
    explicit TemperedFocal(const double *values)
        : temperature(values[TEMPERATURE]), gamma(values[GAMMA]), beta(values[BETA]) {}

    void prepare(const uint64_t *counts, size_t classes) {
        if (!(beta >= 0 && beta < 1)) throw std::invalid_argument("beta must be at least 0 and less than 1");
        double sum = 0;
        for (size_t c = 0; c < classes; c++) {
            // A class without training examples counts as one.
            const double n = counts[c] > 0 ? static_cast<double>(counts[c]) : 1.0;
            const double effective = beta > 0 ? -std::expm1(n * std::log(beta)) / (1 - beta) : 1.0;
            weights.push_back(1 / effective);
            sum += weights.back();
        }
        for (double &weight : weights) weight *= static_cast<double>(classes) / sum;
    }

    // Loss and its derivative by m. `classes` of the ABI are below the number of counts, so no bounds are checked.
    void eval(double m, uint32_t c, double &loss, double &slope) const noexcept {
        const double x = m / temperature;
        const double log_q = toolkit_log_p(x), q = toolkit_p(x), not_q = toolkit_p(-x);
        const double factor = weights[c] * std::exp(gamma * toolkit_log_not_p(x));
        loss = -factor * temperature * log_q;
        slope = factor * (gamma * q * log_q - not_q);
    }

private:
    double temperature, gamma, beta;
    std::vector<double> weights;
};

// Nothing may be thrown into the host: whatever is, becomes a message.
template <typename Body>
int32_t guarded(toolkit_loss_message message, Body body) noexcept {
    try {
        body();
        return TOOLKIT_LOSS_OK;
    } catch (const std::exception &error) {
        std::snprintf(message.data, message.size, "%s", error.what());
    } catch (...) {
        std::snprintf(message.data, message.size, "an exception that is no std::exception");
    }
    return 1;
}

int32_t create(const double *values, size_t, uint32_t, void **instance, toolkit_loss_message message) {
    return guarded(message, [&] { *instance = std::make_unique<TemperedFocal>(values).release(); });
}

int32_t prepare(void *instance, const uint64_t *counts, size_t classes, toolkit_loss_message message) {
    return guarded(message, [&] { static_cast<TemperedFocal *>(instance)->prepare(counts, classes); });
}

template <typename Float>
int32_t eval(const void *instance, size_t n, const Float *log_odds, const uint32_t *classes, Float *loss, Float *slope,
             toolkit_loss_message) {
    const auto &made = *static_cast<const TemperedFocal *>(instance);
    for (size_t i = 0; i < n; i++) {
        double value, derivative;
        made.eval(log_odds[i], classes[i], value, derivative);
        loss[i] = static_cast<Float>(value);
        slope[i] = static_cast<Float>(derivative);
    }
    return TOOLKIT_LOSS_OK;
}

void destroy(void *instance) { delete static_cast<TemperedFocal *>(instance); }

}  // namespace

extern "C" const toolkit_loss_plugin_t toolkit_loss_plugin = {
    TOOLKIT_LOSS_MAGIC,
    TOOLKIT_LOSS_ABI_MAJOR,
    TOOLKIT_LOSS_ABI_MINOR,
    sizeof(toolkit_loss_plugin_t),
    sizeof(toolkit_loss_param),
    PARAMS,
    params,
    "tempered-focal",
    "1.0",
    "-w_c T (1-q)^gamma log q, q = p(m/T)",
    "an example of a plugin in C++; focal loss: Lin et al. 2017; weights: Cui et al. 2019",
    create,
    prepare,
    eval<float>,
    eval<double>,
    destroy,
    nullptr,
};
