// SPDX-License-Identifier: MIT
// Variable<T>: a tensor that may want a gradient, and the tape of nodes behind it. Reverse mode, define by run: an op
// computes its value, then hands record() a closure that adds to the gradients of its inputs. A closure keeps only the
// tensors it needs, and the tape frees each node as backward() passes it.
#pragma once

#include <hwnas/tensor/tensor.hpp>

#include <atomic>
#include <functional>

namespace hwnas {

/// One place on the tape: the gradient of one value, and the rule by which it flows on. Leaves (parameters) have none.
template <class T>
struct Node {
    /// The nodes that the gradient flows on to, in the order of the op's inputs.
    using Inputs = std::vector<std::shared_ptr<Node>>;
    Shape shape;     ///< of the value
    Device device;   ///< of the value
    Tensor<T> grad;  ///< undefined until something flows in
    Inputs inputs;   ///< null where an input wants no gradient
    /// Adds to the gradients of `inputs`, given that of the value.
    std::function<void(const Tensor<T>& dy, const Inputs& inputs)> backward;
    /// The guard it was recorded under; its rule runs under the same.
    Guard guard = GuardScope::current();
    /// Number of the node in order of creation; backward() goes from large to small.
    std::uint64_t sequence = next_sequence();
    bool leaf = false;      ///< a parameter: keeps its gradient
    bool consumed = false;  ///< backward() has passed it
    bool deferred = false;  ///< its rule runs without a gradient: its consumers leave it what it needs

private:
    static std::uint64_t next_sequence() {
        static std::atomic<std::uint64_t> counter{0};
        return counter.fetch_add(1, std::memory_order_relaxed);
    }
};

/// A scope: while it stands, ops on this thread build no tape. For evaluation and inference.
class NoGrad {
public:
    NoGrad() : previous_(active()) { active() = true; }
    ~NoGrad() { active() = previous_; }
    NoGrad(const NoGrad&) = delete;
    NoGrad& operator=(const NoGrad&) = delete;
    /// Whether one stands on this thread; assign to it only through NoGrad.
    static bool& active() {
        thread_local bool flag = false;
        return flag;
    }

private:
    bool previous_;
};

/// A tensor and its place on the tape, if it wants a gradient. Copies are the same variable.
template <class T>
class Variable {
public:
    /// Type of the elements: float or double.
    using value_type = T;
    Variable() = default;
    /// A constant: no gradient.
    explicit Variable(Tensor<T> value) : value_(std::move(value)) {}
    /// A parameter: a value that collects a gradient.
    static Variable leaf(Tensor<T> value) {
        Variable v(std::move(value));
        v.node_ = std::make_shared<Node<T>>();
        v.node_->shape = v.value_.shape();
        v.node_->device = v.value_.device();
        v.node_->leaf = true;
        return v;
    }

    /// Whether it has a value; a default-constructed variable stands for "none given".
    bool defined() const { return value_.defined(); }
    /// Its tensor, memory shared.
    const Tensor<T>& value() const { return value_; }
    /// Extents of its value; [] where it is undefined.
    const Shape& shape() const { return value_.shape(); }
    /// The device of its value; throws Error where it is undefined.
    const Device& device() const { return value_.device(); }
    /// Whether its gradient is wanted, so that ops on it are put on the tape.
    bool requires_grad() const { return node_ != nullptr; }
    /// The gradient that backward() left, same shape; undefined before. Throws Error for a constant.
    const Tensor<T>& grad() const {
        require(node_ != nullptr,
                "variable: this value wants no gradient (make it with Variable::leaf, or check NoGrad)");
        return node_->grad;
    }
    /// Gives a leaf a gradient buffer of its own, to which backward() adds; the owner sets it to zero. Throws Error for
    /// any other variable.
    void set_grad(Tensor<T> grad) const {
        require(node_ != nullptr && node_->leaf, "variable: only a leaf has a gradient buffer of its own");
        node_->grad = std::move(grad);
    }
    /// The same value, cut off from the tape.
    Variable detach() const { return Variable(value_); }
    /// Its place on the tape; null without a gradient.
    const std::shared_ptr<Node<T>>& node() const { return node_; }

private:
    template <class U, class F>
    friend Variable<U> record(Tensor<U> value, std::initializer_list<const Variable<U>*> inputs, F&& backward);
    template <class U, class F>
    friend Variable<U> record(Tensor<U> value, const std::vector<Variable<U>>& inputs, F&& backward);
    Tensor<T> value_;
    std::shared_ptr<Node<T>> node_;
};

namespace detail {
template <class T, class F>
std::shared_ptr<Node<T>> make_node(const Tensor<T>& value, typename Node<T>::Inputs inputs, F&& backward) {
    auto node = std::make_shared<Node<T>>();
    node->shape = value.shape();
    node->device = value.device();
    node->inputs = std::move(inputs);
    node->backward = std::forward<F>(backward);
    return node;
}
}  // namespace detail

/// The result of an op: its value, its inputs and the closure (dy, inputs) -> void that adds their gradients through
/// grad_target() or give(). With no input that wants a gradient the closure and all it saved are dropped at once.
template <class T, class F>
Variable<T> record(Tensor<T> value, std::initializer_list<const Variable<T>*> inputs, F&& backward) {
    Variable<T> result(std::move(value));
    typename Node<T>::Inputs nodes;
    bool wanted = false;
    for (const auto* input : inputs) nodes.push_back(input->node()), wanted |= input->requires_grad();
    if (wanted && !NoGrad::active())
        result.node_ = detail::make_node(result.value_, std::move(nodes), std::forward<F>(backward));
    return result;
}
/// The result of an op over a list of inputs: backward(dy, inputs) adds to the gradients of those that want one
/// (grad_target()). Without any, or while NoGrad stands, the result is a constant.
template <class T, class F>
Variable<T> record(Tensor<T> value, const std::vector<Variable<T>>& inputs, F&& backward) {
    Variable<T> result(std::move(value));
    typename Node<T>::Inputs nodes;
    bool wanted = false;
    for (const auto& input : inputs) nodes.push_back(input.node()), wanted |= input.requires_grad();
    if (wanted && !NoGrad::active())
        result.node_ = detail::make_node(result.value_, std::move(nodes), std::forward<F>(backward));
    return result;
}

/// A value passed on as it is, whose consumers give it no gradient but leave what it takes to compute that of the
/// input: rule(inputs) runs when backward() has passed them all.
template <class T, class F>
Variable<T> record_deferred(Tensor<T> value, std::initializer_list<const Variable<T>*> inputs, F&& rule) {
    auto result = record(std::move(value), inputs,
                         [rule = std::forward<F>(rule)](const Tensor<T>&, const auto& nodes) { rule(nodes); });
    if (result.requires_grad()) result.node()->deferred = true;
    return result;
}

/// Where a backward kernel writes the gradient of one input, and whether it must add to what is there.
template <class T>
struct GradTarget {
    Tensor<T> tensor;             ///< undefined when the input wants no gradient
    std::int32_t accumulate = 0;  ///< 1 where there is something to add to, 0 where the tensor is to be written
    /// Whether the input wants a gradient.
    explicit operator bool() const { return tensor.defined(); }
    /// Address of the gradient on the device; null where none is wanted.
    T* data() const { return tensor.defined() ? tensor.data() : nullptr; }
};

/// Opens the gradient of `node` for one backward kernel. A gradient buffer that is shared with another node is copied
/// first; under a guard that the input does not share, the buffer starts as zeros, since the kernel may not run.
template <class T>
GradTarget<T> grad_target(const std::shared_ptr<Node<T>>& node) {
    if (!node) return {};
    const bool same_guard = node->guard == GuardScope::current();
    const auto fresh = [&] { return Tensor<T>::empty(node->shape, node->device); };
    if (!node->grad.defined()) {
        node->grad = fresh();
        if (same_guard) return {node->grad, 0};
        const GuardScope scope(node->guard);
        submit(node->device, contract::Fill<T>{node->grad.data(), node->grad.elements(), T(0)});
    } else if (!node->leaf && node->grad.storage().use_count() > 1) {
        const GuardScope scope(node->guard);
        Tensor<T> own = fresh();
        submit(node->device, contract::Copy<T>{own.data(), node->grad.data(), own.elements(), 0});
        node->grad = std::move(own);
    }
    return {node->grad, 1};
}

/// Adds a finished gradient tensor to that of `node`, sharing instead of copying when it is the first.
template <class T>
void give(const std::shared_ptr<Node<T>>& node, const Tensor<T>& grad) {
    if (!node) return;
    if (!node->leaf && !node->grad.defined() && node->guard == GuardScope::current()) {
        node->grad = grad;
        return;
    }
    const auto target = grad_target(node);
    submit(node->device, contract::Copy<T>{target.data(), grad.data(), grad.elements(), target.accumulate});
}

}  // namespace hwnas
