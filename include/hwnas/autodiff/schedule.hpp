// SPDX-License-Identifier: MIT
// In which order a recorded step runs on a CPU. Calls that work image by image are grouped, and a group runs on a few
// images after the other, all its calls, so that what one call writes the next still finds in the cache; what lives
// inside a group only gets memory for those few images. Sums over the batch, and what reads them, end a group. The
// result has the bits of the recorded order but for the association of sums. With fewer images than threads (and 32
// at most) calls run one by one: the order depends on the number of threads there, memory always, the bits never.
#pragma once

#include <hwnas/autodiff/memory_plan.hpp>
#include <hwnas/cpu/device.hpp>

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace hwnas::detail {

/// A pointer of a call that leads to memory of the running thread.
struct LocalPointer {
    int pointer;
    std::size_t offset;
};
struct ScheduledCall {
    Call call;
    std::size_t payload = 0;
    Guard guard;
    std::string label;
    std::vector<LocalPointer> locals;
};
/// Calls by number: `before`, one after the other; `tiled`, together on at_once images at a time; `after`.
struct Segment {
    std::vector<std::size_t> before, tiled, after;
    std::int64_t images = 0, chunks = 0, at_once = 1;
};
/// A tensor's memory: where it was placed while recording, and where it will be.
struct PlacedBuffer {
    std::uintptr_t begin;
    std::size_t bytes;
    bool kept;  ///< somebody holds it when the recording ends, to read it after a run
    std::size_t offset;
    bool scratch;  ///< offset counts within a thread's own memory
};

class Scheduler {
public:
    static constexpr std::size_t most_bytes = 1024;  ///< of a contract struct
    /// What should stay in a core's second-level cache while a group runs, counted over all it touches.
    static constexpr std::int64_t cache_bytes = 512 * 1024;
    using Range = std::pair<std::uintptr_t, std::uintptr_t>;

    Scheduler(std::vector<ScheduledCall>& calls, std::function<Range(const void*)> range)
        : calls_(calls), range_(std::move(range)) {}

    /// threads = 0: every call a segment of its own, in recorded order.
    const std::vector<Segment>& segments(int threads) {
        std::int64_t last_images = 0;
        for (std::size_t i = 0; i < calls_.size(); ++i) {
            uses_.push_back({});
            const auto& call = calls_[i].call;
            std::int64_t images = threads > 0 && call.tiling ? call.tiling->images(call.payload) : 0;
            if (images == any_images)
                images = last_images;
            else if (images > 0)
                last_images = images;
            // Few images leave threads idle; with so few every image is a chunk, and the bits are the same either way.
            const bool few = images < 2 || (images < threads && images <= contract::image_chunks(images));
            const bool tiled = images > 0 && !few && call.bytes <= most_bytes && cuts(i, images);
            if (!tiled) uses_[i] = uses(i, 0);
            tiled ? add_tiled(i, images) : add_whole(i);
        }
        close();
        return segments_;
    }
    /// Gives every buffer its place; returns the bytes that a thread needs for itself.
    std::size_t plan(std::vector<PlacedBuffer>& buffers, MemoryPlan& block) {
        struct Life {
            std::size_t first = ~std::size_t{0}, last = 0;
        };
        std::vector<Life> lives(buffers.size());
        const auto find = [&](std::uintptr_t begin) {
            const auto at = std::lower_bound(buffers.begin(), buffers.end(), begin,
                                             [](const PlacedBuffer& b, std::uintptr_t v) { return b.begin < v; });
            return at != buffers.end() && at->begin == begin ? static_cast<std::size_t>(at - buffers.begin())
                                                             : buffers.size();
        };
        std::vector<std::vector<const Use*>> users(buffers.size());
        for (std::size_t s = 0; s < segments_.size(); ++s)
            for (const auto* list : {&segments_[s].before, &segments_[s].tiled, &segments_[s].after})
                for (const auto call : *list)
                    for (const auto& use : uses_[call]) {
                        const std::size_t buffer = find(use.begin);
                        if (buffer == buffers.size()) continue;
                        lives[buffer].first = std::min(lives[buffer].first, s);
                        lives[buffer].last = std::max(lives[buffer].last, s);
                        users[buffer].push_back(&use);
                    }
        std::size_t scratch = 0;
        std::vector<std::vector<std::size_t>> born(segments_.size() + 1), gone(segments_.size() + 1);
        std::vector<std::vector<std::size_t>> local(segments_.size());
        for (std::size_t b = 0; b < buffers.size(); ++b) {
            const auto [first, last] = lives[b];
            if (users[b].empty()) {
                if (buffers[b].kept) buffers[b].offset = block.place(buffers[b].bytes);
            } else if (!buffers[b].kept && first == last && inside_tiles(buffers[b], users[b])) {
                buffers[b].scratch = true;
                local[first].push_back(b);
            } else {
                born[first].push_back(b);
                gone[buffers[b].kept ? segments_.size() : last].push_back(b);
            }
        }
        for (std::size_t s = 0; s < segments_.size(); ++s) {
            std::sort(born[s].begin(), born[s].end(), [&](std::size_t a, std::size_t b) {
                return buffers[a].bytes != buffers[b].bytes ? buffers[a].bytes > buffers[b].bytes : a < b;
            });
            for (const auto b : born[s]) buffers[b].offset = block.place(buffers[b].bytes);
            for (const auto b : gone[s]) block.vacate(buffers[b].offset, buffers[b].bytes);
            scratch = std::max(scratch, plan_locals(segments_[s], local[s], buffers, find));
        }
        return scratch;
    }

private:
    /// What a call does to the memory [begin, end): the pointer it does it through, and by how many bytes that moves
    /// from one image, and from one chunk, to the next.
    struct Use {
        std::uintptr_t begin, end;
        std::uintptr_t pointer;
        std::int64_t stride, chunk_stride;
        bool writes;
        int number;
    };
    using Uses = std::vector<Use>;

    static std::uintptr_t pointer_of(const std::byte* call, int i) {
        std::uintptr_t pointer;
        std::memcpy(&pointer, call + static_cast<std::size_t>(i) * sizeof pointer, sizeof pointer);
        return pointer;
    }
    /// Uses of call i, cut into `images` if that is not 0.
    Uses uses(std::size_t i, std::int64_t images) const {
        const auto& call = calls_[i].call;
        const auto* whole = static_cast<const std::byte*>(call.payload);
        alignas(16) std::byte second[most_bytes] = {}, next_chunk[most_bytes] = {};
        if (images > 0) {
            std::memcpy(second, whole, call.bytes);
            std::memcpy(next_chunk, whole, call.bytes);
            call.tiling->cut(second, {images, 1, 1, 0, true});
            call.tiling->cut(next_chunk, {images, 0, 1, 1, true});
        }
        Uses result;
        for (int n = 0; n < call.pointers; ++n) {
            const std::uintptr_t pointer = pointer_of(whole, n);
            if (pointer == 0) continue;
            const auto [begin, end] = range_(reinterpret_cast<const void*>(pointer));
            Use use{begin, end, pointer, 0, 0, n < call.writes, n};
            if (begin == end) use.begin = 0, use.end = ~std::uintptr_t{0};  // anything
            if (images > 0) {
                use.stride = static_cast<std::int64_t>(pointer_of(second, n) - pointer);
                use.chunk_stride = static_cast<std::int64_t>(pointer_of(next_chunk, n) - pointer);
            }
            result.push_back(use);
        }
        if (const auto flag = reinterpret_cast<std::uintptr_t>(calls_[i].guard.flag)) {
            const auto [begin, end] = range_(calls_[i].guard.flag);
            result.push_back({begin, begin == end ? ~std::uintptr_t{0} : end, flag, 0, 0, false, -1});
        }
        return result;
    }
    /// Whether call i can be cut into so many images, each of which it writes in a place of its own; notes its uses.
    bool cuts(std::size_t i, std::int64_t images) {
        const auto& call = calls_[i].call;
        alignas(16) std::byte copy[most_bytes] = {};
        std::memcpy(copy, call.payload, call.bytes);
        if (!call.tiling->cut(copy, {images, 1, 1, 0, true})) return false;
        uses_[i] = uses(i, images);
        return std::all_of(uses_[i].begin(), uses_[i].end(),
                           [](const Use& use) { return !use.writes || use.stride != 0 || use.chunk_stride != 0; });
    }
    static bool overlap(const Use& a, const Use& b) {
        return (a.writes || b.writes) && a.begin < b.end && b.begin < a.end;
    }
    /// Whether two calls may not change places.
    static bool ordered(const Uses& a, const Uses& b) {
        return std::any_of(a.begin(), a.end(), [&](const Use& x) {
            return std::any_of(b.begin(), b.end(), [&](const Use& y) { return overlap(x, y); });
        });
    }
    /// Whether a tile of the later call needs nothing of the earlier one but the same images.
    static bool in_step(const Uses& a, const Uses& b) {
        return std::all_of(a.begin(), a.end(), [&](const Use& x) {
            return std::all_of(b.begin(), b.end(), [&](const Use& y) {
                return !overlap(x, y) ||
                       (x.pointer == y.pointer && x.stride == y.stride && x.stride != 0 && x.chunk_stride == 0);
            });
        });
    }
    bool ordered(const std::vector<std::size_t>& calls, std::size_t i) const {
        return std::any_of(calls.begin(), calls.end(), [&](std::size_t j) { return ordered(uses_[j], uses_[i]); });
    }
    void add_tiled(std::size_t i, std::int64_t images) {
        const bool fits =
            open_.tiled.empty() || (open_.images == images && !ordered(open_.after, i) &&
                                    std::all_of(open_.tiled.begin(), open_.tiled.end(),
                                                [&](std::size_t j) { return in_step(uses_[j], uses_[i]); }));
        if (!fits) close();
        open_.images = images;
        open_.tiled.push_back(i);
    }
    void add_whole(std::size_t i) {
        if (open_.tiled.empty()) {
            close();
            open_.before.push_back(i);
            close();
        } else if (!ordered(open_.tiled, i) && !ordered(open_.after, i)) {
            open_.before.push_back(i);
        } else {
            open_.after.push_back(i);
        }
    }
    void close() {
        if (!open_.tiled.empty()) {
            std::map<std::uintptr_t, std::int64_t> bytes;
            for (const auto call : open_.tiled)
                for (const auto& use : uses_[call])
                    if (use.stride != 0) bytes[use.pointer] = use.stride;
            std::int64_t image = 0;
            for (const auto& [pointer, stride] : bytes) image += stride;
            open_.chunks = contract::image_chunks(open_.images);
            open_.at_once = std::max<std::int64_t>(1, cache_bytes / std::max<std::int64_t>(1, image));
        }
        if (!open_.tiled.empty() || !open_.before.empty()) segments_.push_back(std::exchange(open_, {}));
    }

    /// Whether all that happens to a buffer happens image by image within one group.
    bool inside_tiles(const PlacedBuffer& buffer, const std::vector<const Use*>& users) const {
        return std::all_of(users.begin(), users.end(), [&](const Use* use) {
            return use->pointer == buffer.begin && use->stride != 0 && use->chunk_stride == 0 &&
                   use->stride == users[0]->stride;
        });
    }
    /// Places in a thread's own memory for the buffers of one segment: each for as long as its calls need it.
    template <class Find>
    std::size_t plan_locals(const Segment& segment, const std::vector<std::size_t>& locals,
                            std::vector<PlacedBuffer>& buffers, const Find& find) {
        if (locals.empty()) return 0;
        std::map<std::size_t, std::pair<std::size_t, std::size_t>> lives;  // places in segment.tiled
        for (std::size_t at = 0; at < segment.tiled.size(); ++at)
            for (const auto& use : uses_[segment.tiled[at]]) {
                const std::size_t b = find(use.begin);
                if (b == buffers.size() || !buffers[b].scratch) continue;
                lives.try_emplace(b, at, at).first->second.second = at;
            }
        MemoryPlan plan;
        for (std::size_t at = 0; at < segment.tiled.size(); ++at) {
            const auto bytes = [&](const Use& use) { return static_cast<std::size_t>(use.stride * segment.at_once); };
            auto& call = calls_[segment.tiled[at]];
            const auto& used = uses_[segment.tiled[at]];
            for (const auto& use : used) {
                const std::size_t b = find(use.begin);
                if (b == buffers.size() || !buffers[b].scratch) continue;
                if (auto& life = lives.at(b); life.first == at) {
                    buffers[b].offset = plan.place(bytes(use));
                    life.first = ~std::size_t{0};
                }
                if (use.number >= 0) call.locals.push_back({use.number, buffers[b].offset});
            }
            for (const auto& use : used) {
                const std::size_t b = find(use.begin);
                if (b == buffers.size() || !buffers[b].scratch) continue;
                if (auto& life = lives.at(b); life.second == at) {
                    plan.vacate(buffers[b].offset, bytes(use));
                    life.second = ~std::size_t{0};
                }
            }
        }
        return (plan.size() + 4095) / 4096 * 4096;
    }

    std::vector<ScheduledCall>& calls_;
    std::function<Range(const void*)> range_;
    std::vector<Uses> uses_;
    std::vector<Segment> segments_;
    Segment open_;
};

}  // namespace hwnas::detail
