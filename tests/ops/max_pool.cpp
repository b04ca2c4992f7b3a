// SPDX-License-Identifier: MIT
#include <hwnas/ops/max_pool.hpp>

#include "support/window_ops.hpp"

#include <limits>

namespace ops_max_pool_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

auto pool(const WindowCase& window) {
    return [window](const auto& v) {
        return max_pool(
            v[0],
            {.kernel = window.kernel, .stride = window.stride, .padding = window.padding, .dilation = window.dilation});
    };
}
/// The first of equals in row-major order wins.
Outcome<double> slow_max_pool(const contract::Window& s, const std::vector<double>& x) {
    const Shape shape{s.n, s.oh, s.ow, s.c};
    const auto dy = random_values<double>(shape.elements(), 77);
    Outcome<double> out{std::vector<double>(dy.size(), -HUGE_VAL), {std::vector<double>(x.size())}};
    std::vector<std::size_t> winner(dy.size(), x.size());
    for_each_tap(s, [&](std::size_t y, std::size_t, std::size_t source) {
        if (winner[y] != x.size() && !(x[source] > out.y[y])) return;
        winner[y] = source;
        out.y[y] = x[source];
    });
    for (std::size_t i = 0; i < dy.size(); ++i) out.gradients[0][winner[i]] += dy[i];
    return out;
}
Variable<float> image(const std::vector<float>& values, const Shape& shape, const Device& device) {
    return Variable<float>::leaf(Tensor<float>::from(values, shape, device));
}

}  // namespace

TEST_CASE("max_pool and its gradient equal a plain loop, with and without ties", "[ops]") {
    for (const auto& window : window_cases()) {
        INFO(window.str());
        const auto s = make_window("test", window.x, window.kernel, window.stride, window.padding, window.dilation);
        const auto distinct = distinct_tensor<double>(window.x, 1, test_device()).to_vector();
        check_op(pool(window), {distinct}, {window.x}, slow_max_pool(s, distinct));
        auto ties = random_values<double>(window.x.elements(), 2, -4.0, -1.0);
        for (auto& value : ties) value = std::floor(value);  // -4, -3, -2: zero padding would win
        check_op(pool(window), {ties}, {window.x}, slow_max_pool(s, ties));
    }
}

TEST_CASE("max_pool with the largest kernel keeps every tap apart", "[ops]") {
    const WindowCase window{{1, 17, 16, 12}, 15};
    const auto s = make_window("test", window.x, 15, 1, same_padding, 1);
    const auto x = distinct_tensor<double>(window.x, 3, test_device()).to_vector();
    check_op(pool(window), {x}, {window.x}, slow_max_pool(s, x));
}

TEST_CASE("max_pool gradient agrees with finite differences", "[ops][gradcheck]") {
    for (const WindowCase& window :
         {WindowCase{{2, 4, 5, 5}}, WindowCase{{1, 6, 5, 3}, 3, 2}, WindowCase{{1, 5, 6, 2}, 2, 1, 1, 1}}) {
        const auto result = gradcheck(pool(window), {distinct_tensor<double>(window.x, 4, test_device())});
        INFO(window.str() << ": " << result.message);
        CHECK(result.passed);
    }
}

TEST_CASE("max_pool: two uses add up, a recorded step repeats", "[ops]") {
    for (const WindowCase& window : {WindowCase{{4, 9, 7, 12}}, WindowCase{{4, 9, 7, 12}, 5, 2}})
        check_uses(pool(window), {distinct_tensor<double>(window.x, 5, test_device()).to_vector()}, {window.x});
}

TEST_CASE("max_pool: the first NaN of a window wins and takes the gradient", "[ops]") {
    const auto isa = GENERATE(from_range(test_isas()));
    const int stride = GENERATE(1, 2);
    const auto device = test_device(2, isa);
    const std::int64_t h = 5, w = 7, c = GENERATE(13, 29, 16);  // vectors of 16, 8 and 4 channels, a single one
    auto values = random_values<float>(h * w * c, 1);
    for (std::int64_t i = 0; i < c; ++i)
        for (const std::int64_t place : {2 * w + 3, 3 * w + 2})
            values[static_cast<std::size_t>(place * c + i)] = std::numeric_limits<float>::quiet_NaN();
    const auto x = image(values, {1, h, w, c}, device);
    const auto y = max_pool(x, {.stride = stride});
    backward(y, Tensor<float>::full(y.shape(), 1.0f, device));
    const auto found = y.value().to_vector(), gradient = x.grad().to_vector();
    std::int64_t first = 0, second = 0;
    for (std::int64_t p = 0; p < y.shape()[1]; ++p)
        for (std::int64_t q = 0; q < y.shape()[2]; ++q) {
            const bool sees_first = std::abs(p * stride - 2) <= 1 && std::abs(q * stride - 3) <= 1;
            const bool sees_second = std::abs(p * stride - 3) <= 1 && std::abs(q * stride - 2) <= 1;
            first += sees_first;
            second += sees_second && !sees_first;
            for (std::int64_t i = 0; i < c; ++i)
                REQUIRE(std::isnan(found[static_cast<std::size_t>((p * y.shape()[2] + q) * c + i)]) ==
                        (sees_first || sees_second));
        }
    for (std::int64_t i = 0; i < c; ++i) {
        CHECK(gradient[static_cast<std::size_t>((2 * w + 3) * c + i)] == static_cast<float>(first));
        CHECK(gradient[static_cast<std::size_t>((3 * w + 2) * c + i)] == static_cast<float>(second));
    }
}

TEST_CASE("max_pool: padding never wins, not even over minus infinity", "[ops]") {
    const auto isa = GENERATE(from_range(test_isas()));
    const auto device = test_device(2, isa);
    const float inf = std::numeric_limits<float>::infinity();
    const std::int64_t c = GENERATE(13, 29, 16);
    for (const int kernel : {3, 5}) {
        const auto x = image(std::vector<float>(static_cast<std::size_t>(4 * 3 * c), -inf), {1, 4, 3, c}, device);
        const auto y = max_pool(x, {.kernel = kernel});
        backward(y, Tensor<float>::full(y.shape(), 1.0f, device));
        float sum = 0;
        for (const float value : y.value().to_vector()) REQUIRE(value == -inf);
        for (const float value : x.grad().to_vector()) sum += value;
        CHECK(sum == static_cast<float>(4 * 3 * c));
    }
}

TEST_CASE("max_pool without a gradient to compute builds no tape", "[ops]") {
    const auto x = random_tensor<float>({1, 3, 3, 2}, 1, test_device());
    CHECK_FALSE(max_pool(Variable<float>(x)).requires_grad());
    const NoGrad no_grad;
    CHECK_FALSE(max_pool(Variable<float>::leaf(x)).requires_grad());
}

TEST_CASE("max_pool says what clashes", "[ops]") {
    const auto constant = [](const Shape& shape) {
        return Variable<float>(Tensor<float>::full(shape, 1.0f, test_device()));
    };
    const auto x = constant({1, 20, 20, 2});
    CHECK_THROWS_WITH(
        max_pool(x, {.kernel = 17}),
        "max_pool: kernel 17 is above 15, the most that one byte per element can tell apart (input [1, 20, 20, 2])");
    CHECK_THROWS_WITH(max_pool(x, {.kernel = 0}), "max_pool: kernel 0 is not in 1 to 255");
    CHECK_THROWS_WITH(max_pool(x, {.stride = 0}), "max_pool: stride 0 is below 1");
    CHECK_THROWS_WITH(max_pool(x, {.dilation = -1}), "max_pool: dilation -1 is below 1");
    CHECK_THROWS_WITH(max_pool(x, {.padding = 3}), "max_pool: padding 3 is not in 0 to 2");
    CHECK_THROWS_WITH(max_pool(x, {.kernel = 2}), "max_pool: kernel 2 has no centre, give its padding explicitly");
    CHECK_THROWS_WITH(max_pool(constant({1, 2, 2, 1}), {.padding = 0}),
                      "max_pool: window of 3 pixels does not fit input [1, 2, 2, 1] with padding 0");
    CHECK_THROWS_WITH(max_pool(constant({20, 2})), "max_pool: input has shape [20, 2], expected [N, H, W, C]");
    CHECK_THROWS_WITH(max_pool(constant({1, 4, 4, 0})), "max_pool: input [1, 4, 4, 0] is empty");
    CHECK_THROWS_WITH(max_pool(Variable<float>()), "max_pool: input has shape [], expected [N, H, W, C]");
}

TEST_CASE("max_pool: a window that sees no pixel is refused", "[ops]") {
    const auto x = [](const Shape& shape) { return Variable<float>(Tensor<float>::full(shape, -5.0f, test_device())); };
    CHECK_THROWS_WITH(
        max_pool(x({1, 1, 1, 1}), {.kernel = 2, .padding = 1, .dilation = 2}),
        "max_pool: the window at row 0 lies wholly in the padding (input [1, 1, 1, 1], kernel 2, stride 1, "
        "padding 1, dilation 2); pad less");
    CHECK_THROWS_WITH(
        max_pool(x({1, 9, 1, 1}), {.kernel = 3, .padding = 3, .dilation = 2}),
        "max_pool: the window at column 0 lies wholly in the padding (input [1, 9, 1, 1], kernel 3, stride "
        "1, padding 3, dilation 2); pad less");
}

}  // namespace ops_max_pool_test
