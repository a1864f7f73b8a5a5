// libtorch's global settings, and what it says of a GPU.

#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>

#include "guarded.hpp"

extern "C" void imbalance_switches(bool tf32, bool deterministic, bool search) {
    auto &context = at::globalContext();
    context.setAllowTF32CuBLAS(tf32);
    context.setAllowTF32CuDNN(tf32);
    context.setDeterministicAlgorithms(deterministic, false);
    context.setDeterministicCuDNN(deterministic);
    context.setBenchmarkCuDNN(search);
}

// Whether the current GPU convolves in bfloat16 by cuDNN (from compute capability 8 on); elsewhere libtorch has slow kernels for it.
extern "C" bool imbalance_gpu_has_bfloat16() {
    char message[256];
    return guarded(message, sizeof message, [] { return at::detail::getCUDAHooks().supportsBFloat16ConvolutionWithCuDNNv8(); });
}
