// SPDX-License-Identifier: MIT
// Node gate kernels: tiny, a few edges per node. The product over the other edges is formed again for every edge:
// division by a factor would fail where that factor is 0, which is what a one-hot gamma gives.
#pragma once

#include <hwnas/cpu/device.hpp>

namespace hwnas::cpu {

/// 1 - the share of edge `gamma` that lies on the primitives of `mask`.
template <class T>
T unmixed(const T* gamma, std::int64_t primitives, std::uint64_t mask) {
    T sum = 0;
    for (std::int64_t m = 0; m < primitives; ++m)
        if (mask >> m & 1) sum += gamma[m];
    return T(1) - sum;
}

/// Draws of gamma that one piece of parallel work handles.
inline constexpr std::int64_t node_gate_grain = 32;

template <class T>
struct Kernel<contract::NodeGateForward<T>> {
    static void run(Context& context, const contract::NodeGateForward<T>& s) {
        context.for_range(s.groups, node_gate_grain, [&](std::int64_t begin, std::int64_t end) {
            for (std::int64_t g = begin; g < end; ++g)
                for (std::int64_t v = 0; v < s.nodes; ++v) {
                    T rest = 1;
                    for (std::int64_t e = s.first[v]; e < s.first[v + 1]; ++e)
                        rest *= unmixed(s.gamma + (g * s.rows + e) * s.primitives, s.primitives, s.mask);
                    T* out = s.out + (g * s.nodes + v) * 2;
                    out[0] = T(1) - rest;
                    out[1] = rest;
                    if (g == 0) s.on[v] = out[0] > T(0);
                }
        });
    }
};

template <class T>
struct Kernel<contract::NodeGateBackward<T>> {
    static void run(Context& context, const contract::NodeGateBackward<T>& s) {
        context.for_range(s.groups, node_gate_grain, [&](std::int64_t begin, std::int64_t end) {
            for (std::int64_t g = begin; g < end; ++g) group(s, g);
        });
    }

private:
    static void group(const contract::NodeGateBackward<T>& s, std::int64_t g) {
        const std::int64_t k = s.primitives;
        const T* gamma = s.gamma + g * s.rows * k;
        T* dgamma = s.dgamma + g * s.rows * k;
        if (!s.accumulate) std::fill(dgamma, dgamma + s.rows * k, T(0));
        for (std::int64_t v = 0; v < s.nodes; ++v) {
            const T* dout = s.dout + (g * s.nodes + v) * 2;
            T before = dout[0] - dout[1];  // dp times the factors of the edges before e
            for (std::int64_t e = s.first[v]; e < s.first[v + 1]; ++e) {
                T product = before;
                for (std::int64_t other = e + 1; other < s.first[v + 1]; ++other)
                    product *= unmixed(gamma + other * k, k, s.mask);
                for (std::int64_t m = 0; m < k; ++m)
                    if (s.mask >> m & 1) dgamma[e * k + m] += product;
                before *= unmixed(gamma + e * k, k, s.mask);
            }
        }
    }
};

}  // namespace hwnas::cpu
