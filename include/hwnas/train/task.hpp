// SPDX-License-Identifier: MIT
// Task: what a network is trained for, as two callables on (outputs, batch). Classification by default.
#pragma once

#include <hwnas/ops/accuracy.hpp>
#include <hwnas/ops/cross_entropy.hpp>
#include <hwnas/ops/gather_batch.hpp>
#include <hwnas/ops/mean_squared_error.hpp>

#include <functional>

namespace hwnas {

/// A loss to train for and a metric to report.
template <class T>
struct BasicTask {
    /// 0-d, differentiable, the mean over the batch.
    std::function<Variable<T>(const Variable<T>& outputs, const Batch<T>& batch)> loss = {};
    /// 0-d, the mean over the batch; reported, not trained. Left out: the loss.
    std::function<Tensor<T>(const Variable<T>& outputs, const Batch<T>& batch)> metric = {};
    std::string metric_name = "accuracy";  ///< for tables
    bool higher_is_better = true;          ///< of the metric

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
/// Of a float network.
using Task = BasicTask<float>;

/// Cross-entropy on class labels; metric: accuracy.
template <class T = float>
BasicTask<T> classification(double label_smoothing = 0) {
    return {[label_smoothing](const Variable<T>& outputs, const Batch<T>& batch) {
                return cross_entropy(outputs, batch.labels, {.label_smoothing = label_smoothing});
            },
            [](const Variable<T>& outputs, const Batch<T>& batch) { return accuracy(outputs, batch.labels); }};
}
/// Mean squared error on float targets; metric: the same.
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
