// SPDX-License-Identifier: MIT
#pragma once

#include <hwnas/cpu/scale.hpp>
#include <hwnas/ops/column_sum.hpp>

namespace hwnas {

namespace detail {
template <class T>
Variable<T> scaled_sum(const Variable<T>& x, double factor) {
    const auto y = Tensor<T>::empty({}, x.device());
    column_sum_into(y, x.value(), factor, 0);
    return record(y, {&x}, [factor](const Tensor<T>& dy, const auto& inputs) {
        const auto dx = grad_target(inputs[0]);
        submit(dy.device(), contract::Broadcast<T>{dx.data(), dy.data(), dx.tensor.elements(), static_cast<T>(factor),
                                                   dx.accumulate});
    });
}
}  // namespace detail

/// y = sum of all elements, any shape -> 0-d; summed in double and in a fixed order. Gradient: dx = dy everywhere.
template <class T>
Variable<T> sum(const Variable<T>& x) {
    require(x.defined(), "sum: input has no value");
    return detail::scaled_sum(x, 1.0);
}

/// y = mean of all elements, any shape that is not empty (else Error) -> 0-d; summed in double and in a fixed order.
/// Gradient: dx = dy / elements.
template <class T>
Variable<T> mean(const Variable<T>& x) {
    require(x.defined(), "mean: input has no value");
    require(x.shape().elements() > 0, "mean: input {} is empty", x.shape());
    return detail::scaled_sum(x, 1.0 / static_cast<double>(x.shape().elements()));
}

}  // namespace hwnas
