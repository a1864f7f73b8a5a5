// Stands for cuBLASLt: products are counted and not computed.

#include "count.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>

extern "C" {

static int something;

// `cublasLtMatmulHeuristicResult_t`: an algorithm, the bytes it works in, 0 for success, waves, reserved.
struct Found {
    uint64_t algorithm[8];
    size_t bytes;
    int status;
    float waves;
    int reserved[4];
};

size_t cublasLtGetVersion() { return 130000; }
int cublasLtMatmulDescCreate(void **made, int, int) {
    *made = &something;
    return 0;
}
int cublasLtMatmulPreferenceCreate(void **made) {
    *made = &something;
    return 0;
}
int cublasLtMatrixLayoutCreate(void **made, int, uint64_t, uint64_t, int64_t) {
    *made = &something;
    return 0;
}
int cublasLtMatmulAlgoGetHeuristic(void *, void *, void *, void *, void *, void *, void *, int, Found *found, int *count) {
    *found = {};
    *count = 1;
    return 0;
}
int cublasLtMatmul() {
    COUNT("library", "cublasLtMatmul");
    return 0;
}
}
