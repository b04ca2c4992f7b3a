// SPDX-License-Identifier: MIT
// One tiny search for all tests of families: 4 classes, penalties that matter.
#pragma once

#include "train/tiny.hpp"

namespace hwnas::testing {

/// A made-up table that says it is of this machine and these kernels, so that best() measures.
inline LatencyTable table_of_here(const SearchSpace& space, const Device& device) {
    auto table = made_up_table(space);
    table.device = hwnas::detail::processor_name(device);
    table.isa = cpu::isa_name(device.backend().cpu()->isa);
    return table;
}

inline const Family& searched() {
    static const Family family = [] {
        const auto space =
            SearchSpace::pointwise({.image = {8, 8, 1}, .classes = 4, .channels = 4, .cells = 2, .nodes = 2});
        const auto device = test_device(1);
        auto trainer = tiny_trainer(
            space, device,
            {.epochs = 12, .batch = 32, .hyper_learning_rate = 1e-2, .complexity_weight = 6, .latency_weight = 0.05},
            table_of_here(space, device));
        return trainer.fit(shades(512, 1));
    }();
    return family;
}

/// The same family with another latency model.
inline Family searched_with(std::optional<LatencyModel> latency) {
    const auto& family = searched();
    return Family(family.supernet().clone(), family.hypernet().clone(), std::move(latency),
                  std::make_shared<DeviceDataset>(DeviceDataset::upload(shades(300, 3), family.supernet().device())),
                  classification<float>());
}

}  // namespace hwnas::testing
