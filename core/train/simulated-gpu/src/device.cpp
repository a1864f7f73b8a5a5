// What libtorch's CUDA library registers: devices, their memory and streams, and one kernel for all operations, which has the
// processor do them.

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

namespace {

c10::DeviceIndex count_of_gpus() {
    static const char *given = std::getenv("SIMULATED_GPUS");
    static const int count = given ? std::atoi(given) : 1;
    return static_cast<c10::DeviceIndex>(count);
}

thread_local c10::DeviceIndex current = 0;

// ---- What is counted

struct Counts {
    std::mutex mutex;
    std::map<std::string, uint64_t> by_name;

    void add(const std::string &name) {
        std::lock_guard<std::mutex> lock(mutex);
        by_name[name] += 1;
    }

    ~Counts() {
        if (const char *path = std::getenv("SIMULATED_GPU_LOG")) {
            std::ofstream to(path, std::ios::app);
            for (const auto &[name, count] : by_name) {
                to << name << ' ' << count << '\n';
            }
        }
    }
};

Counts &counts() {
    static Counts all;
    return all;
}

// ---- Memory that only kernels can touch

// Pages of their own; readable and writable while a kernel uses them.
struct Allocation {
    void *start;
    size_t bytes;
    std::mutex mutex;
    size_t users = 0;

    explicit Allocation(size_t asked);
    ~Allocation();

    void open() {
        std::lock_guard<std::mutex> lock(mutex);
        if (users++ == 0) {
            mprotect(start, bytes, PROT_READ | PROT_WRITE);
        }
    }
    void close() {
        std::lock_guard<std::mutex> lock(mutex);
        if (--users == 0) {
            mprotect(start, bytes, PROT_NONE);
        }
    }
};

// All of them, by their first address, and those that are free, by their size: fresh pages would have to be zeroed by the system.
struct Allocations {
    std::mutex mutex;
    std::map<uintptr_t, Allocation *> by_address;
    std::multimap<size_t, Allocation *> free;
    size_t free_bytes = 0;
};

constexpr size_t MOST_FREE_BYTES = 256 << 20;

size_t whole_pages(size_t bytes) {
    static const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    return (std::max<size_t>(bytes, 1) + page - 1) / page * page;
}

Allocations &allocations() {
    // Never destroyed: tensors of static storage outlive it.
    static auto *all = new Allocations;
    return *all;
}

Allocation::Allocation(size_t asked) {
    bytes = whole_pages(asked);
    start = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    TORCH_CHECK(start != MAP_FAILED, "the simulated GPU is out of memory: ", asked, " bytes");
    std::lock_guard<std::mutex> lock(allocations().mutex);
    allocations().by_address[reinterpret_cast<uintptr_t>(start)] = this;
}

Allocation::~Allocation() {
    std::lock_guard<std::mutex> lock(allocations().mutex);
    allocations().by_address.erase(reinterpret_cast<uintptr_t>(start));
    munmap(start, bytes);
}

Allocation *allocation_of(size_t bytes) {
    {
        auto &all = allocations();
        std::lock_guard<std::mutex> lock(all.mutex);
        const auto found = all.free.find(whole_pages(bytes));
        if (found != all.free.end()) {
            auto *reused = found->second;
            all.free_bytes -= reused->bytes;
            all.free.erase(found);
            return reused;
        }
    }
    return new Allocation(bytes);
}

void free_allocation(void *given) {
    auto *allocation = static_cast<Allocation *>(given);
    {
        auto &all = allocations();
        std::lock_guard<std::mutex> lock(all.mutex);
        if (all.free_bytes + allocation->bytes <= MOST_FREE_BYTES) {
            all.free_bytes += allocation->bytes;
            all.free.emplace(allocation->bytes, allocation);
            return;
        }
    }
    delete allocation;
}

struct Memory final : c10::Allocator {
    c10::DataPtr allocate(size_t bytes) override {
        auto *made = allocation_of(bytes);
        return {made->start, made, &free_allocation, c10::Device(c10::kCUDA, current)};
    }
    void copy_data(void *, const void *, size_t) const override { TORCH_CHECK(false, "the host copies memory of the device"); }
};

Memory memory;

at::Tensor empty_on(c10::DeviceIndex device, at::IntArrayRef sizes, at::IntArrayRef strides, at::ScalarType type) {
    const auto before = std::exchange(current, device);
    auto made = at::detail::empty_strided_generic(sizes, strides, &memory, c10::DispatchKeySet(c10::DispatchKey::CUDA), type);
    current = before;
    return at::Tensor(std::move(made));
}

// ---- Streams: the work is done when it is given

struct Guard final : c10::impl::DeviceGuardImplInterface {
    c10::DeviceType type() const override { return c10::kCUDA; }
    c10::Device exchangeDevice(c10::Device to) const override {
        return {c10::kCUDA, std::exchange(current, to.index())};
    }
    c10::Device getDevice() const override { return {c10::kCUDA, current}; }
    void setDevice(c10::Device to) const override { current = to.index(); }
    void uncheckedSetDevice(c10::Device to) const noexcept override { current = to.index(); }
    c10::Stream getStream(c10::Device device) const override { return c10::Stream(c10::Stream::DEFAULT, device); }
    c10::Stream getDefaultStream(c10::Device device) const override { return c10::Stream(c10::Stream::DEFAULT, device); }
    c10::Stream getStreamFromGlobalPool(c10::Device device, bool) const override { return c10::Stream(c10::Stream::UNSAFE, device, 1); }
    c10::Stream getNewStream(c10::Device device, int) const override { return c10::Stream(c10::Stream::UNSAFE, device, 1); }
    c10::Stream exchangeStream(c10::Stream stream) const override { return c10::Stream(c10::Stream::DEFAULT, stream.device()); }
    void *getStreamNativeHandle(const c10::Stream) const override { return nullptr; }
    void record(void **event, const c10::Stream &, const c10::DeviceIndex, const c10::EventFlag) const override {
        static int made;
        *event = &made;
    }
    void block(void *, const c10::Stream &) const override {}
    bool queryEvent(void *) const override { return true; }
    bool queryStream(const c10::Stream &) const override { return true; }
    void synchronizeStream(const c10::Stream &) const override { counts().add("wait synchronize"); }
    void synchronizeEvent(void *) const override { counts().add("wait synchronize"); }
    void synchronizeDevice(const c10::DeviceIndex) const override { counts().add("wait synchronize"); }
    c10::DeviceIndex deviceCount() const noexcept override { return count_of_gpus(); }
};

struct Hooks final : at::CUDAHooksInterface {
    explicit Hooks(at::CUDAHooksArgs) {}
    bool isBuilt() const override { return true; }
    bool isAvailable() const override { return count_of_gpus() > 0; }
    void init() const override {}
    bool hasCUDA() const override { return count_of_gpus() > 0; }
    bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
    c10::DeviceIndex deviceCount() const override { return count_of_gpus(); }
    int getNumGPUs() const override { return count_of_gpus(); }
    c10::DeviceIndex current_device() const override { return current; }
    c10::DeviceIndex getCurrentDevice() const override { return current; }
    void setCurrentDevice(c10::DeviceIndex to) const override { current = to; }
    c10::DeviceIndex exchangeDevice(c10::DeviceIndex to) const override { return std::exchange(current, to); }
    c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex to) const override { return std::exchange(current, to); }
    at::Device getDeviceFromPtr(void *) const override { return {c10::kCUDA, current}; }
    c10::Allocator *getPinnedMemoryAllocator() const override { return c10::GetAllocator(c10::kCPU); }
    c10::Allocator *getCUDADeviceAllocator() const override { return &memory; }
    void deviceSynchronize(c10::DeviceIndex) const override { counts().add("wait synchronize"); }
    bool supportsBFloat16ConvolutionWithCuDNNv8() const override { return true; }
    const at::Generator &getDefaultGenerator(c10::DeviceIndex) const override {
        static const auto generator = at::detail::createCPUGenerator();
        return generator;
    }
    at::Generator getNewGenerator(c10::DeviceIndex) const override { return at::detail::createCPUGenerator(); }
};

// ---- Operations

// The tensors of one call as the processor sees them: of the same memory.
class Call {
    std::vector<std::pair<at::Tensor, at::Tensor>> seen;
    std::vector<Allocation *> opened;
    std::optional<c10::DeviceIndex> device;

    static Allocation *allocation(const at::Tensor &tensor) {
        return static_cast<Allocation *>(tensor.storage().data_ptr().get_context());
    }

  public:
    bool host_tensor = false;

    ~Call() {
        for (auto *allocation : opened) {
            allocation->close();
        }
    }

    void on(c10::DeviceIndex given) {
        TORCH_CHECK(!device || *device == given, "Expected all tensors to be on the same device, but found cuda:", *device,
                    " and cuda:", given);
        device = given;
    }

    at::Tensor to_host(const at::Tensor &tensor) {
        if (!tensor.defined() || !tensor.is_cuda()) {
            host_tensor |= tensor.defined() && tensor.dim() > 0;
            return tensor;
        }
        on(tensor.get_device());
        for (const auto &[there, here] : seen) {
            if (there.is_same(tensor)) {
                return here;
            }
        }
        TORCH_CHECK(tensor.layout() == at::kStrided, "the simulated GPU has dense tensors only");
        const auto &storage = tensor.storage();
        if (auto *own = allocation(tensor)) {
            own->open();
            opened.push_back(own);
        }
        auto shared = c10::make_intrusive<c10::StorageImpl>(
            c10::StorageImpl::use_byte_size_t(), storage.nbytes(),
            c10::DataPtr(storage.data_ptr().get(), c10::Device(c10::kCPU)), c10::GetAllocator(c10::kCPU), true);
        auto here = at::detail::make_tensor<c10::TensorImpl>(c10::Storage(shared), c10::DispatchKeySet(c10::DispatchKey::CPU),
                                                             tensor.dtype());
        here.unsafeGetTensorImpl()->set_sizes_and_strides(tensor.sizes(), tensor.strides(), tensor.storage_offset());
        seen.emplace_back(tensor, here);
        return here;
    }

    at::Tensor to_device(const at::Tensor &result) {
        if (!result.defined()) {
            return result;
        }
        for (const auto &[there, here] : seen) {
            if (here.is_same(result)) {
                return there;
            }
        }
        for (const auto &[there, here] : seen) {
            if (here.storage().is_alias_of(result.storage())) {
                auto view = at::detail::make_tensor<c10::TensorImpl>(
                    c10::Storage(there.storage()), c10::DispatchKeySet(c10::DispatchKey::CUDA), result.dtype());
                view.unsafeGetTensorImpl()->set_sizes_and_strides(result.sizes(), result.strides(), result.storage_offset());
                return view;
            }
        }
        return copy(result);
    }

    at::Tensor copy(const at::Tensor &result) {
        auto made = empty_on(device.value_or(current), result.sizes(), result.strides(), result.scalar_type());
        Call().to_host(made).copy_(result);
        return made;
    }

    // Outputs that the operation made larger have memory of the processor's now.
    void follow_sizes() {
        for (auto &[there, here] : seen) {
            auto *impl = there.unsafeGetTensorImpl();
            if (here.storage().data_ptr().get() != there.storage().data_ptr().get()) {
                const auto made = copy(here);
                impl->set_storage_keep_dtype(made.storage());
                impl->set_sizes_and_strides(made.sizes(), made.strides(), made.storage_offset());
            } else if (here.sizes() != there.sizes() || here.strides() != there.strides()) {
                impl->set_sizes_and_strides(here.sizes(), here.strides(), here.storage_offset());
            }
        }
    }
};

// Those that may mix host and device.
const std::set<std::string> MIX = {"aten::copy_", "aten::index.Tensor", "aten::index_put_", "aten::_index_put_impl_"};

// Those whose result's size the host must know, or whose result is the host's.
const std::set<std::string> WAIT = {"aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::_unique2",
                                    "aten::unique_dim", "aten::unique_consecutive", "aten::equal", "aten::bincount",
                                    "aten::repeat_interleave.Tensor", "aten::is_nonzero"};

// From the documentation of torch.use_deterministic_algorithms: refused on CUDA tensors.
const std::set<std::string> NOT_DETERMINISTIC = {
    "aten::_adaptive_avg_pool2d_backward", "aten::adaptive_max_pool2d_backward", "aten::upsample_bilinear2d_backward",
    "aten::upsample_bicubic2d_backward", "aten::reflection_pad2d_backward", "aten::nll_loss2d_forward", "aten::histc",
    "aten::bincount", "aten::kthvalue", "aten::median.dim", "aten::grid_sampler_2d_backward", "aten::put_", "aten::cumsum",
    "aten::max_unpool2d"};

// The multi-tensor kernels that have no other way.
const std::set<std::string> FUSED = {"aten::_fused_sgd_", "aten::_fused_adamw_"};

// Whether they lie alike in memory, as libtorch's ForeachUtils.h has it: the stride of a dimension of one element says nothing.
bool same_layout(const at::Tensor &a, const at::Tensor &b) {
    for (int64_t at = 0; at < a.dim(); ++at) {
        if (a.size(at) != 1 && a.stride(at) != b.stride(at)) {
            return false;
        }
    }
    return a.sizes() == b.sizes();
}

// They take lists of dense tensors of one type, each with the layout of the weights that it belongs to.
void check_fused(const torch::jit::Stack *stack, size_t first, const std::string &name) {
    const auto weights = (*stack)[first].toTensorVector();
    for (size_t at = first; at < stack->size() && (*stack)[at].isTensorList(); ++at) {
        const auto list = (*stack)[at].toTensorVector();
        TORCH_CHECK(list.empty() || list.size() == weights.size(), name, ": lists of different lengths");
        for (size_t place = 0; place < list.size(); ++place) {
            const auto &tensor = list[place], &weight = weights[place];
            if (tensor.dim() == 0 && weight.dim() > 0) {
                continue; // a number of steps
            }
            TORCH_CHECK(tensor.scalar_type() == weights[0].scalar_type() &&
                            same_layout(tensor, weight) && tensor.is_non_overlapping_and_dense(),
                        name, ": params, grads and state must have the same dtype, device, and layout: weights ", weight.sizes(),
                        " of strides ", weight.strides(), ", another of ", tensor.strides());
        }
    }
}

void run(const c10::OperatorHandle &op, torch::jit::Stack *stack) {
    const auto &schema = op.schema();
    std::string name = schema.name();
    if (!schema.overload_name().empty()) {
        name += "." + schema.overload_name();
    }
    Call call;
    const size_t count = schema.arguments().size(), first = stack->size() - count;
    bool waits = WAIT.count(name) > 0;
    for (size_t at = first; at < stack->size(); ++at) {
        auto &value = (*stack)[at];
        if (value.isTensor()) {
            value = call.to_host(value.toTensor());
        } else if (value.isTensorList()) {
            auto list = value.toTensorList();
            c10::List<at::Tensor> made;
            for (const at::Tensor &tensor : list) {
                made.push_back(call.to_host(tensor));
            }
            value = made;
        } else if (value.isOptionalTensorList()) {
            auto list = value.toOptionalTensorList();
            c10::List<std::optional<at::Tensor>> made;
            for (std::optional<at::Tensor> tensor : list) {
                const bool mask = tensor && tensor->defined() && tensor->scalar_type() == at::kBool;
                waits |= mask;
                made.push_back(tensor ? std::optional<at::Tensor>(call.to_host(*tensor)) : std::nullopt);
            }
            value = made;
        } else if (value.isDevice()) {
            const auto device = value.toDevice();
            if (device.is_cuda()) {
                call.on(device.has_index() ? device.index() : current);
                value = c10::Device(c10::kCPU);
            }
        }
    }
    TORCH_CHECK(!call.host_tensor || MIX.count(name), "Expected all tensors to be on the same device, but found cuda and cpu (",
                name, ")");
    if (FUSED.count(name)) {
        check_fused(stack, first, name);
    }
    if (at::globalContext().deterministicAlgorithms() && NOT_DETERMINISTIC.count(name)) {
        at::globalContext().alertNotDeterministic(name);
    }
    counts().add("run " + name);
    if (waits) {
        counts().add("wait " + name);
    }
    {
        at::AutoDispatchBelowADInplaceOrView below;
        try {
            op.callBoxed(stack);
        } catch (c10::Error &error) {
            error.add_context("of the simulated GPU's " + name);
            throw;
        }
    }
    call.follow_sizes();
    const size_t results = schema.returns().size();
    for (size_t at = stack->size() - results; at < stack->size(); ++at) {
        auto &value = (*stack)[at];
        if (value.isTensor()) {
            value = call.to_device(value.toTensor());
        } else if (value.isTensorList()) {
            c10::List<at::Tensor> made;
            for (const at::Tensor &tensor : value.toTensorList()) {
                made.push_back(call.to_device(tensor));
            }
            value = made;
        }
    }
}

// The cell of an LSTM, which libtorch has for GPUs only; see "RNN.cu" there for what it keeps.
std::tuple<at::Tensor, at::Tensor, at::Tensor> lstm_cell(const at::Tensor &of_input, const at::Tensor &of_hidden,
                                                         const at::Tensor &cell, const std::optional<at::Tensor> &input_bias,
                                                         const std::optional<at::Tensor> &hidden_bias) {
    counts().add("run aten::_thnn_fused_lstm_cell");
    auto gates = of_input + of_hidden;
    if (input_bias && input_bias->defined()) {
        gates = gates + *input_bias + *hidden_bias;
    }
    const auto parts = gates.chunk(4, 1);
    const auto in = parts[0].sigmoid(), forget = parts[1].sigmoid(), candidate = parts[2].tanh(), out = parts[3].sigmoid();
    const auto next = forget * cell + in * candidate;
    return {out * next.tanh(), next, at::cat({in, forget, candidate, out}, 1)};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> lstm_cell_backward(const std::optional<at::Tensor> &of_hidden,
                                                                  const std::optional<at::Tensor> &of_cell,
                                                                  const at::Tensor &cell, const at::Tensor &next,
                                                                  const at::Tensor &gates, bool has_bias) {
    counts().add("run aten::_thnn_fused_lstm_cell_backward_impl");
    const auto parts = gates.chunk(4, 1);
    const auto &in = parts[0], &forget = parts[1], &candidate = parts[2], &out = parts[3];
    const auto squashed = next.tanh();
    auto of_next = of_cell && of_cell->defined() ? *of_cell : at::zeros_like(next);
    auto of_out = at::zeros_like(next);
    if (of_hidden && of_hidden->defined()) {
        of_next = of_next + *of_hidden * out * (1 - squashed * squashed);
        of_out = *of_hidden * squashed;
    }
    const auto all = at::cat({of_next * candidate * in * (1 - in), of_next * cell * forget * (1 - forget),
                              of_next * in * (1 - candidate * candidate), of_out * out * (1 - out)},
                             1);
    return {all, of_next * forget, has_bias ? all.sum(0) : at::Tensor()};
}

// The processor has none from float16 to float32.
template <at::Tensor (*F)(const at::Tensor &, int64_t, bool)>
at::Tensor normalised(const at::Tensor &self, int64_t dimension, bool half_to_float) {
    counts().add("run aten::_softmax");
    at::AutoDispatchBelowADInplaceOrView below;
    Call call;
    const auto here = call.to_host(self);
    return call.to_device(F(half_to_float ? here.to(at::kFloat) : here, dimension, false));
}

template <at::Tensor (*F)(const at::Tensor &, const at::Tensor &, int64_t, at::ScalarType)>
at::Tensor normalised_backward(const at::Tensor &of_output, const at::Tensor &output, int64_t dimension, at::ScalarType type) {
    counts().add("run aten::_softmax_backward_data");
    at::AutoDispatchBelowADInplaceOrView below;
    Call call;
    const auto here = call.to_host(output);
    return call.to_device(F(call.to_host(of_output), here, dimension, here.scalar_type()).to(type));
}

at::Tensor &copy(at::Tensor &self, const at::Tensor &from, bool non_blocking) {
    const bool to_host = !self.is_cuda(), from_host = !from.is_cuda();
    counts().add(to_host ? "copy to the host" : from_host ? "copy to the device" : "copy");
    if (to_host) {
        counts().add("wait copy to the host");
    } else if (from_host && !non_blocking) {
        counts().add("wait copy to the device");
    }
    Call there, here;
    auto to = there.to_host(self);
    at::AutoDispatchBelowADInplaceOrView below;
    to.copy_(here.to_host(from));
    return self;
}

at::Tensor empty(at::IntArrayRef sizes, std::optional<at::ScalarType> type, std::optional<at::Layout>,
                 std::optional<at::Device> device, std::optional<bool>, std::optional<at::MemoryFormat> format) {
    const auto before = std::exchange(current, device && device->has_index() ? device->index() : current);
    TORCH_CHECK(current < count_of_gpus(), "there is no GPU ", current);
    auto made = at::detail::empty_generic(sizes, &memory, c10::DispatchKeySet(c10::DispatchKey::CUDA),
                                          c10::dtype_or_default(type), format);
    current = before;
    return at::Tensor(std::move(made));
}

at::Tensor empty_strided(at::IntArrayRef sizes, at::IntArrayRef strides, std::optional<at::ScalarType> type,
                         std::optional<at::Layout>, std::optional<at::Device> device, std::optional<bool>) {
    return empty_on(device && device->has_index() ? device->index() : current, sizes, strides, c10::dtype_or_default(type));
}

TORCH_LIBRARY_IMPL(_, CUDA, library) { library.fallback(torch::CppFunction::makeFromBoxedFunction<&run>()); }

TORCH_LIBRARY_IMPL(aten, CUDA, library) {
    library.impl("empty.memory_format", &empty);
    library.impl("empty_strided", &empty_strided);
    library.impl("copy_", &copy);
    // libtorch would choose among CUDA's algorithms.
    library.impl("convolution", torch::CppFunction::makeFromBoxedFunction<&run>());
    library.impl("convolution_backward", torch::CppFunction::makeFromBoxedFunction<&run>());
    library.impl("_softmax", &normalised<&at::_softmax>);
    library.impl("_log_softmax", &normalised<&at::_log_softmax>);
    library.impl("_softmax_backward_data", &normalised_backward<&at::_softmax_backward_data>);
    library.impl("_log_softmax_backward_data", &normalised_backward<&at::_log_softmax_backward_data>);
    library.impl("_thnn_fused_lstm_cell", &lstm_cell);
    library.impl("_thnn_fused_lstm_cell_backward_impl", &lstm_cell_backward);
}

// Lets the host at `count` bytes of the device's memory, or no longer. `false` where there are none of that address.
bool with_memory_at(const void *pointer, size_t count, bool open) {
    std::lock_guard<std::mutex> lock(allocations().mutex);
    const auto address = reinterpret_cast<uintptr_t>(pointer);
    auto next = allocations().by_address.upper_bound(address);
    if (next == allocations().by_address.begin()) {
        return false;
    }
    auto *allocation = std::prev(next)->second;
    if (address + count > reinterpret_cast<uintptr_t>(allocation->start) + allocation->bytes) {
        return false;
    }
    open ? allocation->open() : allocation->close();
    return true;
}

} // namespace

extern "C" bool simulated_gpu_open(const void *pointer, size_t count) { return with_memory_at(pointer, count, true); }
extern "C" void simulated_gpu_close(const void *pointer, size_t count) { with_memory_at(pointer, count, false); }

namespace at {
using SimulatedHooks = Hooks;
C10_REGISTER_CLASS(CUDAHooksRegistry, CUDAHooks, SimulatedHooks)
} // namespace at

namespace c10::impl {
C10_REGISTER_GUARD_IMPL(CUDA, Guard)
} // namespace c10::impl
