// SPDX-License-Identifier: MIT
// Sums and differences; and the checks that ops with several operands share.
#pragma once

#include <hwnas/cpu/add.hpp>
#include <hwnas/cpu/scale.hpp>
#include <hwnas/ops/column_sum.hpp>

namespace hwnas {

namespace detail {
/// Checks that `x` has a value and lives where the op's first operand lives.
template <class T>
void require_operand(const char* op, const char* what, const Variable<T>& x, const Variable<T>& first) {
    require(x.defined(), "{}: {} has no value", op, what);
    require(x.device() == first.device(), "{}: {} lives on another device ({})", op, what,
            device_clash(first.device(), x.device()));
}
/// Checks that b has a's shape or a suffix of it.
template <class T>
void require_suffix(const char* op, const Variable<T>& a, const Variable<T>& b) {
    require_operand(op, "first operand", a, a);
    require_operand(op, "second operand", b, a);
    const Shape &left = a.shape(), &right = b.shape();
    bool fits = right.rank() <= left.rank();
    for (int i = 1; fits && i <= right.rank(); ++i) fits = left[-i] == right[-i];
    require(fits, "{}: shape {} of the second operand is neither that of the first nor a suffix of it ({})", op, right,
            left);
}
template <class T>
Variable<T> add_scaled(const char* op, const Variable<T>& a, const Variable<T>& b, double beta) {
    require_suffix(op, a, b);
    const auto y = Tensor<T>::empty(a.shape(), a.device());
    submit(a.device(), contract::Add<T>{y.data(), a.value().data(), b.value().data(), y.elements(),
                                        b.shape().elements(), static_cast<T>(beta)});
    return record(y, {&a, &b}, [beta](const Tensor<T>& dy, const auto& inputs) {
        give(inputs[0], dy);
        if (!inputs[1]) return;
        if (inputs[1]->shape != dy.shape()) return give_column_sum(inputs[1], dy, beta);
        if (beta == 1.0) return give(inputs[1], dy);
        const auto db = grad_target(inputs[1]);
        submit(dy.device(),
               contract::Scale<T>{db.data(), dy.data(), dy.elements(), static_cast<T>(beta), db.accumulate});
    });
}
}  // namespace detail

/// y = a + b; b has a's shape or a suffix of it (else Error) and is repeated over the leading dimensions (a bias).
/// Gradient: da = dy, db = dy summed over those dimensions in a fixed order.
template <class T>
Variable<T> add(const Variable<T>& a, const Variable<T>& b) {
    return detail::add_scaled("add", a, b, 1.0);
}

/// y = a - b, shapes as in add(). Gradient: da = dy, db = -dy summed over the repeated dimensions.
template <class T>
Variable<T> subtract(const Variable<T>& a, const Variable<T>& b) {
    return detail::add_scaled("subtract", a, b, -1.0);
}

/// y = x_0 + x_1 + ..., at least one x, all of one shape (else Error). Gradient: dx_j = dy.
template <class T>
Variable<T> add(const std::vector<Variable<T>>& xs) {
    require(!xs.empty(), "add: no operands");
    for (std::size_t j = 0; j < xs.size(); ++j) {
        detail::require_operand("add", fmt::format("operand {}", j).c_str(), xs[j], xs[0]);
        require(xs[j].shape() == xs[0].shape(), "add: operand {} has shape {}, operand 0 has {}", j, xs[j].shape(),
                xs[0].shape());
    }
    if (xs.size() == 1) return xs[0];
    const auto y = Tensor<T>::empty(xs[0].shape(), xs[0].device());
    for (std::size_t j = 1; j < xs.size(); ++j)
        submit(y.device(), contract::Add<T>{y.data(), j == 1 ? xs[0].value().data() : y.data(), xs[j].value().data(),
                                            y.elements(), y.elements(), T(1)});
    return record(y, xs, [](const Tensor<T>& dy, const auto& inputs) {
        for (const auto& input : inputs) give(input, dy);
    });
}

/// y = a + b: add(a, b).
template <class T>
Variable<T> operator+(const Variable<T>& a, const Variable<T>& b) {
    return add(a, b);
}
/// y = a - b: subtract(a, b).
template <class T>
Variable<T> operator-(const Variable<T>& a, const Variable<T>& b) {
    return subtract(a, b);
}

}  // namespace hwnas
