// SPDX-License-Identifier: MIT
// Node gate kernels: tiny, a few edges per node. Forward a thread takes a node of a draw, backward an edge of a draw.
// The product over the other edges is formed again for every edge, in the order of the edges: division by a factor
// would fail where that factor is 0, which is what a one-hot gamma gives.
#pragma once

#include "platform.cuh"

namespace hwnas::cuda {

/// 1 - the share of edge `gamma` that lies on the primitives of `mask`.
__device__ inline float unmixed(const float* gamma, int primitives, std::uint64_t mask) {
    float sum = 0;
    for (int m = 0; m < primitives; ++m)
        if (mask >> m & 1) sum += gamma[m];
    return 1.0f - sum;
}

struct NodeGateForwardKernel {
    static constexpr int registers = 40;
    contract::NodeGateForward<float> s;
    __device__ void operator()(i64 i) const {
        const i64 group = i / s.nodes, v = i - group * s.nodes;
        const int primitives = static_cast<int>(s.primitives);
        float rest = 1;
        for (i64 e = s.first[v]; e < s.first[v + 1]; ++e)
            rest *= unmixed(s.gamma + (group * s.rows + e) * primitives, primitives, s.mask);
        const float share = 1.0f - rest;
        s.out[2 * i] = share;
        s.out[2 * i + 1] = rest;
        if (group == 0) s.on[v] = share > 0.0f;
    }
};

struct NodeGateBackwardKernel {
    static constexpr int registers = 48;
    contract::NodeGateBackward<float> s;
    __device__ void operator()(i64 i) const {
        const i64 group = i / s.rows, edge = i - group * s.rows;
        const int primitives = static_cast<int>(s.primitives);
        const float* const gamma = s.gamma + group * s.rows * primitives;
        float product = 0;  // edges that arrive at no node have no gradient
        for (i64 v = 0; v < s.nodes; ++v) {
            const i64 first = s.first[v], last = s.first[v + 1];
            if (edge < first || edge >= last) continue;
            const float* const dout = s.dout + (group * s.nodes + v) * 2;
            product = dout[0] - dout[1];
            for (i64 other = first; other < last; ++other)
                if (other != edge) product *= unmixed(gamma + other * primitives, primitives, s.mask);
        }
        float* const dgamma = s.dgamma + i * primitives;
        for (int m = 0; m < primitives; ++m)
            dgamma[m] = (s.accumulate ? dgamma[m] : 0.0f) + (s.mask >> m & 1 ? product : 0.0f);
    }
};

inline void launch(const Stream& stream, const contract::NodeGateForward<float>& s) {
    for_each(stream, s.groups * s.nodes, NodeGateForwardKernel{s});
}
inline void launch(const Stream& stream, const contract::NodeGateBackward<float>& s) {
    for_each(stream, s.groups * s.rows, NodeGateBackwardKernel{s});
}

}  // namespace hwnas::cuda
