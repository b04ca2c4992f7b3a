// SPDX-License-Identifier: MIT
// A discrete cell whose nodes are one sum each against the same cell op by op: learning, evaluated and folded, in
// double and in float by every kernel entry.
#include "support/modules.hpp"

#include <hwnas/autodiff/backward.hpp>
#include <hwnas/autodiff/program.hpp>
#include <hwnas/space/search_space.hpp>

namespace space_derived_cell_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

enum class Use { learn, evaluate, fold };

struct Run {
    std::vector<double> y;
    std::map<std::string, std::vector<double>> gradients;
    std::map<std::string, int> calls;
};
template <class T>
Run run(CellOptions options, const Use use, bool fused, const Device& device) {
    options.fused = fused;
    BasicCell<T> cell(options, Initializer<T>{device, seed(3)});
    ModuleState<T> state;
    cell.collect(state);
    std::uint64_t number = 100;
    for (const auto& [name, variable] : state.parameters)
        if (variable.shape().rank() == 1)  // scales and shifts that matter
            variable.value().assign(random_tensor<T>(variable.shape(), ++number, device, 0.5, 1.5).to_vector());
    for (const auto& [name, tensor] : state.buffers)
        tensor.assign(random_tensor<T>(tensor.shape(), ++number, device, 0.5, 1.5).to_vector());
    if (use == Use::fold) cell.fold();
    std::vector<Variable<T>> inputs;
    for (const auto& [channels, halvings] : options.inputs) {
        const auto x =
            random_tensor<T>({3, options.height << halvings, options.width << halvings, channels}, ++number, device);
        inputs.push_back(use == Use::learn ? Variable<T>::leaf(x) : Variable<T>(x));
    }
    Variable<T> y;
    const auto program = Program::record(device, [&] {
        if (use == Use::learn) {
            y = cell.forward(inputs, Phase::train);
            backward(y, random_tensor<T>(y.shape(), 9, device));
        } else {
            const NoGrad no_grad;
            y = cell.forward(inputs, Phase::eval);
        }
    });
    program.run();
    Run found;
    for (const T v : y.value().to_vector()) found.y.push_back(static_cast<double>(v));
    for (std::size_t i = 0; i < program.size(); ++i) ++found.calls[program.kernel(i)];
    if (use != Use::learn) return found;
    const auto keep = [&](const std::string& name, const std::vector<T>& values) {
        found.gradients[name].assign(values.begin(), values.end());
    };
    for (const auto& [name, values] : gradients(state)) keep(name, values);
    for (std::size_t i = 0; i < inputs.size(); ++i) keep(fmt::format("input {}", i), gradient(inputs[i]));
    return found;
}
template <class T>
void compare(const CellOptions& options, const Device& device, double tolerance, bool gradients_too) {
    for (const Use use : {Use::learn, Use::evaluate, Use::fold}) {
        INFO("use " << static_cast<int>(use));
        const auto found = run<T>(options, use, true, device), expected = run<T>(options, use, false, device);
        CHECK(relative_error(found.y, expected.y) <= tolerance);
        if (use != Use::learn || !gradients_too) continue;
        REQUIRE(found.gradients.size() == expected.gradients.size());
        for (const auto& [name, gradient] : expected.gradients) {
            INFO(name);
            CHECK(gradient_error(found.gradients.at(name), gradient) <= tolerance);
        }
    }
}
CellOptions options_for(const char* space, std::uint64_t trial, const SpaceOptions& shape) {
    auto options = SearchSpace::named(space, shape).cell_options(trial % 2 == 1 ? 0 : 1);
    if (trial > 0) options.graph = random_graph(trial);
    while (static_cast<int>(options.inputs.size()) < options.graph.inputs) options.inputs.push_back(options.inputs[0]);
    options.inputs.resize(static_cast<std::size_t>(options.graph.inputs));
    options.choices = random_choices(static_cast<int>(options.graph.edges.size()), 3, 30 + trial);
    return options;
}

}  // namespace

TEST_CASE("cell: a derived cell of whole nodes equals the same cell op by op", "[space]") {
    for (const char* space : {"paper", "pointwise", "separable"})
        for (std::uint64_t trial = 0; trial < 6; ++trial) {
            INFO(space << ", graph " << trial);
            const auto options = options_for(space, trial, {.image = {6, 6, 1}, .channels = 2});
            compare<double>(options, test_device(), 1e-10, true);
        }
}

TEST_CASE("cell: a derived cell of whole nodes in float, by every kernel entry", "[space]") {
    for (const auto isa : test_isas())
        for (const char* space : {"paper", "pointwise", "separable"}) {
            INFO(space << " " << cpu::isa_name(isa));
            const auto options = options_for(space, 0, {.image = {28, 28, 1}, .channels = 16});
            compare<float>(options, test_device(2, isa), 1e-5, false);
        }
}

// Without pools: where rounding decides which of two pixels is the larger, gradients go elsewhere.
TEST_CASE("cell: gradients of a derived cell in float, by every kernel entry", "[space]") {
    for (const auto isa : test_isas())
        for (const char* space : {"paper", "pointwise"})
            for (const std::uint64_t trial : {1, 2, 3}) {
                INFO(space << " " << cpu::isa_name(isa) << ", graph " << trial);
                auto options = options_for(space, trial, {.image = {28, 28, 1}, .channels = trial == 3 ? 24 : 16});
                const auto primitives = SearchSpace::named(space).primitives();
                for (int& choice : *options.choices)
                    while (primitives[static_cast<std::size_t>(choice)].traits().pool) choice = (choice + 1) % 3;
                compare<float>(options, test_device(2, isa), 1e-5, true);
            }
}

TEST_CASE("cell: a derived node runs what its edges have chosen, and nothing else", "[space]") {
    const auto device = test_device();
    auto options = options_for("pointwise", 0, {.image = {6, 6, 1}, .channels = 2});
    const auto edges = static_cast<int>(options.graph.edges.size());
    const auto calls = [&](int primitive, Use use) {
        options.choices = std::vector<int>(static_cast<std::size_t>(edges), primitive);
        return run<float>(options, use, true, device).calls;
    };
    const auto names = SearchSpace::pointwise().primitives();
    for (std::size_t m = 0; m < names.size(); ++m) {
        INFO(names[m].name());
        auto learning = calls(static_cast<int>(m), Use::learn), folded = calls(static_cast<int>(m), Use::fold);
        const bool convolves = names[m].traits().convolution, pools = names[m].traits().pool;
        CHECK(learning["depthwise_conv_backward_weight"] == (convolves ? edges : 0));
        CHECK(learning["depthwise_conv_forward"] == 0);
        CHECK(learning["weighted_sum_forward"] == 0);
        CHECK((learning["max_pool_forward"] > 0) == pools);
        CHECK(folded["node_sum"] == options.graph.nodes);
        CHECK(folded["relu_forward"] == 0);
        for (const auto& [kernel, count] : folded) CHECK(kernel.find("batch_norm") == std::string::npos);
    }
}

}  // namespace space_derived_cell_test
