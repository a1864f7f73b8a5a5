// A group of processes on libtorch's c10d (Gloo), with NCCL for what is on GPUs, and gradients summed over it in buckets while
// the backward pass runs.

#define USE_C10D_GLOO

#include <algorithm>
#include <chrono>
#include <cstring>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <torch/csrc/autograd/variable.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <vector>

#include "guarded.hpp"
#include "nccl.hpp"

namespace {

// What has been sent: by Gloo, or by NCCL.
struct Work {
    c10::intrusive_ptr<c10d::Work> gloo;
    std::optional<c10::Event> queued;
};

struct Group {
    c10::intrusive_ptr<c10d::Store> store;
    c10::intrusive_ptr<c10d::Backend> backend;
    std::unique_ptr<nccl::Communicator> gpus;
    int rank;
    int size;

    bool by_nccl(const at::Tensor &tensor) const { return gpus && tensor.is_cuda(); }

    Work sum(const at::Tensor &tensor) {
        if (by_nccl(tensor)) {
            return {nullptr, gpus->sum(tensor)};
        }
        std::vector<at::Tensor> tensors{tensor};
        return {backend->allreduce(tensors), std::nullopt};
    }

    void broadcast(const at::Tensor &tensor) {
        if (by_nccl(tensor)) {
            gpus->wait(gpus->broadcast(tensor));
            return;
        }
        std::vector<at::Tensor> tensors{tensor};
        backend->broadcast(tensors)->wait();
    }

    void wait(Work &work) {
        if (work.queued) {
            gpus->wait(*work.queued);
        } else {
            work.gloo->wait();
        }
        work = {};
    }
};

// Variables whose gradients travel together, and for each whether this process has one: 1 or 0, summed too.
struct Bucket {
    std::vector<size_t> members;
    std::vector<int64_t> offsets;
    at::Tensor flat;
    size_t missing = 0;
    Work work;
};

struct Reducer {
    Group &group;
    std::vector<at::Tensor> variables;
    int64_t bucket_bytes;
    std::vector<Bucket> buckets;
    // Bucket and place in it, of each variable.
    std::vector<std::pair<size_t, size_t>> places;
    // Whether the gradient is in its bucket.
    std::vector<bool> filled;
    // In which the gradients came.
    std::vector<size_t> order;
    std::vector<unsigned> hooks;
    bool armed = false;
    // The order in which buckets are filled for good; empty before the first step.
    std::vector<size_t> settled;
    size_t next = 0;

    Reducer(Group &group, std::vector<at::Tensor> given, int64_t bytes)
        : group(group), variables(std::move(given)), bucket_bytes(bytes) {
        std::vector<size_t> all(variables.size());
        for (size_t at = 0; at < all.size(); ++at) {
            // The last of a network get their gradients first.
            all[at] = all.size() - 1 - at;
        }
        build(all);
        for (size_t at = 0; at < variables.size(); ++at) {
            hooks.push_back(variables[at].register_hook([this, at](const at::Tensor &gradient) {
                if (armed && gradient.defined()) {
                    fill(at, gradient);
                    launch();
                }
            }));
        }
    }

    ~Reducer() {
        for (size_t at = 0; at < variables.size(); ++at) {
            variables[at].remove_hook(hooks[at]);
        }
    }

    void build(const std::vector<size_t> &sequence) {
        buckets.clear();
        places.assign(variables.size(), {0, 0});
        int64_t length = 0;
        for (size_t at : sequence) {
            const auto &variable = variables[at];
            const int64_t bytes = length * variable.element_size();
            const bool fits = !buckets.empty() && bytes < bucket_bytes &&
                              variables[buckets.back().members[0]].options().type_equal(variable.options());
            if (!fits) {
                finish_bucket(length);
                buckets.emplace_back();
                length = 0;
            }
            places[at] = {buckets.size() - 1, buckets.back().members.size()};
            buckets.back().members.push_back(at);
            buckets.back().offsets.push_back(length);
            length += variable.numel();
        }
        finish_bucket(length);
    }

    void finish_bucket(int64_t length) {
        if (buckets.empty()) {
            return;
        }
        auto &bucket = buckets.back();
        bucket.offsets.push_back(length);
        const auto count = static_cast<int64_t>(bucket.members.size());
        bucket.flat = at::empty({length + count}, variables[bucket.members[0]].options().requires_grad(false));
    }

    void begin() {
        for (auto &bucket : buckets) {
            bucket.missing = bucket.members.size();
            bucket.flat.zero_();
            bucket.work = {};
        }
        filled.assign(variables.size(), false);
        order.clear();
        next = 0;
        armed = true;
    }

    at::Tensor part(const Bucket &bucket, size_t place) {
        const auto &variable = variables[bucket.members[place]];
        const auto flat = bucket.flat.narrow(0, bucket.offsets[place], variable.numel());
        // In the variable's own layout, which is the gradient's and the update's too.
        return variable.is_non_overlapping_and_dense() ? flat.as_strided(variable.sizes(), variable.strides(), flat.storage_offset())
                                                       : flat.view(variable.sizes());
    }

    void fill(size_t at, const at::Tensor &gradient) {
        if (filled[at]) {
            return;
        }
        at::NoGradGuard no_grad;
        auto [number, place] = places[at];
        auto &bucket = buckets[number];
        part(bucket, place).copy_(gradient);
        bucket.flat.narrow(0, bucket.offsets.back() + static_cast<int64_t>(place), 1).fill_(1.0);
        filled[at] = true;
        order.push_back(at);
        bucket.missing -= 1;
    }

    // Sends what is complete, always in the order of the buckets: every process must send the same.
    void launch() {
        while (next < buckets.size() && buckets[next].missing == 0) {
            buckets[next].work = group.sum(buckets[next].flat);
            ++next;
        }
    }

    // The sums; undefined for a variable that no process has a gradient of.
    void finish(std::vector<at::Tensor> &gradients) {
        armed = false;
        at::NoGradGuard no_grad;
        for (size_t at = 0; at < gradients.size(); ++at) {
            if (gradients[at].defined()) {
                fill(at, gradients[at]);
            }
        }
        for (auto &bucket : buckets) {
            bucket.missing = 0;
        }
        launch();
        for (auto &bucket : buckets) {
            group.wait(bucket.work);
            const auto own = [this](size_t member) { return bool(filled[member]); };
            if (std::all_of(bucket.members.begin(), bucket.members.end(), own)) {
                // Then no number need be read, which would be waited for.
                for (size_t place = 0; place < bucket.members.size(); ++place) {
                    gradients[bucket.members[place]] = part(bucket, place);
                }
                continue;
            }
            const auto count = static_cast<int64_t>(bucket.members.size());
            const auto used = bucket.flat.narrow(0, bucket.offsets.back(), count).to(at::kCPU, at::kFloat);
            for (size_t place = 0; place < bucket.members.size(); ++place) {
                const bool any = used[static_cast<int64_t>(place)].item<float>() > 0;
                gradients[bucket.members[place]] = any ? part(bucket, place) : at::Tensor();
            }
        }
        if (settled.empty()) {
            rebuild();
        }
    }

    // After the first step the order of gradients is known: buckets in that order, the first process's for all, can leave
    // as early as possible. The gradients handed out keep the old buckets' memory.
    void rebuild() {
        std::vector<size_t> sequence = order;
        for (size_t at = variables.size(); at-- > 0;) {
            if (!filled[at]) {
                sequence.push_back(at);
            }
        }
        auto shared = at::empty({static_cast<int64_t>(sequence.size())}, at::kLong);
        std::copy(sequence.begin(), sequence.end(), shared.data_ptr<int64_t>());
        group.broadcast(shared);
        const auto *first = shared.data_ptr<int64_t>();
        follow(std::vector<size_t>(first, first + sequence.size()));
    }

    // Fills buckets in this order from here on: that of a run that is resumed, since how sums of three or more numbers are
    // rounded depends on their place in a bucket.
    void follow(std::vector<size_t> sequence) {
        std::vector<bool> seen(variables.size(), false);
        for (size_t at : sequence) {
            TORCH_CHECK(at < seen.size() && !seen[at], "an order of other variables");
            seen[at] = true;
        }
        TORCH_CHECK(sequence.size() == seen.size(), "an order of other variables");
        build(sequence);
        settled = std::move(sequence);
    }
};

} // namespace

// Joins a group through the store at `host`:`port`, which the first process serves unless `client`. NULL with a message on
// failure.
extern "C" void *imbalance_group_join(const char *host, uint16_t port, int rank, int size, bool client,
                                      const char *prefix, const char *interface, uint64_t join_seconds,
                                      uint64_t seconds, char *message, size_t length) {
    return guarded(message, length, [&]() -> void * {
        c10d::TCPStoreOptions options;
        options.port = port;
        options.isServer = rank == 0 && !client;
        options.timeout = std::chrono::seconds(join_seconds);
        if (!client) {
            options.numWorkers = static_cast<size_t>(size);
        }
        c10::intrusive_ptr<c10d::Store> store = c10::make_intrusive<c10d::TCPStore>(host, options);
        store = c10::make_intrusive<c10d::PrefixStore>(prefix, store);
        auto gloo = c10d::ProcessGroupGloo::Options::create(std::chrono::seconds(seconds));
        gloo->devices.push_back(*interface ? c10d::ProcessGroupGloo::createDeviceForInterface(interface)
                                : std::strcmp(host, "127.0.0.1") == 0
                                    ? c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1")
                                    : c10d::ProcessGroupGloo::createDefaultDevice());
        auto group = std::make_unique<Group>();
        group->store = store;
        group->backend = c10::make_intrusive<c10d::ProcessGroupGloo>(store, rank, size, gloo);
        group->rank = rank;
        group->size = size;
        return group.release();
    });
}

// Whether NCCL can be opened; `false` with a message, as below.
extern "C" bool imbalance_nccl_is_there(char *message, size_t length) {
    return guarded(message, length, [] {
        nccl::Library::get();
        return true;
    });
}

// Sends what is on GPUs by NCCL from here on: called by all processes, each with the number of its own GPU.
extern "C" bool imbalance_group_join_nccl(void *group, int16_t device, char *message, size_t length) {
    return guarded(message, length, [&] {
        auto *all = static_cast<Group *>(group);
        const std::string key = "nccl";
        nccl::UniqueId id{};
        if (all->rank == 0) {
            const auto &library = nccl::Library::get();
            library.check(library.get_unique_id(&id), "begin");
            all->store->set(key, std::vector<uint8_t>(id.internal, id.internal + sizeof id.internal));
        } else {
            const auto bytes = all->store->get(key);
            TORCH_CHECK(bytes.size() == sizeof id.internal, "the first process's NCCL is another one");
            std::copy(bytes.begin(), bytes.end(), id.internal);
        }
        const c10::Device own(c10::kCUDA, static_cast<c10::DeviceIndex>(device));
        all->gpus = std::make_unique<nccl::Communicator>(own, id, all->rank, all->size);
        return true;
    });
}

extern "C" void imbalance_group_leave(void *group) { delete static_cast<Group *>(group); }

// The sum over all processes, in place. `false` with a message on failure, as below.
extern "C" bool imbalance_group_sum(void *group, at::Tensor *tensor, char *message, size_t length) {
    return guarded(message, length, [&] {
        at::NoGradGuard no_grad;
        auto *all = static_cast<Group *>(group);
        auto work = all->sum(*tensor);
        all->wait(work);
        return true;
    });
}

// The first process's values for all, in place.
extern "C" bool imbalance_group_broadcast(void *group, at::Tensor *tensor, char *message, size_t length) {
    return guarded(message, length, [&] {
        at::NoGradGuard no_grad;
        auto detached = tensor->detach();
        auto whole = detached.contiguous();
        static_cast<Group *>(group)->broadcast(whole);
        if (!whole.is_same(detached)) {
            detached.copy_(whole);
        }
        return true;
    });
}

// Bytes from one process to another, in the host's memory.
extern "C" bool imbalance_group_send(void *group, at::Tensor *tensor, int to, char *message, size_t length) {
    return guarded(message, length, [&] {
        std::vector<at::Tensor> tensors{*tensor};
        static_cast<Group *>(group)->backend->send(tensors, to, 0)->wait();
        return true;
    });
}

extern "C" bool imbalance_group_receive(void *group, at::Tensor *tensor, int from, char *message, size_t length) {
    return guarded(message, length, [&] {
        std::vector<at::Tensor> tensors{*tensor};
        static_cast<Group *>(group)->backend->recv(tensors, from, 0)->wait();
        return true;
    });
}

extern "C" void *imbalance_reducer_new(void *group, at::Tensor *const *variables, size_t count, int64_t bucket_bytes,
                                       char *message, size_t length) {
    return guarded(message, length, [&]() -> void * {
        std::vector<at::Tensor> all;
        for (size_t at = 0; at < count; ++at) {
            all.push_back(*variables[at]);
        }
        return new Reducer(*static_cast<Group *>(group), std::move(all), bucket_bytes);
    });
}

extern "C" void imbalance_reducer_free(void *reducer) { delete static_cast<Reducer *>(reducer); }

// The order in which buckets are filled, of as many variables as the reducer has; `false` before the first step.
extern "C" bool imbalance_reducer_order(void *reducer, int64_t *order) {
    const auto &settled = static_cast<Reducer *>(reducer)->settled;
    std::copy(settled.begin(), settled.end(), order);
    return !settled.empty();
}

// Fills buckets in this order.
extern "C" bool imbalance_reducer_follow(void *reducer, const int64_t *order, size_t count, char *message,
                                         size_t length) {
    return guarded(message, length, [&] {
        static_cast<Reducer *>(reducer)->follow(std::vector<size_t>(order, order + count));
        return true;
    });
}

// Gradients of the backward passes from here to the end are sent as they come.
extern "C" bool imbalance_reducer_begin(void *reducer, char *message, size_t length) {
    return guarded(message, length, [&] {
        static_cast<Reducer *>(reducer)->begin();
        return true;
    });
}

// Replaces gradients, one a variable and possibly undefined, by their sums over all processes.
extern "C" bool imbalance_reducer_finish(void *reducer, at::Tensor *const *gradients, size_t count, char *message,
                                         size_t length) {
    return guarded(message, length, [&] {
        std::vector<at::Tensor> all;
        for (size_t at = 0; at < count; ++at) {
            all.push_back(*gradients[at]);
        }
        static_cast<Reducer *>(reducer)->finish(all);
        for (size_t at = 0; at < count; ++at) {
            *gradients[at] = all[at];
        }
        return true;
    });
}
