// SPDX-License-Identifier: MIT
#include <hwnas/ops/max_pool.hpp>

#include "cuda/device_under_test.hpp"

namespace cuda_max_pool_test {

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
void check_window(const Device& device, const WindowCase& window) {
    INFO(window.str());
    check_on_device(device, pool(window), {distinct_tensor<double>(window.x, 1, test_device()).to_vector()},
                    {window.x});
    auto ties = random_values<double>(window.x.elements(), 2, -4.0, -1.0);
    for (auto& value : ties) value = std::floor(value);  // zero padding would win
    check_on_device(device, pool(window), {ties}, {window.x});
}

}  // namespace

TEST_CASE("max_pool on the device agrees with the CPU at awkward windows, with and without ties", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const auto& window : window_cases()) check_window(device, window);
    check_window(device, {{1, 17, 16, 4}, 15});
}

TEST_CASE("max_pool on the device takes any number of channels, padding and aspect ratio", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const std::int64_t c : {1, 2, 4, 7, 8, 33, 64, 130}) {
        check_window(device, {{2, 5, 6, c}});
        check_window(device, {{1, 5, 6, c}, 3, 2});
        check_window(device, {{2, 4, 4, c}, 2, 2, 0});
        check_window(device, {{1, 5, 4, c}, 5});
    }
    for (const std::int64_t c : {3, 8})
        for (const auto& [kernel, stride] : {std::pair{3, 1}, {3, 2}, {2, 2}, {2, 1}, {3, 3}, {4, 2}})
            for (int padding = 0; padding < kernel; ++padding)
                check_window(device, {{2, 7, 10, c}, kernel, stride, padding});
    for (const int stride : {1, 2}) {
        check_window(device, {{1, 75, 1, 2}, 3, stride});
        check_window(device, {{1, 1, 75, 4}, 3, stride});
        check_window(device, {{140, 2, 3, 4}, 3, stride});
    }
    if (emulated()) return;
    for (const WindowCase& window :
         {WindowCase{{256, 28, 28, 16}}, WindowCase{{256, 7, 7, 64}}, WindowCase{{64, 56, 56, 24}, 3, 2},
          WindowCase{{64, 112, 112, 16}, 2, 2, 0}, WindowCase{{33, 40, 41, 13}, 5}})
        check_window(device, window);
}

TEST_CASE("max_pool on the device: the first NaN wins, and padding never, not even over minus infinity", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const std::int64_t c : {3, 4})
        for (const auto& [kernel, stride] : {std::pair{3, 1}, {3, 2}, {2, 2}, {5, 1}}) {
            const Shape shape{2, 9, 8, c};
            const auto window = make_window("test", shape, kernel, stride, kernel / 2, 1);
            const Shape out{2, window.oh, window.ow, c};
            const auto lowest =
                std::vector<float>(static_cast<std::size_t>(shape.elements()), -std::numeric_limits<float>::infinity());
            for (const auto& values : {with_specials(random_values<float>(shape.elements(), 1)), lowest}) {
                struct Pooled {
                    std::vector<float> y, without;
                    std::vector<std::uint8_t> tap;
                };
                const auto on = [&](const Device& where) {
                    const auto x = Tensor<float>::from(values, shape, where);
                    const auto y = Tensor<float>::empty(out, where), without = Tensor<float>::empty(out, where);
                    const auto tap = Tensor<std::uint8_t>::empty(out, where);
                    submit(where, contract::MaxPoolForward<float>{y.data(), tap.data(), x.data(), window});
                    submit(where, contract::MaxPoolForward<float>{without.data(), nullptr, x.data(), window});
                    return Pooled{y.to_vector(), without.to_vector(), tap.to_vector()};
                };
                INFO("kernel " << kernel << ", stride " << stride << ", " << c << " channels");
                const auto found = on(device), expected = on(test_device());
                CHECK(same_values(found.y, expected.y));
                CHECK(same_values(found.without, expected.y));
                CHECK(found.tap == expected.tap);
            }
        }
}

TEST_CASE("max_pool on the device: NaN goes back to the place that won only", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const auto& [kernel, stride] : {std::pair{3, 1}, {3, 2}, {2, 2}, {5, 1}}) {
        const auto on = [&](const Device& where) {
            const auto x = Variable<float>::leaf(distinct_tensor<float>({1, 9, 8, 4}, 3, where));
            const auto y = max_pool(x, {.kernel = kernel, .stride = stride, .padding = kernel / 2});
            backward(
                y, Tensor<float>::from(with_specials(random_values<float>(y.shape().elements(), 2)), y.shape(), where));
            return x.grad().to_vector();
        };
        const auto found = on(device), expected = on(test_device());
        for (std::size_t i = 0; i < found.size(); ++i) REQUIRE(std::isfinite(found[i]) == std::isfinite(expected[i]));
    }
}

TEST_CASE("max_pool on the device takes arrays that are not aligned", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const auto& [kernel, stride] : {std::pair{3, 1}, {3, 2}, {2, 2}, {5, 1}}) {
        const auto window = make_window("test", {2, 6, 7, 4}, kernel, stride, kernel / 2, 1);
        const std::int64_t in = 2 * 6 * 7 * 4, out = 2 * window.oh * window.ow * 4;
        for (const std::int64_t skip : {0, 1}) {  // of floats, then of bytes
            const auto on = [&](const Device& where) {
                const auto x = random_tensor<float>({in + 1}, 1, where), dy = random_tensor<float>({out + 1}, 2, where);
                const auto y = Tensor<float>::full({out + 1}, 0.0f, where),
                           dx = Tensor<float>::full({in + 1}, 1.0f, where);
                const auto tap = Tensor<std::uint8_t>::empty({out + 1}, where);
                float *const to_y = y.data() + skip, *const to_dx = dx.data() + skip;
                const float *const from_x = x.data() + skip, *const from_dy = dy.data() + skip;
                std::uint8_t* const taps = tap.data() + 1 - skip;
                submit(where, contract::MaxPoolForward<float>{to_y, taps, from_x, window});
                submit(where, contract::MaxPoolBackward<float>{to_dx, from_dy, taps, window, 1});
                return std::pair{y.to_vector(), dx.to_vector()};
            };
            const auto found = on(device), expected = on(test_device());
            CHECK(found.first == expected.first);
            CHECK(relative_error(found.second, expected.second) <= 1e-6);
        }
    }
}

}  // namespace cuda_max_pool_test
