// SPDX-License-Identifier: MIT
// Runs CUDA kernels on the CPU, so that their source is tested where there is no GPU. A thread is a fibre with a stack
// of its own; a block's warps run one after the other to the next barrier, their threads one after the other to the
// next warp primitive, in one of two orders, over shared memory that starts out poisoned and ends exactly where it
// should, for AddressSanitizer to see. What a GPU would leave undefined is an error here: a barrier that not all
// threads reach, a shuffle with a lane that has left, a launch over the limits. Not covered: speed, memory ordering
// between blocks, registers.
#pragma once

#include "support/stack.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <source_location>
#include <stdexcept>
#include <string>
#include <string_view>
#include <typeinfo>
#include <vector>

#include <cxxabi.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#define __host__
#define __device__
#define __global__
#define __forceinline__ inline __attribute__((always_inline))

struct dim3 {
    unsigned x = 1, y = 1, z = 1;
};

namespace hwnas::emulator {

/// What a launch did that no GPU defines.
class Failure : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// In which order blocks, warps and threads take turns. Results must not depend on it.
enum class Order { forward, backward };
inline thread_local Order order = Order::forward;

/// The card whose limits hold: what a block gets of shared memory, and whether asynchronous copies to it are.
struct Card {
    std::size_t shared_bytes = 227 * 1024;
    bool copies_later = true;
};
inline Card card;

/// The kernels that this program has, and whether each was launched, with shared memory or without.
enum class Use { none, alone, sharing };
inline std::map<std::string, Use>& kernels() {
    static std::map<std::string, Use> all;
    return all;
}
template <class Body>
inline Use& use = kernels()[typeid(Body).name()];
/// A kernel's name as the source has it.
inline std::string readable(const std::string& kernel) {
    const std::unique_ptr<char, decltype(&std::free)> text(
        abi::__cxa_demangle(kernel.c_str(), nullptr, nullptr, nullptr), &std::free);
    return text ? text.get() : kernel;
}

/// A fault to plant, so that tests can show that they would find it.
struct Fault {
    std::string barrier = {};  ///< "file.cuh:12": threads pass the barrier there without waiting
    std::string kernel = {};   ///< launches of this kernel get a byte less of shared memory than they ask for
};
/// What a run has come by, where a Fault could be planted.
struct Seen {
    std::set<std::string> barriers = {}, kernels = {};  ///< kernels: those with shared memory
};
inline thread_local const Fault* fault = nullptr;
inline thread_local Seen* seen = nullptr;

/// "file.cuh:12"
inline std::string place_of(const std::source_location& at) {
    const std::string_view path = at.file_name();
    return std::string(path.substr(path.rfind('/') + 1)) + ":" + std::to_string(at.line());
}

/// One thread of the block that runs.
struct Fibre {
    enum class State { ready, at_barrier, at_warp, done };
    std::unique_ptr<Stack> stack;
    Resume resume{};
    void* fake_stack = nullptr;  // AddressSanitizer's
    State state = State::done;
    dim3 thread_index;
    const char* operation = "";  // of the warp
    unsigned mask = 0;
    std::source_location at;
    unsigned char value[8] = {};     // what the lane brings to it
    unsigned char* taken = nullptr;  // and where the 32 values of its warp go
    struct Copy {
        void* to;
        const void* from;
        std::size_t bytes;
    };
    std::vector<Copy> copies;  // that are on their way
};

/// The block that runs: its fibres take turns until all are done.
class Block {
public:
    static Block& current() {
        static thread_local Block block;
        return block;
    }
    template <class Body>
    void run(const Body& body, unsigned index, unsigned blocks, unsigned threads, std::size_t shared) {
        block_index = {index, 1, 1}, block_index.y = block_index.z = 0;
        grid_extent = {blocks, 1, 1}, block_extent = {threads, 1, 1};
        // To the byte: what lies behind belongs to the sanitizer.
        const std::unique_ptr<void, decltype(&std::free)> memory(std::malloc(shared), std::free);
        std::memset(memory.get(), order == Order::forward ? 0xFF : 0xFE, shared);
        shared_ = memory.get();
        body_ = &body;
        call_ = [](const void* b) { (*static_cast<const Body*>(b))(); };
        while (fibres_.size() < threads) {
            fibres_.push_back(std::make_unique<Fibre>());
            fibres_.back()->stack = std::make_unique<Stack>(stack_bytes);
        }
        for (unsigned i = 0; i < threads; ++i) {
            Fibre& fibre = *fibres_[i];
#if defined(__SANITIZE_ADDRESS__)
            // Frames that nothing returned from: of enter() where the thread is done, any where an error ended it.
            const std::size_t left = fibre.state == Fibre::State::done ? 2048 : stack_bytes;
            __asan_unpoison_memory_region(fibre.stack->begin() + stack_bytes - left, left);
#endif
            fibre.thread_index = {i, 0, 0};
            fibre.resume = prepare_stack(*fibre.stack, &Block::enter);
            fibre.fake_stack = nullptr;
            fibre.copies.clear();
            fibre.state = Fibre::State::ready;
        }
        take_turns(threads);
        shared_ = nullptr;
    }
    /// Called on a fibre: waits in `state` until the scheduler lets it go on.
    void wait(Fibre::State state, std::source_location at) {
        running->state = state;
        running->at = at;
        leave(false);
    }
    void* shared() const { return shared_; }

    Fibre* running = nullptr;
    dim3 block_index, grid_extent, block_extent;

private:
    static constexpr std::size_t stack_bytes = 256 * 1024;
    static void enter() {
        Block& block = current();
        block.entered(block.running->fake_stack);
        block.call_(block.body_);
        block.running->state = Fibre::State::done;
        block.leave(true);
        std::abort();
    }
    void entered([[maybe_unused]] void* fake_stack) {
#if defined(__SANITIZE_ADDRESS__)
        const void* bottom;
        std::size_t size;
        __sanitizer_finish_switch_fiber(fake_stack, &bottom, &size);
        if (!host_bottom_) host_bottom_ = bottom, host_size_ = size;
#endif
    }
    void leave([[maybe_unused]] bool for_good) {
        Fibre& fibre = *running;
#if defined(__SANITIZE_ADDRESS__)
        __sanitizer_start_switch_fiber(for_good ? nullptr : &fibre.fake_stack, host_bottom_, host_size_);
#endif
        change_stack(&fibre.resume, host_);
        entered(fibre.fake_stack);
    }
    void turn(Fibre& fibre) {
        running = &fibre;
#if defined(__SANITIZE_ADDRESS__)
        void* fake_stack = nullptr;
        host_bottom_ = nullptr;
        __sanitizer_start_switch_fiber(&fake_stack, fibre.stack->begin(), fibre.stack->bytes());
#endif
        change_stack(&host_, fibre.resume);
#if defined(__SANITIZE_ADDRESS__)
        __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
    }
    static unsigned in_order(unsigned i, unsigned count) { return order == Order::forward ? i : count - 1 - i; }
    /// A warp goes as far as it gets, to a barrier or its end, before the next one begins: nothing but barriers keeps
    /// warps together.
    void take_turns(unsigned threads) {
        const unsigned warps = (threads + 31) / 32;
        for (;;) {
            for (unsigned w = 0; w < warps; ++w) {
                const unsigned first = 32 * in_order(w, warps), lanes = std::min(32u, threads - first);
                do
                    for (unsigned l = 0; l < lanes; ++l)
                        if (Fibre& fibre = *fibres_[first + in_order(l, lanes)]; fibre.state == Fibre::State::ready)
                            turn(fibre);
                while (exchange(first, threads));
            }
            bool all_done = true;
            for (unsigned i = 0; i < threads; ++i) all_done &= fibres_[i]->state == Fibre::State::done;
            if (all_done) return;
            release(threads);
        }
    }
    /// Lets the lanes of a warp go on that have all met at their primitive.
    bool exchange(unsigned first, unsigned threads) {
        bool moved = false;
        for (unsigned lane = 0; lane < 32 && first + lane < threads; ++lane) {
            Fibre& leader = *fibres_[first + lane];
            if (leader.state != Fibre::State::at_warp) continue;
            const unsigned mask = leader.mask;
            if (!(mask >> lane & 1)) fail(leader, "is called by a lane that its mask leaves out");
            unsigned char values[32][8] = {};
            bool complete = true;
            for (unsigned l = 0; l < 32; ++l) {
                if (!(mask >> l & 1)) continue;
                if (first + l >= threads || fibres_[first + l]->state == Fibre::State::done)
                    fail(leader, "waits for a lane that is not there or has left");
                const Fibre& other = *fibres_[first + l];
                complete &= other.state == Fibre::State::at_warp && other.mask == mask &&
                            std::strcmp(other.operation, leader.operation) == 0 && other.at.line() == leader.at.line();
                std::memcpy(values[l], other.value, sizeof values[l]);
            }
            if (!complete) continue;
            for (unsigned l = 0; l < 32; ++l)
                if (mask >> l & 1) {
                    Fibre& other = *fibres_[first + l];
                    if (other.taken) std::memcpy(other.taken, values, sizeof values);
                    other.state = Fibre::State::ready;
                }
            moved = true;
        }
        return moved;
    }
    /// Opens the barrier if all threads stand at it.
    void release(unsigned threads) {
        const Fibre& leader = *fibres_[0];
        for (unsigned i = 0; i < threads; ++i) {
            const Fibre& fibre = *fibres_[i];
            if (fibre.state == Fibre::State::at_warp) fail(fibre, "waits for lanes that wait elsewhere");
            if (fibre.state != Fibre::State::at_barrier || leader.state != Fibre::State::at_barrier ||
                fibre.at.line() != leader.at.line() || std::strcmp(fibre.at.file_name(), leader.at.file_name()) != 0)
                throw Failure("emulator: divergent barrier, thread " + std::to_string(i) + " is " + where(fibre) +
                              " while thread 0 is " + where(leader));
        }
        if (seen) seen->barriers.insert(place_of(leader.at));
        for (unsigned i = 0; i < threads; ++i) fibres_[i]->state = Fibre::State::ready;
    }
    static std::string where(const Fibre& fibre) {
        if (fibre.state == Fibre::State::done) return "done";
        return "at " + std::string(fibre.at.file_name()) + ":" + std::to_string(fibre.at.line());
    }
    [[noreturn]] static void fail(const Fibre& fibre, const char* what) {
        throw Failure("emulator: " + std::string(fibre.operation) + " " + where(fibre) + " " + what + " (thread " +
                      std::to_string(fibre.thread_index.x) + ")");
    }

    std::vector<std::unique_ptr<Fibre>> fibres_;
    Resume host_{};
    const void* host_bottom_ = nullptr;
    std::size_t host_size_ = 0;
    void* shared_ = nullptr;
    const void* body_ = nullptr;
    void (*call_)(const void*) = nullptr;
};

inline void* shared_memory() {
    return Block::current().shared();
}

template <class Body>
void launch(const Body& body, std::int64_t blocks, int threads, std::size_t shared, int most_threads,
            std::size_t most_shared) {
    const auto limit = [](bool kept, const std::string& what) {
        if (!kept) throw Failure("emulator: launch with " + what);
    };
    limit(blocks > 0 && blocks < std::int64_t{1} << 31, std::to_string(blocks) + " blocks");
    limit(threads > 0 && threads <= most_threads && threads <= 1024,
          std::to_string(threads) + " threads, " + std::to_string(most_threads) + " are declared");
    limit(shared <= std::min(most_shared, card.shared_bytes), std::to_string(shared) + " bytes of shared memory");
    limit(sizeof(Body) <= 4000, std::to_string(sizeof(Body)) + " bytes of arguments");
    use<Body> = std::max(use<Body>, shared > 0 ? Use::sharing : Use::alone);
    if (seen && shared > 0) seen->kernels.insert(typeid(Body).name());
    if (fault && shared > 0 && fault->kernel == typeid(Body).name()) --shared;
    for (std::int64_t i = 0; i < blocks; ++i)
        Block::current().run(body, static_cast<unsigned>(order == Order::forward ? i : blocks - 1 - i),
                             static_cast<unsigned>(blocks), static_cast<unsigned>(threads), shared);
}

/// A copy to shared memory that nobody sees before the thread has waited for it.
inline void copy_later(void* to, const void* from, std::size_t bytes) {
    if (reinterpret_cast<std::uintptr_t>(to) % bytes != 0 || reinterpret_cast<std::uintptr_t>(from) % bytes != 0)
        throw Failure("emulator: an asynchronous copy of " + std::to_string(bytes) + " bytes that is not aligned");
    Block::current().running->copies.push_back({to, from, bytes});
}
inline void copy_now() {
    auto& copies = Block::current().running->copies;
    for (const auto& [to, from, bytes] : copies) std::memcpy(to, from, bytes);
    copies.clear();
}

/// The values that the lanes of `mask` bring to a primitive of theirs.
template <class T>
void exchange(const char* operation, unsigned mask, T value, T (&values)[32], std::source_location at) {
    static_assert(sizeof(T) <= 8);
    Block& block = Block::current();
    unsigned char taken[32][8];
    Fibre& fibre = *block.running;
    fibre.operation = operation, fibre.mask = mask, fibre.taken = &taken[0][0];
    std::memcpy(fibre.value, &value, sizeof value);
    block.wait(Fibre::State::at_warp, at);
    for (int i = 0; i < 32; ++i) std::memcpy(&values[i], taken[i], sizeof(T));
}
inline unsigned lane() {
    return Block::current().running->thread_index.x % 32;
}

}  // namespace hwnas::emulator

#define threadIdx (::hwnas::emulator::Block::current().running->thread_index)
#define blockIdx (::hwnas::emulator::Block::current().block_index)
#define blockDim (::hwnas::emulator::Block::current().block_extent)
#define gridDim (::hwnas::emulator::Block::current().grid_extent)

inline void __syncthreads(std::source_location at = std::source_location::current()) {
    if (hwnas::emulator::fault && hwnas::emulator::fault->barrier == hwnas::emulator::place_of(at)) return;
    hwnas::emulator::Block::current().wait(hwnas::emulator::Fibre::State::at_barrier, at);
}
inline void __syncwarp(unsigned mask = 0xffffffffu, std::source_location at = std::source_location::current()) {
    int values[32];
    hwnas::emulator::exchange("__syncwarp", mask, 0, values, at);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int step, std::source_location at = std::source_location::current()) {
    T values[32];
    hwnas::emulator::exchange("__shfl_xor_sync", mask, value, values, at);
    return values[(hwnas::emulator::lane() ^ static_cast<unsigned>(step)) % 32];
}
template <class T>
T __shfl_sync(unsigned mask, T value, int from, std::source_location at = std::source_location::current()) {
    T values[32];
    hwnas::emulator::exchange("__shfl_sync", mask, value, values, at);
    return values[static_cast<unsigned>(from) % 32];
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned step, std::source_location at = std::source_location::current()) {
    T values[32];
    hwnas::emulator::exchange("__shfl_down_sync", mask, value, values, at);
    const unsigned from = hwnas::emulator::lane() + step;
    return from < 32 ? values[from] : value;
}
