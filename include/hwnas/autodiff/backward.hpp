// SPDX-License-Identifier: MIT
// backward(): walks the tape from a value to its leaves, latest node first, so that every gradient is complete before
// it is used; the order is that of creation, hence the same in every run.
#pragma once

#include <hwnas/autodiff/variable.hpp>

#include <algorithm>
#include <unordered_set>

namespace hwnas {

/// Adds d(output . seed) / d(leaf) to the gradient of every leaf below `output`; seed has the shape of output. The tape
/// between is consumed: what two losses share can be passed once, so add them first. Throws Error where nothing wants a
/// gradient or the tape was consumed.
template <class T>
void backward(const Variable<T>& output, const Tensor<T>& seed) {
    require(output.requires_grad(), "backward: the value depends on nothing that wants a gradient");
    require(seed.shape() == output.shape(), "backward: seed {} for a value of shape {}", seed.shape(), output.shape());
    std::vector<std::shared_ptr<Node<T>>> order{output.node()};
    std::unordered_set<const Node<T>*> seen{output.node().get()};
    for (std::size_t i = 0; i < order.size(); ++i) {
        const auto node = order[i];
        require(!node->consumed,
                "backward: an earlier backward() has consumed this part of the tape; add the losses and go once");
        for (const auto& input : node->inputs)
            if (input && seen.insert(input.get()).second) order.push_back(input);
    }
    std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a->sequence > b->sequence; });
    give(output.node(), seed);
    for (auto& node : order) {
        if (!node->leaf && node->backward && (node->grad.defined() || node->deferred)) {
            const Tensor<T> dy = std::exchange(node->grad, {});
            const auto inputs = std::exchange(node->inputs, {});
            const auto rule = std::exchange(node->backward, nullptr);
            node->consumed = true;
            const GuardScope scope(node->guard);
            rule(dy, inputs);
        }
        node.reset();
    }
}

/// backward() from a loss, a value with one element, with seed 1.
template <class T>
void backward(const Variable<T>& loss) {
    require(loss.shape().elements() == 1,
            "backward: a loss has one element, this value has shape {} (pass a seed gradient)", loss.shape());
    const auto seed = Tensor<T>::empty(loss.shape(), loss.device());
    submit(loss.device(), contract::Fill<T>{seed.data(), 1, T(1)});
    backward(loss, seed);
}

}  // namespace hwnas
