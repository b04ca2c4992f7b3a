// SPDX-License-Identifier: MIT
// inference/<space>/<batch>/threads:<t>: run() of a prepared network, input in place. The network is the one that
// peers/export_network.cpp writes as ONNX. items_per_second: images; of_floor: percent of what arithmetic alone would
// allow.
#include "support.hpp"

namespace hwnas::benchmarks {

namespace {

void inference(benchmark::State& state, const std::string& name, std::int64_t batch, int threads_used) {
    const auto space = SearchSpace::named(name);
    const auto on = cpu::device({.threads = threads_used, .isa = isa()});
    const Network network{space, mixed_genotype(space), on, seed(42)};
    const Prepared prepared(network, batch);
    prepared.input().assign(random_values(prepared.input().elements(), 1));
    prepared.run();
    for (auto _ : state) prepared.run();
    state.SetItemsProcessed(state.iterations() * batch);
    state.counters["parameters"] = static_cast<double>(network.size().parameters);
    report_floor(state, state.iterations() * batch, 2 * macs(space, network.genotype()), threads_used);
}

[[maybe_unused]] const bool inference_added = [] {
    for (const auto& space : spaces())
        for (const std::int64_t batch : {1, 64})
            for (const int threads_used : {1, 2})
                add_benchmark(fmt::format("inference/{}/{}/threads:{}", space, batch, threads_used),
                              [=](auto& state) { inference(state, space, batch, threads_used); });
    return true;
}();

}  // namespace

}  // namespace hwnas::benchmarks
