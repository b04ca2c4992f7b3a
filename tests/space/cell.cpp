// SPDX-License-Identifier: MIT
#include "support/modules.hpp"

#include <hwnas/autodiff/backward.hpp>
#include <hwnas/autodiff/program.hpp>
#include <hwnas/ops/sum.hpp>
#include <hwnas/space/search_space.hpp>

#include <set>

namespace space_cell_test {

using namespace hwnas;
using namespace hwnas::testing;
using Catch::Matchers::ContainsSubstring;

namespace {

const char* const names[] = {"paper", "pointwise", "separable"};

/// Cell number 1 of a space (it halves the resolution) with a graph of ours.
CellOptions options_for(const std::string& space, const CellGraph& graph, int cell = 1) {
    auto options = SearchSpace::named(space, {.image = {6, 6, 1}, .channels = 2}).cell_options(cell);
    options.graph = graph;
    options.first_row = 3;  // rows before it belong to somebody else
    while (static_cast<int>(options.inputs.size()) < graph.inputs) options.inputs.push_back(options.inputs.back());
    options.inputs.resize(static_cast<std::size_t>(graph.inputs));
    for (std::size_t i = 0; i < options.inputs.size(); ++i)
        options.inputs[i].channels = 3 + static_cast<std::int64_t>(i);
    return options;
}
Initializer<double> initializer(const Device& device) {
    return {device, seed(5)};
}

/// Scales and shifts away from 1 and 0, so that they matter.
void shake(const ModuleState<double>& state, const Device& device) {
    std::uint64_t i = 100;
    for (const auto& [name, variable] : state.parameters)
        if (variable.shape().rank() == 1)
            variable.value().assign(random_tensor<double>(variable.shape(), ++i, device, 0.5, 1.5).to_vector());
}
std::vector<Variable<double>> inputs_for(const CellOptions& options, std::int64_t images, const Device& device) {
    std::vector<Variable<double>> inputs;
    for (std::size_t i = 0; i < options.inputs.size(); ++i) {
        const auto& [channels, halvings] = options.inputs[i];
        inputs.push_back(Variable<double>::leaf(random_tensor<double>(
            {images, options.height << halvings, options.width << halvings, channels}, 20 + i, device)));
    }
    return inputs;
}
std::vector<int> rows_of(const std::vector<int>& choices) {  // with the three rows of somebody else
    std::vector<int> all{0, 1, 2};
    all.insert(all.end(), choices.begin(), choices.end());
    return all;
}
struct Run {
    std::vector<double> y;
    std::map<std::string, std::vector<double>> weights;
    std::vector<std::vector<double>> inputs;
    std::vector<double> gamma;
};
template <class F>
Run run(const BasicCell<double>& cell, const std::vector<Variable<double>>& inputs, F&& forward) {
    ModuleState<double> state;
    cell.collect(state);
    for (const auto& p : state.parameters) p.variable.set_grad({});
    for (const auto& x : inputs) x.set_grad({});
    const Variable<double> y = forward();
    backward(y, random_tensor<double>(y.shape(), 9, y.device()));
    Run result{y.value().to_vector(), gradients(state), {}, {}};
    for (const auto& x : inputs) result.inputs.push_back(gradient(x));
    return result;
}
double worst_of(const Run& a, const Run& b) {  // over the weights that b has
    double worst = relative_error(a.y, b.y);
    for (const auto& [name, gradient] : b.weights)
        worst = std::max(worst, gradient_error(a.weights.at(name), gradient));
    for (std::size_t i = 0; i < b.inputs.size(); ++i) worst = std::max(worst, gradient_error(a.inputs[i], b.inputs[i]));
    return worst;
}

}  // namespace

TEST_CASE("cell: relaxed at one-hot gamma, straight-through and single path equal the discrete cell", "[space]") {
    const auto device = test_device();
    for (const char* name : names)
        for (std::uint64_t trial = 0; trial < 6; ++trial) {
            INFO(name << ", graph " << trial);
            auto options =
                options_for(name, trial == 0 ? CellGraph::dense() : random_graph(trial), trial % 2 == 1 ? 0 : 1);
            const int edges = static_cast<int>(options.graph.edges.size());
            const BasicCell<double> relaxed(options, initializer(device));
            ModuleState<double> state;
            relaxed.collect(state);
            shake(state, device);
            const auto choices = random_choices(edges, 3, 30 + trial);
            auto discrete_options = options;
            discrete_options.choices = choices;
            const BasicCell<double> discrete(discrete_options, initializer(device));
            ModuleState<double> inherited;
            discrete.collect(inherited);
            copy_state(state, inherited);
            const auto inputs = inputs_for(options, 3, device);

            const auto expected = run(discrete, inputs, [&] { return discrete.forward(inputs, Phase::train); });
            const auto gamma = Relaxation<double>::one_hot(rows_of(choices), 3, device).gamma.value();
            for (const auto mode : {SearchMode::relaxed, SearchMode::straight_through, SearchMode::single_path}) {
                INFO(search_mode_name(mode));
                const auto rows = rows_of(choices);
                const auto leaf = Variable<double>::leaf(gamma);
                const Relaxation<double> relaxation{
                    leaf, mode,
                    Tensor<std::int32_t>::from(std::vector<std::int32_t>(rows.begin(), rows.end()), {edges + 3},
                                               device)};
                const auto found =
                    run(relaxed, inputs, [&] { return relaxed.forward(inputs, relaxation, Phase::train); });
                CHECK(worst_of(found, expected) < 1e-10);
                for (const auto& [weight, gradient] : found.weights)
                    if (!expected.weights.count(weight)) CHECK(gradient == std::vector<double>(gradient.size(), 0.0));
                const auto dgamma = gradient(leaf);
                for (std::size_t i = 0; i < 9; ++i) CHECK(dgamma[i] == 0);
                int unselected = 0;
                for (int row = 3; row < edges + 3; ++row)
                    for (int m = 0; m < 3; ++m)
                        unselected += m != rows[static_cast<std::size_t>(row)] &&
                                      dgamma[static_cast<std::size_t>(row * 3 + m)] != 0;
                if (mode != SearchMode::single_path)
                    CHECK(unselected > 0);
                else
                    CHECK(unselected == 0);
            }
        }
}

TEST_CASE("cell: fused nodes equal the same cell op by op", "[space]") {
    const auto device = test_device();
    const auto kernels = [&](const BasicCell<double>& cell, const auto& inputs, const auto& relaxation) {
        const auto program =
            Program::record(device, [&] { backward(sum(cell.forward(inputs, relaxation, Phase::train))); });
        std::set<std::string> found;
        for (std::size_t i = 0; i < program.size(); ++i) found.insert(program.kernel(i));
        return found;
    };
    for (const char* name : {"paper", "pointwise"})
        for (std::uint64_t trial = 0; trial < 8; ++trial)
            for (const std::int64_t draws : {1, 3}) {
                INFO(name << ", graph " << trial << ", draws " << draws);
                auto options = options_for(name, trial == 0 ? CellGraph::dense() : random_graph(trial), 0);
                const int edges = static_cast<int>(options.graph.edges.size());
                const BasicCell<double> fused(options, initializer(device));
                options.fused = false;
                const BasicCell<double> plain(options, initializer(device));
                const auto inputs = inputs_for(options, 3, device);
                const auto leaf =
                    Variable<double>::leaf(random_mixture<double>(draws, edges + 3, 3, 60 + trial, device));
                const Relaxation<double> relaxation{leaf};
                const auto found = run(fused, inputs, [&] { return fused.forward(inputs, relaxation, Phase::train); });
                const auto dgamma = leaf.grad().to_vector();
                leaf.set_grad({});
                const auto expected =
                    run(plain, inputs, [&] { return plain.forward(inputs, relaxation, Phase::train); });
                CHECK(worst_of(found, expected) < 1e-10);
                CHECK(relative_error(dgamma, leaf.grad().to_vector()) < 1e-10);
                CHECK(kernels(fused, inputs, relaxation).count("mixed_source_forward") == 1);
                CHECK(kernels(fused, inputs, relaxation).count("depthwise_conv_forward") == 0);
                CHECK(kernels(plain, inputs, relaxation).count("mixed_source_forward") == 0);
            }
    // Cells of other primitives, and cells that halve the resolution, run op by op.
    const auto separable = options_for("separable", CellGraph::dense(2), 0);
    const BasicCell<double> other(separable, initializer(device));
    const auto inputs = inputs_for(separable, 2, device);
    const Relaxation<double> relaxation{Variable<double>::leaf(random_mixture<double>(1, 8, 3, 1, device))};
    CHECK(kernels(other, inputs, relaxation).count("mixed_source_forward") == 0);
}

TEST_CASE("cell: work shared between edges changes nothing but its amount", "[space]") {
    const auto device = test_device();
    for (const int halvings : {0, 1}) {
        auto options = options_for("separable", CellGraph::dense(3), halvings);
        const BasicCell<double> shared(options, initializer(device));
        options.fused = false;
        const BasicCell<double> plain(options, initializer(device));
        const auto inputs = inputs_for(options, 3, device);
        const int edges = static_cast<int>(options.graph.edges.size());
        const auto leaf = Variable<double>::leaf(random_mixture<double>(1, edges + 3, 3, 7, device));
        const Relaxation<double> relaxation{leaf};
        const auto found = run(shared, inputs, [&] { return shared.forward(inputs, relaxation, Phase::train); });
        const auto dgamma = leaf.grad().to_vector();
        leaf.set_grad({});
        const auto expected = run(plain, inputs, [&] { return plain.forward(inputs, relaxation, Phase::train); });
        CHECK(worst_of(found, expected) < 1e-10);
        CHECK(relative_error(dgamma, leaf.grad().to_vector()) < 1e-10);
        const auto calls = [&](const BasicCell<double>& cell, const std::string& kernel) {
            const auto program =
                Program::record(device, [&] { backward(sum(cell.forward(inputs, relaxation, Phase::train))); });
            int count = 0;
            for (std::size_t i = 0; i < program.size(); ++i) count += program.kernel(i) == kernel;
            return count;
        };
        // one pool for each of the 4 vertices that have edges, where 9 edges have one each
        CHECK(calls(shared, "max_pool_forward") == 4);
        CHECK(calls(plain, "max_pool_forward") == 9);
        CHECK(calls(shared, "relu_forward") < calls(plain, "relu_forward"));
    }
}

TEST_CASE("cell: single path does not run what is not drawn", "[space]") {
    const auto device = test_device();
    for (const char* name : names) {
        INFO(name);
        const auto options = options_for(name, CellGraph::dense());
        const BasicCell<double> cell(options, initializer(device));
        const std::vector<int> choices{1, 2, 1, 2, 0, 1, 2,
                                       0, 1, 2, 1, 2, 1, 1};  // nothing convolves into nodes 0 and 3
        ModuleState<double> state;
        cell.collect(state);
        int poisoned = 0;
        for (const auto& [parameter, variable] : state.parameters)
            for (std::size_t e = 0; e < choices.size(); ++e) {
                const auto mine = fmt::format("edge_{}/", e),
                           drawn = mine + options.primitives[static_cast<std::size_t>(choices[e])].name() + "/";
                if ((parameter.rfind(mine, 0) == 0 && parameter.rfind(drawn, 0) != 0) ||
                    parameter.rfind("node_0/", 0) == 0 || parameter.rfind("node_3/", 0) == 0) {
                    variable.value().assign(std::nan(""));
                    ++poisoned;
                    break;
                }
            }
        REQUIRE(poisoned >= 10);
        const auto inputs = inputs_for(options, 2, device);
        const auto rows = rows_of(choices);
        Relaxation<double> relaxation = Relaxation<double>::one_hot(rows, 3, device);
        relaxation.gamma = Variable<double>::leaf(relaxation.gamma.value());
        relaxation.mode = SearchMode::single_path;
        relaxation.selected =
            Tensor<std::int32_t>::from(std::vector<std::int32_t>(rows.begin(), rows.end()), {17}, device);
        const auto finite = [](const std::vector<double>& values) {
            return std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); });
        };
        const auto found = run(cell, inputs, [&] { return cell.forward(inputs, relaxation, Phase::train); });
        CHECK(finite(found.y));
        for (const auto& [weight, gradient] : found.weights) CHECK(finite(gradient));
        for (const auto& gradient : found.inputs) CHECK(finite(gradient));
        CHECK(finite(gradient(relaxation.gamma)));
    }
}

TEST_CASE("cell: a draw for every image equals the images one by one", "[space]") {
    const auto device = test_device();
    for (const char* name : names) {
        INFO(name);
        const auto options = options_for(name, CellGraph::dense(3));
        const int rows = static_cast<int>(options.graph.edges.size()) + 3;
        const BasicCell<double> cell(options, initializer(device));
        const auto inputs = inputs_for(options, 3, device);
        const auto gamma = random_mixture<double>(3, rows, 3, 40, device);
        const NoGrad no_grad;
        const auto together =
            cell.forward(inputs, {Variable<double>(gamma)}, Phase::eval).value();  // batch norm would mix images
        for (std::int64_t n = 0; n < 3; ++n) {
            std::vector<Variable<double>> image;
            for (const auto& x : inputs) image.emplace_back(x.value().rows(n, 1));
            const auto alone = cell.forward(image, {Variable<double>(gamma.rows(n, 1))}, Phase::eval).value();
            CHECK(relative_error(together.rows(n, 1).to_vector(), alone.to_vector()) < 1e-12);
        }
    }
}

TEST_CASE("cell: gradients of weights, inputs and gamma", "[space]") {
    const auto device = test_device(1);
    for (const char* name : names)
        for (const auto phase : {Phase::train, Phase::eval}) {
            INFO(name << (phase == Phase::train ? ", train" : ", eval"));
            const auto options = options_for(name, CellGraph::dense(2));
            const BasicCell<double> cell(options, initializer(device));
            ModuleState<double> state;
            cell.collect(state);
            shake(state, device);
            const auto inputs = inputs_for(options, 2, device);
            const auto gamma = Variable<double>::leaf(random_mixture<double>(1, 8, 3, 50, device));
            auto leaves = inputs;
            leaves.push_back(gamma);
            for (const auto& p : state.parameters) leaves.push_back(p.variable);
            CHECK(difference_error([&] { return cell.forward(inputs, {gamma}, phase); }, leaves, 12) < 1e-6);
        }
}

TEST_CASE("cell: a primitive without parameters runs once for all edges that leave a vertex", "[space]") {
    const auto device = test_device(1);
    const auto pools = [&](const BasicCell<double>& cell, auto&& forward) {
        const auto inputs = inputs_for(cell.options(), 1, device);
        const NoGrad no_grad;
        const auto program = Program::record(device, [&] { forward(inputs); });
        int count = 0;
        for (std::size_t i = 0; i < program.size(); ++i) count += std::string(program.kernel(i)) == "max_pool_forward";
        return count;
    };
    auto options = options_for("pointwise", CellGraph::dense());
    const BasicCell<double> relaxed(options, initializer(device));
    const Relaxation<double> uniform{Variable<double>(random_mixture<double>(1, 17, 3, 1, device))};
    CHECK(pools(relaxed, [&](const auto& inputs) { relaxed.forward(inputs, uniform, Phase::eval); }) ==
          5);                                                                      // 14 edges, 5 vertices
    options.choices = std::vector<int>{2, 0, 2, 1, 1, 2, 2, 0, 2, 2, 0, 0, 0, 2};  // pools leave vertices 0, 1, 3 and 4
    const BasicCell<double> discrete(options, initializer(device));
    std::set<int> sources;
    for (std::size_t e = 0; e < 14; ++e)
        if ((*options.choices)[e] == 2) sources.insert(options.graph.edges[e].from);
    CHECK(pools(discrete, [&](const auto& inputs) { discrete.forward(inputs, Phase::eval); }) ==
          static_cast<int>(sources.size()));
}

TEST_CASE("cell: graphs that cannot run", "[space]") {
    const auto message = [](const CellGraph& graph) {
        try {
            graph.checked();
        } catch (const Error& error) {
            return std::string(error.what());
        }
        return std::string();
    };
    CHECK(message({.inputs = 0, .nodes = 1}) == "cell: 0 inputs and 1 nodes; at least one of each is needed");
    CHECK(message({.inputs = 200, .nodes = 100}) == "cell: 300 vertices, at most 256 are supported");
    CHECK(message({.inputs = 1, .nodes = 1, .edges = {{1, 1}}}) ==
          "cell: edge 1 -> 1 does not run from an earlier vertex to a node (1 inputs, 1 nodes)");
    CHECK(message({.inputs = 2, .nodes = 1, .edges = {{0, 1}}}) ==
          "cell: edge 0 -> 1 does not run from an earlier vertex to a node (2 inputs, 1 nodes)");
    CHECK(message({.inputs = 1, .nodes = 1, .edges = {{0, 1}, {0, 1}}}) == "cell: edge 0 -> 1 is given twice");
    CHECK(message({.inputs = 1, .nodes = 2, .edges = {{0, 1}}}) == "cell: no edge leads to node 2");
    CHECK(message({.inputs = 1, .nodes = 1, .edges = {{0, 1}}, .concat = {2}}) ==
          "cell: output vertex 2 does not exist");
    CHECK(message({.inputs = 1, .nodes = 1, .edges = {{0, 1}}}).empty());
    const auto sorted = CellGraph{.inputs = 1, .nodes = 2, .edges = {{1, 2}, {0, 2}, {0, 1}}}.checked();
    CHECK(sorted.edges[0].to == 1);
    CHECK(sorted.edges[1].from == 0);
    CHECK(sorted.concat == std::vector<int>{1, 2});
}

TEST_CASE("cell: options and calls that cannot run", "[space]") {
    const auto device = test_device(1);
    const auto make = [&](auto&& change) {
        auto options = options_for("paper", CellGraph::dense(2));
        change(options);
        BasicCell<double>(options, initializer(device));
    };
    CHECK_THROWS_WITH(make([](auto& o) { o.primitives.clear(); }),
                      "cell: no primitives given; an edge needs at least one to choose from");
    CHECK_THROWS_WITH(make([](auto& o) { o.primitives.assign(65, primitives::identity()); }),
                      "cell: 65 primitives, at most 64 are supported");
    CHECK_THROWS_WITH(make([](auto& o) { o.channels = 0; }), "cell: 0 channels");
    CHECK_THROWS_WITH(make([](auto& o) { o.stride = 3; }), "cell: stride 3 (1 or 2)");
    CHECK_THROWS_WITH(make([](auto& o) { o.inputs.pop_back(); }), "cell: 1 inputs described, the graph has 2");
    CHECK_THROWS_WITH(make([](auto& o) { o.choices = std::vector<int>{0}; }), "cell: 1 choices for 5 edges");
    CHECK_THROWS_WITH(make([](auto& o) { o.primitives.push_back(primitives::identity()); }),
                      "cell: two primitives are named identity");
    CHECK_THROWS_WITH(make([](auto& o) { o.inputs[0].channels = 0; }), "cell: an input of 0 channels, halved 1 times");
    CHECK_THROWS_WITH(make([](auto& o) { o.reduction = Reduction::factorized, o.inputs[0].halvings = 2; }),
                      "cell: an input must be halved 2 times, factorized reduction halves once");
    CHECK_THROWS_WITH(Primitive("a b", nullptr, [](const auto& x, const auto&, const Site&, Phase) { return x; }),
                      ContainsSubstring("primitive: \"a b\" is no name"));

    const auto options = options_for("paper", CellGraph::dense(2));
    const BasicCell<double> cell(options, initializer(device));
    auto discrete_options = options;
    discrete_options.choices = std::vector<int>(5, 0);
    const BasicCell<double> discrete(discrete_options, initializer(device));
    const auto inputs = inputs_for(options, 2, device);
    Relaxation<double> gamma{Variable<double>(random_mixture<double>(1, 8, 3, 1, device))};
    CHECK_THROWS_WITH(cell.forward(inputs, Phase::eval),
                      "cell: this cell is relaxed, call forward(inputs, relaxation, phase)");
    CHECK_THROWS_WITH(discrete.forward(inputs, gamma, Phase::eval),
                      "cell: this cell is discrete, call forward(inputs, phase)");
    CHECK_THROWS_WITH(cell.forward({inputs[0]}, gamma, Phase::eval), "cell: 1 inputs given, the graph has 2");
    gamma.mode = SearchMode::single_path;
    CHECK_THROWS_WITH(cell.forward(inputs, gamma, Phase::eval),
                      "cell: single_path needs one draw for the batch and its selected rows (gamma [1, 8, 3])");
    const Relaxation<double> few{Variable<double>(random_mixture<double>(1, 7, 3, 1, device))};
    CHECK_THROWS_WITH(cell.forward(inputs, few, Phase::eval), "cell: gamma [1, 7, 3] for rows 3 to 7 of 3 primitives");
    const std::vector<Variable<double>> small{Variable<double>(random_tensor<double>({2, 4, 4, 3}, 1, device)),
                                              inputs[1]};
    CHECK_THROWS_WITH(cell.forward(small, {Variable<double>(random_mixture<double>(1, 8, 3, 1, device))}, Phase::eval),
                      "cell: input 0 arrives as [2, 2, 2, 4], 3 x 3 was declared");
    CHECK_THROWS_WITH(search_mode("sofa"), "mode: \"sofa\" is unknown (relaxed, straight_through, single_path)");
    for (const auto mode : {SearchMode::relaxed, SearchMode::straight_through, SearchMode::single_path})
        CHECK(search_mode(search_mode_name(mode)) == mode);
}

}  // namespace space_cell_test
