// SPDX-License-Identifier: MIT
#pragma once

#include <hwnas/autodiff/variable.hpp>

namespace hwnas {

/// The same values under another shape with as many elements (else Error); shares storage, costs nothing. Gradient: dy
/// under x's shape.
template <class T>
Variable<T> reshape(const Variable<T>& x, const Shape& shape) {
    require(x.defined(), "reshape: input has no value");
    return record(x.value().reshape(shape), {&x},
                  [from = x.shape()](const Tensor<T>& dy, const auto& inputs) { give(inputs[0], dy.reshape(from)); });
}

}  // namespace hwnas
