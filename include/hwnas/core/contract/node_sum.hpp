// SPDX-License-Identifier: MIT
// Call: a node of a derived cell, the sum of what its edges bring.
#pragma once

#include <hwnas/core/contract/mixed_node.hpp>

namespace hwnas::contract {
inline namespace v4 {

/// y (+)= sum_j (x[j] by f[j] + offset[j]) for x[j] and y [n, h, w, c], then max(y, 0) where `rectify`. Where bit j of
/// `windows` is set, f[j] is a filter [9, c]: x[j] is convolved with it, zeros beyond the border; else f[j] is a factor
/// for each channel, [c], or null: 1. offset[j] is [c] or null: 0. `reversed`: filters are read backwards, which makes
/// of y -> x[j] the gradient. A filter that is zero, or zero but for its centre, is not read further.
template <class T>
struct NodeSum {
    static constexpr const char* name = "node_sum";
    static constexpr int writes = 1, reads = 3 * max_edges;
    T* y;
    const T *x[max_edges], *f[max_edges], *offset[max_edges];
    i64 n, h, w, c;
    std::uint32_t windows;
    i32 count, reversed, accumulate, rectify;
};

}  // namespace v4
}  // namespace hwnas::contract
