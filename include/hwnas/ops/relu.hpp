// SPDX-License-Identifier: MIT
#pragma once

#include <hwnas/autodiff/variable.hpp>
#include <hwnas/cpu/relu.hpp>

namespace hwnas {

/// y = max(x, 0), any shape; NaN stays NaN. Gradient: dx = dy where y > 0, else 0 (0 at the kink).
template <class T>
Variable<T> relu(const Variable<T>& x) {
    require(x.defined(), "relu: input has no value");
    const auto y = Tensor<T>::empty(x.shape(), x.device());
    submit(x.device(), contract::ReluForward<T>{y.data(), x.value().data(), y.elements()});
    return record(y, {&x}, [y](const Tensor<T>& dy, const auto& inputs) {
        const auto dx = grad_target(inputs[0]);
        submit(dy.device(), contract::ReluBackward<T>{dx.data(), dy.data(), y.data(), dy.elements(), dx.accumulate});
    });
}

}  // namespace hwnas
