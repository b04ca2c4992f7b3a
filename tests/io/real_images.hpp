// SPDX-License-Identifier: MIT
// What exported models are compared on: images of Fashion-MNIST's test set, and networks that have learnt a little.
#pragma once

#include <hwnas/cpu/device.hpp>
#include <hwnas/io/fashion_mnist.hpp>
#include <hwnas/train/fit.hpp>

#include <optional>

namespace hwnas_test {

/// The data set, read once; none where it is not installed.
inline const std::optional<hwnas::io::FashionMnist>& fashion_mnist() {
    static const auto data = []() -> std::optional<hwnas::io::FashionMnist> {
        try {
            return hwnas::io::fashion_mnist();
        } catch (const hwnas::Error& error) {
            if (std::string_view(error.what()).starts_with("no Fashion-MNIST")) return std::nullopt;
            throw;
        }
    }();
    return data;
}

/// The first n test images as a network gets them, [n, 28, 28, 1]; empty without the data set.
inline std::vector<float> real_images(std::int64_t n) {
    std::vector<float> images;
    if (!fashion_mnist()) return images;
    const auto& test = fashion_mnist()->test;
    for (std::int64_t i = 0; i < n * test.image_size(); ++i)
        images.push_back((static_cast<float>(test.bytes[static_cast<std::size_t>(i)]) / 255.0f - test.mean) / test.std);
    return images;
}

/// A network of a built-in space with primitives of every kind, trained for a moment.
inline hwnas::Network trained_network(const std::string& space_name) {
    const auto space = hwnas::SearchSpace::named(space_name, {.channels = 8});
    std::vector<int> choices;
    for (int row = 0; row < space.architecture().rows(); ++row) choices.push_back(row * 7 % 5 % 3);
    hwnas::Network network(space, hwnas::Genotype::from_choices(space.architecture(), choices),
                           hwnas::cpu::device({.threads = 1}), hwnas::seed(42));
    hwnas::fit(network, fashion_mnist()->train.first(512), {.epochs = 1, .batch = 32});
    return network;
}

}  // namespace hwnas_test
