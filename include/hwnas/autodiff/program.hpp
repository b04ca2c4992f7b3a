// SPDX-License-Identifier: MIT
// Program: one step, recorded once as a flat list of contract structs and replayed. While it is recorded nothing runs;
// tensors get places in one block, and a place is given again as soon as its last tensor is gone, so the block is
// planned by liveness. Replaying allocates nothing and calls no closure.
#pragma once

#include <hwnas/tensor/tensor.hpp>

#include <map>

namespace hwnas {

/// Names the kernels submitted while it stands; labels nest as "cell_0/node_1". Used by print() and the profiler.
class LabelScope {
public:
    explicit LabelScope(std::string_view label) : length_(current().size()) {
        if (!current().empty()) current() += '/';
        current() += label;
    }
    ~LabelScope() { current().resize(length_); }
    LabelScope(const LabelScope&) = delete;
    LabelScope& operator=(const LabelScope&) = delete;
    static std::string& current() {
        thread_local std::string label;
        return label;
    }

private:
    std::size_t length_;
};

namespace detail {

/// Places in a block that does not exist yet: best fit over a list of holes, 64-byte steps.
class MemoryPlan {
public:
    std::size_t place(std::size_t bytes) {
        bytes = rounded(bytes);
        auto best = holes_.end();
        for (auto hole = holes_.begin(); hole != holes_.end(); ++hole)
            if (hole->second >= bytes && (best == holes_.end() || hole->second < best->second)) best = hole;
        if (best == holes_.end()) {  // grow, using a hole at the end
            std::size_t offset = size_;
            if (!holes_.empty() && holes_.rbegin()->first + holes_.rbegin()->second == size_) {
                offset = holes_.rbegin()->first;
                holes_.erase(std::prev(holes_.end()));
            }
            size_ = offset + bytes;
            return offset;
        }
        const auto [offset, length] = *best;
        holes_.erase(best);
        if (length > bytes) holes_.emplace(offset + bytes, length - bytes);
        return offset;
    }
    void vacate(std::size_t offset, std::size_t bytes) {
        bytes = rounded(bytes);
        auto next = holes_.lower_bound(offset);
        if (next != holes_.end() && offset + bytes == next->first) bytes += next->second, next = holes_.erase(next);
        if (next != holes_.begin()) {
            const auto before = std::prev(next);
            if (before->first + before->second == offset) {
                before->second += bytes;
                return;
            }
        }
        holes_.emplace(offset, bytes);
    }
    std::size_t size() const { return size_; }

private:
    static std::size_t rounded(std::size_t bytes) { return (std::max<std::size_t>(bytes, 1) + 63) / 64 * 64; }
    std::map<std::size_t, std::size_t> holes_;
    std::size_t size_ = 0;
};

/// Collects the calls of one step. Before seal(), addresses are places relative to a base that no memory ever has.
class Recorder final : public Recording {
public:
    struct Entry {
        Call call;
        std::size_t payload = 0;
        Guard guard;
        std::string label;
    };
    explicit Recorder(Device device) : device_(std::move(device)) {}
    ~Recorder() override {
        if (block_) device_.backend().release(block_, plan_.size());
    }

    void* place(std::size_t bytes) override {
        require(!sealed_, "program: the recording has ended");
        return reinterpret_cast<void*>(base + plan_.place(bytes));
    }
    void vacate(void* address, std::size_t bytes) noexcept override {
        if (!sealed_) plan_.vacate(reinterpret_cast<std::uintptr_t>(address) - base, bytes);
    }
    void* resolve(void* address) const override { return sealed_ ? moved(address) : address; }
    bool finished() const override { return sealed_; }
    void append(const Device& device, const Call& call, Guard guard) override {
        require(device == device_, "program: a step recorded on {} uses {}", device_.name(), device.name());
        Entry entry{call, (payload_.size() + 15) / 16 * 16, guard, LabelScope::current()};
        payload_.resize(entry.payload + call.bytes);
        std::memcpy(payload_.data() + entry.payload, call.payload, call.bytes);
        entries_.push_back(std::move(entry));
    }
    void retain(std::shared_ptr<void> owner) override { retained_.push_back(std::move(owner)); }

    /// Gets the block and turns places into addresses.
    void seal() {
        block_ = device_.backend().allocate(std::max<std::size_t>(plan_.size(), 64));
        for (auto& entry : entries_) {
            std::byte* words = payload_.data() + entry.payload;
            for (int i = 0; i < entry.call.pointers; ++i) {
                void* pointer;
                std::memcpy(&pointer, words + static_cast<std::size_t>(i) * sizeof pointer, sizeof pointer);
                pointer = moved(pointer);
                std::memcpy(words + static_cast<std::size_t>(i) * sizeof pointer, &pointer, sizeof pointer);
            }
            entry.guard.flag = static_cast<const std::int32_t*>(moved(const_cast<std::int32_t*>(entry.guard.flag)));
            entry.call.payload = words;
        }
        sealed_ = true;
    }
    const Device& device() const { return device_; }
    const std::vector<Entry>& entries() const { return entries_; }
    std::size_t memory() const { return plan_.size(); }

private:
    static constexpr std::uintptr_t base = 0x7A00'0000'0000'0000;  // outside what any processor maps
    void* moved(void* pointer) const {
        const auto value = reinterpret_cast<std::uintptr_t>(pointer);
        return value >= base && value - base <= plan_.size() ? static_cast<char*>(block_) + (value - base) : pointer;
    }
    Device device_;
    MemoryPlan plan_;
    std::vector<Entry> entries_;
    std::vector<std::byte> payload_;
    std::vector<std::shared_ptr<void>> retained_;
    void* block_ = nullptr;
    bool sealed_ = false;
};

}  // namespace detail

/// A recorded step. Copies share it. What it touches outside its own block (parameters, data) must outlive it.
class Program {
public:
    Program() = default;
    /// Records what step() submits on `device`. Tensors made in step() and kept hold their values after each run().
    template <class F>
    static Program record(const Device& device, F&& step) {
        require(Recording::active() == nullptr, "program: a step is being recorded on this thread already");
        auto recorder = std::make_shared<detail::Recorder>(device);
        struct Active {
            explicit Active(std::shared_ptr<Recording> r) { Recording::active() = std::move(r); }
            ~Active() { Recording::active() = nullptr; }
        };
        {
            const Active active(recorder);
            step();
        }
        recorder->seal();
        Program program;
        program.recorder_ = std::move(recorder);
        return program;
    }

    bool defined() const { return recorder_ != nullptr; }
    /// Executes the whole step once.
    void run() const {
        require(defined(), "program: nothing has been recorded");
        for (std::size_t i = 0; i < size(); ++i) run_entry(i);
    }
    /// Kernel calls; 0 before anything is recorded.
    std::size_t size() const { return recorder_ ? recorder_->entries().size() : 0; }
    const std::string& label(std::size_t entry) const { return recorder_->entries()[entry].label; }
    const char* kernel(std::size_t entry) const { return recorder_->entries()[entry].call.name; }
    /// The recorded call: kernel number, name and contract struct, with the addresses it runs on. For exporters.
    const Call& call(std::size_t entry) const { return recorder_->entries()[entry].call; }
    /// Executes one entry: the profiler's way in.
    void run_entry(std::size_t index) const {
        const auto& entry = recorder_->entries()[index];
        Backend& backend = recorder_->device().backend();
        if (entry.guard.flag) {
            std::int32_t value = 0;
            backend.download(&value, entry.guard.flag, sizeof value);
            if (value != entry.guard.value) return;
        }
        if (cpu::Context* context = backend.cpu())
            entry.call.run_on_cpu(*context, entry.call.payload);
        else
            backend.run(entry.call);
    }
    /// Bytes of the planned block.
    std::size_t memory() const { return recorder_ ? recorder_->memory() : 0; }
    /// One line per kernel call: number, guard, kernel, label.
    std::string print() const {
        require(defined(), "program: nothing has been recorded");
        std::string text = fmt::format("program: {} kernel calls, {:.1f} MB planned, device {}\n", size(),
                                       static_cast<double>(memory()) / 1e6, recorder_->device().name());
        for (std::size_t i = 0; i < size(); ++i)
            text += fmt::format("{:5}  {} {:<32} {}\n", i, recorder_->entries()[i].guard.flag ? '?' : ' ', kernel(i),
                                label(i));
        return text;
    }

private:
    std::shared_ptr<detail::Recorder> recorder_;
};

}  // namespace hwnas
