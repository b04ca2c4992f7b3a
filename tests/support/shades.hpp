// SPDX-License-Identifier: MIT
// Data and a space small enough for tests that train: square images in four shades, two cells.
#pragma once

#include "support/random_tensor.hpp"

#include <hwnas/space/search_space.hpp>
#include <hwnas/tensor/dataset.hpp>

namespace hwnas::testing {

/// The class, 0 to 3, is how bright the image is, within noise that leaves the classes separable: every network of a
/// space, even one of identities alone, can learn it.
inline Dataset shades(std::int64_t count, std::uint64_t seed, std::int64_t classes = 4, std::int64_t side = 8) {
    const std::int64_t pixels = side * side;
    auto values = random_values<float>(count * pixels, seed, -0.5, 0.5);
    std::vector<std::int32_t> labels;
    for (std::int64_t n = 0; n < count; ++n) {
        const auto shade =
            static_cast<int>(random::words_at(Seed{seed}.stream("shades"), static_cast<std::uint64_t>(n), 0).w[0] % 4);
        for (std::int64_t i = 0; i < pixels; ++i)
            values[static_cast<std::size_t>(n * pixels + i)] += static_cast<float>(shade) - 1.5f;
        labels.push_back(shade);
    }
    return dataset_from_tensors(std::move(values), std::move(labels),
                                {.name = "shades", .image = {side, side, 1}, .classes = classes});
}
/// The space whose latency table is stored in tests/data.
inline SearchSpace tiny_space() {
    return SearchSpace::pointwise({.image = {8, 8, 1}, .classes = 10, .channels = 4, .cells = 2});
}

}  // namespace hwnas::testing
