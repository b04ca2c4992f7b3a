// SPDX-License-Identifier: MIT
// The CPU device: a thread pool, 64-byte aligned memory, the choice of kernel entry. Every other file in cpu/ is one
// op's kernels: specialisations of Kernel, found by the contract struct they run.
#pragma once

#include <hwnas/core/device.hpp>
#include <hwnas/cpu/pool.hpp>
#include <hwnas/cpu/simd.hpp>

#include <algorithm>
#include <new>
#include <optional>
#include <thread>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace hwnas::cpu {

/// Elements a piece of an elementwise kernel handles: 64 KB of floats, a share of one core's L2.
inline constexpr std::int64_t stream_grain = 16'384;

/// What a CPU kernel is given: threads, and the instruction set to use.
class Context {
public:
    /// A pool of that many threads, the caller's included, and the instruction set to use.
    Context(int threads, Isa which) : isa(which), pool_(std::in_place, threads) {}
    /// The calling thread alone: for a call that is itself part of a parallel region.
    explicit Context(Isa which) : isa(which) {}
    /// The instruction set whose kernels are run.
    const Isa isa;
    /// Threads that share the work, the caller's included.
    int threads() const { return pool_ ? pool_->threads() : 1; }

    /// Runs f(chunk), or f(chunk, number of the thread), for all chunks [0, chunks), each once, and waits for them.
    template <class F>
    void parallel(std::int64_t chunks, F&& f) {
        if (pool_) return pool_->parallel(chunks, std::forward<F>(f));
        for (std::int64_t chunk = 0; chunk < chunks; ++chunk) Pool::call(f, chunk, 0);
    }

    /// Runs f(begin, end) over [0, n) in pieces of about `grain`, all but the last a multiple of `unit`; for work whose
    /// pieces do not interact. Their number is one or even: two threads share the work of one image fairly.
    template <class F>
    void for_range(std::int64_t n, std::int64_t grain, F&& f, std::int64_t unit = 1) {
        const std::int64_t least = (n + grain - 1) / grain, pieces = least > 1 ? least + least % 2 : 1,
                           size = ((n + pieces - 1) / pieces + unit - 1) / unit * unit;
        parallel(n > 0 ? (n + size - 1) / size : 0,
                 [&](std::int64_t chunk) { f(chunk * size, std::min(n, (chunk + 1) * size)); });
    }

private:
    std::optional<Pool> pool_;
};

/// Kernel<S>::run(context, s) executes the call that contract struct S describes. A struct with no kernel does not
/// compile.
template <class S>
struct Kernel;

/// Runs the call of struct S that lies at `call`.
template <class S>
void run_kernel(Context& context, const void* call) {
    Kernel<S>::run(context, *static_cast<const S*>(call));
}
/// Address of a kernel, with its struct's type erased.
using KernelFunction = void (*)(Context&, const void*);

// Every program compiles the kernels it uses, unless HWNAS_COMPILED_KERNELS is defined for all of it: it then links
// them compiled (target hwnas::kernels), which spares a program of many source files most of its build time.
#ifdef HWNAS_COMPILED_KERNELS
inline constexpr int kernel_parts = 2;
/// run_kernel of struct number `index` of contract::Calls<T>, one of those of this part; in cpu/compiled_kernels.hpp.
template <class T, int Part>
KernelFunction compiled_kernel(int index);
#endif

/// The kernel that runs a call of struct S, number `index` of contract::Calls<T>.
template <class S, class T, int index>
KernelFunction kernel_function() {
#ifdef HWNAS_COMPILED_KERNELS
    return compiled_kernel<T, index % kernel_parts>(index);
#else
    return run_kernel<S>;
#endif
}

/// What a CPU device runs with.
struct DeviceOptions {
    int threads = 0;  ///< of the pool, the caller's included; 0: one per core of the machine
    /// Instruction set of the kernels, by default the best the processor has; Isa::portable to compare.
    Isa isa = best_isa();
};

/// The CPU as a Backend.
class CpuBackend final : public Backend {
public:
    /// Starts the threads; throws Error for more than 1024, or more than the system gives, and for kernels that this
    /// processor cannot run.
    explicit CpuBackend(DeviceOptions options) : context_(checked_threads(options.threads), checked(options.isa)) {}
    std::string name() const override { return "cpu"; }
    std::string description() const override {
        return fmt::format("cpu, {} thread{}, {} kernels", context_.threads(), context_.threads() == 1 ? "" : "s",
                           isa_name(context_.isa));
    }
    /// Memory aligned to 64 bytes, large blocks to 2 MB.
    void* allocate(std::size_t bytes) override {
        void* const memory = ::operator new(bytes, alignment(bytes));
#if defined(__linux__)
        if (bytes >= huge_page)
            madvise(memory, bytes, MADV_HUGEPAGE);  // fewer address translations: 2 to 4 % of a step
#endif
        return memory;
    }
    /// Frees what allocate() gave.
    void release(void* pointer, std::size_t bytes) noexcept override { ::operator delete(pointer, alignment(bytes)); }
    /// Copies at once; device memory is host memory.
    void upload(void* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }
    /// Copies at once; device memory is host memory.
    void download(void* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }
    /// Runs a call before it returns, unless its guard says no.
    void run(const Call& call, const Guard& guard) override {
        if (!guard.flag || *guard.flag == guard.value) call.run_on_cpu(context_, call.payload);
    }
    Context* cpu() override { return &context_; }

private:
    static constexpr std::size_t huge_page = std::size_t{2} << 20;
    static std::align_val_t alignment(std::size_t bytes) {
        return std::align_val_t{bytes >= huge_page ? huge_page : 64};
    }
    static int checked_threads(int threads) {
        require(threads >= 0 && threads <= 1024,
                "cpu::device: {} threads asked for, 0 (all cores) to 1024 are possible", threads);
        return threads > 0 ? threads : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    }
    static Isa checked(Isa isa) {
        require(isa <= best_isa(), "cpu::device: {} kernels asked for, here run {} at most", isa_name(isa),
                isa_name(best_isa()));
        return isa;
    }
    Context context_;
};

/// This machine's CPU: `hwnas::cpu::device({.threads = 2})`. Results have the same bits at any number of threads.
/// Throws Error for more than 1024 threads, and for kernels that this processor cannot run.
inline Device device(DeviceOptions options = {}) {
    return Device(std::make_shared<CpuBackend>(options));
}

}  // namespace hwnas::cpu
