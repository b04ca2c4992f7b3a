// SPDX-License-Identifier: MIT
#include <hwnas/ops/conv.hpp>
#include <hwnas/ops/linear.hpp>

#include "cuda/device_under_test.hpp"

namespace cuda_conv_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

void check_case(const Device& device, const WindowCase& window, std::int64_t out_channels, bool bias,
                bool rectify = false) {
    INFO(window.str() << ", to " << out_channels << " channels" << (bias ? ", bias" : "")
                      << (rectify ? ", rectified" : ""));
    const Shape w{window.kernel, window.kernel, window.x[3], out_channels};
    std::vector<std::vector<double>> inputs{random_values<double>(window.x.elements(), 1),
                                            random_values<double>(w.elements(), 2)};
    std::vector<Shape> shapes{window.x, w};
    if (bias) inputs.push_back(random_values<double>(out_channels, 3)), shapes.push_back({out_channels});
    const ConvOptions options{.stride = window.stride, .padding = window.padding, .dilation = window.dilation};
    check_on_device(
        device,
        [&](const auto& v) {
            using V = typename std::decay_t<decltype(v)>::value_type;
            const V b = bias ? v[2] : V();
            return rectify ? relu_conv(v[0], v[1], b, options) : conv(v[0], v[1], b, options);
        },
        inputs, shapes);
}

}  // namespace

TEST_CASE("conv on the device agrees with the CPU at every kind of window", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    const std::int64_t out_channels[] = {16, 1, 3, 8, 12, 17, 33};
    std::size_t turn = 0;
    for (const auto& window : window_cases()) {
        if (emulated() && window.x.elements() > 30'000) continue;  // ten seconds more
        check_case(device, window, out_channels[turn % 7], turn % 2 == 1);
        ++turn;
    }
    check_case(device, {{2, 5, 6, 3}}, 40, false);  // weights in tiles of other shapes
}

TEST_CASE("1x1 conv on the device agrees with the CPU at every channel count", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const std::int64_t in : {1, 3, 16, 20, 64, 130})
        for (const std::int64_t out : {1, 16, 17, 32, 64, 130}) check_case(device, {{2, 3, 7, in}, 1}, out, in == out);
    check_case(device, {{3, 25, 41, 16}, 1}, 32, true);
    check_case(device, {{2, 9, 7, 12}, 1, 2}, 24, false);
    if (emulated()) return;
    check_case(device, {{256, 28, 28, 16}, 1}, 16, false);
    check_case(device, {{300, 14, 14, 128}, 1}, 32, false);
}

TEST_CASE("relu_conv on the device agrees with the CPU, by fours and one by one", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const std::int64_t in : {1, 3, 16, 64, 130})
        for (const std::int64_t out : {1, 16, 33, 64}) check_case(device, {{2, 3, 7, in}, 1}, out, in > out, true);
    const WindowCase windows[] = {{{3, 7, 6, 16}},         {{2, 9, 7, 5}, 3, 2},        {{2, 9, 7, 12}, 1, 2},
                                  {{1, 8, 9, 4}, 5},       {{1, 7, 8, 8}, 3, 1, -1, 2}, {{2, 6, 7, 3}, 3, 1, 0},
                                  {{1, 5, 6, 4}, 2, 2, 1}, {{9, 5, 5, 20}, 1}};
    for (const auto& window : windows) check_case(device, window, 12, window.kernel == 3, true);
    if (emulated()) return;
    check_case(device, {{256, 28, 28, 16}, 1}, 16, false, true);
    check_case(device, {{300, 14, 14, 128}, 1}, 32, false, true);
    check_case(device, {{64, 28, 28, 16}, 3}, 16, false, true);
}

TEST_CASE("relu_conv on the device keeps NaN, and what was minus infinity is zero", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    constexpr float infinity = std::numeric_limits<float>::infinity();
    for (const std::int64_t c : {3, 8})
        for (const auto& [kernel, stride] : {std::pair{1, 1}, {1, 2}, {3, 1}, {3, 2}}) {
            INFO(c << " channels, kernel " << kernel << ", stride " << stride);
            const Shape x{2, 7, 6, c};
            const auto window = make_window("test", x, kernel, stride, kernel / 2, 1);
            const std::int64_t out_channels = 5, outputs = 2 * window.oh * window.ow * out_channels,
                               weights = kernel * kernel * c * out_channels;
            auto values = random_values<float>(x.elements(), 1);
            // Places that every window kind reads, each in a channel of its own.
            const auto at = [&](std::int64_t image, std::int64_t row, std::int64_t column, std::int64_t channel) {
                return static_cast<std::size_t>(((image * 7 + row) * 6 + column) * c + channel);
            };
            values[at(0, 2, 2, 0)] = std::numeric_limits<float>::quiet_NaN();
            values[at(0, 4, 4, 1)] = infinity;
            for (std::int64_t q = 0; q < 6; ++q) values[at(1, 2, q, 2)] = -infinity;
            const auto on = [&](const Device& where) {
                const auto in = Tensor<float>::from(values, x, where),
                           w = random_tensor<float>({weights}, 2, where, 0.5, 1.0),
                           dy = random_tensor<float>({outputs}, 3, where, 0.5, 1.0),
                           y = Tensor<float>::empty({outputs}, where), dw = Tensor<float>::empty({2, weights}, where);
                submit(where,
                       contract::ConvForward<float>{y.data(), in.data(), w.data(), nullptr, window, out_channels, 1});
                submit(where, contract::ConvBackwardWeight<float>{dw.data(), in.data(), dy.data(), window, out_channels,
                                                                  2, 0, 1});
                return std::pair{y.to_vector(), dw.to_vector()};
            };
            const auto check = [](const std::vector<float>& found, const std::vector<float>& expected) {
                std::size_t nans = 0, infinite = 0, wrong = 0;
                for (std::size_t i = 0; i < found.size(); ++i) {
                    const float a = found[i], b = expected[i];
                    nans += std::isnan(b), infinite += std::isinf(b);
                    wrong += std::isfinite(b) ? !(std::abs(a - b) <= 1e-5f * std::abs(b) + 1e-6f)
                             : std::isnan(b)  ? !std::isnan(a)
                                              : a != b;
                }
                CHECK(wrong == 0);
                CHECK(nans > 0);
                CHECK(infinite > 0);
                CHECK(nans + infinite < found.size());
            };
            const auto found = on(device), expected = on(test_device());
            check(found.first, expected.first);
            check(found.second, expected.second);
        }
}

TEST_CASE("the stem's conv on the device agrees with the CPU", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    check_case(device, {{emulated() ? 2 : 256, 28, 28, 1}, 3}, 16, false);
    check_case(device, {{emulated() ? 2 : 256, 32, 32, 3}, 3}, 16, true);
}

TEST_CASE("linear on the device agrees with the CPU", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const std::int64_t rows : {1, 5, 130})
        for (const std::int64_t in : {3, 64})
            for (const std::int64_t out : {10, 84})
                check_on_device(device, [](const auto& v) { return linear(v[0], v[1], v[2]); },
                                {random_values<double>(rows * in, 1), random_values<double>(in * out, 2),
                                 random_values<double>(out, 3)},
                                {{rows, in}, {in, out}, {out}});
}

}  // namespace cuda_conv_test
