// SPDX-License-Identifier: MIT
// A made-up latency table for any space: every unit it needs, with times that are all different.
#pragma once

#include <hwnas/latency/model.hpp>

namespace hwnas::testing {

inline LatencyTable made_up_table(const SearchSpace& space, std::int64_t batch = 1) {
    LatencyTable table{
        .space = space.name(), .device = "made up", .isa = "none", .batch = batch, .date = "2026-01-01T00:00:00Z"};
    const auto add = [&](const hwnas::detail::LatencyUnit& unit) {
        if (table.find(unit.unit, unit.input, unit.stride)) return;
        const double time = 0.01 * (1.0 + std::sqrt(static_cast<double>(table.rows.size() + 1)));
        table.rows.push_back({unit.unit, unit.input, unit.stride, 50, time * 1.25, time / 8, time, time * 1.5});
    };
    const auto units = hwnas::detail::space_units(space, batch);
    add(units.stem);
    add(units.head);
    for (const auto& cell : units.cells) {
        for (const auto& input : cell.inputs) add(input);
        for (const auto& edge : cell.edges)
            for (const auto& unit : edge)
                if (unit.cost != hwnas::detail::EdgeCost::free) add(unit.unit);
        for (const auto& sum : cell.sums)
            if (sum) add(*sum);
        if (cell.transform) add(*cell.transform);
    }
    return table;
}

/// Seeded random choices, one a row.
inline std::vector<int> random_choices(const Architecture& architecture, int number) {
    std::vector<int> choices;
    const auto key = Seed{static_cast<std::uint64_t>(number)}.stream("choices");
    for (int row = 0; row < architecture.rows(); ++row)
        choices.push_back(static_cast<int>(random::words_at(key, static_cast<std::uint64_t>(row), 0).w[0] %
                                           static_cast<unsigned>(architecture.k())));
    return choices;
}

}  // namespace hwnas::testing
