// SPDX-License-Identifier: MIT
#pragma once

#include <hwnas/autodiff/variable.hpp>
#include <hwnas/cpu/gather_batch.hpp>
#include <hwnas/ops/step.hpp>
#include <hwnas/tensor/device_dataset.hpp>

namespace hwnas {

/// A mini-batch on the device: inputs and their targets.
template <class T>
struct Batch {
    Variable<T> inputs;           ///< images or float inputs, [n, H, W, C]; wants no gradient
    Tensor<std::int32_t> labels;  ///< [n], undefined for regression data
    Tensor<T> targets;            ///< [n, target_size], undefined for classification data
};
/// Which examples a step gets.
struct GatherOptions {
    std::int64_t batch = 1;  ///< n, examples of a batch
    bool shuffle = false;    ///< another order every epoch; false: as they lie
    random::Key key{};       ///< of the shuffled order
    std::int64_t first = 0;  ///< unshuffled only: the row the first batch starts at; the last, partial batch of an
                             ///< evaluation is batch = count % n, first = count - batch
};

/// The mini-batch of a step [] on the device: batch b of epoch e, where step = e batches + b and batches = (count -
/// first) / n rounded down. Its row i is row permuted(b n + i, count, key, e) of the data when shuffled (a new order
/// every epoch), else row first + b n + i. Bytes become (byte / 255 - mean) inv_std. No gradient. Throws Error for a
/// batch larger than the data.
template <class T>
Batch<T> gather_batch(const DeviceDataset& data, const Tensor<std::int64_t>& step, const GatherOptions& options) {
    const Shape shape{data.count, data.image[0], data.image[1], data.image[2]};
    require(data.bytes.defined() != data.values.defined(),
            "gather_batch: the data must hold bytes or values (see DeviceDataset::upload)");
    const Shape& held = data.bytes.defined() ? data.bytes.shape() : data.values.shape();
    require(held == shape && shape.elements() > 0, "gather_batch: inputs of shape {}, the data announces {}", held,
            shape);
    require(data.labels.defined() != data.targets.defined(),
            "gather_batch: the data must hold labels or targets (see DeviceDataset::upload)");
    require(!data.labels.defined() || data.labels.shape() == Shape{data.count},
            "gather_batch: labels of shape {} for inputs {}", data.labels.shape(), shape);
    require(!data.targets.defined() || data.targets.shape() == Shape{data.count, data.target_size},
            "gather_batch: targets of shape {} for inputs {}", data.targets.shape(), shape);
    detail::require_scalar("gather_batch", "step", step);
    const Device& device = step.device();
    detail::require_same_device("gather_batch", "inputs",
                                data.bytes.defined() ? data.bytes.device() : data.values.device(), "step", device);
    detail::require_same_device("gather_batch", "labels",
                                data.labels.defined() ? data.labels.device() : data.targets.device(), "step", device);
    require(options.first >= 0 && options.first < data.count, "gather_batch: first row {} is outside the {} rows",
            options.first, data.count);
    require(!options.shuffle || options.first == 0,
            "gather_batch: first row {} with shuffle, a shuffled epoch uses all {} rows", options.first, data.count);
    require(options.batch >= 1 && options.batch <= data.count - options.first,
            "gather_batch: a batch of {} rows, the data has {} from row {} on", options.batch,
            data.count - options.first, options.first);

    Batch<T> result;
    const auto inputs = Tensor<T>::empty({options.batch, data.image[0], data.image[1], data.image[2]}, device);
    if (data.labels.defined())
        result.labels = Tensor<std::int32_t>::empty({options.batch}, device);
    else
        result.targets = Tensor<T>::empty({options.batch, data.target_size}, device);
    submit(device, contract::GatherBatch<T>{inputs.data(), result.labels.defined() ? result.labels.data() : nullptr,
                                            result.targets.defined() ? result.targets.data() : nullptr,
                                            data.bytes.defined() ? data.bytes.data() : nullptr,
                                            data.values.defined() ? data.values.data() : nullptr,
                                            data.labels.defined() ? data.labels.data() : nullptr,
                                            data.targets.defined() ? data.targets.data() : nullptr, step.data(),
                                            options.batch, shape.elements() / data.count, data.target_size, data.count,
                                            (data.count - options.first) / options.batch, options.first, data.mean,
                                            data.inv_std, options.key, options.shuffle});
    result.inputs = Variable<T>(inputs);
    return result;
}

}  // namespace hwnas
