// SPDX-License-Identifier: MIT
#include <hwnas/ops/relu.hpp>

#include "support/window_ops.hpp"

#include <limits>

namespace ops_relu_test {

using namespace hwnas;
using namespace hwnas::testing;

TEST_CASE("relu equals a plain loop on awkward sizes, on every kernel entry", "[ops]") {
    const auto isa = GENERATE(from_range(test_isas()));
    const auto n = GENERATE(1, 7, 8, 9, 29, 40'001);
    const auto device = test_device(3, isa);
    const auto x = random_values<float>(n, 1);
    const auto y = relu(Variable<float>(Tensor<float>::from(x, {n}, device))).value().to_vector();
    for (std::size_t i = 0; i < x.size(); ++i) REQUIRE(y[i] == (x[i] > 0 ? x[i] : 0.0f));
}

TEST_CASE("relu keeps NaN and infinity", "[ops]") {
    const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
    std::vector<float> x(9, nan);
    x[1] = inf, x[2] = -inf;
    const auto y = relu(Variable<float>(Tensor<float>::from(x, {9}, test_device()))).value().to_vector();
    CHECK(std::isnan(y[0]));
    CHECK(y[1] == inf);
    CHECK(y[2] == 0.0f);
    CHECK(std::isnan(y[8]));
}

TEST_CASE("relu gradient agrees with finite differences", "[ops][gradcheck]") {
    const auto result =
        gradcheck([](const auto& v) { return relu(v[0]); }, {distinct_tensor<double>({3, 5, 7}, 2, test_device())});
    INFO(result.message);
    CHECK(result.passed);
}

TEST_CASE("relu: the same bits at 1, 2 and 5 threads, two uses add up, a recorded step repeats", "[ops]") {
    const auto op = [](const auto& v) { return relu(v[0]); };
    const std::vector<std::vector<double>> inputs{random_values<double>(40'001, 1)};
    Outcome<double> expected{inputs[0], {random_values<double>(40'001, 77)}};
    for (std::size_t i = 0; i < expected.y.size(); ++i)
        if (expected.y[i] <= 0) expected.y[i] = expected.gradients[0][i] = 0;
    check_op(op, inputs, {{40'001}}, expected);
    check_uses(op, inputs, {{40'001}});
}

TEST_CASE("relu says what is missing", "[ops]") {
    CHECK_THROWS_WITH(relu(Variable<float>()), "relu: input has no value");
}

TEST_CASE("gradients of two uses of one value add up", "[ops][gradcheck]") {
    const auto device = test_device();
    const auto x = Variable<double>::leaf(distinct_tensor<double>({11}, 3, device));
    const auto y = relu(x);
    backward(relu(y), Tensor<double>::full({11}, 1.0, device));
    backward(relu(x), Tensor<double>::full({11}, 2.0, device));
    const auto values = x.value().to_vector(), gradient = x.grad().to_vector();
    for (std::size_t i = 0; i < values.size(); ++i) CHECK(gradient[i] == (values[i] > 0 ? 3.0 : 0.0));
}

}  // namespace ops_relu_test
