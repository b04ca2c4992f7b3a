// SPDX-License-Identifier: MIT
// The one primitive that is more than its ops: factorized reduction.
#include <hwnas/space/primitives.hpp>

#include "support/catch.hpp"
#include "support/random_tensor.hpp"

namespace space_primitives_test {

using namespace hwnas;
using namespace hwnas::testing;

TEST_CASE("factorized_reduce halves the resolution and drops no pixel", "[space]") {
    const auto device = test_device();
    const std::int64_t c = 3, half = 2;
    for (const auto& [h, w] : {std::pair<std::int64_t, std::int64_t>{6, 4}, {5, 7}, {1, 2}, {4, 1}}) {
        INFO(h << " x " << w);
        const auto x = random_tensor<double>({2, h, w, c}, 1, device),
                   even = random_tensor<double>({1, 1, c, half}, 2, device),
                   odd = random_tensor<double>({1, 1, c, half}, 3, device);
        const Initializer<double> init(device, seed(1), Tensor<double>::scalar(0.1, device));
        const BatchNorm<double> norm(init.in("norm"), 2 * half);
        const auto y = primitives::factorized_reduce(Variable<double>(x), Variable<double>(even), Variable<double>(odd),
                                                     norm, Phase::train)
                           .value();
        const std::int64_t oh = (h + 1) / 2, ow = (w + 1) / 2, pixels = 2 * oh * ow;
        REQUIRE(y.shape() == Shape{2, oh, ow, 2 * half});
        // The first half looks at pixel (2p, 2q), the second at (2p + 1, 2q + 1) or at zeros; then batch norm.
        const auto in = x.to_vector(), first = even.to_vector(), second = odd.to_vector();
        std::vector<double> z;
        for (std::int64_t n = 0; n < 2; ++n)
            for (std::int64_t p = 0; p < oh; ++p)
                for (std::int64_t q = 0; q < ow; ++q)
                    for (std::int64_t o = 0; o < 2 * half; ++o) {
                        const std::int64_t shift = o < half ? 0 : 1, i = 2 * p + shift, j = 2 * q + shift;
                        double sum = 0;
                        for (std::int64_t k = 0; i < h && j < w && k < c; ++k)
                            sum += std::max(0.0, in[static_cast<std::size_t>(((n * h + i) * w + j) * c + k)]) *
                                   (shift ? second : first)[static_cast<std::size_t>(k * half + o % half)];
                        z.push_back(sum);
                    }
        std::vector<double> expected(z.size());
        for (std::int64_t o = 0; o < 2 * half; ++o) {
            double mean = 0, variance = 0;
            for (std::int64_t i = 0; i < pixels; ++i) mean += z[static_cast<std::size_t>(i * 2 * half + o)];
            mean /= static_cast<double>(pixels);
            for (std::int64_t i = 0; i < pixels; ++i)
                variance += std::pow(z[static_cast<std::size_t>(i * 2 * half + o)] - mean, 2);
            variance /= static_cast<double>(pixels);
            for (std::int64_t i = 0; i < pixels; ++i) {
                const auto at = static_cast<std::size_t>(i * 2 * half + o);
                expected[at] = (z[at] - mean) / std::sqrt(variance + 1e-5);
            }
        }
        CHECK(relative_error(y.value().to_vector(), expected) <= 1e-10);
    }
}

}  // namespace space_primitives_test
