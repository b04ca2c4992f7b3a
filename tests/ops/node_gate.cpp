// SPDX-License-Identifier: MIT
#include <hwnas/autodiff/program.hpp>
#include <hwnas/ops/node_gate.hpp>
#include <hwnas/ops/softmax.hpp>

#include "support/catch.hpp"
#include "support/random_tensor.hpp"

namespace ops_node_gate_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

Tensor<std::int32_t> offsets(const std::vector<std::int32_t>& first, const Device& device) {
    return Tensor<std::int32_t>::from(first, {static_cast<std::int64_t>(first.size())}, device);
}
/// Random gamma whose rows sum to 1.
template <class T>
Tensor<T> random_gamma(const Shape& shape, std::uint64_t seed, const Device& device) {
    const auto soft = softmax(Variable<double>(random_tensor<double>(shape, seed, device, -2, 2))).value().to_vector();
    return Tensor<T>::from(std::vector<T>(soft.begin(), soft.end()), shape, device);
}

}  // namespace

TEST_CASE("node_gate equals a plain loop, at any thread count", "[ops]") {
    struct Case {
        std::int64_t groups, k;
        std::uint64_t mask;
        std::vector<std::int32_t> first;
    };
    for (const auto& [groups, k, mask, first] :
         {Case{1, 3, 0b001, {0, 2, 5, 9, 14}}, Case{130, 3, 0b101, {0, 2, 5, 9, 14}}, Case{2, 1, 1, {0, 1}},
          Case{3, 17, 0x10002, {1, 1, 4}}, Case{1, 64, 1ull << 63 | 1, {0, 14}}, Case{2, 3, 0, {0, 7, 14}}}) {
        const std::int64_t rows = 14, nodes = static_cast<std::int64_t>(first.size()) - 1;
        const auto device = test_device(1);
        const auto gamma = random_gamma<double>({groups, rows, k}, 1, device).to_vector();
        std::vector<double> expected;
        std::vector<std::int32_t> on;
        for (std::int64_t g = 0; g < groups; ++g)
            for (std::size_t v = 0; v + 1 < first.size(); ++v) {
                double none = 1;
                for (std::int64_t e = first[v]; e < first[v + 1]; ++e) {
                    double share = 0;
                    for (std::int64_t m = 0; m < k; ++m)
                        if (mask >> m & 1) share += gamma[static_cast<std::size_t>((g * rows + e) * k + m)];
                    none *= 1 - share;
                }
                expected.push_back(1 - none), expected.push_back(none);
                if (g == 0) on.push_back(none < 1);
            }
        const auto gate =
            node_gate(Variable<float>(random_gamma<float>({groups, rows, k}, 1, device)), offsets(first, device), mask);
        CHECK(gate.weights.shape() == Shape{groups, nodes, 2});
        CHECK(relative_error(gate.weights.value().to_vector(), expected) < 1e-6);
        CHECK(gate.on.to_vector() == on);
        CHECK(relative_error(node_gate(Variable<double>(random_gamma<double>({groups, rows, k}, 1, device)),
                                       offsets(first, device), mask)
                                 .weights.value()
                                 .to_vector(),
                             expected) < 1e-14);
        for (const auto& other : {test_device(2), test_device(5, cpu::Isa::portable)})
            CHECK(gate.weights.value().to_vector() ==
                  node_gate(Variable<float>(random_gamma<float>({groups, rows, k}, 1, other)), offsets(first, other),
                            mask)
                      .weights.value()
                      .to_vector());
    }
}

TEST_CASE("node_gate with one-hot gamma is exact: on where and only where a masked primitive is chosen", "[ops]") {
    const auto device = test_device();
    // Node 0: edges choose 0 and 2; node 1: 1 and 1 and 1; node 2 has no edges; node 3: 0 twice. The mask is primitive
    // 0.
    const std::vector<double> one_hot{1, 0, 0, 0, 0, 1, 0, 1, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0, 1, 0, 0};
    const auto gamma = Variable<double>::leaf(Tensor<double>::from(one_hot, {1, 7, 3}, device));
    const auto gate = node_gate(gamma, offsets({0, 2, 5, 5, 7}, device), 0b001);
    CHECK(gate.weights.value().to_vector() == std::vector<double>{1, 0, 0, 1, 0, 1, 1, 0});
    CHECK(gate.on.to_vector() == std::vector<std::int32_t>{1, 0, 0, 1});
    // dp/dgamma[e, 0] is the product over the other edges: defined although factors are 0.
    backward(gate.weights, Tensor<double>::from({1, 0, 1, 0, 1, 0, 1, 0}, {1, 4, 2}, device));
    CHECK(gamma.grad().to_vector() ==
          std::vector<double>{1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0});
}

TEST_CASE("node_gate gradient agrees with finite differences, float with double, and adds up", "[ops][gradcheck]") {
    const auto device = test_device();
    for (const auto mask : {0b001u, 0b110u, 0u}) {
        const auto first = offsets({0, 2, 5, 9}, device);
        const auto result = gradcheck([&](const auto& v) { return node_gate(v[0], first, mask).weights; },
                                      {random_gamma<double>({2, 11, 3}, 2, device)});
        INFO(result.message);
        CHECK(result.passed);
    }
    const auto seed = random_values<double>(40 * 4 * 2, 3);
    const auto gradient = [&]<class T>(T, int uses) {
        const auto gamma = Variable<T>::leaf(random_gamma<T>({40, 14, 8}, 4, device));
        for (int use = 0; use < uses; ++use)
            backward(node_gate(gamma, offsets({0, 2, 5, 9, 14}, device), 0b10010).weights,
                     Tensor<T>::from(std::vector<T>(seed.begin(), seed.end()), {40, 4, 2}, device));
        return gamma.grad().to_vector();
    };
    auto reference = gradient(double{}, 1);
    CHECK(relative_error(gradient(float{}, 1), reference) < 1e-5);
    for (auto& x : reference) x *= 2;
    CHECK(gradient(double{}, 2) == reference);
}

TEST_CASE("node_gate in a recorded step gives the eager bits, run after run", "[ops][program]") {
    const auto device = test_device();
    const auto gamma = Variable<float>::leaf(random_gamma<float>({2, 5, 3}, 5, device));
    const auto grad = Tensor<float>::full({2, 5, 3}, 0, device), seed = random_tensor<float>({2, 2, 2}, 6, device);
    const auto first = offsets({0, 2, 5}, device);
    gamma.set_grad(grad);
    NodeGate<float> gate;
    const auto program = Program::record(device, [&] { backward((gate = node_gate(gamma, first, 2)).weights, seed); });
    for (int run = 0; run < 2; ++run) {
        grad.assign(0.0f);
        program.run();
        const auto eager = Variable<float>::leaf(gamma.value().clone());
        const auto expected = node_gate(eager, first, 2);
        CHECK(gate.weights.value().to_vector() == expected.weights.value().to_vector());
        CHECK(gate.on.to_vector() == expected.on.to_vector());
        backward(expected.weights, seed);
        CHECK(grad.to_vector() == eager.grad().to_vector());
        gamma.value().assign(random_gamma<float>({2, 5, 3}, 7, device).to_vector());
    }
}

TEST_CASE("node_gate says what it cannot take", "[ops]") {
    const auto device = test_device(), other = test_device();
    const auto of = [&](const Shape& shape) { return Variable<float>(Tensor<float>::full(shape, 0, device)); };
    const auto gamma = of({1, 5, 3});
    const auto first = offsets({0, 2, 5}, device);
    CHECK_THROWS_WITH(node_gate(Variable<float>(), first, 1), "node_gate: gamma has no value");
    CHECK_THROWS_WITH(node_gate(gamma, {}, 1), "node_gate: first has no value");
    CHECK_THROWS_WITH(node_gate(of({5, 3}), first, 1),
                      "node_gate: gamma has shape [5, 3], expected [draws, edges, primitives]");
    CHECK_THROWS_WITH(node_gate(of({1, 5, 65}), first, 1),
                      "node_gate: 65 primitives (gamma [1, 5, 65]), a mask has 64 bits");
    CHECK_THROWS_WITH(node_gate(gamma, first, 8),
                      "node_gate: mask 0x8 names a primitive beyond the 3 of gamma [1, 5, 3]");
    CHECK_THROWS_WITH(node_gate(gamma, offsets({0}, device), 1),
                      "node_gate: first has shape [1], expected [nodes + 1]");
    CHECK_THROWS_WITH(node_gate(gamma, offsets({0, 3, 2}, device), 1),
                      "node_gate: node 1 has edges 3 up to 2, gamma [1, 5, 3] has 5 edges");
    CHECK_THROWS_WITH(node_gate(gamma, offsets({0, 6}, device), 1),
                      "node_gate: node 0 has edges 0 up to 6, gamma [1, 5, 3] has 5 edges");
    CHECK_THROWS_WITH(node_gate(gamma, offsets({0, 5}, other), 1),
                      "node_gate: gamma and first must be on one device, they are on cpu and cpu");
}

}  // namespace ops_node_gate_test
