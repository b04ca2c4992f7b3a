// SPDX-License-Identifier: MIT
// LatencyModel::fit() and calibrate(): the times of a space's units from whole networks. The result is a table like
// one that was measured, so that expected(), predict() and the search work with it.
#pragma once

#include <hwnas/latency/grouped_ridge.hpp>
#include <hwnas/latency/model.hpp>
#include <hwnas/version.hpp>

namespace hwnas {

namespace detail {

/// Every unit of a space, once.
inline std::vector<LatencyUnit> distinct_units(const SpaceUnits& units) {
    std::vector<LatencyUnit> all;
    const auto add = [&](const LatencyUnit& unit) {
        for (const auto& known : all)
            if (known.unit == unit.unit && known.input == unit.input && known.stride == unit.stride) return;
        all.push_back(unit);
    };
    add(units.stem);
    for (const auto& cell : units.cells) {
        for (const auto& input : cell.inputs) add(input);
        for (const auto& edge : cell.edges)
            for (const auto& unit : edge)
                if (unit.cost != EdgeCost::free) add(unit.unit);
        for (const auto& sum : cell.sums)
            if (sum) add(*sum);
        if (cell.transform) add(*cell.transform);
    }
    add(units.head);
    return all;
}

/// How often each network runs each unit, [samples][units]: what a prediction grows by where one time grows by 1.
inline Eigen::MatrixXd unit_uses(const SearchSpace& space, const std::vector<LatencyUnit>& units,
                                 const std::vector<LatencySample>& samples, std::int64_t batch) {
    LatencyTable ones{.batch = batch};
    for (const auto& unit : units)
        ones.rows.push_back({.unit = unit.unit, .input = unit.input, .stride = unit.stride, .median = 1});
    const auto predictions = [&] {
        const LatencyModel model(space, ones);
        Eigen::VectorXd all(static_cast<Eigen::Index>(samples.size()));
        for (std::size_t i = 0; i < samples.size(); ++i)
            all[static_cast<Eigen::Index>(i)] = model.predict(samples[i].genotype);
        return all;
    };
    const Eigen::VectorXd before = predictions();
    Eigen::MatrixXd uses(before.size(), static_cast<Eigen::Index>(units.size()));
    for (std::size_t u = 0; u < units.size(); ++u) {
        ones.rows[u].median = 2;
        uses.col(static_cast<Eigen::Index>(u)) = (predictions() - before).array().round();
        ones.rows[u].median = 1;
    }
    return uses;
}

/// Times of the units. A unit's time is size_u (a + b_class + c_u) with b and c small, or, where `known`, it is
/// size_u (1 + b + c_u), size being the time known before; sizes are changed to 0 for units that would come out below.
inline Eigen::VectorXd unit_times(const Eigen::MatrixXd& uses, const Eigen::VectorXd& measured, Eigen::VectorXd sizes,
                                  const std::vector<int>& classes, bool known) {
    const Eigen::Index n = uses.rows(), u = uses.cols();
    const int count = 1 + *std::max_element(classes.begin(), classes.end());
    Eigen::VectorXd times;
    for (Eigen::Index round = 0; round <= u; ++round) {
        // Columns: free constant; one a class; one a unit. What every sample has alike only a constant can tell.
        Eigen::MatrixXd x = Eigen::MatrixXd::Zero(n, 1 + count + u);
        std::vector<int> group(static_cast<std::size_t>(1 + count + u), 1);
        std::fill_n(group.begin(), 1 + count, 0);
        if (!known) x.col(0).setOnes(), group[0] = -1;
        std::vector<bool> constant(static_cast<std::size_t>(u), false);
        const double total = std::max((uses * sizes).mean(), 1e-300);
        for (Eigen::Index j = 0; j < u; ++j) {
            constant[static_cast<std::size_t>(j)] = !known && (uses.col(j).array() == uses(0, j)).all();
            if (constant[static_cast<std::size_t>(j)]) continue;
            const Eigen::VectorXd column = uses.col(j) * (sizes[j] / total);
            x.col(1 + classes[static_cast<std::size_t>(j)]) += column;
            x.col(1 + count + j) = column;
        }
        const Eigen::VectorXd expected = known ? Eigen::VectorXd(uses * sizes) : Eigen::VectorXd::Zero(n);
        const GroupedRidge ridge(x, measured - expected, group);
        const auto& b = ridge.coefficients();
        times = Eigen::VectorXd::Zero(u);
        double alike = 0;
        for (Eigen::Index j = 0; j < u; ++j)
            if (constant[static_cast<std::size_t>(j)]) alike += uses(0, j) * sizes[j];
        bool again = false;
        for (Eigen::Index j = 0; j < u; ++j) {
            if (constant[static_cast<std::size_t>(j)])
                times[j] = alike > 0 ? std::max(0.0, b[0]) * sizes[j] / alike : 0;
            else
                times[j] = sizes[j] *
                           ((known ? 1 : 0) + (b[1 + classes[static_cast<std::size_t>(j)]] + b[1 + count + j]) / total);
            if (times[j] < 0) sizes[j] = times[j] = 0, again = true;
        }
        if (!again) break;
    }
    return times;
}

}  // namespace detail

inline LatencyModel LatencyModel::fit(const SearchSpace& space, const std::vector<LatencySample>& samples,
                                      LatencyTable table) {
    const bool known = !table.rows.empty();
    const std::size_t least = known ? 1 : 3;
    require(samples.size() >= least, "latency model: {} samples to fit to, at least {} needed", samples.size(),
            known ? "1 is" : "3 are");
    for (const auto& sample : samples)
        for (const double ms : {sample.ms, sample.again.value_or(sample.ms)})
            require(ms > 0 && std::isfinite(ms), "latency model: {} took {} ms, more than 0 is expected",
                    sample.genotype, ms);
    if (known) LatencyModel(space, table).predict(samples[0].genotype);  // its complaints
    const auto units = detail::distinct_units(detail::space_units(space, table.batch));
    const Eigen::MatrixXd uses = detail::unit_uses(space, units, samples, table.batch);
    Eigen::VectorXd sizes(uses.cols()), measured(uses.rows());
    std::vector<int> classes;  // with a table: one for all
    std::vector<std::string> names;
    for (std::size_t u = 0; u < units.size(); ++u) {
        const auto& unit = units[u];
        double elements = 1;
        for (const auto extent : unit.input) elements *= static_cast<double>(extent);
        sizes[static_cast<Eigen::Index>(u)] = known ? table.at(unit.unit, unit.input, unit.stride).median : elements;
        const auto name = std::find(names.begin(), names.end(), unit.unit);
        classes.push_back(known ? 0 : static_cast<int>(name - names.begin()));
        if (name == names.end()) names.push_back(unit.unit);
    }
    for (std::size_t i = 0; i < samples.size(); ++i) {
        const double ms = samples[i].ms, again = samples[i].again.value_or(ms);
        measured[static_cast<Eigen::Index>(i)] = 0.5 * (ms + again);
    }
    const Eigen::VectorXd times = detail::unit_times(uses, measured, sizes, classes, known);
    table.space = space.name();
    table.library = version;
    table.method += fmt::format("{}fitted to {} whole networks by regularised least squares",
                                table.method.empty() ? "" : "; ", samples.size());
    table.rows.clear();
    table.checked.reset(), table.quality.reset();  // those were of other times
    for (std::size_t u = 0; u < units.size(); ++u) {
        const double ms = times[static_cast<Eigen::Index>(u)];
        table.rows.push_back(
            {units[u].unit, units[u].input, units[u].stride, static_cast<std::int64_t>(samples.size()), ms, 0, ms, ms});
    }
    return LatencyModel(space, std::move(table));
}

inline LatencyModel LatencyModel::calibrate(const std::vector<LatencySample>& samples) const {
    return fit(space_, samples, table_);
}

}  // namespace hwnas
