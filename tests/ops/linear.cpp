// SPDX-License-Identifier: MIT
#include <hwnas/ops/linear.hpp>

#include "support/window_ops.hpp"

namespace ops_linear_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

const auto map = [](const auto& v) { return v.size() == 3 ? linear(v[0], v[1], v[2]) : linear(v[0], v[1]); };

Outcome<double> slow_linear(std::int64_t rows, std::int64_t from, std::int64_t to,
                            const std::vector<std::vector<double>>& inputs) {
    const auto n = static_cast<std::size_t>(rows), in = static_cast<std::size_t>(from),
               out = static_cast<std::size_t>(to);
    const auto dy = random_values<double>(static_cast<std::int64_t>(n * out), 77);
    Outcome<double> result{std::vector<double>(n * out), {std::vector<double>(n * in), std::vector<double>(in * out)}};
    if (inputs.size() == 3) result.gradients.emplace_back(out);
    for (std::size_t r = 0; r < n; ++r)
        for (std::size_t o = 0; o < out; ++o) {
            const double d = dy[r * out + o];
            for (std::size_t i = 0; i < in; ++i) {
                result.y[r * out + o] += inputs[0][r * in + i] * inputs[1][i * out + o];
                result.gradients[0][r * in + i] += d * inputs[1][i * out + o];
                result.gradients[1][i * out + o] += d * inputs[0][r * in + i];
            }
            if (inputs.size() == 3) result.y[r * out + o] += inputs[2][o], result.gradients[2][o] += d;
        }
    return result;
}

}  // namespace

TEST_CASE("linear and its gradients equal a plain loop", "[ops]") {
    const std::int64_t cases[][3] = {{1, 1, 1}, {1, 64, 10}, {7, 17, 3}, {128, 256, 10}, {300, 12, 33}, {5, 700, 1}};
    for (const auto& [n, in, out] : cases)
        for (const bool bias : {false, true}) {
            INFO(n << " rows, " << in << " to " << out);
            std::vector<std::vector<double>> inputs{random_values<double>(n * in, 1),
                                                    random_values<double>(in * out, 2)};
            std::vector<Shape> shapes{{n, in}, {in, out}};
            if (bias) inputs.push_back(random_values<double>(out, 3)), shapes.push_back({out});
            check_op(map, inputs, shapes, slow_linear(n, in, out, inputs));
        }
}

TEST_CASE("linear gradients agree with finite differences", "[ops][gradcheck]") {
    const auto device = test_device();
    const auto result =
        gradcheck(map, {random_tensor<double>({4, 5}, 1, device), random_tensor<double>({5, 3}, 2, device),
                        random_tensor<double>({3}, 3, device)});
    INFO(result.message);
    CHECK(result.passed);
}

TEST_CASE("linear: two uses add up, a recorded step repeats", "[ops]") {
    check_uses(map, {random_values<double>(9 * 20, 1), random_values<double>(20 * 10, 2), random_values<double>(10, 3)},
               {{9, 20}, {20, 10}, {10}});
}

TEST_CASE("linear says what clashes", "[ops]") {
    const auto device = test_device();
    const auto constant = [&](const Shape& shape) { return Variable<float>(Tensor<float>::full(shape, 1.0f, device)); };
    const auto x = constant({8, 32}), w = constant({32, 10});
    CHECK_THROWS_WITH(linear(x, constant({24, 10})),
                      "linear: weight has 24 inputs, input has 32 (input [8, 32], weight [24, 10])");
    CHECK_THROWS_WITH(linear(x, constant({32})), "linear: weight has shape [32], expected [I, O] (input [8, 32])");
    CHECK_THROWS_WITH(linear(constant({8, 4, 8}), w), "linear: input has shape [8, 4, 8], expected [N, I]");
    CHECK_THROWS_WITH(linear(constant({0, 32}), w), "linear: input [0, 32] is empty");
    CHECK_THROWS_WITH(linear(x, Variable<float>()), "linear: weight is undefined");
    CHECK_THROWS_WITH(linear(Variable<float>(), w), "linear: input is undefined");
    CHECK_THROWS_WITH(linear(x, w, constant({5})),
                      "linear: bias has shape [5], expected [10] (input [8, 32], weight [32, 10])");
    CHECK_THROWS_WITH(linear(x, Variable<float>(Tensor<float>::full({32, 10}, 1.0f, test_device()))),
                      "linear: weight lives on another device (cpu and cpu, two devices of one name: make one and "
                      "share its handle; input [8, 32], weight [32, 10])");
}

}  // namespace ops_linear_test
