// SPDX-License-Identifier: MIT
#pragma once

#include <hwnas/autodiff/variable.hpp>
#include <hwnas/cpu/softmax.hpp>

namespace hwnas {

/// y = exp(x) / sum exp(x) over the last axis, x of any shape with rank >= 1 and not empty (else Error); the largest
/// element is subtracted first, so that nothing overflows. Gradient: dx = y (dy - <dy, y>) row by row.
template <class T>
Variable<T> softmax(const Variable<T>& x) {
    require(x.defined(), "softmax: input has no value");
    require(x.shape().rank() >= 1, "softmax: input has shape {}, expected at least one axis", x.shape());
    require(x.shape().elements() > 0, "softmax: input {} is empty", x.shape());
    const std::int64_t columns = x.shape()[-1], rows = x.shape().elements() / columns;
    const auto y = Tensor<T>::empty(x.shape(), x.device());
    submit(x.device(), contract::SoftmaxForward<T>{y.data(), x.value().data(), rows, columns});
    return record(y, {&x}, [y, rows, columns](const Tensor<T>& dy, const auto& inputs) {
        const auto dx = grad_target(inputs[0]);
        submit(dy.device(), contract::SoftmaxBackward<T>{dx.data(), dy.data(), y.data(), rows, columns, dx.accumulate});
    });
}

}  // namespace hwnas
