// What cuda_runtime_api.h asks for of the compiler's own headers, which its package does not have.
#pragma once
#define __host__
#define __device__
#define __global__
#define __shared__
#define __constant__
#define __managed__
#define __cudart_builtin__
#define __device_builtin__
#define __builtin_align__(n) __attribute__((aligned(n)))
#define __align__(n) __attribute__((aligned(n)))
#define __device_builtin_texture_type__
#define __device_builtin_surface_type__
#define __specialization_static static
#define CUDARTAPI
#define CUDARTAPI_CDECL
