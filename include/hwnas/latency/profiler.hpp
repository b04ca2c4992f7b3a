// SPDX-License-Identifier: MIT
// profile(): a latency table of a space on this machine; measure(): the time of whole networks. Units are timed where
// they stand, inside prepared networks that run one after the other: alone, a unit would find its data in other caches.
#pragma once

#include <hwnas/latency/unit_timer.hpp>
#include <hwnas/version.hpp>

#include <tuple>

namespace hwnas {

namespace detail {

/// One network with primitive m on every edge for each m, and some random ones.
inline std::vector<Genotype> profiled_genotypes(const SearchSpace& space, const ProfileOptions& options) {
    const auto& architecture = space.architecture();
    std::vector<Genotype> genotypes;
    std::vector<int> choices(static_cast<std::size_t>(architecture.rows()));
    for (int m = 0; m < architecture.k(); ++m) {
        std::fill(choices.begin(), choices.end(), m);
        genotypes.push_back(Genotype::from_choices(architecture, choices));
    }
    for (int i = 0; i < options.networks; ++i)
        genotypes.push_back(
            random_genotype(architecture, options.seed.stream("profile"), static_cast<std::uint64_t>(i)));
    return genotypes;
}
/// A table without rows: everything about where and how but the method.
inline LatencyTable provenance(const SearchSpace& space, const Device& timing, std::int64_t batch, int threads) {
    const cpu::Context* const context = timing.backend().cpu();
    return {.space = space.name(),
            .device = processor_name(timing),
            .backend = timing.name(),
            .isa = context ? std::string(cpu::isa_name(context->isa)) : "",
            .threads = threads,
            .batch = batch,
            .dtype = "float32",
            .compiler = compiler_name(),
            .build = build_name(),
            .library = version,
            .date = utc_now()};
}

}  // namespace detail

/// Times of whole prepared networks, run in turn so that a slow moment of the machine meets them all, each right after
/// a run of itself that is not timed, so that it finds the caches as one that runs alone does; each on its own copy
/// with options.threads threads of a CPU. Weights make no difference. Throws Error for a null pointer.
inline std::vector<LatencyMeasurement> measure_all(const std::vector<const Network*>& networks,
                                                   const MeasureOptions& options = {}) {
    detail::check_repeats("measure", options.batch, options.repeats, options.warmup, options.seconds);
    if (networks.empty()) return {};
    for (const Network* network : networks) require(network != nullptr, "measure: a network is null");
    const Device timing = detail::timing_device("measure", networks[0]->device(), options.threads);
    std::vector<Prepared> prepared;
    for (const Network* network : networks) {
        Network copy(network->space(), network->genotype(), timing, network->seed());
        copy.inherit(network->state());
        prepared.emplace_back(copy, options.batch);
        detail::fill_input(prepared.back());
        for (int i = 0; i < options.warmup; ++i) prepared.back().run();
    }
    std::vector<std::vector<double>> samples(networks.size());
    const auto round = [&] {
        for (std::size_t i = 0; i < prepared.size(); ++i) {
            if (prepared.size() > 1) detail::refill_caches(prepared[i].program(), timing);
            const auto before = detail::LatencyClock::now();
            prepared[i].run();
            timing.backend().synchronize();
            samples[i].push_back(detail::milliseconds(detail::LatencyClock::now() - before));
        }
    };
    const auto done = [&] {
        return std::all_of(samples.begin(), samples.end(),
                           [](auto copy) { return detail::settled(detail::latency_statistics(copy)); });
    };
    detail::repeat_until(options.repeats, options.seconds, round, done, [](double) {});
    std::vector<LatencyMeasurement> results;
    for (auto& s : samples) results.push_back(detail::latency_statistics(s));
    return results;
}
/// Times of whole prepared networks, run in turn, in their order.
inline std::vector<LatencyMeasurement> measure_all(const std::vector<Network>& networks,
                                                   const MeasureOptions& options = {}) {
    std::vector<const Network*> all;
    for (const auto& network : networks) all.push_back(&network);
    return measure_all(all, options);
}
/// Time of one whole prepared network on its device. How it is measured: measure_all().
inline LatencyMeasurement measure(const Network& network, const MeasureOptions& options = {}) {
    return measure_all(std::vector<const Network*>{&network}, options)[0];
}

namespace detail {
/// Measures random networks that the table was not made from, and says what its predictions of them were worth.
inline LatencyCheck check_table(const SearchSpace& space, const LatencyTable& table, const Device& device,
                                const ProfileOptions& options) {
    std::vector<Genotype> genotypes;
    for (int i = 0; i < options.checks; ++i)
        genotypes.push_back(
            random_genotype(space.architecture(), options.seed.stream("profile/check"), static_cast<std::uint64_t>(i)));
    std::vector<Network> networks;
    for (const auto& genotype : genotypes) networks.emplace_back(space, genotype, device, options.seed);
    const auto times = measure_all(networks, {.batch = table.batch,
                                              .threads = table.threads,
                                              .repeats = std::min(options.repeats, 20),
                                              .warmup = options.warmup,
                                              .seconds = 0.2 * options.seconds});
    std::vector<LatencySample> samples;
    for (std::size_t i = 0; i < genotypes.size(); ++i) samples.push_back({genotypes[i], times[i].median});
    const auto found = LatencyModel(space, table).validate(samples);
    return {.networks = options.checks, .spearman = found.spearman, .mape = found.mape, .error_p95 = found.error_p95};
}
}  // namespace detail

/// Measures the latency table of a space on a device, for a CPU with options.threads threads. Times every unit inside
/// float networks that hold all of them: one with primitive m on every edge for each m, and some random ones, in turn,
/// until the 95 % confidence interval of every median is under 2 %. Then other random networks, measured whole, show
/// what its predictions are worth. Takes up to about 1.2 options.seconds; the table's quality says what was reached.
inline LatencyTable profile(const SearchSpace& space, const Device& device, const ProfileOptions& options = {}) {
    const bool on_cpu = device.backend().cpu() != nullptr;
    const std::int64_t batch = options.batch.value_or(on_cpu ? 1 : 64);
    detail::check_repeats("profile", batch, options.repeats, options.warmup, options.seconds);
    require(options.networks >= 0, "profile: {} random networks, none or more are possible", options.networks);
    require(options.checks == 0 || options.checks >= 2,
            "profile: checked by {} networks, none or at least 2 are possible", options.checks);
    const Device timing = detail::timing_device("profile", device, options.threads);
    detail::UnitTimer timer(space, timing, batch, options);
    for (const auto& genotype : detail::profiled_genotypes(space, options)) timer.add(genotype);
    timer.warm_up(options.warmup);
    const auto [stamp, resolution] = detail::clock_cost();
    const auto start = detail::LatencyClock::now();
    detail::repeat_until(
        options.repeats, options.seconds, [&] { timer.round(stamp); }, [&] { return timer.settled(resolution); },
        [&](double fraction) {
            if (options.progress) options.progress(fraction);
        });
    auto table = detail::provenance(space, timing, batch, options.threads);
    table.method = on_cpu ? "units timed inside prepared networks run in turn (steady_clock between units, its cost "
                            "subtracted), corrected for drift, scaled so that they add up to the networks' own medians"
                          : "units of prepared networks run in turn, each many times in one captured graph "
                            "(steady_clock around a replay and the wait for it), corrected for drift, scaled so that "
                            "they add up to the networks' own medians";
    table.clock_resolution_ns = resolution * 1e6;
    std::tie(table.rows, table.quality) = timer.rows(resolution);
    table.quality->seconds = detail::milliseconds(detail::LatencyClock::now() - start) / 1e3;
    if (options.checks > 0) table.checked = detail::check_table(space, table, device, options);
    return table;
}

}  // namespace hwnas
