// SPDX-License-Identifier: MIT
#pragma once

#include <hwnas/cpu/multiply.hpp>
#include <hwnas/ops/add.hpp>

namespace hwnas {

/// y = a b, element by element; b has a's shape or a suffix of it (else Error) and is repeated over the leading
/// dimensions. Gradient: da = dy b, db = dy a summed over those dimensions in a fixed order.
template <class T>
Variable<T> multiply(const Variable<T>& a, const Variable<T>& b) {
    detail::require_suffix("multiply", a, b);
    const auto y = Tensor<T>::empty(a.shape(), a.device());
    const auto period = b.shape().elements();
    submit(a.device(), contract::Multiply<T>{y.data(), a.value().data(), b.value().data(), y.elements(), period, 0});
    const auto saved_a = b.requires_grad() ? a.value() : Tensor<T>(),
               saved_b = a.requires_grad() ? b.value() : Tensor<T>();
    return record(y, {&a, &b}, [saved_a, saved_b, period](const Tensor<T>& dy, const auto& inputs) {
        if (inputs[0]) {
            const auto da = grad_target(inputs[0]);
            submit(dy.device(),
                   contract::Multiply<T>{da.data(), dy.data(), saved_b.data(), dy.elements(), period, da.accumulate});
        }
        if (inputs[1]) {
            const auto db = grad_target(inputs[1]);
            if (inputs[1]->shape == dy.shape())
                submit(dy.device(), contract::Multiply<T>{db.data(), dy.data(), saved_a.data(), dy.elements(),
                                                          dy.elements(), db.accumulate});
            else
                submit(dy.device(), contract::MultiplyReduce<T>{db.data(), dy.data(), saved_a.data(), dy.elements(),
                                                                period, db.accumulate});
        }
    });
}

/// y = a b: multiply(a, b).
template <class T>
Variable<T> operator*(const Variable<T>& a, const Variable<T>& b) {
    return multiply(a, b);
}

}  // namespace hwnas
