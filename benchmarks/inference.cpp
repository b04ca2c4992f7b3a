// SPDX-License-Identifier: MIT
// inference/<space>/<batch>/threads:<t>, on a GPU inference/<space>/<batch>: run() of a prepared network, input in
// place, until its output is there. The network is the one that peers/export_network.cpp writes as ONNX.
// items_per_second: images; of_floor: percent of what arithmetic alone would allow, on a GPU with bytes.
// profile/<space>, on a GPU: a latency table, measured in up to six seconds; its rows, percent of them settled, and
// what its own check on other networks found: mean error in percent, rank correlation.
#include "support.hpp"

namespace hwnas::benchmarks {

namespace {

void inference(benchmark::State& state, const Device& on, const std::string& name, std::int64_t batch,
               int threads_used) {
    const auto space = SearchSpace::named(name);
    const Network network{space, mixed_genotype(space), on, seed(42)};
    const Prepared prepared(network, batch);
    prepared.input().assign(random_values(prepared.input().elements(), 1));
    prepared.run();
    on.backend().synchronize();
    for (auto _ : state) {
        prepared.run();
        on.backend().synchronize();
    }
    state.SetItemsProcessed(state.iterations() * batch);
    state.counters["parameters"] = static_cast<double>(network.size().parameters);
    report_floor(state, state.iterations() * batch, {cell_bytes(space), 2 * macs(space, network.genotype())},
                 threads_used);
}

void profile_of(benchmark::State& state, const std::string& name) {
    LatencyTable table;
    for (auto _ : state) table = profile(SearchSpace::named(name), device(), {.seconds = 5});
    const auto rows = static_cast<double>(table.rows.size());
    state.counters["rows"] = rows;
    if (table.quality) state.counters["settled"] = 100 * static_cast<double>(table.quality->settled) / rows;
    if (table.checked) state.counters["error"] = 100 * table.checked->mape;
    if (table.checked) state.counters["spearman"] = table.checked->spearman;
}

[[maybe_unused]] const bool inference_added = [] {
    if (on_gpu())  // on a CPU ./run.sh profile says more
        for (const auto& space : spaces())
            add_benchmark(
                fmt::format("profile/{}", space), [=](auto& state) { profile_of(state, space); }, benchmark::kSecond)
                ->Iterations(1);
    for (const auto& space : spaces())
        for (const std::int64_t batch : {1, 64}) {
            if (on_gpu()) {
                add_benchmark(fmt::format("inference/{}/{}", space, batch),
                              [=](auto& state) { inference(state, device(), space, batch, threads()); });
                continue;
            }
            for (const int threads_used : {1, 2})
                add_benchmark(fmt::format("inference/{}/{}/threads:{}", space, batch, threads_used), [=](auto& state) {
                    inference(state, cpu::device({.threads = threads_used, .isa = isa()}), space, batch, threads_used);
                });
        }
    return true;
}();

}  // namespace

}  // namespace hwnas::benchmarks
