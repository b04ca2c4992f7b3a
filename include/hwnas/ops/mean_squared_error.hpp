// SPDX-License-Identifier: MIT
#pragma once

#include <hwnas/ops/multiply.hpp>
#include <hwnas/ops/sum.hpp>

namespace hwnas {

/// loss = mean of (prediction - target)^2, two values of one shape (else Error) -> 0-d. Gradient: 2 (prediction -
/// target) / elements for the prediction, its negative for the target.
template <class T>
Variable<T> mean_squared_error(const Variable<T>& prediction, const Variable<T>& target) {
    detail::require_operand("mean_squared_error", "prediction", prediction, prediction);
    detail::require_operand("mean_squared_error", "target", target, prediction);
    require(prediction.shape() == target.shape(), "mean_squared_error: prediction has shape {}, target has {}",
            prediction.shape(), target.shape());
    require(prediction.shape().elements() > 0, "mean_squared_error: prediction {} is empty", prediction.shape());
    const auto difference = subtract(prediction, target);
    return mean(multiply(difference, difference));
}

}  // namespace hwnas
