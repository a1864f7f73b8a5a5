// Stands for CUDA's runtime under libtorch's own CUDA library: kernels do nothing, and launches, copies and waits are counted.
//
// Memory of a device is addresses and nothing behind them: an access by the host ends the process, and a copy to the host brings
// zeros, so that no number is NaN by chance and no index out of range.

#include "count.hpp"

#include <cuda_runtime_api.h>

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace {

constexpr size_t DEVICE_BYTES = size_t{64} << 30;
constexpr size_t PAGE = size_t{2} << 20;

struct Device {
    char *addresses;
    size_t used = 0;
    std::map<size_t, std::vector<char *>> freed;
};

struct World {
    std::mutex lock;
    std::vector<Device> devices;
    std::unordered_map<const char *, size_t> sizes;
    std::map<const char *, size_t> pinned;
    std::unordered_map<const void *, calls::Counter *> kernels;
    std::deque<std::pair<std::string, calls::Counter>> counters;
    std::unordered_map<std::string, calls::Counter *> named;

    World() {
        const char *count = std::getenv("CUDA_CALLS_DEVICES");
        for (int at = 0; at < (count == nullptr ? 1 : std::atoi(count)); ++at) {
            void *addresses = mmap(nullptr, DEVICE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            if (addresses == MAP_FAILED) {
                std::perror("the addresses of a device");
                std::abort();
            }
            devices.push_back({static_cast<char *>(addresses), 0, {}});
        }
    }

    int device_of(const void *address) const {
        for (size_t at = 0; at < devices.size(); ++at) {
            const auto *start = devices[at].addresses;
            if (address >= start && address < start + DEVICE_BYTES) {
                return static_cast<int>(at);
            }
        }
        return -1;
    }

    bool is_pinned(const void *address) {
        const std::lock_guard<std::mutex> guard(lock);
        const auto *plain = static_cast<const char *>(address);
        auto after = pinned.upper_bound(plain);
        return after != pinned.begin() && plain < std::prev(after)->first + std::prev(after)->second;
    }
};

// Never destroyed: libraries free memory after `main`.
World &world() {
    static World *made = new World;
    return *made;
}

void write_counts() {
    const char *path = std::getenv("CUDA_CALLS");
    if (path == nullptr) {
        return;
    }
    FILE *file = std::fopen((std::string(path) + "." + std::to_string(getpid())).c_str(), "w");
    if (file == nullptr) {
        std::perror(path);
        return;
    }
    for (const auto &[name, counter] : world().counters) {
        if (const long count = counter.count.load(); count != 0) {
            std::fprintf(file, "%ld %s\n", count, name.c_str());
        }
    }
    std::fclose(file);
}

thread_local int current = 0;
thread_local cudaError_t last = cudaSuccess;

cudaError_t refuse(const char *what, cudaError_t error) {
    std::fprintf(stderr, "cuda-calls: %s is refused (%d)\n", what, error);
    return last = error;
}

template <typename T> T handle() {
    static std::atomic<size_t> next{0x10000};
    return reinterpret_cast<T>(next += 16);
}

cudaError_t copied(void *to, const void *from, size_t bytes, cudaMemcpyKind kind) {
    const bool to_device = world().device_of(to) >= 0, from_device = world().device_of(from) >= 0;
    const bool wrong = (kind == cudaMemcpyHostToDevice && (!to_device || from_device)) ||
                       (kind == cudaMemcpyDeviceToHost && (to_device || !from_device)) ||
                       (kind == cudaMemcpyDeviceToDevice && !(to_device && from_device));
    if (wrong) {
        return refuse("a copy in another direction than it says", cudaErrorInvalidMemcpyDirection);
    }
    if (to_device && from_device) {
        COUNT("copy", "on the device");
    } else if (to_device && world().is_pinned(from)) {
        COUNT("copy", "to the device, not waited for");
    } else if (to_device) {
        COUNT("copy", "to the device, pageable");
    } else {
        COUNT("copy", "to the host");
    }
    if (!to_device && from_device) {
        std::memset(to, 0, bytes);
    } else if (!to_device) {
        std::memmove(to, from, bytes);
    }
    return cudaSuccess;
}

cudaError_t launched(const void *kernel, dim3 grid, dim3 block, size_t shared) {
    const bool wrong = grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.y > 65535 || grid.z > 65535 || block.x == 0 || block.y == 0 ||
                       block.z == 0 || block.x * block.y * block.z > 1024 || shared > 232448;
    if (wrong) {
        return refuse("a launch of such a grid", cudaErrorInvalidConfiguration);
    }
    const auto found = world().kernels.find(kernel);
    if (found == world().kernels.end()) {
        return refuse("a kernel that was not registered", cudaErrorInvalidDeviceFunction);
    }
    found->second->count.fetch_add(1, std::memory_order_relaxed);
    return cudaSuccess;
}

struct Configuration {
    dim3 grid, block;
    size_t shared;
    void *stream;
};
thread_local std::vector<Configuration> configurations;

} // namespace

extern "C" {

calls::Counter *cuda_calls_counter(const char *kind, const char *name) {
    auto &all = world();
    const std::lock_guard<std::mutex> guard(all.lock);
    if (all.counters.empty()) {
        std::atexit(write_counts);
    }
    const auto whole = std::string(kind) + " " + name;
    auto &counter = all.named[whole];
    if (counter == nullptr) {
        all.counters.emplace_back(std::piecewise_construct, std::forward_as_tuple(whole), std::forward_as_tuple());
        counter = &all.counters.back().second;
    }
    return counter;
}

cudaError_t cudaMalloc(void **made, size_t bytes) {
    COUNT("memory", "cudaMalloc");
    auto &all = world();
    const std::lock_guard<std::mutex> guard(all.lock);
    auto &device = all.devices[current];
    bytes = (bytes + PAGE - 1) / PAGE * PAGE;
    if (auto &free = device.freed[bytes]; !free.empty()) {
        *made = free.back();
        free.pop_back();
        return cudaSuccess;
    }
    if (device.used + bytes > DEVICE_BYTES) {
        return last = cudaErrorMemoryAllocation;
    }
    *made = device.addresses + device.used;
    device.used += bytes;
    all.sizes[static_cast<char *>(*made)] = bytes;
    return cudaSuccess;
}

cudaError_t cudaFree(void *address) {
    if (address != nullptr) {
        COUNT("memory", "cudaFree");
        auto &all = world();
        const std::lock_guard<std::mutex> guard(all.lock);
        auto *start = static_cast<char *>(address);
        all.devices[all.device_of(start)].freed[all.sizes[start]].push_back(start);
    }
    return cudaSuccess;
}

cudaError_t cudaHostAlloc(void **made, size_t bytes, unsigned) {
    COUNT("memory", "cudaHostAlloc");
    *made = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    const std::lock_guard<std::mutex> guard(world().lock);
    world().pinned[static_cast<char *>(*made)] = bytes;
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void *address) {
    const std::lock_guard<std::mutex> guard(world().lock);
    world().pinned.erase(static_cast<char *>(address));
    std::free(address);
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free, size_t *total) {
    *total = DEVICE_BYTES;
    *free = DEVICE_BYTES - world().devices[current].used;
    return cudaSuccess;
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind) {
    COUNT("wait", "cudaMemcpy");
    return copied(to, from, bytes, kind);
}
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t) {
    return copied(to, from, bytes, kind);
}
cudaError_t cudaMemcpyPeerAsync(void *to, int, const void *from, int, size_t bytes, cudaStream_t) {
    return copied(to, from, bytes, cudaMemcpyDefault);
}
cudaError_t cudaMemcpyToSymbol(const void *, const void *, size_t, size_t, cudaMemcpyKind) { return cudaSuccess; }
cudaError_t cudaMemset(void *, int, size_t) {
    COUNT("memory", "cudaMemset");
    return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t) { return cudaMemset(to, value, bytes); }

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *found, const void *address) {
    *found = {};
    found->type = cudaMemoryTypeUnregistered;
    if (const int device = world().device_of(address); device >= 0) {
        found->type = cudaMemoryTypeDevice;
        found->device = device;
        found->devicePointer = const_cast<void *>(address);
    } else if (world().is_pinned(address)) {
        found->type = cudaMemoryTypeHost;
        found->devicePointer = found->hostPointer = const_cast<void *>(address);
    }
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *count) {
    *count = static_cast<int>(world().devices.size());
    return cudaSuccess;
}
cudaError_t cudaGetDevice(int *device) {
    *device = current;
    return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
    if (device < 0 || device >= static_cast<int>(world().devices.size())) {
        return refuse("a device of this number", cudaErrorInvalidDevice);
    }
    current = device;
    return cudaSuccess;
}

// Sizes of an H100.
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *found, int) {
    *found = {};
    std::strcpy(found->name, "none: kernels do nothing");
    found->totalGlobalMem = DEVICE_BYTES;
    found->major = 9;
    found->multiProcessorCount = 132;
    found->warpSize = 32;
    found->maxThreadsPerBlock = 1024;
    found->maxThreadsDim[0] = found->maxThreadsDim[1] = 1024;
    found->maxThreadsDim[2] = 64;
    found->maxGridSize[0] = 2147483647;
    found->maxGridSize[1] = found->maxGridSize[2] = 65535;
    found->sharedMemPerBlock = 49152;
    found->sharedMemPerBlockOptin = 232448;
    found->sharedMemPerMultiprocessor = 233472;
    found->maxThreadsPerMultiProcessor = 2048;
    found->maxBlocksPerMultiProcessor = 32;
    found->regsPerBlock = found->regsPerMultiprocessor = 65536;
    found->l2CacheSize = 52428800;
    found->textureAlignment = 512;
    found->cooperativeLaunch = found->unifiedAddressing = 1;
    return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device) {
    cudaDeviceProp all;
    cudaGetDeviceProperties(&all, device);
    switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock: *value = all.maxThreadsPerBlock; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = static_cast<int>(all.sharedMemPerBlock); break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = static_cast<int>(all.sharedMemPerBlockOptin); break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *value = static_cast<int>(all.sharedMemPerMultiprocessor); break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = all.maxThreadsPerMultiProcessor; break;
    case cudaDevAttrMultiProcessorCount: *value = all.multiProcessorCount; break;
    case cudaDevAttrMaxGridDimX: *value = all.maxGridSize[0]; break;
    case cudaDevAttrMaxGridDimY: *value = all.maxGridSize[1]; break;
    case cudaDevAttrMaxGridDimZ: *value = all.maxGridSize[2]; break;
    case cudaDevAttrComputeCapabilityMajor: *value = all.major; break;
    case cudaDevAttrWarpSize: *value = all.warpSize; break;
    case cudaDevAttrL2CacheSize: *value = all.l2CacheSize; break;
    default: *value = 0;
    }
    return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int *version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int *version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}
cudaError_t cudaDeviceGetPCIBusId(char *text, int length, int device) {
    std::snprintf(text, length, "0000:%02x:00.0", device + 1);
    return cudaSuccess;
}
cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest) {
    *least = 0;
    *greatest = -5;
    return cudaSuccess;
}
cudaError_t cudaDeviceCanAccessPeer(int *can, int, int) {
    *can = 1;
    return cudaSuccess;
}
cudaError_t cudaGetDriverEntryPointByVersion(const char *, void **found, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult *result) {
    *found = nullptr;
    if (result != nullptr) {
        *result = cudaDriverEntryPointSymbolNotFound;
    }
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *made, unsigned, int) {
    *made = handle<cudaStream_t>();
    return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) {
    COUNT("wait", "cudaStreamSynchronize");
    return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
    COUNT("wait", "cudaDeviceSynchronize");
    return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t) {
    COUNT("wait", "cudaEventSynchronize");
    return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *made, unsigned) {
    *made = handle<cudaEvent_t>();
    return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t *made) { return cudaEventCreateWithFlags(made, 0); }
cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t, cudaEvent_t) {
    *milliseconds = 1;
    return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus *status) {
    *status = cudaStreamCaptureStatusNone;
    return cudaSuccess;
}
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t, cudaStreamCaptureStatus *status, unsigned long long *id, cudaGraph_t *,
                                     const cudaGraphNode_t **, const cudaGraphEdgeData **, size_t *count) {
    *status = cudaStreamCaptureStatusNone;
    if (id != nullptr) {
        *id = 0;
    }
    if (count != nullptr) {
        *count = 0;
    }
    return cudaSuccess;
}
cudaError_t cudaStreamAddCallback(cudaStream_t stream, cudaStreamCallback_t call, void *data, unsigned) {
    call(stream, cudaSuccess, data);
    return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, const void *, int, size_t, unsigned) {
    *blocks = 4;
    return cudaSuccess;
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *found, const void *) {
    *found = {};
    found->maxThreadsPerBlock = 1024;
    found->numRegs = 32;
    found->ptxVersion = found->binaryVersion = 90;
    return cudaSuccess;
}
cudaError_t cudaGetSymbolAddress(void **found, const void *) { return cudaMalloc(found, PAGE); }

const char *cudaGetErrorString(cudaError_t) { return "refused by cuda-calls"; }
const char *cudaGetErrorName(cudaError_t) { return "cudaErrorRefused"; }
cudaError_t cudaPeekAtLastError() { return last; }
cudaError_t cudaGetLastError() { return std::exchange(last, cudaSuccess); }

// How compiled programs register and launch their kernels.
void **__cudaRegisterFatBinary(void *) {
    static void *none[1];
    return none;
}
void __cudaRegisterFatBinaryEnd(void **) {}
void __cudaUnregisterFatBinary(void **) {}
void __cudaRegisterVar(void **, char *, char *, const char *, int, size_t, int, int) {}
void __cudaRegisterFunction(void **, const char *kernel, char *, const char *name, int, void *, void *, void *, void *, int *) {
    auto *counter = cuda_calls_counter("kernel", name);
    const std::lock_guard<std::mutex> guard(world().lock);
    world().kernels[kernel] = counter;
}
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, void *stream) {
    configurations.push_back({grid, block, shared, stream});
    return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared, void *stream) {
    const auto last = configurations.back();
    configurations.pop_back();
    *grid = last.grid;
    *block = last.block;
    *shared = last.shared;
    *static_cast<void **>(stream) = last.stream;
    return cudaSuccess;
}
cudaError_t cudaLaunchKernel(const void *kernel, dim3 grid, dim3 block, void **, size_t shared, cudaStream_t) {
    return launched(kernel, grid, block, shared);
}
cudaError_t __cudaGetKernel(cudaKernel_t *found, const void *kernel) {
    *found = static_cast<cudaKernel_t>(const_cast<void *>(kernel));
    return cudaSuccess;
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void **, size_t shared, cudaStream_t) {
    return launched(kernel, grid, block, shared);
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *how, const void *kernel, void **) {
    return launched(kernel, how->gridDim, how->blockDim, how->dynamicSmemBytes);
}
}
