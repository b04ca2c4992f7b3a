// SPDX-License-Identifier: MIT
#include <hwnas/ops/softmax.hpp>

#include "cuda/device_under_test.hpp"

namespace cuda_softmax_test {

using namespace hwnas;
using namespace hwnas::testing;

TEST_CASE("softmax on the device agrees with the CPU", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    std::vector<Shape> shapes{{1},     {17},    {3, 1},  {5, 2},   {42, 3},  {31, 4},    {7, 10},
                              {2, 31}, {2, 32}, {3, 33}, {5, 130}, {300, 3}, {2, 1'000}, {2, 1, 3, 1, 2, 8}};
    if (!emulated()) shapes.insert(shapes.end(), {{1'000'000, 3}, {100'000, 10}, {256, 1'000}, {3, 100'000}});
    for (const auto& shape : shapes) {
        INFO("shape " << shape.str());
        check_on_device(device, [](const auto& v) { return softmax(v[0]); },
                        {random_values<double>(shape.elements(), 1, -5, 5)}, {shape});
    }
}

TEST_CASE("softmax on the device takes huge logits and masked ones, and shows NaN in its row only", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const std::int64_t columns : {3, 16, 40, 70})
        for (const std::int64_t at : {std::int64_t{0}, columns / 2, columns - 1}) {
            CAPTURE(columns, at);
            std::vector<float> x = random_values<float>(7 * columns, 1);
            const auto element = [&](std::int64_t row, std::int64_t c) -> float& {
                return x[static_cast<std::size_t>(row * columns + c)];
            };
            element(0, at) = 3e38f, element(0, (at + 1) % columns) = -3e38f;
            element(1, at) = -INFINITY;
            element(2, at) = INFINITY;
            element(3, at) = NAN;
            for (std::int64_t c = 0; c < columns; ++c) element(4, c) = -INFINITY;
            element(6, at) = NAN, element(6, (at + 1) % columns) = INFINITY;
            const auto on = [&](const Device& where) {
                return softmax(Variable<float>(Tensor<float>::from(x, {7, columns}, where))).value().to_vector();
            };
            const auto found = on(device), expected = on(test_device());
            for (std::size_t i = 0; i < found.size(); ++i) {
                INFO("row " << static_cast<std::int64_t>(i) / columns);
                if (std::isnan(expected[i]))
                    CHECK(std::isnan(found[i]));
                else
                    CHECK_THAT(found[i], Catch::Matchers::WithinAbs(static_cast<double>(expected[i]), 1e-6));
            }
        }
}

}  // namespace cuda_softmax_test
