// SPDX-License-Identifier: MIT
// A node of a derived cell as one op: the depthwise convolutions, factors and plain values that its edges have chosen
// are added in one pass. The filters' rows run through the kernel of relaxed nodes (ops/mixed_node.hpp); what no edge
// has chosen costs nothing.
#pragma once

#include <hwnas/cpu/node_sum.hpp>
#include <hwnas/cpu/relu.hpp>
#include <hwnas/ops/depthwise_conv.hpp>

#include <memory>
#include <vector>

namespace hwnas {

template <class T>
struct NodeTerm;

/// A value that feeds nodes. Its gradient comes all at once, in one pass over those of all nodes it feeds, when
/// backward() has passed the last of them. Copies are the same source.
template <class T>
class NodeSource {
    struct State;

public:
    /// A source of value x [N, H, W, C] (else Error).
    explicit NodeSource(const Variable<T>& x) : x_(x), state_(std::make_shared<State>()) {
        require(x.defined(), "node_sum: a source has no value");
        require(x.shape().rank() == 4 && x.shape().elements() > 0,
                "node_sum: a source has shape {}, expected [N, H, W, C]", x.shape());
        handle_ = record_deferred(x.value(), {&x}, [s = state_](const auto& inputs) { s->backward(inputs[0]); });
    }
    /// The value.
    const Variable<T>& x() const { return x_; }

private:
    template <class U>
    friend Variable<U> node_sum(const std::vector<NodeTerm<U>>& terms, bool rectify);
    struct Feed {
        Tensor<T> du, filter;
    };
    struct State {
        std::vector<Feed> feeds;
        void backward(const std::shared_ptr<Node<T>>& node);
    };
    Variable<T> x_, handle_;  ///< handle: x as nodes see it, whose gradient they leave in the state
    std::shared_ptr<State> state_;
};

/// What one edge brings: x convolved with `filter` [3, 3, C] (zeros beyond the border), or else times `factor` [C] and
/// plus `offset` [C], a frozen batch norm, which are constants. Undefined: 1 and 0.
template <class T>
struct NodeTerm {
    // Not an aggregate: lists of those with such members crash g++ 12.
    /// An edge from `source`; what is left out counts as 1 and 0.
    NodeTerm(NodeSource<T> source, Variable<T> window = {}, Tensor<T> gain = {}, Tensor<T> shift = {})
        : from(std::move(source)), filter(std::move(window)), factor(std::move(gain)), offset(std::move(shift)) {}
    NodeSource<T> from;        ///< the value the edge reads
    Variable<T> filter;        ///< depthwise filter, [3, 3, C], or undefined
    Tensor<T> factor, offset;  ///< of a frozen batch norm, [C] each, or undefined
};

namespace detail {

/// Contract calls for a sum of any number of terms; call(j): fills in the pointers of term j at place i of the struct.
template <class T, class F>
void submit_node_sum(const Tensor<T>& y, std::size_t terms, bool reversed, bool accumulate, bool rectify, F&& term) {
    const Shape& shape = y.shape();
    constexpr std::size_t most = contract::max_edges;
    for (std::size_t first = 0; first < terms; first += most) {
        contract::NodeSum<T> call{};
        call.y = y.data();
        call.n = shape[0], call.h = shape[1], call.w = shape[2], call.c = shape[3];
        call.reversed = reversed, call.accumulate = accumulate || first > 0;
        call.rectify = rectify && first + most >= terms;
        for (std::size_t j = first; j < terms && j < first + most; ++j) term(call, call.count++, j);
        submit(y.device(), call);
    }
}

}  // namespace detail

template <class T>
void NodeSource<T>::State::backward(const std::shared_ptr<Node<T>>& node) {
    const std::vector<Feed> found = std::exchange(feeds, {});
    if (found.empty()) return;
    if (found.size() == 1 && !found[0].filter.defined()) return give(node, found[0].du);
    const auto dx = grad_target(node);
    if (!dx) return;
    detail::submit_node_sum(dx.tensor, found.size(), true, dx.accumulate != 0, false,
                            [&](contract::NodeSum<T>& call, int slot, std::size_t j) {
                                call.x[slot] = found[j].du.data();
                                if (!found[j].filter.defined()) return;
                                call.f[slot] = found[j].filter.data();
                                call.windows |= 1u << slot;
                            });
}

/// y [N, H, W, C] = sum of the terms, with `rectify` max(that, 0); stride 1, all shapes alike (else Error). Gradients
/// of sources and filters. A term with a factor or an offset stands for a frozen norm: an Error where its source wants
/// a gradient.
template <class T>
Variable<T> node_sum(const std::vector<NodeTerm<T>>& terms, bool rectify = false) {
    require(!terms.empty(), "node_sum: no terms");
    const Variable<T>& first = terms[0].from.x();
    const Shape& shape = first.shape();
    const std::int64_t c = shape[3];
    std::vector<Variable<T>> inputs;
    for (std::size_t j = 0; j < terms.size(); ++j) {
        const auto& [from, filter, factor, offset] = terms[j];
        const Variable<T>& x = from.x();
        require(x.shape() == shape, "node_sum: term {} has shape {}, term 0 has {}", j, x.shape(), shape);
        require(x.device() == first.device(), "node_sum: term {} lives on another device ({})", j,
                device_clash(x.device(), first.device()));
        if (filter.defined()) {
            require(filter.shape() == Shape{3, 3, c},
                    "node_sum: the filter of term {} has shape {}, expected [3, 3, {}] (input {})", j, filter.shape(),
                    c, shape);
            require(filter.device() == first.device(), "node_sum: the filter of term {} lives on another device ({})",
                    j, device_clash(filter.device(), first.device()));
            require(!factor.defined(), "node_sum: term {} has a filter and a factor", j);
        }
        for (const auto& [tensor, what] : {std::pair{&factor, "factor"}, std::pair{&offset, "offset"}}) {
            if (!tensor->defined()) continue;
            require(tensor->shape() == Shape{c}, "node_sum: the {} of term {} has shape {}, expected [{}] (input {})",
                    what, j, tensor->shape(), c, shape);
            require(tensor->device() == first.device(), "node_sum: the {} of term {} lives on another device ({})",
                    what, j, device_clash(tensor->device(), first.device()));
            require(NoGrad::active() || !x.requires_grad(),
                    "node_sum: term {} has a constant {}, which is for networks that no longer learn; apply the norm "
                    "with batch_norm()",
                    j, what);
        }
        inputs.push_back(from.handle_), inputs.push_back(filter);
    }
    const auto y = Tensor<T>::empty(shape, first.device());
    detail::submit_node_sum(y, terms.size(), false, false, rectify,
                            [&](contract::NodeSum<T>& call, int slot, std::size_t j) {
                                const auto& [from, filter, factor, offset] = terms[j];
                                call.x[slot] = from.x().value().data();
                                if (offset.defined()) call.offset[slot] = offset.data();
                                if (factor.defined()) call.f[slot] = factor.data();
                                if (!filter.defined()) return;
                                call.f[slot] = filter.value().data();
                                call.windows |= 1u << slot;
                            });
    return record(y, inputs, [terms, y, rectify](const Tensor<T>& dy, const auto& nodes) {
        Tensor<T> du = dy;
        if (rectify) {
            du = Tensor<T>::empty(y.shape(), y.device());
            submit(y.device(), contract::ReluBackward<T>{du.data(), dy.data(), y.data(), y.elements(), 0});
        }
        const Shape& s = y.shape();
        const contract::Window window{s[0], s[1], s[2], s[3], s[1], s[2], 3, 1, 1, 1};
        for (std::size_t j = 0; j < terms.size(); ++j) {
            const auto& [from, filter, factor, offset] = terms[j];
            if (nodes[2 * j + 1]) detail::depthwise_backward<T>({}, nodes[2 * j + 1], from.x().value(), {}, du, window);
            if (nodes[2 * j]) from.state_->feeds.push_back({du, filter.defined() ? filter.value() : Tensor<T>()});
        }
    });
}

}  // namespace hwnas
