// SPDX-License-Identifier: MIT
// evaluate() and recalibrate(): a network over a data set, without a tape, as recorded programs.
#pragma once

#include <hwnas/autodiff/program.hpp>
#include <hwnas/ops/batch_norm.hpp>
#include <hwnas/ops/step.hpp>
#include <hwnas/supernet/network.hpp>
#include <hwnas/train/task.hpp>

namespace hwnas {

/// Means of a task's loss and metric over a data set.
struct Evaluation {
    double loss = 0, metric = 0;  ///< of the task; without one cross-entropy, and accuracy as a share from 0 to 1
    std::int64_t count = 0;       ///< examples they are the means of
};

/// Loss and metric of any forward pass over `data`, without a tape. forward: inputs [N, H, W, C] -> outputs, in
/// Phase::eval. Every example counts once; the last batch may be smaller. Throws Error for empty data.
template <class T, class F>
Evaluation evaluate_forward(const Device& device, const DeviceDataset& data, const BasicTask<T>& measured, F&& forward,
                            std::int64_t batch = 250) {
    const auto task = measured.checked("evaluate");
    require(data.count >= 1, "evaluate: the data set is empty");
    require(batch >= 1, "evaluate: batch {}", batch);
    batch = std::min(batch, data.count);
    const auto step = Tensor<std::int64_t>::scalar(0, device);
    const auto sums = Tensor<double>::full({2}, 0.0, device);
    const auto run = [&](std::int64_t size, std::int64_t first, std::int64_t times) {
        const auto program = Program::record(device, [&] {
            const NoGrad no_grad;
            const auto examples = gather_batch<T>(data, step, {.batch = size, .first = first});
            const Variable<T> outputs = forward(examples.inputs);
            accumulate_scalar(sums.rows(0, 1).reshape({}), task.loss(outputs, examples).value(),
                              static_cast<double>(size));
            accumulate_scalar(sums.rows(1, 1).reshape({}), task.metric(outputs, examples), static_cast<double>(size));
            advance(step);
        });
        for (std::int64_t i = 0; i < times; ++i) program.run();
    };
    run(batch, 0, data.count / batch);
    if (const std::int64_t rest = data.count % batch) {
        step.assign(std::int64_t{0});
        run(rest, data.count - rest, 1);
    }
    const auto total = sums.to_vector();
    return {total[0] / static_cast<double>(data.count), total[1] / static_cast<double>(data.count), data.count};
}

/// What batch-norm statistics are recomputed on.
struct RecalibrationOptions {
    int batches = 50;          ///< at most; never more than one pass over the data
    std::int64_t batch = 128;  ///< examples a batch
    Seed seed = {};            ///< of the order the examples are drawn in
};

/// Recomputes running statistics as the mean over `batches` shuffled training batches, of which there are no more than
/// one pass over the data has. forward: inputs -> outputs, in Phase::train; `momentum` is that of its batch norms.
/// Throws Error for batches of fewer than 2 examples.
template <class T, class F>
void recalibrate_forward(const Device& device, const DeviceDataset& data, const Tensor<T>& momentum, F&& forward,
                         const RecalibrationOptions& options = {}) {
    require(options.batches >= 1, "recalibrate: {} batches", options.batches);
    const std::int64_t batch = std::min(options.batch, data.count);
    require(batch >= 2, "recalibrate: a batch of {} has no statistics", batch);
    const auto step = Tensor<std::int64_t>::scalar(0, device);
    const auto program = Program::record(device, [&] {
        const NoGrad no_grad;
        forward(
            gather_batch<T>(data, step, {.batch = batch, .shuffle = true, .key = options.seed.stream("recalibrate")})
                .inputs);
        advance(step);
    });
    const T before = momentum.item();
    const auto batches = std::min<std::int64_t>(options.batches, data.count / batch);
    for (std::int64_t i = 0; i < batches; ++i) {
        momentum.assign(static_cast<T>(1.0 / static_cast<double>(i + 1)));
        program.run();
    }
    momentum.assign(before);
}

/// Loss and metric of a discrete network on a data set already on its device.
template <class T>
Evaluation evaluate(const BasicNetwork<T>& network, const DeviceDataset& data,
                    const BasicTask<T>& task = classification<T>()) {
    return evaluate_forward<T>(network.device(), data, task,
                               [&](const Variable<T>& x) { return network.forward(x, Phase::eval); });
}
/// Loss and metric of a discrete network on host data, which are uploaded first.
template <class T>
Evaluation evaluate(const BasicNetwork<T>& network, const Dataset& data,
                    const BasicTask<T>& task = classification<T>()) {
    return evaluate(network, DeviceDataset::upload(data, network.device()), task);
}

/// Recomputes a discrete network's batch-norm statistics on training data. With weights inherited from a supernet this
/// is needed before its accuracy means anything.
template <class T>
void recalibrate(const BasicNetwork<T>& network, const DeviceDataset& train, const RecalibrationOptions& options = {}) {
    recalibrate_forward<T>(
        network.device(), train, network.momentum(),
        [&](const Variable<T>& x) { return network.forward(x, Phase::train); }, options);
}
/// Recomputes a discrete network's batch-norm statistics on host data, which are uploaded first.
template <class T>
void recalibrate(const BasicNetwork<T>& network, const Dataset& train, const RecalibrationOptions& options = {}) {
    recalibrate(network, DeviceDataset::upload(train, network.device()), options);
}

}  // namespace hwnas
