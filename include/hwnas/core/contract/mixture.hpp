// SPDX-License-Identifier: MIT
// Calls: mixtures, sums of operands weighted by gates.
#pragma once

#include <hwnas/core/contract/types.hpp>

namespace hwnas::contract {
inline namespace v4 {

/// y[n] (+)= sum_j weights[g(n), columns[j]] x_j[n] over n images of `image` elements; groups = 1 or one per image.
/// Terms of weight 0 are not read.
template <class T>
struct WeightedSumForward {
    static constexpr const char* name = "weighted_sum_forward";
    static constexpr int writes = 1, reads = max_operands + 1;
    T* y;
    const T* x[max_operands];
    const T* weights;
    i64 n, image, groups, weight_stride;
    i32 columns[max_operands];
    i32 count, accumulate;
};
/// dx_j (+)= w_j dy, and, where partial is given, partial[chunk, j] = <dy, x_j> over the images of the chunk; a draw an
/// image (groups > 1) makes every image a chunk. With selected_only, terms of weight 0 are not touched (their tensors
/// were never computed). `resume` adds to partial.
template <class T>
struct WeightedSumBackward {
    static constexpr const char* name = "weighted_sum_backward";
    static constexpr int writes = max_operands + 1, reads = max_operands + 2;
    T* dx[max_operands];
    T* partial;
    const T* x[max_operands];
    const T *dy, *weights;
    i64 n, image, groups, weight_stride, chunks;
    i32 columns[max_operands];
    i32 count;
    std::uint32_t accumulate;
    i32 selected_only, resume;
};
/// dweights[g, columns[j]] += sum of partial[chunk, j] over the chunks of group g.
template <class T>
struct WeightedSumReduce {
    static constexpr const char* name = "weighted_sum_reduce";
    static constexpr int writes = 1, reads = 1;
    T* dweights;
    const T* partial;
    i64 groups, weight_stride, chunks;
    i32 columns[max_operands];
    i32 count;
};
/// Fraction p of a node that mixes channels: p[g, v] = 1 - prod_e (1 - sum_{m in mask} gamma[g, e, m]) over the edges
/// first[v] .. first[v + 1] of node v; out[g, v, 0] = p, out[g, v, 1] = 1 - p; on[v] = p[0, v] > 0.
template <class T>
struct NodeGateForward {
    static constexpr const char* name = "node_gate_forward";
    static constexpr int writes = 2, reads = 2;
    T* out;
    i32* on;
    const T* gamma;
    const i32* first;
    i64 groups, rows, primitives, nodes;
    std::uint64_t mask;
};
template <class T>
struct NodeGateBackward {
    static constexpr const char* name = "node_gate_backward";
    static constexpr int writes = 1, reads = 3;
    T* dgamma;
    const T *dout, *gamma;
    const i32* first;
    i64 groups, rows, primitives, nodes;
    std::uint64_t mask;
    i32 accumulate;
};

}  // namespace v4
}  // namespace hwnas::contract
