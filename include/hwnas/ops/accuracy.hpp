// SPDX-License-Identifier: MIT
#pragma once

#include <hwnas/autodiff/variable.hpp>
#include <hwnas/cpu/accuracy.hpp>
#include <hwnas/ops/step.hpp>

namespace hwnas {

/// Share, from 0 to 1, of the rows of logits [N, K] whose largest element, the first of equals, stands at labels [N]; a
/// 0-d tensor without gradient. A row with a NaN is wrong. Throws Error for other shapes.
template <class T>
Tensor<T> accuracy(const Variable<T>& logits, const Tensor<std::int32_t>& labels) {
    require(logits.defined() && labels.defined(), "accuracy: {} no value",
            logits.defined() ? "labels have" : "logits have");
    require(logits.shape().rank() == 2 && logits.shape().elements() > 0,
            "accuracy: logits have shape {}, expected [rows, classes]", logits.shape());
    require(labels.shape() == Shape{logits.shape()[0]}, "accuracy: labels have shape {}, expected [{}] for logits {}",
            labels.shape(), logits.shape()[0], logits.shape());
    detail::require_same_device("accuracy", "logits", logits.device(), "labels", labels.device());
    const auto out = Tensor<T>::empty({}, logits.device());
    submit(logits.device(), contract::Accuracy<T>{out.data(), logits.value().data(), labels.data(), logits.shape()[0],
                                                  logits.shape()[1]});
    return out;
}

}  // namespace hwnas
