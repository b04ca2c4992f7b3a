// SPDX-License-Identifier: MIT
#include <hwnas/ops/conv.hpp>
#include <hwnas/ops/relu.hpp>

#include "support/window_ops.hpp"

#include <limits>

namespace ops_conv_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

auto convolution(const WindowCase& window) {
    return [window](const auto& v) {
        const ConvOptions options{.stride = window.stride, .padding = window.padding, .dilation = window.dilation};
        return v.size() == 3 ? conv(v[0], v[1], v[2], options) : conv(v[0], v[1], options);
    };
}
/// Inputs x, w and, if `out.gradients` is to have a third, bias.
Outcome<double> slow_conv(const contract::Window& s, std::size_t out_channels,
                          const std::vector<std::vector<double>>& inputs) {
    const auto channels = static_cast<std::size_t>(s.c);
    const auto &x = inputs[0], &w = inputs[1];
    const auto dy = random_values<double>(s.n * s.oh * s.ow * static_cast<std::int64_t>(out_channels), 77);
    Outcome<double> out{std::vector<double>(dy.size()), {std::vector<double>(x.size()), std::vector<double>(w.size())}};
    auto pixels = s;  // for_each_tap over one channel counts pixels and taps
    pixels.c = 1;
    for_each_tap(pixels, [&](std::size_t y, std::size_t tap, std::size_t source) {
        for (std::size_t i = 0; i < channels; ++i) {
            const double from = x[source * channels + i];
            const double* weights = &w[(tap * channels + i) * out_channels];
            double* dw = &out.gradients[1][(tap * channels + i) * out_channels];
            double dx = 0;
            for (std::size_t o = 0; o < out_channels; ++o) {
                const double d = dy[y * out_channels + o];
                out.y[y * out_channels + o] += from * weights[o];
                dx += d * weights[o];
                dw[o] += d * from;
            }
            out.gradients[0][source * channels + i] += dx;
        }
    });
    if (inputs.size() == 3) {
        out.gradients.emplace_back(out_channels);
        for (std::size_t i = 0; i < dy.size(); ++i) {
            out.y[i] += inputs[2][i % out_channels];
            out.gradients[2][i % out_channels] += dy[i];
        }
    }
    return out;
}
void check_case(const WindowCase& window, std::int64_t out_channels, bool bias) {
    INFO(window.str() << ", to " << out_channels << " channels");
    const Shape w{window.kernel, window.kernel, window.x[3], out_channels};
    const auto s = make_window("test", window.x, window.kernel, window.stride, window.padding, window.dilation);
    std::vector<std::vector<double>> inputs{random_values<double>(window.x.elements(), 1),
                                            random_values<double>(w.elements(), 2)};
    std::vector<Shape> shapes{window.x, w};
    if (bias) inputs.push_back(random_values<double>(out_channels, 3)), shapes.push_back({out_channels});
    check_op(convolution(window), inputs, shapes, slow_conv(s, static_cast<std::size_t>(out_channels), inputs));
}

}  // namespace

TEST_CASE("conv and its gradients equal a plain loop at every kind of window", "[ops]") {
    const std::int64_t out_channels[] = {16, 1, 3, 8, 12, 17, 33};
    std::size_t turn = 0;
    for (const auto& window : window_cases()) {
        check_case(window, out_channels[turn % 7], turn % 2 == 1);
        ++turn;
    }
}

TEST_CASE("relu_conv and its gradients equal relu, then conv", "[ops]") {
    struct {
        Shape x, w;
        ConvOptions options = {};
    } const cases[] = {{{2, 5, 4, 3}, {1, 1, 3, 5}},
                       {{3, 9, 7, 16}, {1, 1, 16, 16}},
                       {{2, 7, 7, 64}, {1, 1, 64, 48}},
                       {{11, 14, 15, 32}, {1, 1, 32, 24}},  // pixels in several pieces
                       {{2, 5, 5, 130}, {1, 1, 130, 17}},
                       {{1, 1, 3, 20}, {1, 1, 20, 10}},
                       {{3, 5, 5, 20}, {1, 1, 20, 10}},
                       {{2, 9, 7, 30}, {1, 1, 30, 30}},
                       {{2, 8, 9, 12}, {1, 1, 12, 8}, {.stride = 2, .padding = 0}},
                       {{2, 8, 8, 1}, {3, 3, 1, 16}},
                       {{2, 6, 7, 5}, {3, 3, 5, 7}, {.stride = 2}},
                       {{1, 4, 5, 100}, {3, 3, 100, 9}, {.dilation = 2}}};
    for (const auto& c : cases)
        for (const bool bias : {false, true}) {
            INFO(fmt::format("{} {} bias {}", c.x, c.w, bias));
            std::vector<std::vector<double>> inputs{random_values<double>(c.x.elements(), 1),
                                                    random_values<double>(c.w.elements(), 2)};
            std::vector<Shape> shapes{c.x, c.w};
            if (bias) inputs.push_back(random_values<double>(c.w[3], 3)), shapes.push_back({c.w[3]});
            const auto fused = [&](const auto& v) {
                using V = typename std::decay_t<decltype(v)>::value_type;
                return relu_conv(v[0], v[1], bias ? v[2] : V(), c.options);
            };
            const auto apart = [&](const auto& v) {
                using V = typename std::decay_t<decltype(v)>::value_type;
                return conv(relu(v[0]), v[1], bias ? v[2] : V(), c.options);
            };
            check_op(fused, inputs, shapes, run_op<double>(apart, inputs, shapes, test_device(1)));
        }
}

TEST_CASE("1x1 conv and its gradients equal a plain loop at every channel count", "[ops]") {
    for (const std::int64_t in : {1, 3, 8, 12, 17, 64})
        for (const std::int64_t out : {1, 3, 8, 12, 17, 64}) check_case({{2, 3, 7, in}, 1}, out, in == out);
    check_case({{3, 50, 41, 16}, 1}, 32, true);    // several chunks
    check_case({{2, 9, 7, 12}, 1, 2}, 24, false);  // a strided one, most of dx is zero
    check_case({{1, 5, 5, 8}, 1, 3}, 8, true);
}

TEST_CASE("conv of images of few channels equals a plain loop at every window", "[ops]") {
    check_case({{9, 28, 28, 1}}, 16, false);
    check_case({{2, 9, 15, 3}, 3, 2}, 32, true);
    check_case({{1, 12, 9, 3}, 5}, 16, true);
    check_case({{1, 16, 17, 4}, 7, 2}, 48, false);
    check_case({{1, 8, 14, 2}, 2, 1, 1}, 16, true);
    check_case({{1, 6, 5, 1}, 3, 1, 0}, 16, false);
    check_case({{1, 7, 8, 2}, 3, 1, -1, 2}, 16, false);  // dilated: by the general kernels
    check_case({{1, 1, 1, 1}, 7}, 16, true);
    check_case({{2, 16, 29, 1}}, 10, true);  // channels that fill no vectors
    check_case({{1, 9, 30, 3}, 3, 2}, 30, false);
    check_case({{1, 8, 15, 2}, 5}, 7, true);
}

TEST_CASE("conv with more weights than one panel holds", "[ops]") {
    check_case({{1, 5, 7, 300}, 1}, 10, true);     // channels in blocks
    check_case({{1, 3, 9, 130}, 1}, 140, false);   // packed on both sides
    check_case({{1, 5, 4, 40}, 3}, 9, true);       // taps in blocks that end within a line
    check_case({{1, 4, 3, 270}, 3, 2}, 5, false);  // one tap, channels in blocks
    check_case({{1, 4, 4, 140}, 3, 1, -1, 2}, 3, true);
    check_case({{1, 6, 5, 3}, 3, 2}, 150, false);
}

TEST_CASE("conv gradients agree with finite differences", "[ops][gradcheck]") {
    const WindowCase cases[] = {
        {{2, 3, 4, 5}, 1}, {{2, 4, 5, 3}}, {{1, 5, 4, 3}, 3, 2}, {{1, 5, 5, 1}, 3, 1, -1, 2}, {{1, 4, 4, 2}, 2, 1, 1}};
    for (const auto& window : cases) {
        const auto device = test_device();
        const auto result = gradcheck(convolution(window),
                                      {random_tensor<double>(window.x, 1, device),
                                       random_tensor<double>({window.kernel, window.kernel, window.x[3], 4}, 2, device),
                                       random_tensor<double>({4}, 3, device)});
        INFO(window.str() << ": " << result.message);
        CHECK(result.passed);
    }
}

TEST_CASE("conv: two uses add up, a recorded step repeats", "[ops]") {
    for (const WindowCase& window :
         {WindowCase{{4, 9, 7, 12}, 1}, WindowCase{{4, 9, 7, 8}, 3}, WindowCase{{4, 9, 7, 12}, 1, 2}}) {
        const Shape w{window.kernel, window.kernel, window.x[3], 20};
        const std::vector<std::vector<double>> inputs{random_values<double>(window.x.elements(), 1),
                                                      random_values<double>(w.elements(), 2),
                                                      random_values<double>(20, 3)};
        check_uses(convolution(window), inputs, {window.x, w, {20}});
    }
}

TEST_CASE("conv computes the wanted gradients only", "[ops]") {
    const auto device = test_device();
    const auto x = random_tensor<float>({2, 5, 5, 8}, 1, device), w = random_tensor<float>({3, 3, 8, 4}, 2, device);
    const auto b = random_tensor<float>({4}, 4, device);
    const auto all_x = Variable<float>::leaf(x), all_w = Variable<float>::leaf(w), all_b = Variable<float>::leaf(b);
    const auto only_x = Variable<float>::leaf(x), only_w = Variable<float>::leaf(w), only_b = Variable<float>::leaf(b);
    const Variable<float> fixed_x(x), fixed_w(w), fixed_b(b);
    const auto seed = random_tensor<float>({2, 5, 5, 4}, 3, device);
    backward(conv(all_x, all_w, all_b), seed);
    backward(conv(only_x, fixed_w, fixed_b), seed);
    backward(conv(fixed_x, only_w, fixed_b), seed);
    backward(conv(fixed_x, fixed_w, only_b), seed);
    CHECK(only_x.grad().to_vector() == all_x.grad().to_vector());
    CHECK(only_w.grad().to_vector() == all_w.grad().to_vector());
    CHECK(only_b.grad().to_vector() == all_b.grad().to_vector());
    CHECK_FALSE(conv(fixed_x, fixed_w, fixed_b).requires_grad());
    const auto program = Program::record(device, [&] { backward(conv(only_x, fixed_w), seed); });
    CHECK(program.size() == 2);  // forward and dx, no dw
}

TEST_CASE("conv: NaN and infinity reach the windows that see them and no other", "[ops]") {
    const auto device = test_device(2, GENERATE(from_range(test_isas())));
    const std::int64_t in = GENERATE(13, 29, 16, 3), out = in == 3 ? 16 : in + 4;  // 3 to 16: as at a stem
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        auto values = random_values<float>(6 * 9 * in, 1);
        values[static_cast<std::size_t>((1 * 9 + 7) * in + in / 2)] = bad;
        const auto x = Tensor<float>::from(values, {1, 6, 9, in}, device);
        const auto y = conv(Variable<float>(x), Variable<float>(Tensor<float>::full({3, 3, in, out}, 1.0f, device)))
                           .value()
                           .to_vector();
        for (std::int64_t p = 0; p < 6; ++p)
            for (std::int64_t q = 0; q < 9; ++q)
                for (std::int64_t o = 0; o < out; ++o)
                    REQUIRE(std::isfinite(y[static_cast<std::size_t>((p * 9 + q) * out + o)]) == !(p <= 2 && q >= 6));
    }
}

TEST_CASE("conv says what clashes", "[ops]") {
    const auto device = test_device();
    const auto constant = [&](const Shape& shape) { return Variable<float>(Tensor<float>::full(shape, 1.0f, device)); };
    const auto elsewhere = [&](const Shape& shape) {
        return Variable<float>(Tensor<float>::full(shape, 1.0f, test_device()));
    };
    const auto x = constant({8, 6, 6, 32}), w = constant({3, 3, 32, 4});
    CHECK_THROWS_WITH(conv(x, constant({3, 3, 24, 4})),
                      "conv: weight has 24 input channels, input has 32 (input [8, 6, 6, 32], weight [3, 3, 24, 4])");
    CHECK_THROWS_WITH(conv(x, constant({3, 5, 32, 4})),
                      "conv: weight has shape [3, 5, 32, 4], expected [K, K, Cin, Cout] (input [8, 6, 6, 32])");
    CHECK_THROWS_WITH(conv(x, constant({3, 3, 32})),
                      "conv: weight has shape [3, 3, 32], expected [K, K, Cin, Cout] (input [8, 6, 6, 32])");
    CHECK_THROWS_WITH(conv(x, constant({3, 3, 32, 0})),
                      "conv: weight has shape [3, 3, 32, 0], expected [K, K, Cin, Cout] (input [8, 6, 6, 32])");
    CHECK_THROWS_WITH(conv(x, Variable<float>()), "conv: weight is undefined");
    CHECK_THROWS_WITH(conv(Variable<float>(), w), "conv: input is undefined");
    CHECK_THROWS_WITH(conv(constant({6, 6, 32}), w), "conv: input has shape [6, 6, 32], expected [N, H, W, C]");
    CHECK_THROWS_WITH(conv(constant({0, 6, 6, 32}), w), "conv: input [0, 6, 6, 32] is empty");
    CHECK_THROWS_WITH(conv(x, w, {.stride = 0}), "conv: stride 0 is below 1");
    CHECK_THROWS_WITH(conv(x, w, {.padding = 3}), "conv: padding 3 is not in 0 to 2");
    CHECK_THROWS_WITH(conv(x, w, {.dilation = 0}), "conv: dilation 0 is below 1");
    CHECK_THROWS_WITH(conv(x, w, constant({5})),
                      "conv: bias has shape [5], expected [4] (input [8, 6, 6, 32], weight [3, 3, 32, 4])");
    CHECK_THROWS_WITH(conv(x, elsewhere({3, 3, 32, 4})),
                      "conv: weight lives on another device (cpu and cpu, two devices of one name: make one and share "
                      "its handle; input [8, 6, 6, 32], weight [3, 3, 32, 4])");
    CHECK_THROWS_WITH(conv(x, w, elsewhere({4})),
                      "conv: bias lives on another device (cpu and cpu, two devices of one name: make one and share "
                      "its handle; input [8, 6, 6, 32], bias [4])");
}

}  // namespace ops_conv_test
