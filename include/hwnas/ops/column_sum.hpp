// SPDX-License-Identifier: MIT
// Sum over the leading dimensions: an op, and what the gradient of every repeated operand (a bias, a scale) is made of.
#pragma once

#include <hwnas/autodiff/variable.hpp>
#include <hwnas/cpu/add.hpp>
#include <hwnas/cpu/column_sum.hpp>

namespace hwnas {

namespace detail {
/// out[j] (+)= factor sum_r x[r, j]; out has as many elements as x has columns.
template <class T>
void column_sum_into(const Tensor<T>& out, const Tensor<T>& x, double factor, std::int32_t accumulate) {
    const auto n = x.elements(), period = out.elements();
    const auto partial = Tensor<T>::empty({cpu::column_sum_chunks(n, period), period}, x.device());
    submit(x.device(),
           contract::ColumnSum<T>{out.data(), partial.data(), x.data(), n, period, static_cast<T>(factor), accumulate});
}
/// Adds factor times the column sums of x to the gradient of `node`, whose shape is a suffix of that of x.
template <class T>
void give_column_sum(const std::shared_ptr<Node<T>>& node, const Tensor<T>& x, double factor = 1) {
    if (!node) return;
    const auto target = grad_target(node);
    column_sum_into(target.tensor, x, factor, target.accumulate);
}
}  // namespace detail

/// y[c] = sum of x[..., c] over all dimensions but the last: [..., C] -> [C] (else Error), in double and in a fixed
/// order. Gradient: dx[..., c] = dy[c].
template <class T>
Variable<T> column_sum(const Variable<T>& x) {
    require(x.defined(), "column_sum: input has no value");
    require(x.shape().rank() >= 1, "column_sum: input has shape {}, expected [..., C]", x.shape());
    const auto y = Tensor<T>::empty({x.shape()[-1]}, x.device());
    detail::column_sum_into(y, x.value(), 1.0, 0);
    return record(y, {&x}, [](const Tensor<T>& dy, const auto& inputs) {
        const auto dx = grad_target(inputs[0]);
        const auto n = dx.tensor.elements();
        if (!dx.accumulate) submit(dy.device(), contract::Fill<T>{dx.data(), n, T(0)});
        submit(dy.device(), contract::Add<T>{dx.data(), dx.data(), dy.data(), n, dy.elements(), T(1)});
    });
}

}  // namespace hwnas
