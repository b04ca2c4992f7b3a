// SPDX-License-Identifier: MIT
#include <hwnas/ops/conv.hpp>
#include <hwnas/ops/linear.hpp>

#include "cuda/device_under_test.hpp"

using namespace hwnas;
using namespace hwnas::testing;

namespace {

void check_case(const Device& device, const WindowCase& window, std::int64_t out_channels, bool bias) {
    INFO(window.str() << ", to " << out_channels << " channels" << (bias ? ", bias" : ""));
    const Shape w{window.kernel, window.kernel, window.x[3], out_channels};
    std::vector<std::vector<double>> inputs{random_values<double>(window.x.elements(), 1),
                                            random_values<double>(w.elements(), 2)};
    std::vector<Shape> shapes{window.x, w};
    if (bias) inputs.push_back(random_values<double>(out_channels, 3)), shapes.push_back({out_channels});
    const ConvOptions options{.stride = window.stride, .padding = window.padding, .dilation = window.dilation};
    check_on_device(
        device,
        [&](const auto& v) { return v.size() == 3 ? conv(v[0], v[1], v[2], options) : conv(v[0], v[1], options); },
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
