// SPDX-License-Identifier: MIT
// The whole cell against the same cell op by op. Its kernel on a CPU is plain loops, which its kernels elsewhere are
// compared with (tests/cuda/mixed_cell.cpp).
#include "support/relaxed_cell.hpp"

namespace ops_mixed_cell_test {

using namespace hwnas;
using namespace hwnas::testing;

TEST_CASE("mixed_cell and its gradients equal the cell op by op, by source and by node", "[ops]") {
    for (const auto& cell : relaxed_cells()) {
        INFO(cell.str());
        const auto inputs = cell.values();
        const auto shapes = cell.shapes();
        const auto expected = run_op<double>(cell.op(CellWay::by_op), inputs, shapes, test_device(1));
        check_op(cell.op(CellWay::whole), inputs, shapes, expected);
        check_op(cell.op(CellWay::by_node), inputs, shapes, expected);
        const auto by_source = run_op<double>(cell.op(CellWay::by_source), inputs, shapes, test_device(1));
        CHECK(relative_error(by_source.y, expected.y) <= 1e-12);
    }
}

TEST_CASE("mixed_cell: gamma that is one-hot or nothing", "[ops]") {
    const auto cell = RelaxedCell{{2, 6, 5, 4}}.filled();
    auto inputs = cell.values();
    for (std::size_t i = 0; i < inputs[2].size(); ++i) inputs[2][i] = (i / 3 * 5 + 1) % 4 == i % 3 ? 1 : 0;
    check_op(cell.op(CellWay::whole), inputs, cell.shapes(),
             run_op<double>(cell.op(CellWay::by_op), inputs, cell.shapes(), test_device(1)));
}

TEST_CASE("mixed_cell gradients agree with finite differences", "[ops][gradcheck]") {
    const auto device = test_device();
    for (const auto& some : {RelaxedCell{{2, 3, 4, 2}, 1, 2, 2}, RelaxedCell{{2, 4, 3, 1}, 2, 1, 3}}) {
        const auto cell = some.filled();
        std::vector<Tensor<double>> inputs;
        std::uint64_t seed = 0;
        for (const auto& shape : cell.shapes())
            inputs.push_back(shape.rank() == 4 ? distinct_tensor<double>(shape, ++seed, device, 0.02)
                                               : random_tensor<double>(shape, ++seed, device, 0.1, 1));
        const auto result = gradcheck(cell.op(CellWay::whole), inputs);
        INFO(cell.str() << ": " << result.message);
        CHECK(result.passed);
    }
}

TEST_CASE("mixed_cell: two uses add up, a recorded step repeats, gradients nobody wants are not computed", "[ops]") {
    const auto cell = RelaxedCell{{3, 5, 6, 4}, 1, 2, 3}.filled();
    const auto inputs = cell.values();
    const auto device = test_device(2);
    const auto once = run_op<float>(cell.op(CellWay::whole), inputs, cell.shapes(), device),
               twice = run_op<float>(cell.op(CellWay::whole), inputs, cell.shapes(), device, 2);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        auto doubled = once.gradients[i];
        for (float& v : doubled) v *= 2;
        CHECK(relative_error(twice.gradients[i], doubled) <= 1e-6);
    }
    CHECK(run_op<float>(cell.op(CellWay::whole), inputs, cell.shapes(), device, 1, true) == once);

    const auto shapes = cell.shapes();
    for (std::size_t constant = 0; constant < shapes.size(); ++constant) {
        INFO("input " << constant << " is a constant");
        std::vector<Variable<float>> leaves;
        for (std::size_t i = 0; i < shapes.size(); ++i) {
            const auto tensor =
                Tensor<float>::from(std::vector<float>(inputs[i].begin(), inputs[i].end()), shapes[i], device);
            leaves.push_back(i == constant ? Variable<float>(tensor) : Variable<float>::leaf(tensor));
        }
        const auto y = cell.apply(leaves, CellWay::whole);
        backward(y, test_seed<float>(y.shape(), device));
        for (std::size_t i = 0; i < shapes.size(); ++i)
            if (i != constant) CHECK(leaves[i].grad().to_vector() == once.gradients[i]);
    }
}

TEST_CASE("mixed_cell says what clashes", "[ops]") {
    const auto device = test_device();
    const auto constant = [&](const Shape& shape) { return Variable<float>(Tensor<float>::full(shape, 1.0f, device)); };
    const auto leaf = [&](const Shape& shape) {
        return Variable<float>::leaf(Tensor<float>::full(shape, 1.0f, device));
    };
    const auto gamma = constant({1, 3}), filters = constant({1, 1, 3, 3, 4});
    const auto cell = [&](std::vector<MixedEdge> edges, std::vector<Variable<float>> inputs, int nodes = 1) {
        return mixed_cell(edges, inputs, nodes, filters, gamma);
    };
    const auto x = constant({2, 4, 4, 4});
    CHECK_THROWS_WITH(cell({{0, 1, 2}}, {}), "mixed_cell: 0 inputs and 1 nodes, at least one of each is needed");
    CHECK_THROWS_WITH(cell({{0, 1, 2}, {0, 1, 2}}, {x}),
                      "mixed_cell: 1 inputs, 1 nodes and 2 edges; at most 2, 4 and 16, one edge between two vertices "
                      "(use MixedNodes)");
    CHECK_THROWS_WITH(cell({{0, 1, 2}}, {constant({2, 33, 4, 4})}),
                      "mixed_cell: an input has shape [2, 33, 4, 4], expected [N, H, W, C] of 2 x 2 to 32 x 32 pixels");
    CHECK_THROWS_WITH(cell({{0, 1, 2}}, {constant({2, 4, 4, 5})}),
                      "mixed_cell: filters [1, 1, 3, 3, 4] and gamma [1, 3], expected [G, 1, 3, 3, 5] and [G, M], G 1 "
                      "or 2");
    CHECK_THROWS_WITH(cell({{0, 2, 3}}, {x}), "mixed_cell: an edge from vertex 0 to 2 of 2, column 3 of gamma [1, 3]");
    CHECK_THROWS_WITH(cell({{0, 2, 1}}, {x, constant({2, 4, 5, 4})}),
                      "mixed_cell: inputs of shapes [2, 4, 4, 4] and [2, 4, 5, 4]");
    const auto same = leaf({2, 4, 4, 4});
    CHECK_THROWS_WITH(cell({{0, 2, 1}}, {same, same}),
                      "mixed_cell: the same value is given for two inputs (use MixedNodes)");
}

}  // namespace ops_mixed_cell_test
