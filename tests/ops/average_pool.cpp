// SPDX-License-Identifier: MIT
#include <hwnas/ops/average_pool.hpp>

#include "support/window_ops.hpp"

#include <limits>

namespace ops_average_pool_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

auto pool(const WindowCase& window, bool count_padding) {
    return [window, count_padding](const auto& v) {
        return average_pool(v[0], {.kernel = window.kernel,
                                   .stride = window.stride,
                                   .padding = window.padding,
                                   .dilation = window.dilation,
                                   .count_padding = count_padding});
    };
}
Outcome<double> slow_average_pool(const contract::Window& s, const std::vector<double>& x, bool count_padding) {
    const Shape shape{s.n, s.oh, s.ow, s.c};
    const auto dy = random_values<double>(shape.elements(), 77);
    Outcome<double> out{std::vector<double>(dy.size()), {std::vector<double>(x.size())}};
    std::vector<double> divisor(dy.size());
    for_each_tap(s, [&](std::size_t y, std::size_t, std::size_t) { divisor[y] += 1; });
    if (count_padding) divisor.assign(dy.size(), s.kernel * s.kernel);
    for_each_tap(s, [&](std::size_t y, std::size_t, std::size_t source) {
        out.y[y] += x[source] / divisor[y];
        out.gradients[0][source] += dy[y] / divisor[y];
    });
    return out;
}

}  // namespace

TEST_CASE("average_pool and its gradient equal a plain loop, padding counted or not", "[ops]") {
    for (const auto& window : window_cases())
        for (const bool count_padding : {false, true}) {
            INFO(window.str() << ", count_padding " << count_padding);
            const auto s = make_window("test", window.x, window.kernel, window.stride, window.padding, window.dilation);
            const auto x = random_values<double>(window.x.elements(), 1);
            check_op(pool(window, count_padding), {x}, {window.x}, slow_average_pool(s, x, count_padding));
        }
}

TEST_CASE("average_pool of ones is one when padding does not count", "[ops]") {
    const auto device = test_device();
    const Variable<float> ones(Tensor<float>::full({1, 3, 3, 1}, 1.0f, device));
    for (const float value : average_pool(ones).value().to_vector()) CHECK(std::abs(value - 1.0f) <= 1e-6f);
    CHECK(std::abs(average_pool(ones, {.count_padding = true}).value().to_vector()[0] - 4.0f / 9.0f) <= 1e-6f);
}

TEST_CASE("average_pool gradient agrees with finite differences", "[ops][gradcheck]") {
    for (const WindowCase& window :
         {WindowCase{{2, 5, 6, 5}}, WindowCase{{1, 6, 5, 3}, 3, 2}, WindowCase{{1, 5, 6, 2}, 2, 1, 1}})
        for (const bool count_padding : {false, true}) {
            const auto result =
                gradcheck(pool(window, count_padding), {random_tensor<double>(window.x, 2, test_device())});
            INFO(window.str() << ": " << result.message);
            CHECK(result.passed);
        }
}

TEST_CASE("average_pool: two uses add up, a recorded step repeats", "[ops]") {
    for (const WindowCase& window : {WindowCase{{4, 9, 7, 12}}, WindowCase{{4, 9, 7, 12}, 5, 2}})
        check_uses(pool(window, false), {random_values<double>(window.x.elements(), 3)}, {window.x});
}

TEST_CASE("average_pool: NaN reaches the windows that see it and no other", "[ops]") {
    const auto device = test_device(2, GENERATE(from_range(test_isas())));
    const std::int64_t c = GENERATE(13, 29, 16);
    auto values = random_values<float>(6 * 9 * c, 1);
    for (std::int64_t i = 0; i < c; ++i)
        values[static_cast<std::size_t>((1 * 9 + 7) * c + i)] = std::numeric_limits<float>::quiet_NaN();
    const auto x = Variable<float>::leaf(Tensor<float>::from(values, {1, 6, 9, c}, device));
    const auto y = average_pool(x);
    backward(y, x.value());
    const auto found = y.value().to_vector(), gradient = x.grad().to_vector();
    for (std::int64_t p = 0; p < 6; ++p)
        for (std::int64_t q = 0; q < 9; ++q)
            for (std::int64_t i = 0; i < c; ++i) {
                const auto at = static_cast<std::size_t>((p * 9 + q) * c + i);
                REQUIRE(std::isnan(found[at]) == (p <= 2 && q >= 6));
                REQUIRE(std::isnan(gradient[at]) == (p <= 2 && q >= 6));
            }
}

TEST_CASE("average_pool without a gradient to compute builds no tape", "[ops]") {
    const auto x = random_tensor<float>({1, 3, 3, 2}, 1, test_device());
    CHECK_FALSE(average_pool(Variable<float>(x)).requires_grad());
    const NoGrad no_grad;
    CHECK_FALSE(average_pool(Variable<float>::leaf(x)).requires_grad());
}

TEST_CASE("average_pool says what clashes", "[ops]") {
    const auto constant = [](const Shape& shape) {
        return Variable<float>(Tensor<float>::full(shape, 1.0f, test_device()));
    };
    const auto x = constant({1, 20, 20, 2});
    CHECK_THROWS_WITH(average_pool(x, {.kernel = 256}), "average_pool: kernel 256 is not in 1 to 255");
    CHECK_THROWS_WITH(average_pool(x, {.stride = 0}), "average_pool: stride 0 is below 1");
    CHECK_THROWS_WITH(average_pool(x, {.dilation = 0}), "average_pool: dilation 0 is below 1");
    CHECK_THROWS_WITH(average_pool(x, {.padding = 3}), "average_pool: padding 3 is not in 0 to 2");
    CHECK_THROWS_WITH(average_pool(x, {.kernel = 4}),
                      "average_pool: kernel 4 has no centre, give its padding explicitly");
    CHECK_THROWS_WITH(average_pool(constant({1, 2, 2, 1}), {.padding = 0}),
                      "average_pool: window of 3 pixels does not fit input [1, 2, 2, 1] with padding 0");
    CHECK_THROWS_WITH(average_pool(constant({20, 2})), "average_pool: input has shape [20, 2], expected [N, H, W, C]");
    CHECK_THROWS_WITH(average_pool(constant({0, 4, 4, 2})), "average_pool: input [0, 4, 4, 2] is empty");
    CHECK_THROWS_WITH(average_pool(Variable<float>()), "average_pool: input has shape [], expected [N, H, W, C]");
}

TEST_CASE("average_pool: a window that sees no pixel is refused", "[ops]") {
    const auto x = [](const Shape& shape) { return Variable<float>(Tensor<float>::full(shape, -5.0f, test_device())); };
    CHECK_THROWS_WITH(
        average_pool(x({1, 1, 1, 1}), {.kernel = 2, .padding = 1, .dilation = 2}),
        "average_pool: the window at row 0 lies wholly in the padding (input [1, 1, 1, 1], kernel 2, stride 1, "
        "padding 1, dilation 2); pad less");
    CHECK_THROWS_WITH(
        average_pool(x({1, 9, 1, 1}), {.kernel = 3, .padding = 3, .dilation = 2}),
        "average_pool: the window at column 0 lies wholly in the padding (input [1, 9, 1, 1], kernel 3, stride "
        "1, padding 3, dilation 2); pad less");
    // Counted as zeros, padding alone has a mean.
    const auto zeros = average_pool(x({1, 1, 1, 1}), {.kernel = 2, .padding = 1, .dilation = 2, .count_padding = true});
    CHECK(zeros.value().to_vector() == std::vector<float>{0});
}

}  // namespace ops_average_pool_test
