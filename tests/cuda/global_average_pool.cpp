// SPDX-License-Identifier: MIT
#include <hwnas/ops/global_average_pool.hpp>

#include "cuda/device_under_test.hpp"

namespace cuda_global_average_pool_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

const auto op = [](const auto& v) { return global_average_pool(v[0]); };

}  // namespace

TEST_CASE("global_average_pool on the device agrees with the CPU", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    std::vector<Shape> shapes{{1, 1, 1, 1},   {3, 2, 2, 3},   {2, 9, 1, 8},   {1, 1, 300, 1},
                              {1, 600, 1, 4}, {4, 7, 7, 17},  {2, 7, 7, 64},  {2, 6, 5, 33},
                              {1, 4, 5, 130}, {2, 3, 3, 132}, {40, 2, 1, 16}, {3, 28, 28, 16}};
    if (!emulated()) shapes.insert(shapes.end(), {{256, 7, 7, 64}, {256, 28, 28, 16}, {3, 500, 501, 3}});
    for (const auto& x : shapes) {
        INFO(x.str());
        check_on_device(device, op, {random_values<double>(x.elements(), 1)}, {x});
    }
}

TEST_CASE("global_average_pool on the device: NaN and infinity stay in their image and channel", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const std::int64_t c : {13, 16}) {
        const auto values = with_specials(random_values<float>(9 * 2 * c, 1));
        const auto on = [&](const Device& where) {
            const auto x = Variable<float>::leaf(Tensor<float>::from(values, {9, 1, 2, c}, where));
            const auto y = op(std::vector{x});
            backward(y, Tensor<float>::from(with_specials(random_values<float>(9 * c, 2)), {9, c}, where));
            auto found = y.value().to_vector();
            const auto gradient = x.grad().to_vector();
            found.insert(found.end(), gradient.begin(), gradient.end());
            return found;
        };
        const auto found = on(device), expected = on(test_device());
        REQUIRE(found.size() == expected.size());
        for (std::size_t i = 0; i < found.size(); ++i) {
            REQUIRE(std::isnan(found[i]) == std::isnan(expected[i]));
            REQUIRE(std::isinf(found[i]) == std::isinf(expected[i]));
        }
    }
}

}  // namespace cuda_global_average_pool_test
