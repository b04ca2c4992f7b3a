// SPDX-License-Identifier: MIT
#include <hwnas/ops/global_average_pool.hpp>

#include "support/window_ops.hpp"

#include <limits>

namespace ops_global_average_pool_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

const auto op = [](const auto& v) { return global_average_pool(v[0]); };

Outcome<double> slow_mean(const Shape& x, const std::vector<double>& values) {
    const auto pixels = static_cast<std::size_t>(x[1] * x[2]), c = static_cast<std::size_t>(x[3]);
    const auto dy = random_values<double>(x[0] * x[3], 77);
    Outcome<double> out{std::vector<double>(dy.size()), {std::vector<double>(values.size())}};
    for (std::size_t i = 0; i < values.size(); ++i) {
        const std::size_t at = i / (pixels * c) * c + i % c;
        out.y[at] += values[i] / static_cast<double>(pixels);
        out.gradients[0][i] = dy[at] / static_cast<double>(pixels);
    }
    return out;
}

}  // namespace

TEST_CASE("global_average_pool and its gradient equal a plain loop", "[ops]") {
    for (const Shape& x : {Shape{1, 1, 1, 1}, Shape{3, 2, 2, 3}, Shape{2, 9, 1, 8}, Shape{5, 1, 7, 12},
                           Shape{4, 7, 7, 17}, Shape{9, 28, 28, 16}}) {
        INFO(x.str());
        const auto values = random_values<double>(x.elements(), 1);
        check_op(op, {values}, {x}, slow_mean(x, values));
    }
}

TEST_CASE("global_average_pool has shape [N, C]", "[ops]") {
    CHECK(global_average_pool(Variable<float>(random_tensor<float>({3, 4, 5, 6}, 1, test_device()))).shape() ==
          Shape{3, 6});
}

TEST_CASE("global_average_pool gradient agrees with finite differences", "[ops][gradcheck]") {
    const auto result = gradcheck(op, {random_tensor<double>({2, 3, 5, 7}, 2, test_device())});
    INFO(result.message);
    CHECK(result.passed);
}

TEST_CASE("global_average_pool: two uses add up, a recorded step repeats", "[ops]") {
    check_uses(op, {random_values<double>(4 * 5 * 3 * 12, 3)}, {{4, 5, 3, 12}});
}

TEST_CASE("global_average_pool: NaN stays in its image and channel", "[ops]") {
    auto values = random_values<float>(2 * 3 * 3 * 13, 1);
    values[3 * 13 + 5] = std::numeric_limits<float>::quiet_NaN();
    const auto y = global_average_pool(Variable<float>(Tensor<float>::from(values, {2, 3, 3, 13}, test_device())))
                       .value()
                       .to_vector();
    for (std::size_t i = 0; i < y.size(); ++i) CHECK(std::isnan(y[i]) == (i == 5));
}

TEST_CASE("global_average_pool without a gradient to compute builds no tape", "[ops]") {
    const auto x = random_tensor<float>({1, 3, 3, 2}, 1, test_device());
    CHECK_FALSE(global_average_pool(Variable<float>(x)).requires_grad());
    const NoGrad no_grad;
    CHECK_FALSE(global_average_pool(Variable<float>::leaf(x)).requires_grad());
}

TEST_CASE("global_average_pool says what clashes", "[ops]") {
    const auto constant = [](const Shape& shape) {
        return Variable<float>(Tensor<float>::full(shape, 1.0f, test_device()));
    };
    CHECK_THROWS_WITH(global_average_pool(constant({4, 8})),
                      "global_average_pool: input has shape [4, 8], expected [N, H, W, C]");
    CHECK_THROWS_WITH(global_average_pool(constant({4, 0, 3, 8})), "global_average_pool: input [4, 0, 3, 8] is empty");
    CHECK_THROWS_WITH(global_average_pool(Variable<float>()),
                      "global_average_pool: input has shape [], expected [N, H, W, C]");
}

}  // namespace ops_global_average_pool_test
