// SPDX-License-Identifier: MIT
// The CPU device's own threads: a fixed pool that spins for a moment, then parks. Work comes as numbered chunks whose
// count depends on shapes alone, and results are reduced by chunk number, so the bits do not depend on the threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
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
    explicit Pool(int threads) : slots_(static_cast<std::size_t>(threads)) {
        for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
    }
    ~Pool() {
        stop_.store(true);
        generation_.fetch_add(1);
        generation_.notify_all();
        for (auto& worker : workers_) worker.join();
    }
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    int threads() const { return static_cast<int>(slots_.size()); }

    /// Calls f(chunk) for every chunk in [0, chunks), on all threads, each chunk once; returns when all are done.
    /// Chunks start as contiguous runs, one a thread (its data may still be in that core's cache); idle threads steal.
    template <class F> void parallel(std::int64_t chunks, F&& f) {
        if (chunks <= 0) return;
        const std::lock_guard lock(region_);  // two user threads may share a device
        const FlushDenormals flush;
        if (chunks == 1 || workers_.empty()) {
            for (std::int64_t chunk = 0; chunk < chunks; ++chunk) f(chunk);
            return;
        }
        using Function = std::remove_reference_t<F>;
        call_ = [](void* context, std::int64_t chunk) { (*static_cast<Function*>(context))(chunk); };
        context_ = const_cast<void*>(static_cast<const void*>(&f));
        const auto count = static_cast<std::int64_t>(slots_.size());
        for (std::int64_t i = 0; i < count; ++i) {
            slots_[static_cast<std::size_t>(i)].next.store(chunks * i / count, std::memory_order_relaxed);
            slots_[static_cast<std::size_t>(i)].end = chunks * (i + 1) / count;
        }
        running_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
        generation_.fetch_add(1, std::memory_order_release);
        generation_.notify_all();
        drain(0);
        for (int spins = 0; running_.load(std::memory_order_acquire) != 0; ++spins) {
            if (spins < spin_limit) pause();
            else std::this_thread::yield();
        }
    }

private:
    struct alignas(64) Slot {
        std::atomic<std::int64_t> next{0};
        std::int64_t end = 0;
    };
    static constexpr int spin_limit = 4000;

    static void pause() {
#if defined(__x86_64__)
        _mm_pause();
#endif
    }
    void drain(int self) {
        const std::size_t count = slots_.size();
        for (std::size_t offset = 0; offset < count; ++offset) {
            Slot& slot = slots_[(static_cast<std::size_t>(self) + offset) % count];
            for (;;) {
                const std::int64_t chunk = slot.next.fetch_add(1, std::memory_order_relaxed);
                if (chunk >= slot.end) break;
                call_(context_, chunk);
            }
        }
    }
    void work(int self) {
        const FlushDenormals flush;
        std::uint64_t seen = 0;
        for (;;) {
            for (int spins = 0; spins < spin_limit && generation_.load(std::memory_order_acquire) == seen; ++spins) pause();
            generation_.wait(seen, std::memory_order_acquire);
            seen = generation_.load(std::memory_order_acquire);
            if (stop_.load()) return;
            drain(self);
            running_.fetch_sub(1, std::memory_order_release);
        }
    }

    std::vector<Slot> slots_;
    std::vector<std::thread> workers_;
    std::mutex region_;
    std::atomic<std::uint64_t> generation_{0};
    std::atomic<int> running_{0};
    std::atomic<bool> stop_{false};
    void (*call_)(void*, std::int64_t) = nullptr;
    void* context_ = nullptr;
};

}  // namespace hwnas::cpu
