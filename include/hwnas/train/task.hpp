// SPDX-License-Identifier: MIT
// Task: what a network is trained for, as two callables on (outputs, batch). Classification by default.
#pragma once

#include <hwnas/ops/accuracy.hpp>
#include <hwnas/ops/cross_entropy.hpp>
#include <hwnas/ops/gather_batch.hpp>
#include <hwnas/ops/mean_squared_error.hpp>

#include <functional>

namespace hwnas {

/// What a network is trained for: a loss to minimise and a metric to report, as callables on (outputs, batch).
template <class T>
struct BasicTask {
    /// 0-d, differentiable, the mean over the batch.
    std::function<Variable<T>(const Variable<T>& outputs, const Batch<T>& batch)> loss = {};
    /// 0-d, the mean over the batch; reported, not trained. Left out: the loss.
    std::function<Tensor<T>(const Variable<T>& outputs, const Batch<T>& batch)> metric = {};
    std::string metric_name = "accuracy";  ///< what tables and messages call the metric
    bool higher_is_better = true;          ///< whether a larger metric is better

    /// This task as `who` needs it: it has a loss, and where it has no metric the loss is reported.
    BasicTask checked(const char* who) const {
        require(loss != nullptr, "{}: the task has no loss", who);
        BasicTask task = *this;
        if (!metric) {
            task.metric = [loss = loss](const Variable<T>& outputs, const Batch<T>& batch) {
                return loss(outputs.detach(), batch).value();
            };
            task.metric_name = "loss", task.higher_is_better = false;
        }
        return task;
    }
};
/// A task for networks in float.
using Task = BasicTask<float>;

/// Classes: cross-entropy on Batch::labels, label smoothing from 0 to 1; the metric is accuracy, a share from 0 to 1.
template <class T = float>
BasicTask<T> classification(double label_smoothing = 0) {
    return {[label_smoothing](const Variable<T>& outputs, const Batch<T>& batch) {
                return cross_entropy(outputs, batch.labels, {.label_smoothing = label_smoothing});
            },
            [](const Variable<T>& outputs, const Batch<T>& batch) { return accuracy(outputs, batch.labels); }};
}
/// Numbers: mean squared error on Batch::targets, which is the metric as well (smaller is better).
template <class T = float>
BasicTask<T> regression() {
    const auto error = [](const Variable<T>& outputs, const Batch<T>& batch) {
        return mean_squared_error(outputs, Variable<T>(batch.targets));
    };
    return {
        error,
        [error](const Variable<T>& outputs, const Batch<T>& batch) { return error(outputs.detach(), batch).value(); },
        "squared error", false};
}

}  // namespace hwnas
