// SPDX-License-Identifier: MIT
// Device: where tensors live and kernels run; a cheap handle to a Backend. And the two hooks through which a recorded
// step (autodiff/program.hpp) takes over allocation and execution. Knows no kernel and no tensor.
#pragma once

#include <hwnas/core/contract.hpp>
#include <hwnas/core/error.hpp>
#include <hwnas/core/guard.hpp>
#include <hwnas/core/tiling.hpp>

#include <atomic>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace hwnas {

namespace cpu {
class Context;
}

/// A kernel call as its contract struct with the type erased: what devices other than the CPU receive, and what a
/// Program stores.
struct Call {
    const void* payload = nullptr;  ///< the contract struct
    int index = -1;                 ///< position of the struct in contract::Calls<T>
    bool is_double = false;         ///< whether the list is Calls<double>, else Calls<float>
    /// Name of the struct, for people.
    const char* name = "";
    int writes = 0, pointers = 0;  ///< leading pointer members: outputs, and all
    std::size_t bytes = 0;         ///< size of the struct
    /// The kernel that runs it on a CPU.
    void (*run_on_cpu)(cpu::Context&, const void*) = nullptr;
    const Tiling* tiling = nullptr;  ///< how it can be cut along the batch; null: it cannot
};

/// A call of a recorded step, its condition, and the earlier calls of the step, by number, that must have ended before
/// it begins; what follows from others may be left out.
struct GuardedCall {
    Call call;                              ///< the call itself
    Guard guard;                            ///< condition on device memory under which it runs
    std::vector<std::uint32_t> after = {};  ///< calls to wait for
};
/// A recorded step as a device keeps it: run() starts all its calls, each after those it has to wait for.
class Replay {
public:
    virtual ~Replay() = default;
    /// Starts all calls of the step once.
    virtual void run() = 0;
};

/// What a kind of device must offer. Memory is 64-byte aligned. Kernels trust their structs. Calls take effect in the
/// order in which they are run; a device may still be at them when run() returns, until upload(), download() or
/// synchronize().
class Backend {
public:
    virtual ~Backend() = default;
    virtual std::string name() const = 0;         ///< "cpu", "cuda:0"
    virtual std::string description() const = 0;  ///< one line for people
    /// Memory on the device; throws std::bad_alloc or Error where there is none.
    virtual void* allocate(std::size_t bytes) = 0;
    /// Frees what allocate() gave, of the same size.
    virtual void release(void* pointer, std::size_t bytes) noexcept = 0;
    /// Copies from host memory; returns when that has been read.
    virtual void upload(void* to, const void* from, std::size_t bytes) = 0;
    /// Copies to host memory; returns when the values are there.
    virtual void download(void* to, const void* from, std::size_t bytes) = 0;
    /// Runs a call, or skips it where the guard's flag has another value.
    virtual void run(const Call& call, const Guard& guard) = 0;
    /// Returns when all calls have taken effect.
    virtual void synchronize() {}
    /// Makes a step ready to be run many times; null: its calls are run one by one. The calls stay where they are.
    virtual std::unique_ptr<Replay> prepare(const std::vector<GuardedCall>&) { return nullptr; }
    /// Chunks that a sum over n images is cut into, one partial sum each.
    virtual std::int64_t image_chunks(std::int64_t n) const { return contract::image_chunks(n); }
    /// Bytes that threads working together share, where it pays to compute as a whole what fits them; 0: it does not.
    virtual std::int64_t shared_bytes() const { return 0; }
    virtual cpu::Context* cpu() { return nullptr; }  ///< set on the CPU: kernels are then called directly
};

/// Where tensors live and kernels run: cpu::device(), cuda::device(0). A cheap handle, whose copies share the device.
class Device {
public:
    Device() = default;
    /// A handle to a backend of one's own.
    explicit Device(std::shared_ptr<Backend> backend) : backend_(std::move(backend)) {}
    /// What does the work; throws Error for a default-constructed handle.
    Backend& backend() const {
        require(backend_ != nullptr, "device: none given; pass hwnas::cpu::device() or hwnas::cuda::device(0)");
        return *backend_;
    }
    /// Short name: "cpu", "cuda:0".
    std::string name() const { return backend().name(); }
    bool operator==(const Device&) const = default;

private:
    std::shared_ptr<Backend> backend_;
};

/// Both names for messages, "cuda:0 and cpu"; says what to do about two devices of one name.
inline std::string device_clash(const Device& a, const Device& b) {
    return a.name() + " and " + b.name() +
           (a.name() == b.name() ? ", two devices of one name: make one and share its handle" : "");
}

/// A scope: calls submitted on this thread while it stands run under a guard.
class GuardScope {
public:
    /// Puts `guard` in the place of the one in force.
    explicit GuardScope(Guard guard) : previous_(current()) { current() = guard; }
    ~GuardScope() { current() = previous_; }
    GuardScope(const GuardScope&) = delete;
    GuardScope& operator=(const GuardScope&) = delete;
    /// The guard in force on this thread.
    static Guard& current() {
        thread_local Guard guard;
        return guard;
    }

private:
    Guard previous_;
};

/// Memory that a recorded step refers to, kept as long as it does.
struct Place {
    /// Shares ownership of `bytes`.
    explicit Place(std::shared_ptr<void> bytes) : memory(std::move(bytes)) {}
    std::shared_ptr<void> memory;   ///< the memory
    std::atomic<bool> left{false};  ///< whether its tensor has moved elsewhere since
};

/// What takes over allocation and execution on a thread while a step is recorded: tensors are placed by it and kernel
/// calls are appended, not run.
class Recording {
public:
    virtual ~Recording() = default;
    virtual void* place(std::size_t bytes) = 0;  ///< an address inside the planned block
    /// Frees a place for later values of the step.
    virtual void vacate(void* address, std::size_t bytes) noexcept = 0;
    /// Notes that the step uses memory from outside.
    virtual void touch(const void* address, std::size_t bytes, const std::shared_ptr<Place>& place) = 0;
    /// Notes the memory of a tensor or view of which a call may be given the address: all that the call reaches from
    /// it.
    virtual void reach(const void* address, std::size_t bytes) = 0;
    virtual void* resolve(void* address) const = 0;  ///< the final address of a place, once finished()
    /// Whether the step is complete, so that addresses are final.
    virtual bool finished() const = 0;
    /// Appends a kernel call to the step; it runs whenever the step does, under `guard`.
    virtual void append(const Device& device, const Call& call, Guard guard) = 0;
    virtual void retain(std::shared_ptr<void> owner) = 0;  ///< keeps an object alive as long as the program
    /// The recording that stands on this thread, or null.
    static std::shared_ptr<Recording>& active() {
        thread_local std::shared_ptr<Recording> recording;
        return recording;
    }
};

}  // namespace hwnas
