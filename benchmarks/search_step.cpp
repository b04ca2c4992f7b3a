// SPDX-License-Identifier: MIT
// search_step/<space>/<batch>: one step of SingleLevelTrainer as a search runs it, all between two batches: the next
// batch gathered and normalised, S, the hypernetwork, Gumbel-Softmax, forward, all loss terms, backward, Adam, metrics.
// train_step/<space>/<batch>: one step of fit() on a fixed derived network that uses all primitives of its space;
// train_step/pointwise/128/channels:<C>: of one whose cells begin with C channels, instead of 16.
// search/<space>/<batch>/epochs:20, on a GPU: a whole search.
// items_per_second: images. of_floor: percent of what arithmetic alone would allow, on a GPU arithmetic or the bytes of
// the cells' vertices; the forward pass is counted three times, since either gradient costs as much.
#include "support.hpp"

namespace hwnas::benchmarks {

namespace {

SearchSpace space_of(const std::string& name) {
    return SearchSpace::named(name);
}

/// One made-up time for all units: the latency term is computed like any other.
LatencyTable even_table(const SearchSpace& space) {
    LatencyTable table{.space = space.name()};
    const auto add = [&](const detail::LatencyUnit& unit) {
        if (!table.find(unit.unit, unit.input, unit.stride))
            table.rows.push_back({.unit = unit.unit,
                                  .input = unit.input,
                                  .stride = unit.stride,
                                  .count = 1,
                                  .mean = 0.01,
                                  .median = 0.01});
    };
    const auto units = detail::space_units(space, 1);
    add(units.stem), add(units.head);
    for (const auto& cell : units.cells) {
        for (const auto& input : cell.inputs) add(input);
        for (const auto& edge : cell.edges)
            for (const auto& choice : edge)
                if (choice.cost != detail::EdgeCost::free) add(choice.unit);
        for (const auto& sum : cell.sums)
            if (sum) add(*sum);
        if (cell.transform) add(*cell.transform);
    }
    return table;
}

constexpr int endless = 1'000'000;  // epochs

/// Steps end where the loop of a benchmark is counted: the first, which records and touches all memory, is not. Before
/// the clock starts and before it stops the device is waited for.
auto counted(benchmark::State& state) {
    return [&state, steps = benchmark::IterationCount{0}](const TrainingProgress&) mutable {
        if (steps == 0 || steps == state.max_iterations) device().backend().synchronize();
        ++steps;
        return state.KeepRunning();
    };
}

void count(benchmark::State& state, std::int64_t batch, std::int64_t parameters) {
    state.SetItemsProcessed(state.iterations() * batch);
    state.counters["parameters"] = static_cast<double>(parameters);
}

void search_step(benchmark::State& state, const std::string& name, std::int64_t batch) {
    const auto space = space_of(name);
    SuperNet supernet{space, device(), seed(42)};
    const auto parameters = supernet.state().parameter_count();
    SingleLevelTrainer trainer{std::move(supernet),
                               HyperNet{space, device(), seed(42)},
                               LatencyModel{space, even_table(space)},
                               {.epochs = endless, .batch = batch, .on_step = counted(state)}};
    trainer.fit(random_images());
    count(state, batch, parameters);
    report_floor(state, state.iterations() * batch, {3 * cell_bytes(space), 6 * relaxed_macs(space)}, threads());
}

void train_step(benchmark::State& state, const SearchSpace& space, std::int64_t batch) {
    const Network network{space, mixed_genotype(space), device(), seed(42)};
    fit(network, random_images(), {.epochs = endless, .batch = batch, .on_step = counted(state)});
    count(state, batch, network.size().parameters);
    report_floor(state, state.iterations() * batch, {3 * cell_bytes(space), 6 * macs(space, network.genotype())},
                 threads());
}

/// A whole search, data upload included.
void search(benchmark::State& state, const std::string& name, std::int64_t batch, int epochs) {
    const auto space = space_of(name);
    for (auto _ : state) {
        SingleLevelTrainer trainer{SuperNet{space, device(), seed(42)},
                                   HyperNet{space, device(), seed(42)},
                                   LatencyModel{space, even_table(space)},
                                   {.epochs = epochs, .batch = batch}};
        trainer.fit(random_images());
        device().backend().synchronize();
    }
    state.SetItemsProcessed(state.iterations() * epochs * random_images().count);
}

[[maybe_unused]] const bool search_step_added = [] {
    if (on_gpu())  // minutes on a CPU, where the step says as much
        for (const auto& space : spaces())
            add_benchmark(
                fmt::format("search/{}/256/epochs:20", space), [=](auto& state) { search(state, space, 256, 20); },
                benchmark::kSecond)
                ->Iterations(1);
    for (const auto& space : spaces())
        for (const std::int64_t batch : {128, 256}) {
            add_benchmark(
                fmt::format("search_step/{}/{}", space, batch), [=](auto& state) { search_step(state, space, batch); },
                benchmark::kMillisecond);
            add_benchmark(
                fmt::format("train_step/{}/{}", space, batch),
                [=](auto& state) { train_step(state, space_of(space), batch); }, benchmark::kMillisecond);
        }
    for (const std::int64_t channels :
         on_gpu() ? std::vector<std::int64_t>{} : std::vector<std::int64_t>{8, 10, 12, 20, 24, 30, 32})
        add_benchmark(
            fmt::format("train_step/pointwise/128/channels:{}", channels),
            [=](auto& state) { train_step(state, SearchSpace::named("pointwise", {.channels = channels}), 128); },
            benchmark::kMillisecond);
    return true;
}();

}  // namespace

}  // namespace hwnas::benchmarks
