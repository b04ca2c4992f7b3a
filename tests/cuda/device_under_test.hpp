// SPDX-License-Identifier: MIT
// The same test cases run twice: in test_emulated on a device whose kernels are CUDA's, run by the emulator, and in
// test_cuda on a GPU, where there is one.
#pragma once

#include "support/window_ops.hpp"

namespace hwnas::testing {

/// None: there is no such device, skip. Defined in emulated.cpp and gpu.cpp.
std::optional<Device> device_under_test();
/// The same device where, emulated, it has a single multiprocessor: kernels for tensors that fill a card then run on
/// small ones.
std::optional<Device> narrow_device_under_test();
/// Whether kernels are emulated, or run by as slow a tool: then shapes had better be small.
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

/// What may differ from the CPU where values are no numbers.
struct SpecialOptions {
    bool apart = true;          ///< a NaN is not an infinity; else what counts is that neither is a number
    std::size_t strict = 1000;  ///< leading inputs whose gradients are numbers where the CPU's are; in the others
                                ///< there may be less
};
/// With NaN and infinities among its inputs and in dy, an op gives NaN, infinities and numbers where the CPU does, and
/// the same numbers.
template <class F>
void check_specials(const Device& device, F&& op, const std::vector<std::vector<float>>& inputs,
                    const std::vector<Shape>& shapes, const std::vector<float>& dy,
                    const SpecialOptions& options = {}) {
    const auto on = [&](const Device& where) {
        std::vector<Variable<float>> leaves;
        for (std::size_t i = 0; i < inputs.size(); ++i)
            leaves.push_back(Variable<float>::leaf(Tensor<float>::from(inputs[i], shapes[i], where)));
        const auto y = op(leaves);
        backward(y, Tensor<float>::from(dy, y.shape(), where));
        std::vector<std::vector<float>> found{y.value().to_vector()};
        for (const auto& leaf : leaves) found.push_back(leaf.grad().to_vector());
        return found;
    };
    const auto kind = [&](float v) {
        return std::isfinite(v) ? 0 : !options.apart ? 1 : std::isnan(v) ? 2 : v > 0 ? 3 : 4;
    };
    const auto found = on(device), expected = on(test_device());
    REQUIRE(found.size() == expected.size());
    std::size_t finite = 0, others = 0;
    for (std::size_t t = 0; t < found.size(); ++t) {
        INFO("tensor " << t << " of y and the gradients");
        REQUIRE(found[t].size() == expected[t].size());
        double largest = 0;
        for (const float v : expected[t])
            if (std::isfinite(v)) largest = std::max(largest, static_cast<double>(std::abs(v)));
        for (std::size_t i = 0; i < found[t].size(); ++i) {
            const float a = found[t][i], b = expected[t][i];
            INFO("element " << i << ": " << a << ", on the CPU " << b);
            ++(std::isfinite(b) ? finite : others);
            if (t > options.strict && !std::isfinite(a)) continue;
            REQUIRE(kind(a) == kind(b));
            if (std::isfinite(b)) REQUIRE(std::abs(static_cast<double>(a) - static_cast<double>(b)) <= 1e-5 * largest);
        }
    }
    CHECK(finite > 0);
    CHECK(others > 0);
}
/// Values in which one element is `bad`.
inline std::vector<float> with_one(std::vector<float> values, std::size_t at, float bad) {
    values.at(at) = bad;
    return values;
}
/// What is no number.
inline const std::array<float, 3> no_numbers{std::numeric_limits<float>::quiet_NaN(),
                                             std::numeric_limits<float>::infinity(),
                                             -std::numeric_limits<float>::infinity()};

}  // namespace hwnas::testing
