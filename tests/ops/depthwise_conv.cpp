// SPDX-License-Identifier: MIT
#include <hwnas/ops/depthwise_conv.hpp>

#include "support/window_ops.hpp"

#include <limits>

namespace ops_depthwise_conv_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

auto depthwise(const WindowCase& window) {
    return [window](const auto& v) {
        return depthwise_conv(v[0], v[1],
                              {.stride = window.stride, .padding = window.padding, .dilation = window.dilation});
    };
}
Outcome<double> slow_depthwise(const contract::Window& s, const std::vector<double>& x, const std::vector<double>& w) {
    const Shape shape{s.n, s.oh, s.ow, s.c};
    const auto dy = random_values<double>(shape.elements(), 77);
    Outcome<double> out{std::vector<double>(dy.size()), {std::vector<double>(x.size()), std::vector<double>(w.size())}};
    for_each_tap(s, [&](std::size_t y, std::size_t tap, std::size_t source) {
        out.y[y] += x[source] * w[tap];
        out.gradients[0][source] += dy[y] * w[tap];
        out.gradients[1][tap] += dy[y] * x[source];
    });
    return out;
}

}  // namespace

TEST_CASE("depthwise_conv and its gradients equal a plain loop", "[ops]") {
    for (const auto& window : window_cases()) {
        INFO(window.str());
        const Shape w{window.kernel, window.kernel, window.x[3]};
        const auto s = make_window("test", window.x, window.kernel, window.stride, window.padding, window.dilation);
        const std::vector<std::vector<double>> inputs{random_values<double>(window.x.elements(), 1),
                                                      random_values<double>(w.elements(), 2)};
        check_op(depthwise(window), inputs, {window.x, w}, slow_depthwise(s, inputs[0], inputs[1]));
    }
}

TEST_CASE("depthwise_conv gradients agree with finite differences", "[ops][gradcheck]") {
    const WindowCase cases[] = {{{2, 4, 5, 5}},          {{1, 5, 4, 3}, 3, 2}, {{1, 5, 5, 1}, 3, 1, -1, 2},
                                {{1, 4, 4, 2}, 2, 1, 1}, {{1, 6, 5, 2}, 5},    {{1, 6, 7, 1}, 5, 2, -1, 2},
                                {{1, 6, 7, 2}, 7},       {{1, 7, 6, 1}, 7, 2}};
    for (const auto& window : cases) {
        const auto device = test_device();
        const auto result = gradcheck(depthwise(window),
                                      {random_tensor<double>(window.x, 1, device),
                                       random_tensor<double>({window.kernel, window.kernel, window.x[3]}, 2, device)});
        INFO(window.str() << ": " << result.message);
        CHECK(result.passed);
    }
}

TEST_CASE("depthwise_conv: two uses add up, a recorded step repeats", "[ops]") {
    for (const WindowCase& window : {WindowCase{{4, 9, 7, 12}}, WindowCase{{4, 9, 7, 12}, 5, 2}}) {
        const Shape w{window.kernel, window.kernel, 12};
        check_uses(depthwise(window),
                   {random_values<double>(window.x.elements(), 1), random_values<double>(w.elements(), 2)},
                   {window.x, w});
    }
}

TEST_CASE("depthwise_conv computes the wanted gradients only", "[ops]") {
    const auto device = test_device();
    const auto x = random_tensor<float>({2, 5, 5, 8}, 1, device), w = random_tensor<float>({3, 3, 8}, 2, device);
    const auto both_x = Variable<float>::leaf(x), both_w = Variable<float>::leaf(w);
    const auto only_x = Variable<float>::leaf(x), only_w = Variable<float>::leaf(w);
    const auto seed = random_tensor<float>(x.shape(), 3, device);
    backward(depthwise_conv(both_x, both_w), seed);
    backward(depthwise_conv(only_x, Variable<float>(w)), seed);
    backward(depthwise_conv(Variable<float>(x), only_w), seed);
    CHECK(only_x.grad().to_vector() == both_x.grad().to_vector());
    CHECK(only_w.grad().to_vector() == both_w.grad().to_vector());
    CHECK_FALSE(depthwise_conv(Variable<float>(x), Variable<float>(w)).requires_grad());
    const NoGrad no_grad;
    CHECK_FALSE(depthwise_conv(only_x, only_w).requires_grad());
}

TEST_CASE("depthwise_conv: NaN and infinity reach the windows that see them and no other", "[ops]") {
    const auto device = test_device(2, GENERATE(from_range(test_isas())));
    const std::int64_t c = GENERATE(13, 29, 16);  // vectors of 16, 8 and 4 channels, a single one
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        auto values = random_values<float>(6 * 9 * c, 1);
        for (std::int64_t i = 0; i < c; ++i) values[static_cast<std::size_t>((1 * 9 + 7) * c + i)] = bad;
        const auto x = Variable<float>::leaf(Tensor<float>::from(values, {1, 6, 9, c}, device));
        const auto w = Tensor<float>::full({3, 3, c}, 1.0f, device);
        const auto y = depthwise_conv(x, Variable<float>(w));
        backward(y, x.value());
        const auto found = y.value().to_vector(), gradient = x.grad().to_vector();
        for (std::int64_t p = 0; p < 6; ++p)
            for (std::int64_t q = 0; q < 9; ++q)
                for (std::int64_t i = 0; i < c; ++i) {
                    const auto at = static_cast<std::size_t>((p * 9 + q) * c + i);
                    const bool sees = p <= 2 && q >= 6;
                    REQUIRE(std::isfinite(found[at]) == !sees);
                    REQUIRE(std::isfinite(gradient[at]) == !sees);
                }
    }
}

TEST_CASE("depthwise_conv says what clashes", "[ops]") {
    const auto device = test_device();
    const auto constant = [&](const Shape& shape) { return Variable<float>(Tensor<float>::full(shape, 1.0f, device)); };
    const auto x = constant({8, 6, 6, 32});
    CHECK_THROWS_WITH(depthwise_conv(x, constant({3, 3, 24})),
                      "depthwise_conv: weight has 24 channels, input has 32 (input [8, 6, 6, 32], weight [3, 3, 24])");
    CHECK_THROWS_WITH(depthwise_conv(x, constant({3, 5, 32})),
                      "depthwise_conv: weight has shape [3, 5, 32], expected [K, K, C] (input [8, 6, 6, 32])");
    CHECK_THROWS_WITH(depthwise_conv(x, constant({3, 3})),
                      "depthwise_conv: weight has shape [3, 3], expected [K, K, C] (input [8, 6, 6, 32])");
    CHECK_THROWS_WITH(depthwise_conv(x, Variable<float>()),
                      "depthwise_conv: weight has shape [], expected [K, K, C] (input [8, 6, 6, 32])");
    CHECK_THROWS_WITH(depthwise_conv(constant({6, 6, 32}), constant({3, 3, 32})),
                      "depthwise_conv: input has shape [6, 6, 32], expected [N, H, W, C]");
    CHECK_THROWS_WITH(depthwise_conv(constant({0, 6, 6, 32}), constant({3, 3, 32})),
                      "depthwise_conv: input [0, 6, 6, 32] is empty");
    CHECK_THROWS_WITH(depthwise_conv(x, constant({3, 3, 32}), {.stride = 0}), "depthwise_conv: stride 0 is below 1");
    CHECK_THROWS_WITH(depthwise_conv(x, constant({3, 3, 32}), {.dilation = 0}),
                      "depthwise_conv: dilation 0 is below 1");
    CHECK_THROWS_WITH(depthwise_conv(x, constant({3, 3, 32}), {.padding = 3}),
                      "depthwise_conv: padding 3 is not in 0 to 2");
    CHECK_THROWS_WITH(depthwise_conv(x, constant({2, 2, 32})),
                      "depthwise_conv: kernel 2 has no centre, give its padding explicitly");
    CHECK_THROWS_WITH(depthwise_conv(x, constant({7, 7, 32}), {.padding = 0}),
                      "depthwise_conv: window of 7 pixels does not fit input [8, 6, 6, 32] with padding 0");
    CHECK_THROWS_WITH(depthwise_conv(x, Variable<float>(Tensor<float>::full({3, 3, 32}, 1.0f, test_device()))),
                      "depthwise_conv: weight lives on another device (cpu and cpu, two devices of one name: make one "
                      "and share its handle; input [8, 6, 6, 32], weight [3, 3, 32])");
}

}  // namespace ops_depthwise_conv_test
