// libtorch's global settings.

#include <ATen/Context.h>

extern "C" void imbalance_switches(bool tf32, bool deterministic) {
    auto &context = at::globalContext();
    context.setAllowTF32CuBLAS(tf32);
    context.setAllowTF32CuDNN(tf32);
    context.setDeterministicAlgorithms(deterministic, false);
    context.setDeterministicCuDNN(deterministic);
    // The fastest algorithm is found by trying, which is right only where any algorithm is.
    context.setBenchmarkCuDNN(!deterministic);
}
