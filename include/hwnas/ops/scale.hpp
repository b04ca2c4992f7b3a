// SPDX-License-Identifier: MIT
#pragma once

#include <hwnas/cpu/scale.hpp>
#include <hwnas/ops/reshape.hpp>
#include <hwnas/ops/weighted_sum.hpp>

namespace hwnas {

/// y = factor x, any shape. Gradient: dx = factor dy. In a recorded step the factor is a constant; what changes from
/// step to step takes the other overload.
template <class T>
Variable<T> scale(const Variable<T>& x, double factor) {
    require(x.defined(), "scale: input has no value");
    const auto y = Tensor<T>::empty(x.shape(), x.device());
    submit(x.device(), contract::Scale<T>{y.data(), x.value().data(), y.elements(), static_cast<T>(factor), 0});
    return record(y, {&x}, [factor](const Tensor<T>& dy, const auto& inputs) {
        const auto dx = grad_target(inputs[0]);
        submit(dy.device(),
               contract::Scale<T>{dx.data(), dy.data(), dy.elements(), static_cast<T>(factor), dx.accumulate});
    });
}

/// y[n] = s[n] x[n]: s is a number (0-d or [1]) or one number an image, [N] for x [N, ...] (else Error). Gradient: dx =
/// s dy, ds = sum of dy x over what s multiplied. Where s is exactly 0, x is not read and y is 0.
template <class T>
Variable<T> scale(const Variable<T>& x, const Variable<T>& s) {
    detail::require_operand("scale", "input", x, x);
    detail::require_operand("scale", "factor", s, x);
    const auto elements = s.shape().elements();
    require(s.shape().rank() == 0 ||
                (s.shape().rank() == 1 && (elements == 1 || (x.shape().rank() >= 1 && elements == x.shape()[0]))),
            "scale: factor has shape {}, expected one number or one for each image of {}", s.shape(), x.shape());
    return weighted_sum<T>({x}, reshape(s, {elements, 1}), {0});
}

/// y = factor x: scale(x, factor).
template <class T>
Variable<T> operator*(const Variable<T>& x, double factor) {
    return scale(x, factor);
}
/// y = factor x: scale(x, factor).
template <class T>
Variable<T> operator*(double factor, const Variable<T>& x) {
    return scale(x, factor);
}

}  // namespace hwnas
