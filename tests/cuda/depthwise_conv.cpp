// SPDX-License-Identifier: MIT
#include <hwnas/ops/depthwise_conv.hpp>

#include "cuda/device_under_test.hpp"

namespace cuda_depthwise_conv_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

void check_window(const Device& device, const WindowCase& window) {
    INFO(window.str());
    const Shape w{window.kernel, window.kernel, window.x[3]};
    check_on_device(
        device,
        [&](const auto& v) {
            return depthwise_conv(v[0], v[1],
                                  {.stride = window.stride, .padding = window.padding, .dilation = window.dilation});
        },
        {random_values<double>(window.x.elements(), 1), random_values<double>(w.elements(), 2)}, {window.x, w});
}

}  // namespace

TEST_CASE("depthwise_conv on the device agrees with the CPU at awkward windows", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const auto& window : window_cases()) check_window(device, window);
}

TEST_CASE("depthwise_conv on the device takes any number of channels", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const std::int64_t c : {1, 2, 3, 7, 8, 9, 31, 33, 40, 64, 65, 130}) {
        check_window(device, {{2, 5, 6, c}});
        check_window(device, {{1, 5, 6, c}, 3, 2});
        check_window(device, {{2, 3, 4, c}, 4, 1, 2});
    }
    check_window(device, {{2, 6, 5, 130}, 5});
    check_window(device, {{1, 7, 6, 67}, 7});
}

TEST_CASE("depthwise_conv on the device: every kernel of its own, all paddings", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const int kernel : {3, 5, 7})
        for (const int stride : {1, 2})
            for (int padding = 0; padding < kernel; ++padding)
                check_window(device, {{1, 10, 9, 3}, kernel, stride, padding});
    for (const int kernel : {3, 5})
        for (const int dilation : {2, 3}) {
            check_window(device, {{2, 11, 14, 5}, kernel, 1, -1, dilation});
            check_window(device, {{1, 13, 13, 3}, kernel, 1, 1, dilation});
            check_window(device, {{1, 13, 14, 3}, kernel, 2, 2, dilation});
        }
}

TEST_CASE("depthwise_conv on the device: one gradient alone", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const int kernel : {2, 3, 5, 7})
        for (const int stride : {1, 2}) {
            const std::vector<Shape> shapes{{2, 9, 11, 5}, {kernel, kernel, 5}};
            const auto op = [&](const auto& v) {
                return depthwise_conv(v[0], v[1], {.stride = stride, .padding = kernel / 2});
            };
            std::vector<std::vector<double>> values;
            for (const auto& shape : shapes) values.push_back(random_values<double>(shape.elements(), 1));
            const auto expected = run_op<double>(op, values, shapes, test_device());
            for (const std::size_t wanted : {0u, 1u}) {
                INFO("kernel " << kernel << ", stride " << stride << ", gradient " << wanted);
                std::vector<Variable<float>> v;
                for (std::size_t i = 0; i < 2; ++i) {
                    const auto value =
                        Tensor<float>::from(std::vector<float>(values[i].begin(), values[i].end()), shapes[i], device);
                    v.push_back(i == wanted ? Variable<float>::leaf(value) : Variable<float>(value));
                }
                const auto y = op(v);
                backward(y, test_seed<float>(y.shape(), device));
                CHECK(relative_error(v[wanted].grad().to_vector(), expected.gradients[wanted]) < 2e-6);
            }
        }
}

TEST_CASE("depthwise_conv on the device: four channels a thread, where tensors fill the device", "[cuda]") {
    const auto found = narrow_device_under_test();
    if (!found) SKIP("no CUDA device");
    // Emulated, of a tensor's elements 16 or, at stride 2, 8 a thread have to give all resident threads eight rows.
    std::vector<WindowCase> cases{{{1, 38, 37, 48}},         {{1, 32, 36, 68}, 3, 1, 0},     {{2, 17, 31, 64}, 3, 1, 2},
                                  {{1, 33, 40, 52}, 5},      {{1, 41, 40, 40}, 3, 1, -1, 2}, {{1, 41, 61, 56}, 3, 2},
                                  {{1, 60, 45, 52}, 5, 2, 1}};
    if (!emulated())
        cases = {{{128, 112, 112, 32}},      {{64, 56, 57, 100}},        {{128, 28, 28, 240}, 5},
                 {{64, 112, 112, 96}, 3, 2}, {{64, 112, 112, 64}, 5, 2}, {{32, 112, 112, 48}, 3, 1, -1, 2}};
    for (const auto& c : cases) check_window(*found, c);
}

TEST_CASE("depthwise_conv on the device: extreme aspect ratios and many images", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const int kernel : {3, 5, 7})
        for (const int stride : {1, 2}) {
            check_window(device, {{1, 75, 1, 2}, kernel, stride});
            check_window(device, {{1, 1, 75, 2}, kernel, stride});
            check_window(device, {{1, 70, 3, 1}, kernel, stride});
        }
    check_window(device, {{260, 3, 3, 5}});
    check_window(device, {{300, 2, 3, 4}, 3, 2});
    check_window(device, {{515, 1, 2, 3}, 2, 1, 1});
    if (emulated()) return;
    for (const WindowCase& window :
         {WindowCase{{256, 28, 28, 16}}, WindowCase{{256, 14, 14, 32}}, WindowCase{{256, 7, 7, 64}},
          WindowCase{{64, 56, 56, 24}, 3, 2}, WindowCase{{64, 28, 28, 40}, 5}, WindowCase{{64, 28, 28, 40}, 5, 2},
          WindowCase{{32, 56, 56, 33}, 7}, WindowCase{{32, 56, 56, 32}, 7, 2},
          WindowCase{{16, 112, 112, 32}, 3, 1, -1, 2}, WindowCase{{1000, 14, 14, 96}, 3, 3}})
        check_window(device, window);
}

TEST_CASE("depthwise_conv on the device computes the wanted gradients only, and resumes sums", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const int kernel : {3, 4}) {
        const auto window = make_window("test", {5, 6, 7, 9}, kernel, 1, 1, 1);
        const std::int64_t taps = kernel * kernel * 9, chunks = 3;
        const auto on = [&](const Device& where) {
            const auto x = random_tensor<float>({5, 6, 7, 9}, 1, where);
            const auto dy = random_tensor<float>({5, window.oh, window.ow, 9}, 2, where);
            const auto partial = Tensor<float>::full({chunks, taps}, 0.5f, where);
            submit(where, contract::DepthwiseConvBackwardWeight<float>{partial.data(), x.data(), dy.data(), window,
                                                                       chunks, 1});
            return partial.to_vector();
        };
        CHECK(relative_error(on(device), on(test_device())) <= 2e-6);
    }
    const auto x = random_tensor<float>({2, 5, 5, 8}, 1, device), w = random_tensor<float>({3, 3, 8}, 2, device);
    const auto both_x = Variable<float>::leaf(x), both_w = Variable<float>::leaf(w);
    const auto only_x = Variable<float>::leaf(x), only_w = Variable<float>::leaf(w);
    const auto seed = random_tensor<float>(x.shape(), 3, device);
    backward(depthwise_conv(both_x, both_w), seed);
    backward(depthwise_conv(only_x, Variable<float>(w)), seed);
    backward(depthwise_conv(Variable<float>(x), only_w), seed);
    CHECK(only_x.grad().to_vector() == both_x.grad().to_vector());
    CHECK(relative_error(only_w.grad().to_vector(), both_w.grad().to_vector()) <= 2e-6);  // sums in another order
}

TEST_CASE("depthwise_conv on the device: both gradients in one pass, added to what is there", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    std::vector<WindowCase> cases{
        {{5, 9, 7, 9}},       {{3, 11, 10, 33}, 3, 1, 0},    {{4, 6, 14, 4}, 3, 1, 2},     {{2, 12, 13, 17}, 5},
        {{3, 10, 9, 5}, 7},   {{2, 13, 11, 6}, 3, 1, -1, 2}, {{2, 15, 9, 3}, 5, 1, -1, 3}, {{3, 5, 6, 40}, 4, 1, 1},
        {{3, 9, 8, 5}, 3, 2}, {{1, 30, 5, 1}, 7, 1, 6}};
    if (!emulated())
        for (const int kernel : {3, 5, 7})
            for (const Shape& x : {Shape{256, 28, 28, 16}, Shape{256, 14, 14, 32}, Shape{300, 7, 7, 64},
                                   Shape{32, 56, 56, 130}, Shape{16, 112, 112, 33}})
                cases.push_back({x, kernel});
    for (const auto& c : cases)
        for (const std::int32_t on : {0, 1}) {
            INFO(c.str() << ", accumulate and resume " << on);
            const auto window = make_window("test", c.x, c.kernel, c.stride, c.padding, c.dilation);
            const std::int64_t chunks = std::min<std::int64_t>(c.x[0], 256) - (c.x[0] > 3);
            const Shape filter{c.kernel, c.kernel, c.x[3]}, y{window.n, window.oh, window.ow, window.c};
            const auto gradients = [&](const Device& where) {
                const auto x = random_tensor<float>(c.x, 1, where), dy = random_tensor<float>(y, 2, where),
                           w = random_tensor<float>(filter, 3, where), dx = random_tensor<float>(c.x, 4, where),
                           partial = random_tensor<float>({chunks, filter.elements()}, 5, where);
                submit(where, contract::DepthwiseConvBackward<float>{dx.data(), partial.data(), x.data(), dy.data(),
                                                                     w.data(), window, chunks, on, on});
                return std::make_pair(dx.to_vector(), partial.to_vector());
            };
            const auto found = gradients(device), expected = gradients(test_device());
            CHECK(relative_error(found.first, expected.first) <= 2e-6);
            CHECK(relative_error(found.second, expected.second) <= 2e-6);
        }
}

TEST_CASE("depthwise_conv on the device: NaN and infinity reach the windows that see them and no other", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const int kernel : {2, 3, 5, 7})
        for (const int stride : {1, 2})
            for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
                INFO("kernel " << kernel << ", stride " << stride << ", " << bad);
                auto values = random_values<float>(9 * 11 * 3, 1);
                for (std::size_t i = 0; i < 3; ++i) values[(4 * 11 + 7) * 3 + i] = bad;
                const auto on = [&](const Device& where) {
                    const auto x = Variable<float>::leaf(Tensor<float>::from(values, {1, 9, 11, 3}, where));
                    const auto w = Tensor<float>::full({kernel, kernel, 3}, 1.0f, where);
                    const auto y = depthwise_conv(x, Variable<float>(w), {.stride = stride, .padding = kernel / 2});
                    auto seed = random_values<float>(y.shape().elements(), 2);
                    seed[seed.size() / 2] = bad;
                    backward(y, Tensor<float>::from(seed, y.shape(), where));
                    auto found = y.value().to_vector();
                    const auto gradient = x.grad().to_vector();
                    found.insert(found.end(), gradient.begin(), gradient.end());
                    return found;
                };
                const auto found = on(device), expected = on(test_device());
                REQUIRE(found.size() == expected.size());
                for (std::size_t i = 0; i < found.size(); ++i)
                    REQUIRE(std::isfinite(found[i]) == std::isfinite(expected[i]));
            }
}

}  // namespace cuda_depthwise_conv_test
