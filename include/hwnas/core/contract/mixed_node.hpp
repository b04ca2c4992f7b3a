// SPDX-License-Identifier: MIT
// Calls: a node of a relaxed cell whose primitives are bare and per channel. What an edge does but for its max pool is
// one 3x3 filter: the gamma-weighted sum of its convolutions' filters, of a centre tap for the identity, of ninths for
// an average pool. Filters are [G, edges, 9, c]; G is the number of draws of gamma, 1 or one an image.
#pragma once

#include <hwnas/core/contract/types.hpp>

namespace hwnas::contract {
inline namespace v1 {

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

/// u [n, h, w, c] = sum_j (x[j] * filter[edge[j]] + gamma[column[j]] pooled[j]); pooled[j] is null without a pool.
template <class T>
struct MixedNodeForward {
    static constexpr const char* name = "mixed_node_forward";
    static constexpr int writes = 1, reads = 2 * max_edges + 2;
    T* u;
    const T *x[max_edges], *pooled[max_edges];
    const T *filters, *gamma;
    i64 n, h, w, c, groups, gamma_stride, edges;
    i32 edge[max_edges], column[max_edges];
    i32 count;
};
/// All that a vertex x gets back from the nodes j it feeds: dx (+)= sum_j du[j] correlated with filter[edge[j]],
/// dpooled = sum_j gamma[column[j]] du[j], dfilters[edge[j]] += the correlation of du[j] with x,
/// dgamma[column[j]] += <du[j], pooled>. column[j] is -1 where edge j has no pool; dx, dfilters, dgamma may be null.
/// partial [pieces, count, 9 c + 1].
template <class T>
struct MixedSourceBackward {
    static constexpr const char* name = "mixed_source_backward";
    static constexpr int writes = 5, reads = max_edges + 4;
    T *dx, *dpooled, *dfilters, *dgamma, *partial;
    const T *du[max_edges], *x, *pooled, *filters, *gamma;
    i64 n, h, w, c, groups, gamma_stride, edges, pieces;
    i32 edge[max_edges], column[max_edges];
    i32 count, accumulate;
};

}  // namespace v1
}  // namespace hwnas::contract
