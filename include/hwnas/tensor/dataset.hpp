// SPDX-License-Identifier: MIT
// Dataset: inputs and targets in host memory, plain data that a user can fill, read and print.
// Inputs are images as bytes (scaled on the device) or floats; targets are class labels or rows of floats.
#pragma once

#include <hwnas/core/error.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace hwnas {

/// Examples in host memory, plain data that a program fills: images as bytes or any inputs as floats, with class labels
/// or rows of floats as targets.
struct Dataset {
    std::string name;                     ///< opens error messages about the data
    std::int64_t count = 0;               ///< examples
    std::array<std::int64_t, 3> image{};  ///< height, width, channels (NHWC)
    std::int64_t classes = 0;             ///< labels lie in [0, classes); 0 for regression
    std::vector<std::uint8_t> bytes;      ///< [count, H, W, C], used as (byte / 255 - mean) / std
    float mean = 0.2860f, std = 0.3530f;  ///< of byte / 255 over the training images; by default those of Fashion-MNIST
    std::vector<float> values;            ///< [count, H, W, C] when the inputs are floats; bytes is then empty
    std::vector<std::int32_t> labels;     ///< [count] for classification; targets is then empty
    std::vector<float> targets;           ///< [count, target_size] for regression; labels is then empty
    std::int64_t target_size = 0;         ///< numbers a target row; 0 for classification

    /// Numbers per input: height x width x channels.
    std::int64_t image_size() const { return image[0] * image[1] * image[2]; }

    /// The rows at `indices`, in that order, repeats allowed; throws Error for an index outside [0, count).
    Dataset subset(std::span<const std::int64_t> indices) const;

    /// The first n rows; throws Error unless 0 <= n <= count.
    Dataset first(std::int64_t n) const;

    /// Throws Error, naming the field and the row, for inconsistent sizes, labels out of range or numbers that are not
    /// finite.
    void check() const;
};

namespace detail {

template <class T>
std::vector<T> rows(const std::vector<T>& from, std::span<const std::int64_t> indices, std::size_t size) {
    std::vector<T> to;
    if (from.empty()) return to;
    to.reserve(indices.size() * size);
    for (const auto index : indices) {
        const auto start = from.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(index) * size);
        to.insert(to.end(), start, start + static_cast<std::ptrdiff_t>(size));
    }
    return to;
}

inline std::string label_of(const Dataset& data) {
    return data.name.empty() ? "dataset" : fmt::format("dataset {}", data.name);
}

inline void check_finite(const Dataset& data, const std::vector<float>& numbers, const char* field) {
    const auto bad = std::find_if(numbers.begin(), numbers.end(), [](float v) { return !std::isfinite(v); });
    if (bad != numbers.end())
        fail("{}: {}[{}] is {}, every number must be finite", label_of(data), field, bad - numbers.begin(), *bad);
}

}  // namespace detail

inline Dataset Dataset::subset(std::span<const std::int64_t> indices) const {
    check();
    for (const auto index : indices)
        if (index < 0 || index >= count)
            fail("{}: index {} is outside its {} rows", detail::label_of(*this), index, count);
    Dataset part;
    part.name = name;
    part.count = static_cast<std::int64_t>(indices.size());
    part.image = image;
    part.classes = classes;
    part.mean = mean;
    part.std = std;
    part.target_size = target_size;
    part.bytes = detail::rows(bytes, indices, static_cast<std::size_t>(image_size()));
    part.values = detail::rows(values, indices, static_cast<std::size_t>(image_size()));
    part.labels = detail::rows(labels, indices, 1);
    part.targets = detail::rows(targets, indices, static_cast<std::size_t>(target_size));
    return part;
}

inline Dataset Dataset::first(std::int64_t n) const {
    if (n < 0 || n > count) fail("{}: the first {} rows asked for, it has {}", detail::label_of(*this), n, count);
    std::vector<std::int64_t> indices(static_cast<std::size_t>(n));
    std::iota(indices.begin(), indices.end(), std::int64_t{0});
    return subset(indices);
}

inline void Dataset::check() const {
    const std::string who = detail::label_of(*this);
    std::int64_t size = 1;
    for (const auto extent : image) {
        if (extent < 1 || extent > std::numeric_limits<std::int32_t>::max() / size)
            fail("{}: an image of {} x {} x {} (height, width, channels) is impossible", who, image[0], image[1],
                 image[2]);
        size *= extent;
    }
    if (count < 0) fail("{}: count is {}, it cannot be negative", who, count);
    if (target_size < 0) fail("{}: target_size is {}, it cannot be negative", who, target_size);
    const auto needs = [&](const char* field, std::size_t has, std::int64_t row) {
        // Division, because count * row of a hostile count may not fit.
        const auto rows = static_cast<std::int64_t>(has) / row;
        if (rows != count || static_cast<std::int64_t>(has) % row != 0)
            fail("{}: {} holds {} numbers, {} rows of {} were announced", who, field, has, count, row);
    };
    if (!bytes.empty() && !values.empty()) fail("{}: both bytes and values are filled, keep one of them", who);
    if (!labels.empty() && !targets.empty()) fail("{}: both labels and targets are filled, keep one of them", who);
    if (!values.empty())
        needs("values", values.size(), size);
    else
        needs("bytes", bytes.size(), size);
    if (!targets.empty() || target_size > 0)
        needs("targets", targets.size(), std::max<std::int64_t>(1, target_size));
    else
        needs("labels", labels.size(), 1);
    if (!targets.empty() && target_size == 0) fail("{}: targets are filled, but target_size is 0", who);
    if (!labels.empty()) {
        if (classes < 1) fail("{}: labels are filled, but classes is {}", who, classes);
        for (std::size_t i = 0; i < labels.size(); ++i)
            if (labels[i] < 0 || labels[i] >= classes)
                fail("{}: label {} of row {} is outside the {} classes", who, labels[i], i, classes);
    }
    if (!bytes.empty() && !(std::isfinite(mean) && std::isfinite(std) && std > 0))
        fail("{}: mean {} and std {} cannot scale bytes, std must be positive", who, mean, std);
    detail::check_finite(*this, values, "values");
    detail::check_finite(*this, targets, "targets");
}

/// What dataset_from_tensors() has to be told about arrays.
struct DatasetOptions {
    std::string name = {};                ///< opens error messages about the data
    std::array<std::int64_t, 3> image{};  ///< height, width, channels; {1, 1, features} for plain rows
    std::int64_t classes = 0;             ///< number of classes; 0: the largest label + 1
    float mean = 0.2860f, std = 0.3530f;  ///< of byte / 255; for byte images only
};

namespace detail {

inline Dataset described(const DatasetOptions& options, std::size_t numbers) {
    Dataset data;
    data.name = options.name;
    data.image = options.image;
    data.mean = options.mean;
    data.std = options.std;
    std::int64_t size = 1;
    for (const auto extent : options.image)
        size = extent < 1 || size > std::numeric_limits<std::int32_t>::max() / extent ? 0 : size * extent;
    // An impossible image is left for check() to name.
    data.count = size == 0 ? 0 : static_cast<std::int64_t>(numbers) / size;
    return data;
}

inline void set_labels(Dataset& data, std::vector<std::int32_t> labels, std::int64_t classes) {
    const auto largest = std::max_element(labels.begin(), labels.end());
    data.classes = classes != 0 || largest == labels.end() ? classes : std::int64_t{*largest} + 1;
    data.labels = std::move(labels);
}

}  // namespace detail

/// Byte images [count, H, W, C] with one class label each; throws Error when they do not fit together.
inline Dataset dataset_from_tensors(std::vector<std::uint8_t> bytes, std::vector<std::int32_t> labels,
                                    const DatasetOptions& options) {
    Dataset data = detail::described(options, bytes.size());
    data.bytes = std::move(bytes);
    detail::set_labels(data, std::move(labels), options.classes);
    data.check();
    return data;
}

/// Float inputs [count, H, W, C] with one class label each; throws Error when they do not fit together.
inline Dataset dataset_from_tensors(std::vector<float> values, std::vector<std::int32_t> labels,
                                    const DatasetOptions& options) {
    Dataset data = detail::described(options, values.size());
    data.values = std::move(values);
    detail::set_labels(data, std::move(labels), options.classes);
    data.check();
    return data;
}

/// Float inputs [count, H, W, C] with float targets [count, target_size]; throws Error when they do not fit together.
inline Dataset dataset_from_tensors(std::vector<float> values, std::vector<float> targets,
                                    const DatasetOptions& options) {
    Dataset data = detail::described(options, values.size());
    data.target_size = data.count == 0 ? 0 : static_cast<std::int64_t>(targets.size()) / data.count;
    data.values = std::move(values);
    data.targets = std::move(targets);
    data.check();
    return data;
}

}  // namespace hwnas
