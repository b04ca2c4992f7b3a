// SPDX-License-Identifier: MIT
#pragma once

#include <hwnas/autodiff/variable.hpp>
#include <hwnas/cpu/cross_entropy.hpp>
#include <hwnas/ops/step.hpp>

namespace hwnas {

/// How targets are made from labels.
struct CrossEntropyOptions {
    double label_smoothing = 0;  ///< s in [0, 1): the target is (1 - s) onehot(label) + s / K
};

/// Mean over rows of -sum_c q log softmax(logits)_c, 0-d, in nats, for logits [N, K] and labels [N] (else Error).
/// Gradient: (softmax - q) / N. Labels lie in device memory, where a recorded step cannot check them: Dataset::check()
/// has; one outside [0, K) makes the loss NaN.
template <class T>
Variable<T> cross_entropy(const Variable<T>& logits, const Tensor<std::int32_t>& labels,
                          const CrossEntropyOptions& options = {}) {
    require(logits.defined() && labels.defined(), "cross_entropy: {} no value",
            logits.defined() ? "labels have" : "logits have");
    require(logits.shape().rank() == 2 && logits.shape().elements() > 0,
            "cross_entropy: logits have shape {}, expected [rows, classes]", logits.shape());
    require(labels.shape() == Shape{logits.shape()[0]},
            "cross_entropy: labels have shape {}, expected [{}] for logits {}", labels.shape(), logits.shape()[0],
            logits.shape());
    detail::require_same_device("cross_entropy", "logits", logits.device(), "labels", labels.device());
    require(options.label_smoothing >= 0 && options.label_smoothing < 1,
            "cross_entropy: label smoothing {} is not in [0, 1)", options.label_smoothing);
    const std::int64_t n = logits.shape()[0], classes = logits.shape()[1];
    const T smoothing = static_cast<T>(options.label_smoothing);
    const auto loss = Tensor<T>::empty({}, logits.device()), probs = Tensor<T>::empty(logits.shape(), logits.device());
    submit(logits.device(), contract::CrossEntropyForward<T>{loss.data(), probs.data(), logits.value().data(),
                                                             labels.data(), n, classes, smoothing});
    return record(loss, {&logits}, [probs, labels, n, classes, smoothing](const Tensor<T>& dloss, const auto& inputs) {
        const auto dlogits = grad_target(inputs[0]);
        submit(dloss.device(),
               contract::CrossEntropyBackward<T>{dlogits.data(), dloss.data(), probs.data(), labels.data(), n, classes,
                                                 smoothing, dlogits.accumulate});
    });
}

}  // namespace hwnas
