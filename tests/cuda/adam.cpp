// SPDX-License-Identifier: MIT
#include <hwnas/cpu/adam.hpp>

#include "cuda/device_under_test.hpp"

namespace cuda_adam_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

struct State {
    std::vector<float> p, m, v;
};
/// `steps` updates of n parameters, from step `first` on; arrays begin `offset` into their tensors.
State train(const Device& device, std::int64_t n, std::int64_t first, int steps, float weight_decay,
            std::int64_t offset = 0) {
    const Shape shape{n + offset};
    const auto p = random_tensor<float>(shape, 1, device), m = random_tensor<float>(shape, 2, device, -0.1, 0.1),
               v = random_tensor<float>(shape, 3, device, 0.0, 0.1), g = random_tensor<float>(shape, 4, device),
               rate = Tensor<float>::scalar(0.003f, device);
    const auto step = Tensor<std::int64_t>::scalar(first, device);
    for (int i = 0; i < steps; ++i) {
        step.assign(first + i);
        submit(device, contract::Adam<float>{p.data() + offset, m.data() + offset, v.data() + offset, g.data() + offset,
                                             rate.data(), step.data(), n, 0.9f, 0.999f, 1e-8f, weight_decay});
    }
    return {p.to_vector(), m.to_vector(), v.to_vector()};
}
/// |a - b| in units of the last digit of b, but of no less than `floor`'s.
double worst_ulps(const std::vector<float>& a, const std::vector<float>& b, float floor) {
    double worst = 0;
    for (std::size_t i = 0; i < b.size(); ++i) {
        const float size = std::max(std::abs(b[i]), floor), ulp = std::nextafter(size, HUGE_VALF) - size;
        worst =
            std::max(worst, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])) / static_cast<double>(ulp));
    }
    return worst;
}

}  // namespace

TEST_CASE("adam on the device agrees with the CPU to the last digits", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const std::int64_t n : {1, 3, 4, 33, 1'000, 1'027, emulated() ? 4'100 : 1'000'000})
        for (const std::int64_t first : {std::int64_t{0}, std::int64_t{7}, std::int64_t{3'000}, std::int64_t{1} << 33})
            for (const float weight_decay : {0.0f, 0.01f}) {
                CAPTURE(n, first, weight_decay);
                const auto found = train(device, n, first, 1, weight_decay),
                           expected = train(test_device(), n, first, 1, weight_decay);
                // Terms of about 0.1 may cancel: what they are rounded to counts.
                CHECK(worst_ulps(found.m, expected.m, 0.05f) <= 1);
                CHECK(worst_ulps(found.v, expected.v, 0) <= 2);
                CHECK(worst_ulps(found.p, expected.p, 0.05f) <= 2);
            }
}

TEST_CASE("adam on the device: many steps, unaligned arrays, and nothing but its parameters", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const std::int64_t offset : {0, 1, 4}) {
        CAPTURE(offset);
        const auto found = train(device, 200, 0, 30, 0.01f, offset),
                   expected = train(test_device(), 200, 0, 30, 0.01f, offset);
        CHECK(relative_error(found.p, expected.p) <= 1e-6);
        CHECK(relative_error(found.m, expected.m) <= 1e-6);
        CHECK(relative_error(found.v, expected.v) <= 1e-6);
        for (std::size_t i = 0; i < static_cast<std::size_t>(offset); ++i) CHECK(found.p[i] == expected.p[i]);
    }
}

}  // namespace cuda_adam_test
