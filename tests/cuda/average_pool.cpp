// SPDX-License-Identifier: MIT
#include <hwnas/ops/average_pool.hpp>

#include "cuda/device_under_test.hpp"

namespace cuda_average_pool_test {

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
void check_window(const Device& device, const WindowCase& window) {
    for (const bool count_padding : {false, true}) {
        INFO(window.str() << ", count_padding " << count_padding);
        check_on_device(device, pool(window, count_padding), {random_values<double>(window.x.elements(), 1)},
                        {window.x});
    }
}

}  // namespace

TEST_CASE("average_pool on the device agrees with the CPU at awkward windows, padding counted or not", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const auto& window : window_cases()) check_window(device, window);
}

TEST_CASE("average_pool on the device takes any number of channels, padding and aspect ratio", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const std::int64_t c : {1, 2, 4, 7, 8, 33, 64, 130}) {
        check_window(device, {{2, 5, 6, c}});
        check_window(device, {{1, 5, 6, c}, 3, 2});
        check_window(device, {{2, 4, 4, c}, 2, 2, 0});
        check_window(device, {{1, 5, 4, c}, 1, 2});
        check_window(device, {{1, 5, 4, c}, 5});
    }
    for (const std::int64_t c : {3, 8})
        for (const auto& [kernel, stride] : {std::pair{3, 1}, {3, 2}, {2, 2}, {1, 2}, {2, 1}, {3, 3}, {4, 2}})
            for (int padding = 0; padding < kernel; ++padding)
                check_window(device, {{2, 7, 10, c}, kernel, stride, padding});
    for (const int stride : {1, 2}) {
        check_window(device, {{1, 75, 1, 2}, 3, stride});
        check_window(device, {{1, 1, 75, 4}, 3, stride});
        check_window(device, {{140, 2, 3, 4}, 3, stride});
    }
    // Windows wholly in the padding have a mean where padding counts.
    check_on_device(device, pool({{2, 1, 2, 3}, 2, 1, 1, 2}, true), {random_values<double>(12, 1)}, {{2, 1, 2, 3}});
    if (emulated()) return;
    for (const WindowCase& window :
         {WindowCase{{256, 28, 28, 16}}, WindowCase{{256, 28, 28, 16}, 2, 2, 0}, WindowCase{{64, 56, 56, 24}, 3, 2},
          WindowCase{{256, 14, 14, 32}, 1, 2}, WindowCase{{33, 40, 41, 13}, 5}})
        check_window(device, window);
}

TEST_CASE("average_pool on the device: NaN reaches the windows that see it and no other", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const auto& [kernel, stride] : {std::pair{3, 1}, {3, 2}, {2, 2}, {1, 2}, {5, 1}})
        for (const std::int64_t c : {3, 4}) {
            INFO("kernel " << kernel << ", stride " << stride << ", " << c << " channels");
            auto values = random_values<float>(9 * 8 * c, 1);
            for (const std::size_t i : {std::size_t{5}, values.size() / 2, values.size() - 1})
                values[i] = std::numeric_limits<float>::quiet_NaN();
            const auto on = [&](const Device& where) {
                const auto x = Variable<float>::leaf(Tensor<float>::from(values, {1, 9, 8, c}, where));
                const auto y = average_pool(x, {.kernel = kernel, .stride = stride, .padding = kernel / 2});
                auto seed = random_values<float>(y.shape().elements(), 2);
                seed[0] = seed[seed.size() / 2] = seed.back() = std::numeric_limits<float>::infinity();
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

}  // namespace cuda_average_pool_test
