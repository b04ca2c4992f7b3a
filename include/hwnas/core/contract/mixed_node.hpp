// SPDX-License-Identifier: MIT
// Calls: a node of a relaxed cell whose primitives are bare and per channel. What an edge does but for its max pool is
// one 3x3 filter: the gamma-weighted sum of its convolutions' filters and of a centre tap for the identity. Filters are
// [G, edges, 9, c]; G is the number of draws of gamma, 1 or one an image.
#pragma once

#include <hwnas/core/contract/types.hpp>

namespace hwnas::contract {
inline namespace v4 {

inline constexpr int max_edges = 16;  ///< most edges that arrive at or leave one vertex in one call

/// What merges into one filter a edge: w[j] [9, c] weighs gamma[column[j]], added to the filter of edge[j]; a null w[j]
/// is the centre tap alone.
template <class T>
struct MergeFiltersForward {
    static constexpr const char* name = "merge_filters_forward";
    static constexpr int writes = 1, reads = max_edges + 1;
    T* filters;  ///< (+)=
    const T* w[max_edges];
    const T* gamma;
    i64 groups, gamma_stride, edges, c;
    i32 edge[max_edges], column[max_edges];
    i32 count, accumulate;
};
/// dw[j] += sum_g gamma[g, column[j]] dfilters[g, edge[j]]; dgamma[g, column[j]] += <w[j], dfilters[g, edge[j]]>. Null
/// dw and dgamma are skipped.
template <class T>
struct MergeFiltersBackward {
    static constexpr const char* name = "merge_filters_backward";
    static constexpr int writes = max_edges + 1, reads = max_edges + 2;
    T* dw[max_edges];
    T* dgamma;
    const T* w[max_edges];
    const T *gamma, *dfilters;
    i64 groups, gamma_stride, edges, c;
    i32 edge[max_edges], column[max_edges];
    i32 count;
};

/// What a vertex x [n, h, w, c] gives to the nodes j it feeds: u[j] (+)= x * filter[edge[j]] + gamma[column[j]] pooled.
/// column[j] is -1 where edge j has no pool; bit j of `accumulate`: add to u[j].
template <class T>
struct MixedSourceForward {
    static constexpr const char* name = "mixed_source_forward";
    static constexpr int writes = max_edges, reads = 4;
    T* u[max_edges];
    const T *x, *pooled, *filters, *gamma;
    i64 n, h, w, c, groups, gamma_stride, edges;
    i32 edge[max_edges], column[max_edges];
    i32 count;
    std::uint32_t accumulate;
};
/// What a vertex x gets back from the nodes j it feeds: dx (+)= sum_j du[j] correlated with filter[edge[j]], dpooled =
/// sum_j gamma[column[j]] du[j]; and partial[chunk, j] [9 c + 1] = the correlation of du[j] with x and <du[j], pooled>
/// over the images of a chunk, every image one where each has a draw of its own. column[j] is -1 where edge j has no
/// pool; dx, dpooled and partial may be null. `resume` adds to partial.
template <class T>
struct MixedSourceBackward {
    static constexpr const char* name = "mixed_source_backward";
    static constexpr int writes = 3, reads = max_edges + 4;
    T *dx, *dpooled, *partial;
    const T *du[max_edges], *x, *pooled, *filters, *gamma;
    i64 n, h, w, c, groups, gamma_stride, edges, chunks;
    i32 edge[max_edges], column[max_edges];
    i32 count, accumulate, resume;
};
/// dfilters[g, edge[j]] += the correlations, dgamma[g, column[j]] += the products, over the chunks of group g. partial
/// [chunk, j] is [9 c + products]: there may be several products to add up.
template <class T>
struct MixedSourceReduce {
    static constexpr const char* name = "mixed_source_reduce";
    static constexpr int writes = 2, reads = 1;
    T *dfilters, *dgamma;
    const T* partial;
    i64 c, groups, gamma_stride, edges, chunks;
    i32 edge[max_edges], column[max_edges];
    i32 count, products;
};

/// Nodes and vertices in one pass each, for devices whose threads share memory. A pass goes over bands: up to
/// band_rows rows of as many columns as band_threads threads have one each of, all channels of them, one column more on
/// either side where a row has more; band_edges edges a call keep room for what they sum.
inline constexpr i64 band_rows = 7, band_threads = 448, band_edges = 4, band_channels = 128;
/// Columns that a band's threads stand over.
constexpr i64 band_columns(i64 w, i64 c) {
    return w * c <= band_threads ? w : band_threads / c;
}
/// Whether bands waste little on such rows: where they do not hold a whole row they hold eight columns at least.
constexpr bool fits_bands(i64 w, i64 c) {
    return c <= band_channels && (w * c <= band_threads || band_columns(w, c) >= 8);
}
/// Most bytes that threads share for a pass: four bands with a row above and below, a byte for every element of one,
/// ten sums of every thread, and filters and sums of the edges.
constexpr i64 band_bytes(i64 c) {
    return 4 * (4 * (band_rows + 2) * band_threads + 10 * band_threads + (2 * 12 + 10 * band_edges) * c + 64) +
           (band_rows + 2) * band_threads;
}

/// What a node sums: u [n, h, w, c] (+)= sum_j x[j] * filter[edge[j]] + gamma[column[j]] maxpool3x3(x[j]). column[j] is
/// -1 where edge j has no pool; tap[j], which may be null, = where that pool found its value, as in MaxPoolForward.
template <class T>
struct MixedNodeForward {
    static constexpr const char* name = "mixed_node_forward";
    static constexpr int writes = max_edges + 1, reads = max_edges + 2;
    T* u;
    u8* tap[max_edges];
    const T *x[max_edges], *filters, *gamma;
    i64 n, h, w, c, groups, gamma_stride, edges;
    i32 edge[max_edges], column[max_edges];
    i32 count, accumulate;
};
/// MixedSourceBackward and MaxPoolBackward in one: dx (+)= what reaches x through the filters and, where tap says that
/// they chose it, through the pools; partial as there. tap is wanted with dx if any column[j] is not -1.
template <class T>
struct MixedVertexBackward {
    static constexpr const char* name = "mixed_vertex_backward";
    static constexpr int writes = 2, reads = max_edges + 4;
    T *dx, *partial;
    const T *du[max_edges], *x, *filters, *gamma;
    const u8* tap;
    i64 n, h, w, c, groups, gamma_stride, edges, chunks;
    i32 edge[max_edges], column[max_edges];
    i32 count, accumulate, resume;
};

}  // namespace v4
}  // namespace hwnas::contract
