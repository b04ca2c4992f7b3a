// SPDX-License-Identifier: MIT
// fit(): trains a discrete network, from scratch or further. One recorded step, replayed.
#pragma once

#include <hwnas/autodiff/backward.hpp>
#include <hwnas/ops/augment.hpp>
#include <hwnas/ops/schedule.hpp>
#include <hwnas/train/evaluate.hpp>
#include <hwnas/train/progress.hpp>

namespace hwnas {

/// How fit() trains a discrete network: AdamW, learning rate rising linearly, then half a cosine.
template <class T>
struct BasicFitOptions {
    int epochs = 30;                ///< passes over the training data
    std::int64_t batch = 128;       ///< examples a step; what is left of an epoch is dropped
    double learning_rate = 3e-3;    ///< at its peak; from there half a cosine to 1 % of it
    double warmup = 1;              ///< epochs over which it rises from 0; none in a training of one epoch
    double weight_decay = 1e-2;     ///< of the weights, decoupled from the gradient (AdamW)
    double label_smoothing = 0.05;  ///< share of the target that all classes share, 0 to 1; used where no task is given
    AugmentOptions augment = {};    ///< of the training images; `outside` is set to what a byte of 0 becomes
    double average = 0;             ///< decay of the moving average of the weights, which are then the result, with
                                    ///< batch-norm statistics of their own; 0: none, the last weights are the result
    Seed seed = {};                 ///< of the order of the data and of augmentation
    /// After every step; returning false stops the training.
    std::function<bool(const TrainingProgress&)> on_step = {};
    /// At the end of every epoch, where on_step stops, and in between whenever checkpoint_every has passed.
    CheckpointCallback on_checkpoint = {};
    /// Time between two checkpoints inside an epoch; 0: none there.
    std::chrono::duration<double> checkpoint_every = std::chrono::minutes(1);
    /// Before the first step, with the state that on_checkpoint gets: io::load_checkpoint(file, state) goes on from
    /// there. The options have to be those of the training that saved it.
    std::function<void(const std::vector<NamedTensor>& state)> on_begin = {};
    BasicTask<T> task = {};  ///< what is trained for; not given: classification
};
/// Options of fit() for a network in float.
using FitOptions = BasicFitOptions<float>;

/// What fit() did: how well the last epoch went, and whether it was the last.
struct FitResult {
    double loss = 0, metric = 0;  ///< means over the training batches of the last epoch, or of what was done of it
    bool finished = true;         ///< whether all epochs were done; false: on_step stopped it
};

namespace detail {
inline void check_training(const char* who, int epochs, std::int64_t batch, double learning_rate, std::int64_t count) {
    require(epochs >= 1, "{}: {} epochs; at least 1 is needed", who, epochs);
    require(batch >= 2, "{}: batch {}; batch norm needs at least 2", who, batch);
    require(learning_rate > 0, "{}: learning rate {} is not above 0", who, learning_rate);
    require(count >= batch, "{}: batch {} is larger than the {} training examples", who, batch, count);
}
}  // namespace detail

/// Trains `network` in place. Throws Error for options or data that do not fit, and where the loss becomes infinite or
/// NaN.
template <class T>
FitResult fit(const BasicNetwork<T>& network, const DeviceDataset& train,
              const std::type_identity_t<BasicFitOptions<T>>& options = {}) {
    detail::check_training("fit", options.epochs, options.batch, options.learning_rate, train.count);
    require(options.average >= 0 && options.average < 1, "fit: average {} is not in 0 to 1 (1 excluded)",
            options.average);
    require(options.warmup >= 0 && (options.warmup < options.epochs || options.epochs == 1),
            "fit: {} epochs of warm-up are not in 0 to {}", options.warmup, options.epochs);
    const Device& device = network.device();
    const BasicTask<T> task =
        options.task.loss ? options.task.checked("fit") : classification<T>(options.label_smoothing);
    const Adam<T> adam(network.state().parameters, {.weight_decay = options.weight_decay});
    const auto step = Tensor<std::int64_t>::scalar(0, device);
    const auto learning_rate = Tensor<T>::scalar(T(0), device);
    const auto sums = Tensor<double>::full({2}, 0.0, device);
    const std::int64_t steps = train.count / options.batch;
    const std::int64_t total = steps * options.epochs;
    auto augmentation = options.augment;
    if (train.bytes.defined())
        augmentation.outside = -static_cast<double>(train.mean) * static_cast<double>(train.inv_std);
    // sum of (1 - d) d^(t - i) w_i; divided by 1 - d^t in the end, so that the zeros it starts from do not count.
    const auto average = options.average > 0 ? Tensor<T>::full(adam.values().shape(), T(0), device) : Tensor<T>();
    const auto program = Program::record(device, [&] {
        schedule(learning_rate, step,
                 {.start = options.learning_rate,
                  .end = options.learning_rate * 0.01,
                  .total = total,
                  .warmup =
                      options.epochs > 1
                          ? std::min<std::int64_t>(total - 1, std::llround(options.warmup * static_cast<double>(steps)))
                          : 0,
                  .cosine = true});
        adam.zero_grad();
        auto batch = gather_batch<T>(
            train, step, {.batch = options.batch, .shuffle = true, .key = options.seed.stream("fit/order")});
        if (augmentation.any())
            batch.inputs = augment(batch.inputs, step, options.seed.stream("fit/augment"), augmentation);
        const auto outputs = network.forward(batch.inputs, Phase::train);
        const auto loss = task.loss(outputs, batch);
        accumulate_scalar(sums.rows(0, 1).reshape({}), loss.value(), 1.0);
        accumulate_scalar(sums.rows(1, 1).reshape({}), task.metric(outputs, batch), 1.0);
        backward(loss);
        adam.step(learning_rate, step);
        if (average.defined()) {
            const auto n = average.elements();
            const T keep = static_cast<T>(options.average), add = static_cast<T>(1 - options.average);
            submit(device, contract::Scale<T>{average.data(), average.data(), n, keep, 0});
            submit(device, contract::Scale<T>{average.data(), adam.values().data(), n, add, 1});
        }
        advance(step);
    });
    const auto state = [&] {
        std::vector<NamedTensor> all;
        adam.collect(all, "network");
        for (const auto& buffer : network.state().buffers) all.push_back({"network/" + buffer.name, buffer.tensor});
        if (average.defined()) all.push_back({"fit/average", average});
        all.push_back({"fit/step", step});
        all.push_back({"fit/sums", sums});
        return all;
    };
    if (options.on_begin) options.on_begin(state());
    std::int64_t position = step.item();
    require(position >= 0 && position <= total, "fit: the state is that of step {}, this training has {} steps",
            position, total);
    detail::CheckpointClock clock("fit", options.on_checkpoint, options.checkpoint_every);
    const auto means = [&](std::int64_t steps_done) {
        auto m = sums.to_vector();
        for (double& x : m) x /= static_cast<double>(steps_done);
        return m;
    };
    bool go_on = true;
    while (go_on && position < total) {
        const auto epoch = static_cast<int>(position / steps);
        const std::int64_t i = position++ % steps + 1;
        if (i == 1) sums.assign(0.0);
        program.run();
        const TrainingProgress progress{epoch, options.epochs, i, steps, options.batch, [&] { return means(i); }};
        const auto check = [&] {
            if (!std::isfinite(means(i)[0])) detail::fail_not_finite("fit", epoch, options.learning_rate);
        };
        if (detail::loss_is_due(device, i, steps)) check();
        go_on = !options.on_step || options.on_step(progress);
        if (clock.due(i == steps || !go_on)) check(), clock.save(state(), progress);
    }
    const auto reached = means(position == 0 ? 1 : (position - 1) % steps + 1);
    const FitResult result{.loss = reached[0], .metric = reached[1], .finished = go_on};
    if (!go_on) return result;
    if (average.defined()) {
        const double weight = 1 - std::pow(options.average, static_cast<double>(total));
        submit(device, contract::Scale<T>{adam.values().data(), average.data(), average.elements(),
                                          static_cast<T>(1 / weight), 0});
        recalibrate(network, train, {.seed = options.seed});
    }
    return result;
}
/// Trains `network` in place on host data, which are uploaded first.
template <class T>
FitResult fit(const BasicNetwork<T>& network, const Dataset& train,
              const std::type_identity_t<BasicFitOptions<T>>& options = {}) {
    return fit(network, DeviceDataset::upload(train, network.device()), options);
}

}  // namespace hwnas
