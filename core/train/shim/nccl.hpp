// NCCL between GPUs, on a stream of its own. The library is opened at run time, as libtorch's CUDA library is, which brings it;
// streams and events are those that libtorch registers for its GPUs.

#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <cstdint>
#include <dlfcn.h>
#include <string>

namespace nccl {

// From NCCL's documentation, "NCCL API": its C interface has kept these since version 2.
struct UniqueId {
    char internal[128];
};
using Comm = void *;
constexpr int SUM = 0;

inline int type_of(at::ScalarType type) {
    switch (type) {
    case at::kByte:
        return 1;
    case at::kLong:
        return 4;
    case at::kHalf:
        return 6;
    case at::kFloat:
        return 7;
    case at::kDouble:
        return 8;
    case at::kBFloat16:
        return 9;
    default:
        TORCH_CHECK(false, "NCCL is not asked for tensors of ", type);
    }
}

// The functions that are used.
struct Library {
    int (*get_unique_id)(UniqueId *);
    int (*comm_init_rank)(Comm *, int, UniqueId, int);
    int (*comm_abort)(Comm);
    int (*all_reduce)(const void *, void *, size_t, int, int, Comm, void *);
    int (*broadcast)(const void *, void *, size_t, int, int, Comm, void *);
    const char *(*error_string)(int);

    // Throws where there is none.
    static const Library &get() {
        static const Library library;
        return library;
    }

    void check(int status, const char *what) const {
        TORCH_CHECK(status == 0, "NCCL cannot ", what, ": ", error_string(status));
    }

  private:
    Library() {
        // Never closed: it has threads of its own.
        void *opened = dlopen("libnccl.so.2", RTLD_NOW);
        auto find = [opened](auto &function, const char *name) {
            // libtorch's own library may have it inside.
            void *symbol = dlsym(opened ? opened : RTLD_DEFAULT, name);
            TORCH_CHECK(symbol, "libnccl.so.2 cannot be opened, or has no ", name);
            function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(symbol);
        };
        find(get_unique_id, "ncclGetUniqueId");
        find(comm_init_rank, "ncclCommInitRank");
        find(comm_abort, "ncclCommAbort");
        find(all_reduce, "ncclAllReduce");
        find(broadcast, "ncclBroadcast");
        find(error_string, "ncclGetErrorString");
    }
};

// The processes, each with a GPU of its own.
class Communicator {
    c10::Device device;
    c10::impl::VirtualGuardImpl guard;
    c10::Stream stream;
    Comm comm = nullptr;

  public:
    Communicator(c10::Device device, const UniqueId &id, int rank, int size)
        : device(device), guard(device.type()), stream(guard.getStreamFromGlobalPool(device, true)) {
        guard.setDevice(device);
        const auto &library = Library::get();
        library.check(library.comm_init_rank(&comm, size, id, rank), "join the GPUs of all processes");
    }
    Communicator(const Communicator &) = delete;
    Communicator &operator=(const Communicator &) = delete;
    // Does not wait for processes that may be gone.
    ~Communicator() { Library::get().comm_abort(comm); }

    // Both return when the work is queued; what the caller queues after `wait` comes after it.
    c10::Event sum(const at::Tensor &tensor) {
        return queue("sum tensors", [&](const Library &library, void *data) {
            return library.all_reduce(data, data, tensor.numel(), type_of(tensor.scalar_type()), SUM, comm,
                                      stream.native_handle());
        }, tensor);
    }

    c10::Event broadcast(const at::Tensor &tensor) {
        return queue("send a tensor", [&](const Library &library, void *data) {
            return library.broadcast(data, data, tensor.numel(), type_of(tensor.scalar_type()), 0, comm,
                                     stream.native_handle());
        }, tensor);
    }

    void wait(const c10::Event &done) { done.block(guard.getStream(device)); }

  private:
    template <typename F> c10::Event queue(const char *what, F work, const at::Tensor &tensor) {
        c10::Event ready(device.type()), done(device.type());
        ready.record(guard.getStream(device));
        ready.block(stream);
        const auto &library = Library::get();
        library.check(work(library, tensor.data_ptr()), what);
        done.record(stream);
        return done;
    }
};

} // namespace nccl
