// SPDX-License-Identifier: MIT
// Program: one step, recorded once as a flat list of contract structs and replayed. While it is recorded nothing runs;
// tensors get places in one block, planned by liveness once all calls are known. On a CPU, calls that work image by
// image run tile by tile (schedule.hpp). Replaying allocates nothing and calls no closure.
#pragma once

#include <hwnas/autodiff/dependencies.hpp>
#include <hwnas/autodiff/schedule.hpp>
#include <hwnas/tensor/tensor.hpp>

#include <chrono>
#include <set>

namespace hwnas {

/// Names the kernels submitted while it stands; labels nest as "cell_0/node_1". Used by print() and the profiler.
class LabelScope {
public:
    /// Appends `label` to the labels of the scopes around it.
    explicit LabelScope(std::string_view label) : length_(current().size()) {
        if (!current().empty()) current() += '/';
        current() += label;
    }
    ~LabelScope() { current().resize(length_); }
    LabelScope(const LabelScope&) = delete;
    LabelScope& operator=(const LabelScope&) = delete;
    /// The label in force on this thread: "cell_0/node_1".
    static std::string& current() {
        thread_local std::string label;
        return label;
    }

private:
    std::size_t length_;
};

namespace detail {

/// Collects the calls of one step. Before seal(), addresses are places relative to a base that no memory ever has.
class Recorder final : public Recording {
public:
    explicit Recorder(Device device) : device_(std::move(device)) {}
    ~Recorder() override {
        if (block_) device_.backend().release(block_, memory());
    }

    void* place(std::size_t bytes) override {
        require(!sealed_, "program: the recording has ended");
        void* const address = reinterpret_cast<void*>(base + end_);
        buffers_.push_back({reinterpret_cast<std::uintptr_t>(address), bytes, true, 0, false});
        end_ += (bytes + 127) / 64 * 64;  // a gap, so that no address belongs to two
        return address;
    }
    void vacate(void* address, std::size_t) noexcept override {
        if (!sealed_) buffers_[find(reinterpret_cast<std::uintptr_t>(address))].kept = false;
    }
    void touch(const void* address, std::size_t bytes, const std::shared_ptr<Place>& place) override {
        if (known_.insert(place.get()).second) places_.push_back(place);
        auto& known = outside_[reinterpret_cast<std::uintptr_t>(address)];
        known = std::max(known, bytes);
    }
    void reach(const void* address, std::size_t bytes) override {
        const auto value = reinterpret_cast<std::uintptr_t>(address);
        if (placed(value)) return;
        auto& known = reached_[value];
        known = std::max(known, bytes);
    }
    void* resolve(void* address) const override { return sealed_ ? moved(address) : address; }
    bool finished() const override { return sealed_; }
    void append(const Device& device, const Call& call, Guard guard) override {
        require(device == device_, "program: a step recorded on {} uses {}", device_.name(), device.name());
        ScheduledCall entry{call, (payload_.size() + 15) / 16 * 16, guard, LabelScope::current(), {}};
        payload_.resize(entry.payload + call.bytes);
        std::memcpy(payload_.data() + entry.payload, call.payload, call.bytes);
        entries_.push_back(std::move(entry));
    }
    void retain(std::shared_ptr<void> owner) override { retained_.push_back(std::move(owner)); }

    /// Orders the calls, gets the memory and turns places into addresses.
    void seal(bool tiled) {
        for (auto& entry : entries_) entry.call.payload = payload_.data() + entry.payload;
        const cpu::Context* const context = device_.backend().cpu();
        Scheduler scheduler(entries_, [this](const void* pointer) { return range(pointer); });
        segments_ = scheduler.segments(context && tiled ? context->threads() : 0);
        scratch_ = scheduler.plan(buffers_, plan_);
        threads_ = context ? static_cast<std::size_t>(context->threads()) : 0;
        block_ = device_.backend().allocate(memory());
        std::vector<std::vector<MemoryUse>> uses;
        for (auto& entry : entries_) {
            if (!context) uses.push_back(memory_of(entry));
            std::byte* words = payload_.data() + entry.payload;
            for (int i = 0; i < entry.call.pointers; ++i) {
                void* pointer;
                std::memcpy(&pointer, words + static_cast<std::size_t>(i) * sizeof pointer, sizeof pointer);
                pointer = moved(pointer);
                std::memcpy(words + static_cast<std::size_t>(i) * sizeof pointer, &pointer, sizeof pointer);
            }
            entry.guard.flag = static_cast<const std::int32_t*>(moved(const_cast<std::int32_t*>(entry.guard.flag)));
        }
        if (!context) prepare(uses);
        sealed_ = true;
    }
    /// Throws unless all that the step uses from outside still lies where it did.
    void check_places() const {
        for (const auto& place : places_)
            require(!place->left.load(std::memory_order_relaxed),
                    "program: a tensor that it uses has moved since it was recorded (Adam and fit() move parameters "
                    "into one block); record it again, after them");
    }
    /// The step as the device keeps it, or null.
    Replay* replay() const { return replay_.get(); }
    const Device& device() const { return device_; }
    const std::vector<ScheduledCall>& entries() const { return entries_; }
    const std::vector<Segment>& segments() const { return segments_; }
    /// The memory that thread `worker` has to itself while a segment runs.
    std::byte* scratch(int worker) const {
        return static_cast<std::byte*>(block_) + block_bytes() + static_cast<std::size_t>(worker) * scratch_;
    }
    std::size_t memory() const { return std::max<std::size_t>(block_bytes() + threads_ * scratch_, 64); }

private:
    static constexpr std::uintptr_t base = 0x7A00'0000'0000'0000;  // outside what any processor maps
    std::size_t block_bytes() const { return (plan_.size() + 63) / 64 * 64; }
    bool placed(std::uintptr_t value) const { return value >= base && value - base < end_; }
    /// The buffer that holds an address of ours.
    std::size_t find(std::uintptr_t value) const {
        const auto after = std::upper_bound(buffers_.begin(), buffers_.end(), value,
                                            [](std::uintptr_t v, const PlacedBuffer& b) { return v < b.begin; });
        return static_cast<std::size_t>(after - buffers_.begin()) - 1;
    }
    /// Gives the device the step, saying what has to wait for what.
    void prepare(const std::vector<std::vector<MemoryUse>>& uses) {
        auto after = dependencies(uses);
        std::vector<GuardedCall> calls;
        for (std::size_t i = 0; i < entries_.size(); ++i)
            calls.push_back({entries_[i].call, entries_[i].guard, std::move(after[i])});
        replay_ = device_.backend().prepare(calls);
    }
    /// The memory that a call uses once the block stands; its pointers are still places.
    std::vector<MemoryUse> memory_of(const ScheduledCall& entry) const {
        std::vector<MemoryUse> uses;
        const auto use = [&](const void* pointer, bool writes) {
            if (!pointer) return;
            auto [begin, end] = reached(pointer);
            if (begin == end) begin = 0, end = ~std::uintptr_t{0};  // anything
            if (placed(begin)) {
                const std::uintptr_t bytes = end - begin;
                begin = reinterpret_cast<std::uintptr_t>(moved(reinterpret_cast<void*>(begin)));
                end = begin + bytes;
            }
            uses.push_back({begin, end, writes});
        };
        for (int i = 0; i < entry.call.pointers; ++i) {
            const void* pointer;
            std::memcpy(&pointer, payload_.data() + entry.payload + static_cast<std::size_t>(i) * sizeof pointer,
                        sizeof pointer);
            use(pointer, i < entry.call.writes);
        }
        use(entry.guard.flag, false);
        return uses;
    }
    void* moved(void* pointer) const {
        const auto value = reinterpret_cast<std::uintptr_t>(pointer);
        if (!placed(value)) return pointer;
        const auto& buffer = buffers_[find(value)];
        return buffer.scratch ? nullptr : static_cast<std::byte*>(block_) + buffer.offset + (value - buffer.begin);
    }
    /// The memory that a call may reach through a pointer; empty when it is not known.
    std::pair<std::uintptr_t, std::uintptr_t> range(const void* pointer) const {
        const auto value = reinterpret_cast<std::uintptr_t>(pointer);
        if (placed(value)) {
            const auto& buffer = buffers_[find(value)];
            return {buffer.begin, buffer.begin + std::max<std::size_t>(buffer.bytes, 1)};
        }
        std::pair<std::uintptr_t, std::uintptr_t> widest{0, 0};
        for (auto known = outside_.upper_bound(value); known != outside_.begin();) {
            --known;
            if (value < known->first + known->second && known->second > widest.second - widest.first)
                widest = {known->first, known->first + known->second};
        }
        return widest;
    }

    /// The same for calls that may run side by side. What belongs to one tensor of a block of many (Adam's) is no
    /// reason to wait for a call that has another: a pointer reaches what the longest tensor does that begins where it
    /// points. Nothing is known of a pointer into the midst of a tensor.
    std::pair<std::uintptr_t, std::uintptr_t> reached(const void* pointer) const {
        const auto value = reinterpret_cast<std::uintptr_t>(pointer);
        const auto known = reached_.find(value);
        if (known == reached_.end() || known->second == 0) return range(pointer);
        return {value, value + known->second};
    }

    Device device_;
    MemoryPlan plan_;
    std::vector<PlacedBuffer> buffers_;                        // by address
    std::map<std::uintptr_t, std::size_t> outside_, reached_;  // bytes, by address
    std::vector<std::shared_ptr<Place>> places_;
    std::set<const Place*> known_;
    std::vector<ScheduledCall> entries_;
    std::vector<Segment> segments_;
    std::vector<std::byte> payload_;
    std::vector<std::shared_ptr<void>> retained_;
    std::size_t end_ = 0, scratch_ = 0, threads_ = 0;
    void* block_ = nullptr;
    std::unique_ptr<Replay> replay_;
    bool sealed_ = false;
};

}  // namespace detail

/// How a step is recorded.
struct ProgramOptions {
    bool tiled = true;  ///< run calls that allow it a few images at a time; false: call by call, in recorded order
};

/// A step recorded once as a list of kernel calls, to be run many times: allocates nothing, calls no closure, and is
/// one graph on CUDA. Copies share it. Memory outside its own block that it uses (parameters, data) is kept with it.
class Program {
public:
    Program() = default;
    /// Records what step() submits on `device`, without running it. Tensors made in step() and kept hold their values
    /// after each run(). Throws Error where a step is being recorded on this thread already.
    template <class F>
    static Program record(const Device& device, F&& step, const ProgramOptions& options = {}) {
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
        recorder->seal(options.tiled);
        Program program;
        program.recorder_ = std::move(recorder);
        return program;
    }

    /// Whether a step was recorded.
    bool defined() const { return recorder_ != nullptr; }
    /// Runs the whole step once. Throws Error where nothing was recorded, or a tensor it uses has moved since.
    void run() const { run_timed(nullptr); }
    /// Runs the step once and adds to seconds[i] what call i took, summed over threads. Timing slows small calls down.
    void profile(std::vector<double>& seconds) const {
        seconds.resize(size());
        run_timed(&seconds);
    }
    /// Number of kernel calls; 0 before anything is recorded.
    std::size_t size() const { return recorder_ ? recorder_->entries().size() : 0; }
    /// The labels of the LabelScope that call number `entry` was recorded in.
    const std::string& label(std::size_t entry) const { return recorder_->entries()[entry].label; }
    /// The name of the contract struct of call number `entry`, which is that of its kernel.
    const char* kernel(std::size_t entry) const { return recorder_->entries()[entry].call.name; }
    /// Call number `entry`: kernel number, name and contract struct, with the addresses it runs on. For exporters.
    const Call& call(std::size_t entry) const { return recorder_->entries()[entry].call; }
    /// Runs one call alone; throws Error where calls run tile by tile (record with tiled = false).
    void run_entry(std::size_t index) const {
        require(recorder_->segments().size() == size(),
                "program: entry {} runs together with others; record with ProgramOptions{{.tiled = false}}", index);
        run_whole(index);
    }
    /// Bytes of the one block that all values of the step lie in.
    std::size_t memory() const { return recorder_ ? recorder_->memory() : 0; }
    /// One line per kernel call: number, guard, kernel, label; ':' where it runs tile by tile with its neighbours.
    std::string print() const {
        require(defined(), "program: nothing has been recorded");
        std::string text =
            fmt::format("program: {} kernel calls in {} parts, {:.1f} MB planned, device {}\n", size(),
                        recorder_->segments().size(), static_cast<double>(memory()) / 1e6, recorder_->device().name());
        std::vector<char> marks(size(), ' ');
        for (const auto& segment : recorder_->segments())
            for (const auto entry : segment.tiled) marks[entry] = ':';
        for (std::size_t i = 0; i < size(); ++i)
            text += fmt::format("{:5} {}{} {:<32} {}\n", i, marks[i], recorder_->entries()[i].guard.flag ? '?' : ' ',
                                kernel(i), label(i));
        return text;
    }

private:
    void run_timed(std::vector<double>* seconds) const {
        require(defined(), "program: nothing has been recorded");
        recorder_->check_places();
        if (Replay* const replay = recorder_->replay(); replay && !seconds) return replay->run();
        for (const auto& segment : recorder_->segments()) {
            for (const auto entry : segment.before) timed(seconds, entry, [&] { run_whole(entry); });
            if (!segment.tiled.empty()) run_tiles(segment, seconds);
            for (const auto entry : segment.after) timed(seconds, entry, [&] { run_whole(entry); });
        }
    }
    template <class F>
    void timed(std::vector<double>* seconds, std::size_t entry, F&& f) const {
        if (!seconds) return f();
        const auto begin = std::chrono::steady_clock::now();
        f();
        recorder_->device().backend().synchronize();
        (*seconds)[entry] += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    }
    void run_whole(std::size_t index) const {
        const auto& entry = recorder_->entries()[index];
        recorder_->device().backend().run(entry.call, entry.guard);
    }
    /// All calls of the segment on a few images, then on the next few: what one writes the next finds in the cache.
    void run_tiles(const detail::Segment& segment, std::vector<double>* seconds) const {
        cpu::Context& context = *recorder_->device().backend().cpu();
        std::mutex merging;
        context.parallel(segment.chunks, [&](std::int64_t chunk, int worker) {
            cpu::Context alone(context.isa);
            alignas(16) std::byte call[detail::Scheduler::most_bytes];
            std::vector<double> own(seconds ? size() : 0);
            const std::int64_t begin = segment.images * chunk / segment.chunks,
                               end = segment.images * (chunk + 1) / segment.chunks;
            for (std::int64_t first = begin; first < end; first += segment.at_once) {
                const Images images{segment.images, first, std::min(segment.at_once, end - first), chunk,
                                    first == begin};
                for (const auto index : segment.tiled) {
                    const auto& entry = recorder_->entries()[index];
                    if (entry.guard.flag && *entry.guard.flag != entry.guard.value) continue;
                    std::memcpy(call, entry.call.payload, entry.call.bytes);
                    entry.call.tiling->cut(call, images);
                    for (const auto& local : entry.locals) {
                        void* const pointer = recorder_->scratch(worker) + local.offset;
                        std::memcpy(call + static_cast<std::size_t>(local.pointer) * sizeof pointer, &pointer,
                                    sizeof pointer);
                    }
                    timed(seconds ? &own : nullptr, index, [&] { entry.call.run_on_cpu(alone, call); });
                }
            }
            if (!seconds) return;
            const std::lock_guard lock(merging);
            for (std::size_t i = 0; i < own.size(); ++i) (*seconds)[i] += own[i];
        });
    }

    std::shared_ptr<detail::Recorder> recorder_;
};

}  // namespace hwnas
