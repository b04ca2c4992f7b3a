// SPDX-License-Identifier: MIT
// The CPU device's own threads: a fixed pool that spins for a moment, then parks. Work comes as numbered chunks whose
// count depends on shapes alone, and results are reduced by chunk number, so the bits do not depend on the threads.
#pragma once

#include <hwnas/core/error.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace hwnas::cpu {

/// Sets flush-to-zero and denormals-are-zero for the current thread and restores them: denormals cost a hundredfold.
class FlushDenormals {
public:
#if defined(__x86_64__)
    FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040u); }
    ~FlushDenormals() { _mm_setcsr(saved_); }
#else
    FlushDenormals() = default;
#endif
    FlushDenormals(const FlushDenormals&) = delete;
    FlushDenormals& operator=(const FlushDenormals&) = delete;

private:
#if defined(__x86_64__)
    unsigned saved_;
#endif
};

/// A fixed set of threads; the calling thread is one of them.
class Pool {
public:
    explicit Pool(int threads)
        : slots_(static_cast<std::size_t>(threads)),
          // Threads that share cores must not wait for each other by spinning.
          spin_limit_(threads <= static_cast<int>(std::max(1u, std::thread::hardware_concurrency())) ? 4000 : 0) {
        try {
            for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
        } catch (const std::exception& error) {  // the system has no more of them, or no memory for their stacks
            const auto started = workers_.size() + 1;
            stop();
            fail("cpu::device: {} threads asked for, the system gives {} ({}); ask for fewer", threads, started,
                 error.what());
        }
    }
    ~Pool() { stop(); }
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    int threads() const { return static_cast<int>(slots_.size()); }
    /// f(chunk, worker), or f(chunk) where that is all it takes.
    template <class F>
    static void call(F& f, std::int64_t chunk, [[maybe_unused]] int worker) {
        if constexpr (std::is_invocable_v<F&, std::int64_t, int>)
            f(chunk, worker);
        else
            f(chunk);
    }

    /// Calls f(chunk), or f(chunk, thread), for every chunk in [0, chunks), on all threads, each chunk once; returns
    /// when all are done. Chunks start as contiguous runs, one a thread (its data may still be in that core's cache);
    /// idle threads steal.
    template <class F>
    void parallel(std::int64_t chunks, F&& f) {
        if (chunks <= 0) return;
        const std::lock_guard lock(region_);  // two user threads may share a device
        const FlushDenormals flush;
        if (chunks == 1 || workers_.empty()) {
            for (std::int64_t chunk = 0; chunk < chunks; ++chunk) call(f, chunk, 0);
            return;
        }
        for (std::int64_t first = 0; first < chunks; first += max_chunks)
            run_region(first, std::min(max_chunks, chunks - first), f);
    }

private:
    /// A run of chunks: next (low 24 bits) and end in one word, so that taking a chunk sees both of one moment. A
    /// worker that wakes late therefore either finds nothing left or takes a chunk of the region that is now under way.
    struct alignas(64) Slot {
        std::atomic<std::uint64_t> state{0};
    };
    static constexpr int bits = 24;
    static constexpr std::int64_t max_chunks = (std::int64_t{1} << bits) / 2;

    template <class F>
    void run_region(std::int64_t first, std::int64_t chunks, F& f) {
        struct Job {
            F* function;
            std::int64_t first;
        } job{&f, first};
        call_ = [](void* context, std::int64_t chunk, int worker) {
            call(*static_cast<Job*>(context)->function, static_cast<Job*>(context)->first + chunk, worker);
        };
        context_ = &job;
        open_.store(chunks, std::memory_order_relaxed);
        const auto count = static_cast<std::int64_t>(slots_.size());
        for (std::int64_t i = 0; i < count; ++i) {
            const auto begin = static_cast<std::uint64_t>(chunks * i / count),
                       end = static_cast<std::uint64_t>(chunks * (i + 1) / count);
            slots_[static_cast<std::size_t>(i)].state.store(end << bits | begin, std::memory_order_release);
        }
        generation_.fetch_add(1, std::memory_order_release);
        generation_.notify_all();
        drain(0);
        // Waits for chunks, not for workers: one that the system has put aside delays nothing it has not begun.
        for (int spins = 0; open_.load(std::memory_order_acquire) != 0; ++spins) {
            if (spins < spin_limit_)
                pause();
            else
                std::this_thread::yield();
        }
    }
    static void pause() {
#if defined(__x86_64__)
        _mm_pause();
#endif
    }
    void drain(int self) {
        const std::size_t count = slots_.size();
        for (std::size_t offset = 0; offset < count; ++offset) {
            auto& state = slots_[(static_cast<std::size_t>(self) + offset) % count].state;
            for (;;) {
                const std::uint64_t taken = state.fetch_add(1, std::memory_order_acq_rel);
                const std::uint64_t chunk = taken & ((std::uint64_t{1} << bits) - 1);
                if (chunk >= taken >> bits) break;
                call_(context_, static_cast<std::int64_t>(chunk), self);
                open_.fetch_sub(1, std::memory_order_release);
            }
        }
    }
    void stop() {
        stop_.store(true);
        generation_.fetch_add(1);
        generation_.notify_all();
        for (auto& worker : workers_) worker.join();
        workers_.clear();
    }
    void work(int self) {
        const FlushDenormals flush;
        std::uint64_t seen = 0;
        for (;;) {
            for (int spins = 0; spins < spin_limit_ && generation_.load(std::memory_order_acquire) == seen; ++spins)
                pause();
            generation_.wait(seen, std::memory_order_acquire);
            seen = generation_.load(std::memory_order_acquire);
            if (stop_.load()) return;
            drain(self);
        }
    }

    std::vector<Slot> slots_;
    const int spin_limit_;
    std::vector<std::thread> workers_;
    std::mutex region_;
    std::atomic<std::uint64_t> generation_{0};
    std::atomic<std::int64_t> open_{0};  // chunks of this region not finished yet
    std::atomic<bool> stop_{false};
    void (*call_)(void*, std::int64_t, int) = nullptr;
    void* context_ = nullptr;
};

}  // namespace hwnas::cpu
