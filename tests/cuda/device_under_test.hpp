// SPDX-License-Identifier: MIT
// The same test cases run twice: in test_emulated on a device whose kernels are CUDA's, run by the emulator, and in
// test_cuda on a GPU, where there is one.
#pragma once

#include "support/window_ops.hpp"

namespace hwnas::testing {

/// None: there is no such device, skip. Defined in emulated.cpp and gpu.cpp.
std::optional<Device> device_under_test();
/// Whether kernels are emulated: then shapes had better be small.
bool emulated();

/// Every test case begins with this.
#define HWNAS_DEVICE_UNDER_TEST(device)                                  \
    const auto device##_or_none = ::hwnas::testing::device_under_test(); \
    if (!device##_or_none) SKIP("no CUDA device");                       \
    const auto& device = *device##_or_none

/// An op in float on the device under test agrees with the CPU in double, value and gradients, |a - b| / |b| <=
/// tolerance for each; twice the same bits, two uses of the inputs add up, and a recorded step, run twice, gives them.
template <class F>
void check_on_device(const Device& device, F&& op, const std::vector<std::vector<double>>& inputs,
                     const std::vector<Shape>& shapes, double tolerance = 2e-6) {
    std::vector<std::vector<double>> rounded;
    for (const auto& values : inputs) {
        rounded.emplace_back();
        for (const double v : values) rounded.back().push_back(static_cast<double>(static_cast<float>(v)));
    }
    const auto expected = run_op<double>(op, rounded, shapes, test_device(2));
    const auto found = run_op<float>(op, rounded, shapes, device);
    CHECK(relative_error(found.y, expected.y) <= tolerance);
    REQUIRE(found.gradients.size() == expected.gradients.size());
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        INFO("gradient of input " << i);
        CHECK(relative_error(found.gradients[i], expected.gradients[i]) <= tolerance);
    }
    const auto twice = run_op<float>(op, rounded, shapes, device, 2);
    CHECK(twice.y == found.y);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        INFO("gradient of input " << i << ", used twice");
        auto doubled = expected.gradients[i];
        for (auto& v : doubled) v *= 2;
        CHECK(relative_error(twice.gradients[i], doubled) <= tolerance);
    }
    CHECK(run_op<float>(op, rounded, shapes, device, 1, true) == found);
}

/// Values with NaN and both infinities strewn in.
inline std::vector<float> with_specials(std::vector<float> values) {
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (i % 7 == 3) values[i] = std::numeric_limits<float>::quiet_NaN();
        if (i % 11 == 5) values[i] = std::numeric_limits<float>::infinity();
        if (i % 13 == 6) values[i] = -std::numeric_limits<float>::infinity();
    }
    return values;
}
/// Equal, where NaN equals NaN.
inline bool same_values(const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](float x, float y) {
               return x == y || (std::isnan(x) && std::isnan(y));
           });
}

}  // namespace hwnas::testing
