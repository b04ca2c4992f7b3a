// SPDX-License-Identifier: MIT
// A CPU device whose every tensor lies between pages that nothing may touch: what reads or writes beyond a tensor, even
// by masked vectors that no sanitizer sees, ends the test.
#pragma once

#include <hwnas/cpu/kernels.hpp>

#include <cstring>
#include <map>
#include <mutex>

#include <sys/mman.h>
#include <unistd.h>

namespace hwnas::testing {

/// Which end of a tensor lies at a forbidden page; the other is less than a page from one.
enum class Flush { front, back };

class GuardedCpu final : public Backend {
public:
    GuardedCpu(int threads, cpu::Isa isa, Flush flush) : context_(threads, isa), flush_(flush) {}
    std::string name() const override { return "cpu"; }
    std::string description() const override { return "cpu, memory between forbidden pages"; }
    void* allocate(std::size_t bytes) override {
        const auto size = mapped(bytes);
        auto* const memory =
            static_cast<char*>(::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        if (memory == MAP_FAILED) throw std::bad_alloc();
        ::mprotect(memory, page(), PROT_NONE);
        ::mprotect(memory + size - page(), page(), PROT_NONE);
        char* const place = flush_ == Flush::front ? memory + page() : memory + size - page() - bytes;
        std::memset(place, 0xff, bytes);  // NaN: what is read before it is written shows
        const std::lock_guard lock(mutex_);
        mappings_[place] = memory;
        return place;
    }
    void release(void* place, std::size_t bytes) noexcept override {
        const std::lock_guard lock(mutex_);
        const auto found = mappings_.find(place);
        ::munmap(found->second, mapped(bytes));
        mappings_.erase(found);
    }
    void upload(void* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }
    void download(void* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }
    void run(const Call& call, const Guard& guard) override {
        if (!guard.flag || *guard.flag == guard.value) call.run_on_cpu(context_, call.payload);
    }
    cpu::Context* cpu() override { return &context_; }

private:
    static std::size_t page() { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }
    static std::size_t mapped(std::size_t bytes) { return (bytes + page() - 1) / page() * page() + 2 * page(); }
    cpu::Context context_;
    const Flush flush_;
    std::mutex mutex_;
    std::map<void*, void*> mappings_;
};

inline Device guarded_device(int threads, cpu::Isa isa, Flush flush) {
    return Device(std::make_shared<GuardedCpu>(threads, isa, flush));
}

}  // namespace hwnas::testing
