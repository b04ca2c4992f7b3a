// SPDX-License-Identifier: MIT
// Which calls of a recorded step have to wait for which: a device that can do several things at once may run the others
// side by side.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace hwnas::detail {

/// The memory [begin, end) that a call reads or writes.
struct MemoryUse {
    std::uintptr_t begin, end;
    bool writes;
};

/// For every call, the earlier ones that must have ended before it: they use the same memory, and one of the two writes
/// it. Calls that others in the list wait for are left out.
inline std::vector<std::vector<std::uint32_t>> dependencies(const std::vector<std::vector<MemoryUse>>& uses) {
    const auto clash = [&](std::size_t a, std::size_t b) {
        return std::any_of(uses[a].begin(), uses[a].end(), [&](const MemoryUse& x) {
            return std::any_of(uses[b].begin(), uses[b].end(), [&](const MemoryUse& y) {
                return (x.writes || y.writes) && x.begin < y.end && y.begin < x.end;
            });
        });
    };
    std::vector<std::vector<std::uint32_t>> after(uses.size());
    std::vector<std::vector<bool>> before(uses.size(), std::vector<bool>(uses.size()));  // directly or not
    for (std::size_t i = 0; i < uses.size(); ++i)
        for (std::size_t j = i; j-- > 0;) {
            if (before[i][j] || !clash(j, i)) continue;
            after[i].push_back(static_cast<std::uint32_t>(j));
            before[i][j] = true;
            for (std::size_t k = 0; k < j; ++k)
                if (before[j][k]) before[i][k] = true;
        }
    return after;
}

}  // namespace hwnas::detail
