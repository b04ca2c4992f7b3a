// SPDX-License-Identifier: MIT
#include <hwnas/ops/node_gate.hpp>

#include "cuda/device_under_test.hpp"

namespace cuda_node_gate_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

Tensor<std::int32_t> offsets(const std::vector<std::int32_t>& first, const Device& device) {
    return Tensor<std::int32_t>::from(first, {static_cast<std::int64_t>(first.size())}, device);
}

}  // namespace

TEST_CASE("node_gate on the device agrees with the CPU", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    struct Case {
        std::int64_t groups, k;
        std::uint64_t mask;
        std::vector<std::int32_t> first;
    };
    // Edges that arrive at no node, nodes without edges, a mask of nothing and one of the last of 64 primitives.
    for (const auto& [groups, k, mask, first] :
         {Case{1, 3, 0b001, {0, 2, 5, 9, 14}}, Case{130, 3, 0b101, {0, 2, 5, 9, 14}}, Case{2, 1, 1, {0, 1}},
          Case{3, 17, 0x10002, {1, 1, 4}}, Case{1, 64, 1ull << 63 | 1, {0, 14}}, Case{2, 3, 0, {0, 7, 14}},
          Case{40, 8, 0b10010, {3, 5, 5, 11}}}) {
        INFO(groups << " draws, " << k << " primitives, mask " << mask);
        const std::int64_t rows = 14;
        const auto gate = [&](const auto& v) { return node_gate(v[0], offsets(first, v[0].device()), mask).weights; };
        check_on_device(device, gate, {random_values<double>(groups * rows * k, 1, 0, 1 / static_cast<double>(k))},
                        {{groups, rows, k}});
    }
}

TEST_CASE("node_gate on the device with one-hot gamma is exact", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    // Node 0: edges choose 0 and 2; node 1: 1 and 1 and 1; node 2 has no edges; node 3: 0 twice. The mask is primitive
    // 0.
    const std::vector<float> one_hot{1, 0, 0, 0, 0, 1, 0, 1, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0, 1, 0, 0};
    const auto gamma = Variable<float>::leaf(Tensor<float>::from(one_hot, {1, 7, 3}, device));
    const auto gate = node_gate(gamma, offsets({0, 2, 5, 5, 7}, device), 0b001);
    CHECK(gate.weights.value().to_vector() == std::vector<float>{1, 0, 0, 1, 0, 1, 1, 0});
    CHECK(gate.on.to_vector() == std::vector<std::int32_t>{1, 0, 0, 1});
    backward(gate.weights, Tensor<float>::from({1, 0, 1, 0, 1, 0, 1, 0}, {1, 4, 2}, device));
    CHECK(gamma.grad().to_vector() ==
          std::vector<float>{1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0});
    const auto undefined = Variable<float>(Tensor<float>::full({1, 7, 3}, NAN, device));
    CHECK(node_gate(undefined, offsets({0, 2, 5, 5, 7}, device), 1).on.to_vector() ==
          std::vector<std::int32_t>{0, 0, 0, 0});
}

}  // namespace cuda_node_gate_test
