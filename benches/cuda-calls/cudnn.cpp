// Stands for cuDNN: convolutions, normalisations and recurrent layers are counted and not computed.

#include "count.hpp"

#include <cudnn.h>
#include <cudnn_backend.h>

#include <algorithm>

namespace {

// Every descriptor. Few are ever freed; there are not many.
struct Descriptor {
    cudnnDataType_t type;
    int dims;
    int sizes[8];
    int strides[8];
    // Of a recurrent layer.
    cudnnRNNMode_t mode;
    int directions, input, hidden, layers;
};

template <typename T> cudnnStatus_t make(T *made) {
    *made = reinterpret_cast<T>(new Descriptor{});
    return CUDNN_STATUS_SUCCESS;
}

template <typename T> Descriptor &of(T descriptor) { return *reinterpret_cast<Descriptor *>(descriptor); }

size_t bytes(cudnnDataType_t type) { return type == CUDNN_DATA_DOUBLE ? 8 : type == CUDNN_DATA_FLOAT ? 4 : 2; }

struct Part {
    size_t start;
    int rows, columns;
};

// Where the matrix or bias of a gate is among a recurrent layer's weights, all matrices first; the end of all for none.
Part part(const Descriptor &of, int layer, int gate, bool bias) {
    const int gates = of.mode == CUDNN_LSTM ? 4 : of.mode == CUDNN_GRU ? 3 : 1;
    size_t start = 0;
    for (const bool biases : {false, true}) {
        for (int at = 0; at < of.layers * of.directions; ++at) {
            for (int each = 0; each < 2 * gates; ++each) {
                const int input = at < of.directions ? of.input : of.hidden * of.directions;
                const Part here{start, of.hidden, biases ? 1 : each < gates ? input : of.hidden};
                if (at == layer && each == gate && biases == bias) {
                    return here;
                }
                start += static_cast<size_t>(here.rows) * here.columns;
            }
        }
    }
    return {start, 0, 0};
}

void tell(const Part &found, const Descriptor &layer, const void *weights, cudnnTensorDescriptor_t descriptor, void **address) {
    if (descriptor != nullptr) {
        auto &to = of(descriptor);
        to.type = layer.type;
        to.dims = found.rows == 0 ? 0 : 3;
        std::copy_n(std::begin({1, found.rows, found.columns}), 3, to.sizes);
        std::copy_n(std::begin({found.rows * found.columns, found.columns, 1}), 3, to.strides);
    }
    if (address != nullptr) {
        auto *start = static_cast<char *>(const_cast<void *>(weights)) + found.start * bytes(layer.type);
        *address = found.rows == 0 ? nullptr : start;
    }
}

constexpr size_t WORKSPACE = size_t{1} << 16;

} // namespace

extern "C" {

size_t cudnnGetVersion() { return CUDNN_VERSION; }
cudnnStatus_t cudnnGetProperty(libraryPropertyType which, int *value) {
    *value = which == MAJOR_VERSION ? CUDNN_MAJOR : which == MINOR_VERSION ? CUDNN_MINOR : CUDNN_PATCHLEVEL;
    return CUDNN_STATUS_SUCCESS;
}
size_t cudnnGetCudartVersion() { return 13000; }
const char *cudnnGetErrorString(cudnnStatus_t) { return "refused by cuda-calls"; }
void cudnnGetLastErrorString(char *text, size_t length) {
    if (length > 0) {
        *text = 0;
    }
}
cudnnStatus_t cudnnCreate(cudnnHandle_t *made) { return make(made); }
cudnnStatus_t cudnnGetStream(cudnnHandle_t, cudaStream_t *stream) {
    *stream = nullptr;
    return CUDNN_STATUS_SUCCESS;
}

#define CREATE(name, type)                                                                                                       \
    cudnnStatus_t name(type *made) { return make(made); }
CREATE(cudnnCreateTensorDescriptor, cudnnTensorDescriptor_t)
CREATE(cudnnCreateFilterDescriptor, cudnnFilterDescriptor_t)
CREATE(cudnnCreateConvolutionDescriptor, cudnnConvolutionDescriptor_t)
CREATE(cudnnCreateDropoutDescriptor, cudnnDropoutDescriptor_t)
CREATE(cudnnCreateRNNDescriptor, cudnnRNNDescriptor_t)
CREATE(cudnnCreateRNNDataDescriptor, cudnnRNNDataDescriptor_t)
CREATE(cudnnCreateActivationDescriptor, cudnnActivationDescriptor_t)
CREATE(cudnnCreatePoolingDescriptor, cudnnPoolingDescriptor_t)

cudnnStatus_t cudnnSetTensorNdDescriptor(cudnnTensorDescriptor_t descriptor, cudnnDataType_t type, int dims, const int *sizes,
                                         const int *strides) {
    auto &to = of(descriptor);
    to.type = type;
    to.dims = dims;
    std::copy_n(sizes, dims, to.sizes);
    std::copy_n(strides, dims, to.strides);
    return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetTensorNdDescriptor(const cudnnTensorDescriptor_t descriptor, int wanted, cudnnDataType_t *type, int *dims,
                                         int *sizes, int *strides) {
    const auto &from = of(descriptor);
    *type = from.type;
    *dims = from.dims;
    std::copy_n(from.sizes, std::min(wanted, from.dims), sizes);
    std::copy_n(from.strides, std::min(wanted, from.dims), strides);
    return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDropoutGetStatesSize(cudnnHandle_t, size_t *size) {
    *size = WORKSPACE;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetRNNDescriptor_v8(cudnnRNNDescriptor_t descriptor, cudnnRNNAlgo_t, cudnnRNNMode_t mode, cudnnRNNBiasMode_t,
                                       cudnnDirectionMode_t direction, cudnnRNNInputMode_t, cudnnDataType_t type, cudnnDataType_t,
                                       cudnnMathType_t, int32_t input, int32_t hidden, int32_t, int32_t layers,
                                       cudnnDropoutDescriptor_t, uint32_t) {
    auto &to = of(descriptor);
    to.mode = mode;
    to.directions = direction == CUDNN_BIDIRECTIONAL ? 2 : 1;
    to.type = type;
    to.input = input;
    to.hidden = hidden;
    to.layers = layers;
    return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetRNNWeightSpaceSize(cudnnHandle_t, cudnnRNNDescriptor_t descriptor, size_t *size) {
    *size = part(of(descriptor), -1, 0, false).start * bytes(of(descriptor).type);
    return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetRNNWeightParams(cudnnHandle_t, cudnnRNNDescriptor_t descriptor, int32_t layer, size_t, const void *weights,
                                      int32_t gate, cudnnTensorDescriptor_t matrix, void **matrix_address,
                                      cudnnTensorDescriptor_t bias, void **bias_address) {
    const auto &from = of(descriptor);
    tell(part(from, layer, gate, false), from, weights, matrix, matrix_address);
    tell(part(from, layer, gate, true), from, weights, bias, bias_address);
    return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetRNNTempSpaceSizes(cudnnHandle_t, cudnnRNNDescriptor_t, cudnnForwardMode_t, cudnnRNNDataDescriptor_t,
                                        size_t *work, size_t *reserve) {
    *work = WORKSPACE;
    if (reserve != nullptr) {
        *reserve = WORKSPACE;
    }
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize(
    cudnnHandle_t, cudnnBatchNormMode_t, cudnnBatchNormOps_t, const cudnnTensorDescriptor_t, const cudnnTensorDescriptor_t,
    const cudnnTensorDescriptor_t, const cudnnTensorDescriptor_t, const cudnnActivationDescriptor_t, size_t *size) {
    *size = WORKSPACE;
    return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetBatchNormalizationTrainingExReserveSpaceSize(cudnnHandle_t, cudnnBatchNormMode_t, cudnnBatchNormOps_t,
                                                                   const cudnnActivationDescriptor_t,
                                                                   const cudnnTensorDescriptor_t, size_t *size) {
    *size = WORKSPACE;
    return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetBatchNormalizationBackwardExWorkspaceSize(
    cudnnHandle_t, cudnnBatchNormMode_t, cudnnBatchNormOps_t, const cudnnTensorDescriptor_t, const cudnnTensorDescriptor_t,
    const cudnnTensorDescriptor_t, const cudnnTensorDescriptor_t, const cudnnTensorDescriptor_t, const cudnnTensorDescriptor_t,
    const cudnnActivationDescriptor_t, size_t *size) {
    *size = WORKSPACE;
    return CUDNN_STATUS_SUCCESS;
}

// The graph interface, by which libtorch convolves: one plan for everything.
cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t, cudnnBackendDescriptor_t *made) { return make(made); }
cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
    delete &of(descriptor);
    return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnBackendGetAttribute(const cudnnBackendDescriptor_t, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t,
                                       int64_t, int64_t *count, void *found) {
    int64_t number = 1;
    switch (name) {
    case CUDNN_ATTR_ENGINEHEUR_RESULTS:
    case CUDNN_ATTR_ENGINECFG_ENGINE: break;
    case CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE: *static_cast<int64_t *>(found) = WORKSPACE; break;
    case CUDNN_ATTR_ENGINE_GLOBAL_INDEX: *static_cast<int64_t *>(found) = 1; break;
    default: number = 0;
    }
    if (count != nullptr) {
        *count = number;
    }
    return CUDNN_STATUS_SUCCESS;
}

#define COUNTED(name, ...)                                                                                                       \
    cudnnStatus_t name(__VA_ARGS__) {                                                                                            \
        COUNT("library", #name);                                                                                                 \
        return CUDNN_STATUS_SUCCESS;                                                                                             \
    }
COUNTED(cudnnBackendExecute, cudnnHandle_t, cudnnBackendDescriptor_t, cudnnBackendDescriptor_t)
COUNTED(cudnnBatchNormalizationForwardTrainingEx, cudnnHandle_t, cudnnBatchNormMode_t, cudnnBatchNormOps_t, const void *,
        const void *, const cudnnTensorDescriptor_t, const void *, const cudnnTensorDescriptor_t, const void *,
        const cudnnTensorDescriptor_t, void *, const cudnnTensorDescriptor_t, const void *, const void *, double, void *, void *,
        double, void *, void *, cudnnActivationDescriptor_t, void *, size_t, void *, size_t)
COUNTED(cudnnBatchNormalizationBackwardEx, cudnnHandle_t, cudnnBatchNormMode_t, cudnnBatchNormOps_t, const void *, const void *,
        const void *, const void *, const cudnnTensorDescriptor_t, const void *, const cudnnTensorDescriptor_t, const void *,
        const cudnnTensorDescriptor_t, const void *, const cudnnTensorDescriptor_t, void *, const cudnnTensorDescriptor_t, void *,
        const cudnnTensorDescriptor_t, const void *, const void *, void *, void *, double, const void *, const void *,
        cudnnActivationDescriptor_t, void *, size_t, void *, size_t)
COUNTED(cudnnRNNForward, cudnnHandle_t, cudnnRNNDescriptor_t, cudnnForwardMode_t, const int32_t *, cudnnRNNDataDescriptor_t,
        const void *, cudnnRNNDataDescriptor_t, void *, cudnnTensorDescriptor_t, const void *, void *, cudnnTensorDescriptor_t,
        const void *, void *, size_t, const void *, size_t, void *, size_t, void *)
COUNTED(cudnnRNNBackwardData_v8, cudnnHandle_t, cudnnRNNDescriptor_t, const int32_t *, cudnnRNNDataDescriptor_t, const void *,
        const void *, cudnnRNNDataDescriptor_t, void *, cudnnTensorDescriptor_t, const void *, const void *, void *,
        cudnnTensorDescriptor_t, const void *, const void *, void *, size_t, const void *, size_t, void *, size_t, void *)
COUNTED(cudnnRNNBackwardWeights_v8, cudnnHandle_t, cudnnRNNDescriptor_t, cudnnWgradMode_t, const int32_t *,
        cudnnRNNDataDescriptor_t, const void *, cudnnTensorDescriptor_t, const void *, cudnnRNNDataDescriptor_t, const void *,
        size_t, void *, size_t, void *, size_t, void *)
}
