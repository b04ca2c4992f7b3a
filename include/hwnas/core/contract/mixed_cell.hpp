// SPDX-License-Identifier: MIT
// Calls: a relaxed cell of bare primitives as a whole, for devices whose threads share memory: all vertices of a few
// channels of an image stay there from the first input to the last node. Filters are as in mixed_node.hpp.
#pragma once

#include <hwnas/core/contract/mixed_node.hpp>

namespace hwnas::contract {
inline namespace v4 {

inline constexpr int max_cell_inputs = 2, max_cell_nodes = 4, max_cell_edges = max_edges;
inline constexpr int max_cell_extent = 32;  ///< most rows and columns of a vertex

/// The edges of a cell of at most one for each pair of vertices; vertices are numbered inputs first, node k is vertex
/// inputs + k. edge[j] is the number of its filter, column[j] that of gamma that weighs its pool or -1.
struct CellEdges {
    i32 inputs, nodes, count;
    i32 from[max_cell_edges], to[max_cell_edges], edge[max_cell_edges], column[max_cell_edges];  // to: node
};
/// Rows of a vertex that a thread has in the backward pass are h or, above 16, half of it.
constexpr i64 cell_strips(i64 h) {
    return h > 16 ? 2 : 1;
}
/// Bytes that threads share for the backward pass of so many channels, which needs more than the forward pass:
/// gradients of all nodes and one vertex with a border of zeros, the taps of its pool, and filters, sums and the warps'
/// parts of them.
constexpr i64 cell_bytes_of(i64 h, i64 w, i64 channels, i64 edges) {
    const i64 plane = (h + 2) * (w + 2) * channels, warps = (channels * w * cell_strips(h) + 31) / 32;
    return 4 * ((max_cell_nodes + 1) * plane + (12 + 10) * edges * channels + max_cell_nodes * 10 * warps * channels) +
           (plane + 15) / 16 * 16;
}
/// What two groups of threads may share on one multiprocessor of compute capability 9.0: of 228 KB, a KB each is the
/// system's.
inline constexpr i64 cell_bytes_of_two = 113 * 1024;
/// Channels of an image that are computed together: a power of two, as many as 256 threads have columns and strips for
/// and two groups of threads memory: one waits at its barriers while the other works.
constexpr i64 cell_channels(i64 h, i64 w, i64 c) {
    constexpr i64 dense = max_cell_inputs * max_cell_nodes + max_cell_nodes * (max_cell_nodes - 1) / 2;
    i64 channels = 1;
    while (channels < 32 && channels < c && 2 * channels * w * cell_strips(h) <= 256 &&
           cell_bytes_of(h, w, 2 * channels, dense) <= cell_bytes_of_two)
        channels *= 2;
    return channels;
}
/// Groups of so many channels, the last of which may have fewer.
constexpr i64 cell_groups(i64 h, i64 w, i64 c) {
    const i64 channels = cell_channels(h, w, c);
    return (c + channels - 1) / channels;
}
/// Bytes that threads have to share for a cell.
constexpr i64 cell_bytes(i64 h, i64 w, i64 c, i64 edges) {
    return cell_bytes_of(h, w, cell_channels(h, w, c), edges);
}

/// u[k] = what node k sums, [n, h, w, c].
template <class T>
struct MixedCellForward {
    static constexpr const char* name = "mixed_cell_forward";
    static constexpr int writes = max_cell_nodes, reads = max_cell_inputs + 2;
    T* u[max_cell_nodes];
    const T *x[max_cell_inputs], *filters, *gamma;
    i64 n, h, w, c, groups, gamma_stride, edges;
    CellEdges graph;
};
/// dx[i] (+)= the gradient of input i, bit i of `accumulate`: add; partial[chunk, j] [9 c + cell_groups()] = the
/// correlation of the gradient of edge j's node with its source, and its products with the source's pool, a sum for
/// each group of channels, over the images of a chunk. dy[k] is what comes from outside to node k. dx, partial and dy
/// may be null.
template <class T>
struct MixedCellBackward {
    static constexpr const char* name = "mixed_cell_backward";
    static constexpr int writes = max_cell_inputs + 1, reads = 2 * max_cell_nodes + max_cell_inputs + 2;
    T *dx[max_cell_inputs], *partial;
    const T *dy[max_cell_nodes], *u[max_cell_nodes], *x[max_cell_inputs], *filters, *gamma;
    i64 n, h, w, c, groups, gamma_stride, edges, chunks;
    CellEdges graph;
    std::uint32_t accumulate;
    i32 resume;
};

}  // namespace v4
}  // namespace hwnas::contract
