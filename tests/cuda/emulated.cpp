// SPDX-License-Identifier: MIT
// The emulated device: every call is run in both orders of the emulator, and what it writes must have the same bits.
// With HWNAS_EMULATED_CARD=7.5 in the environment it has the limits of the oldest cards, and says at the end which
// kernels were not launched.
#include "cuda/device_under_test.hpp"

#include "../../cuda/dispatch.hpp"
#include "../../cuda/platform.cuh"

#include <map>
#include <mutex>

namespace hwnas::testing {
namespace {

class EmulatedBackend final : public Backend {
public:
    explicit EmulatedBackend(int multiprocessors) : multiprocessors_(multiprocessors) {}
    std::string name() const override { return "emulated cuda"; }
    std::string description() const override { return "CUDA kernels run by the emulator"; }
    void* allocate(std::size_t bytes) override {
        void* const memory = ::operator new(bytes, std::align_val_t{64});
        std::memset(memory, 0xFF, bytes);
        blocks_[static_cast<std::byte*>(memory)] = bytes;
        return memory;
    }
    void release(void* pointer, std::size_t) noexcept override {
        blocks_.erase(static_cast<std::byte*>(pointer));
        ::operator delete(pointer, std::align_val_t{64});
    }
    void upload(void* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }
    void download(void* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }
    std::int64_t image_chunks(std::int64_t n) const override { return cuda::image_chunks(n); }
    std::int64_t shared_bytes() const override { return static_cast<std::int64_t>(emulator::card.shared_bytes); }
    /// A recorded step runs in an order as far from the recorded one as what has to wait for what allows.
    std::unique_ptr<Replay> prepare(const std::vector<GuardedCall>& calls) override {
        class Reordered final : public Replay {
        public:
            Reordered(EmulatedBackend& backend, std::vector<GuardedCall> calls)
                : backend_(backend), calls_(std::move(calls)) {}
            void run() override {
                std::vector<bool> done(calls_.size());
                for (std::size_t left = calls_.size(); left > 0; --left)
                    for (std::size_t i = calls_.size(); i-- > 0;) {
                        const auto& after = calls_[i].after;
                        if (done[i] || !std::all_of(after.begin(), after.end(), [&](auto j) { return done[j]; }))
                            continue;
                        backend_.run(calls_[i].call, calls_[i].guard);
                        done[i] = true;
                        break;
                    }
            }

        private:
            EmulatedBackend& backend_;
            std::vector<GuardedCall> calls_;
        };
        return std::make_unique<Reordered>(*this, calls);
    }
    void run(const Call& call, const Guard& guard) override {
        require(!call.is_double, "{}: {} in double; kernels are fp32", name(), call.name);
        struct Written {
            std::byte* begin;
            std::vector<std::byte> before, after;
        };
        std::vector<Written> written;
        for (int i = 0; i < call.writes; ++i) {
            std::byte* pointer;
            std::memcpy(&pointer,
                        static_cast<const std::byte*>(call.payload) + static_cast<std::size_t>(i) * sizeof pointer,
                        sizeof pointer);
            if (!pointer) continue;
            const auto block = std::prev(blocks_.upper_bound(pointer));
            if (std::none_of(written.begin(), written.end(), [&](const auto& w) { return w.begin == block->first; }))
                written.push_back({block->first, {block->first, block->first + block->second}, {}});
        }
        const cuda::Stream stream{.guard = guard, .multiprocessors = multiprocessors_};
        launch(emulator::Order::forward, call, stream);
        for (auto& w : written) {
            w.after.assign(w.begin, w.begin + w.before.size());
            std::copy(w.before.begin(), w.before.end(), w.begin);
        }
        launch(emulator::Order::backward, call, stream);
        for (const auto& w : written)
            require(std::equal(w.after.begin(), w.after.end(), w.begin),
                    "{}: {} depends on the order in which threads run", name(), call.name);
    }

private:
    static void launch(emulator::Order order, const Call& call, const cuda::Stream& stream) {
        emulator::order = order;
        cuda::launcher(call.index)(stream, call.payload);
        emulator::order = emulator::Order::forward;
    }
    std::map<std::byte*, std::size_t> blocks_;
    int multiprocessors_;
};

/// At the end of a run of all cases: which kernels none of them launches.
struct Coverage {
    ~Coverage() {
        std::string missed;
        int sharing = 0;
        for (const auto& [kernel, use] : emulator::kernels()) {
            const auto name = emulator::readable(kernel);
            sharing += use == emulator::Use::sharing;
            if (use == emulator::Use::none && name.starts_with("hwnas::cuda::"))
                missed += fmt::format("\nno case launches {}", name);
        }
        if (missed.empty()) missed = fmt::format("every kernel was launched, {} with shared memory", sharing);
        fmt::print("{}\n", missed);
    }
};

Device emulated_device(int multiprocessors) {
    if (const char* card = std::getenv("HWNAS_EMULATED_CARD")) {
        require(std::string_view(card) == "7.5", "HWNAS_EMULATED_CARD={}: 7.5 is the one that is not the newest", card);
        emulator::card = {.shared_bytes = 64 * 1024, .copies_later = false};
        static const Coverage coverage;
    }
    return Device(std::make_shared<EmulatedBackend>(multiprocessors));
}

}  // namespace

std::optional<Device> device_under_test() {
    static const Device device(emulated_device(cuda::Stream{}.multiprocessors));
    return device;
}
std::optional<Device> narrow_device_under_test() {
    static const Device device(emulated_device(1));
    return device;
}
bool emulated() {
    return true;
}

}  // namespace hwnas::testing
