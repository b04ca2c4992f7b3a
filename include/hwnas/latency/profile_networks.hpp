// SPDX-License-Identifier: MIT
// profile_networks(): a latency table from whole networks alone, for a device or a runtime whose units cannot be timed
// one by one.
#pragma once

#include <hwnas/latency/fit.hpp>
#include <hwnas/latency/profiler.hpp>

namespace hwnas {

/// A latency table from whole networks alone: times one network of each primitive and options.networks random ones (at
/// least 3 in all) in turn, and finds each unit's marginal time by least squares (LatencyModel::fit). The units that
/// all networks share can only be told together: each gets its part by input elements. Other options as for profile().
inline LatencyTable profile_networks(const SearchSpace& space, const Device& device, ProfileOptions options = {}) {
    const bool on_cpu = device.backend().cpu() != nullptr;
    const std::int64_t batch = options.batch.value_or(on_cpu ? 1 : 64);
    require(options.networks >= 0, "profile: {} random networks, none or more are possible", options.networks);
    require(options.checks == 0 || options.checks >= 2,
            "profile: checked by {} networks, none or at least 2 are possible", options.checks);
    const auto genotypes = detail::profiled_genotypes(space, options);
    std::vector<Network> networks;
    for (const auto& genotype : genotypes) networks.emplace_back(space, genotype, device, options.seed);
    const auto times = measure_all(networks, {.batch = batch,
                                              .threads = options.threads,
                                              .repeats = options.repeats,
                                              .warmup = options.warmup,
                                              .seconds = options.seconds});
    std::vector<LatencySample> samples;
    for (std::size_t i = 0; i < networks.size(); ++i) samples.push_back({genotypes[i], times[i].median});
    auto table =
        detail::provenance(space, detail::timing_device("profile", device, options.threads), batch, options.threads);
    table.method = fmt::format("{} whole networks run in turn", networks.size());
    table = LatencyModel::fit(space, samples, std::move(table)).table();
    if (options.checks > 0) table.checked = detail::check_table(space, table, device, options);
    return table;
}

}  // namespace hwnas
