// Stands for cuBLAS: products are counted and not computed.

#include "count.hpp"

extern "C" {

static int math = 0, pointers = 0;

int cublasCreate_v2(void **made) {
    *made = &math;
    return 0;
}
int cublasGetMathMode(void *, int *mode) {
    *mode = math;
    return 0;
}
int cublasSetMathMode(void *, int mode) {
    math = mode;
    return 0;
}
int cublasGetPointerMode_v2(void *, int *mode) {
    *mode = pointers;
    return 0;
}
int cublasSetPointerMode_v2(void *, int mode) {
    pointers = mode;
    return 0;
}

#define PRODUCT(name)                                                                                                            \
    int name() {                                                                                                                 \
        COUNT("library", #name);                                                                                                 \
        return 0;                                                                                                                \
    }
PRODUCT(cublasSgemm_v2)
PRODUCT(cublasDgemm_v2)
PRODUCT(cublasSgemmStridedBatched)
PRODUCT(cublasDgemmStridedBatched)
PRODUCT(cublasGemmEx)
PRODUCT(cublasGemmStridedBatchedEx)
PRODUCT(cublasSgemv_v2)
PRODUCT(cublasDgemv_v2)
PRODUCT(cublasSdot_v2)
PRODUCT(cublasDotEx)
}
