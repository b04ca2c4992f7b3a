// SPDX-License-Identifier: MIT
// Searches small enough for tests.
#pragma once

#include "latency/space_table.hpp"
#include "support/catch.hpp"
#include "support/shades.hpp"

#include <hwnas/family/family.hpp>
#include <hwnas/train/single_level_trainer.hpp>

namespace hwnas::testing {

inline constexpr SearchMode modes[] = {SearchMode::relaxed, SearchMode::straight_through, SearchMode::single_path};

/// Even smaller: one cell of two nodes, two channels, 5 rows.
inline SearchSpace smallest_space() {
    return SearchSpace::pointwise({.image = {8, 8, 1}, .classes = 4, .channels = 2, .cells = 1, .nodes = 2});
}

/// A task that asks for nothing: whatever moves then comes from the cost terms.
inline Task no_task() {
    return {.loss = [](const auto& outputs, const auto&) { return scale(sum(outputs), 0.0); },
            .metric = [](const auto& outputs, const auto&) { return Tensor<float>::scalar(0.0f, outputs.device()); },
            .metric_name = "nothing"};
}
inline SingleLevelTrainer<SuperNet> tiny_trainer(const SearchSpace& space, const Device& device, TrainerOptions options,
                                                 std::optional<LatencyTable> table = {}) {
    std::optional<LatencyModel> model;
    if (table) model.emplace(space, *std::move(table));
    return {SuperNet(space, device, seed(42)), HyperNet(space, device, seed(42), {.hidden = 32}), std::move(model),
            std::move(options)};
}

}  // namespace hwnas::testing
