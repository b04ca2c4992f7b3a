// SPDX-License-Identifier: MIT
#pragma once

#include <hwnas/autodiff/variable.hpp>
#include <hwnas/cpu/node_gate.hpp>
#include <hwnas/ops/step.hpp>

namespace hwnas {

/// The probabilities that node_gate() computes, and a guard.
template <class T>
struct NodeGate {
    Variable<T> weights;      ///< [G, V, 2]: p and 1 - p of every node
    Tensor<std::int32_t> on;  ///< [V]: 1 where p of draw 0 is above 0, else 0; a guard for the node transform
};

/// The probability that something mixes channels at a node: p[g, v] = 1 - prod_e (1 - sum_{m in mask} gamma[g, e, m])
/// over the edges e = first[v] .. first[v + 1] - 1 of node v, for gamma [G, E, k] and first [V + 1]; bit m of `mask`
/// marks primitive m. Gradient: dgamma[g, e, m in mask] = dp prod over the node's other edges, 0 elsewhere. Throws
/// Error for shapes, a mask or edges that do not fit.
template <class T>
NodeGate<T> node_gate(const Variable<T>& gamma, const Tensor<std::int32_t>& first, std::uint64_t mask) {
    require(gamma.defined() && first.defined(), "node_gate: {} has no value", gamma.defined() ? "first" : "gamma");
    require(gamma.shape().rank() == 3 && gamma.shape().elements() > 0,
            "node_gate: gamma has shape {}, expected [draws, edges, primitives]", gamma.shape());
    const std::int64_t groups = gamma.shape()[0], rows = gamma.shape()[1], k = gamma.shape()[2];
    require(k <= 64, "node_gate: {} primitives (gamma {}), a mask has 64 bits", k, gamma.shape());
    require(k == 64 || mask >> k == 0, "node_gate: mask {:#x} names a primitive beyond the {} of gamma {}", mask, k,
            gamma.shape());
    require(first.shape().rank() == 1 && first.elements() >= 2, "node_gate: first has shape {}, expected [nodes + 1]",
            first.shape());
    detail::require_same_device("node_gate", "gamma", gamma.device(), "first", first.device());
    if (!first.storage()->placed_in_recording()) {
        const auto offsets = first.to_vector();
        for (std::size_t v = 0; v + 1 < offsets.size(); ++v)
            require(0 <= offsets[v] && offsets[v] <= offsets[v + 1] && offsets[v + 1] <= rows,
                    "node_gate: node {} has edges {} up to {}, gamma {} has {} edges", v, offsets[v], offsets[v + 1],
                    gamma.shape(), rows);
    }
    const std::int64_t nodes = first.elements() - 1;
    const auto weights = Tensor<T>::empty({groups, nodes, 2}, gamma.device());
    const auto on = Tensor<std::int32_t>::empty({nodes}, gamma.device());
    submit(gamma.device(), contract::NodeGateForward<T>{weights.data(), on.data(), gamma.value().data(), first.data(),
                                                        groups, rows, k, nodes, mask});
    const auto rule = [value = gamma.value(), first, groups, rows, k, nodes, mask](const Tensor<T>& dout,
                                                                                   const auto& inputs) {
        const auto dgamma = grad_target(inputs[0]);
        submit(dout.device(), contract::NodeGateBackward<T>{dgamma.data(), dout.data(), value.data(), first.data(),
                                                            groups, rows, k, nodes, mask, dgamma.accumulate});
    };
    return {record(weights, {&gamma}, rule), on};
}

}  // namespace hwnas
