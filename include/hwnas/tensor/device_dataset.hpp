// SPDX-License-Identifier: MIT
// A Dataset in device memory, from which gather_batch() assembles mini-batches without the host.
#pragma once

#include <hwnas/tensor/dataset.hpp>
#include <hwnas/tensor/tensor.hpp>

namespace hwnas {

/// A Dataset in device memory, from which gather_batch() takes mini-batches; arrays it does not use stay undefined.
struct DeviceDataset {
    Tensor<std::uint8_t> bytes;                 ///< images as bytes, [count, H, W, C]; or else
    Tensor<float> values;                       ///< float inputs, [count, H, W, C]
    Tensor<std::int32_t> labels;                ///< class of every example, [count]; or else
    Tensor<float> targets;                      ///< float targets, [count, target_size]
    std::int64_t count = 0;                     ///< examples
    std::array<std::int64_t, 3> image{};        ///< height, width, channels
    std::int64_t classes = 0, target_size = 0;  ///< classes, and numbers a target, as in Dataset
    float mean = 0, inv_std = 1;                ///< bytes are used as (byte / 255 - mean) inv_std

    /// Checks the data with Dataset::check() and copies it to the device; throws Error when it has no rows.
    static DeviceDataset upload(const Dataset& data, const Device& device) {
        data.check();
        require(data.count > 0, "{}: it has no rows to upload", detail::label_of(data));
        DeviceDataset on_device;
        on_device.count = data.count;
        on_device.image = data.image;
        on_device.classes = data.classes;
        on_device.target_size = data.target_size;
        on_device.mean = data.mean;
        on_device.inv_std = 1.0f / data.std;
        const Shape shape{data.count, data.image[0], data.image[1], data.image[2]};
        if (!data.bytes.empty()) on_device.bytes = Tensor<std::uint8_t>::from(data.bytes, shape, device);
        if (!data.values.empty()) on_device.values = Tensor<float>::from(data.values, shape, device);
        if (!data.labels.empty()) on_device.labels = Tensor<std::int32_t>::from(data.labels, {data.count}, device);
        if (!data.targets.empty())
            on_device.targets = Tensor<float>::from(data.targets, {data.count, data.target_size}, device);
        return on_device;
    }
};

}  // namespace hwnas
