// SPDX-License-Identifier: MIT
// MemoryPlan: places in a block of memory that does not exist yet.
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <map>

namespace hwnas::detail {

/// Best fit over a list of holes, 64-byte steps.
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

}  // namespace hwnas::detail
