// SPDX-License-Identifier: MIT
// A fused cell against the same cell op by op in float, by every kernel entry. tests/space/cell.cpp compares them in
// double, which has the portable kernels only.
#include "support/modules.hpp"
#include "support/window_ops.hpp"

#include <hwnas/autodiff/backward.hpp>
#include <hwnas/ops/window.hpp>
#include <hwnas/space/search_space.hpp>

namespace space_fused_cell_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

enum class Mixture { even, one_hot, of_every_image, mostly_zeros };

/// Kernels choose by what gamma is: an edge's filter is whole, a centre tap or nothing; a pool counts or does not.
Variable<float> gamma_of(Mixture mixture, std::int64_t images, std::int64_t edges, const Device& device) {
    const Shape shape{mixture == Mixture::of_every_image ? images : 1, edges, 3};
    auto values = random_values<float>(shape.elements(), 5, 0.1, 0.9);
    for (std::size_t i = 0; i < values.size(); ++i) {
        const std::size_t edge = i / 3, m = i % 3;
        if (mixture == Mixture::one_hot) values[i] = (edge * 5 + 1) % 3 == m ? 1.0f : 0.0f;
        if (mixture == Mixture::mostly_zeros && (edge % 2 == 1 || m != 0)) values[i] = 0;
    }
    return Variable<float>::leaf(Tensor<float>::from(values, shape, device));
}

/// One vertex that feeds 20 nodes, more than one call takes, beside a chain through them.
CellGraph fan() {
    CellGraph graph{.inputs = 1, .nodes = 20};
    for (int v = 1; v <= graph.nodes; ++v) {
        graph.edges.push_back({0, v});
        if (v > 1) graph.edges.push_back({v - 1, v});
    }
    return graph.checked();
}
/// Calls that push every vertex into the nodes it feeds.
int pushes(const CellGraph& graph) {
    std::map<int, int> leaving;
    for (const auto& edge : graph.edges) ++leaving[edge.from];
    int calls = 0;
    for (const auto& [vertex, edges] : leaving) calls += (edges + contract::max_edges - 1) / contract::max_edges;
    return calls;
}

struct Run {
    Shape shape;
    std::vector<float> y;
    std::map<std::string, std::vector<float>> gradients;
};
/// A recorded step on vertices of `shape`.
Run run(const CellGraph& graph, const Shape& shape, Mixture mixture, bool fused, const Device& device) {
    const Shape image{shape[0], shape[1], shape[2], 3};
    CellOptions options{.primitives = SearchSpace::pointwise().primitives(),
                        .graph = graph,
                        .channels = shape[3],
                        .height = shape[1],
                        .width = shape[2],
                        .fused = fused};
    options.inputs.assign(static_cast<std::size_t>(graph.inputs), {3, 0});
    const BasicCell<float> cell(options, Initializer<float>{device, seed(3)});
    ModuleState<float> state;
    cell.collect(state);
    const auto gamma = gamma_of(mixture, shape[0], static_cast<std::int64_t>(graph.edges.size()), device);
    std::vector<Variable<float>> inputs;
    for (std::size_t i = 0; i < options.inputs.size(); ++i)
        inputs.push_back(Variable<float>::leaf(random_tensor<float>(image, 20 + i, device)));

    Variable<float> y;
    const auto program = Program::record(device, [&] {
        y = cell.forward(inputs, Relaxation<float>{gamma}, Phase::train);
        backward(y, random_tensor<float>(y.shape(), 9, device));
    });
    int calls = 0;
    for (std::size_t i = 0; i < program.size(); ++i)
        calls += std::string_view(program.kernel(i)) == "mixed_source_forward";
    CHECK(calls == (fused ? pushes(graph) : 0));
    program.run();
    Run found{y.shape(), y.value().to_vector(), gradients(state)};
    found.gradients["gamma"] = gradient(gamma);
    for (std::size_t i = 0; i < inputs.size(); ++i) found.gradients[fmt::format("input {}", i)] = gradient(inputs[i]);
    return found;
}
/// Which pixel a 3x3 max pool of y takes, window by window.
std::vector<std::size_t> winners(const Run& run) {
    std::vector<std::size_t> taken(run.y.size(), run.y.size());
    for_each_tap(make_window("test", run.shape, 3, 1, same_padding, 1),
                 [&](std::size_t y, std::size_t, std::size_t source) {
                     if (taken[y] == run.y.size() || run.y[source] > run.y[taken[y]]) taken[y] = source;
                 });
    return taken;
}

}  // namespace

TEST_CASE("cell: fused nodes in float equal the same cell op by op, by every kernel entry", "[space]") {
    struct Case {
        CellGraph graph;
        Shape shape;
    };
    // Channels that are compiled in (16, 32, 64) and others, whole strips of columns and rests, more images than
    // chunks.
    const auto dense = CellGraph::dense();
    const Case cases[] = {{dense, {3, 2, 2, 16}},
                          {dense, {2, 3, 28, 32}},
                          {dense, {2, 14, 14, 64}},
                          {dense, {2, 5, 15, 32}},
                          {dense, {2, 7, 13, 64}},
                          {dense, {2, 4, 42, 16}},
                          {dense, {40, 4, 3, 7}},
                          {dense, {2, 6, 29, 24}},
                          {dense, {1, 5, 5, 100}},
                          {fan(), {3, 4, 14, 16}},
                          {fan(), {33, 3, 3, 3}},
                          {random_graph(1), {2, 9, 17, 16}},
                          {random_graph(2), {5, 14, 14, 40}},
                          {random_graph(4), {2, 7, 7, 64}}};
    int compared = 0, ties = 0;
    for (const auto isa : test_isas())
        for (const auto& [graph, shape] : cases)
            for (const auto mixture :
                 {Mixture::even, Mixture::one_hot, Mixture::of_every_image, Mixture::mostly_zeros}) {
                INFO(fmt::format("{}, {} edges, mixture {}, {}", shape, graph.edges.size(), static_cast<int>(mixture),
                                 cpu::isa_name(isa)));
                const auto device = test_device(3, isa);
                const auto found = run(graph, shape, mixture, true, device),
                           expected = run(graph, shape, mixture, false, device);
                CHECK(relative_error(found.y, expected.y) <= 1e-5);
                ++compared;
                if (winners(found) != winners(expected)) {  // rounding has decided between two pixels: other gradients
                    ++ties;
                    continue;
                }
                for (const auto& [name, gradient] : expected.gradients) {
                    INFO(name);
                    CHECK(relative_error(found.gradients.at(name), gradient) <= 1e-5);
                }
            }
    CHECK(10 * ties <= compared);
}

}  // namespace space_fused_cell_test
