// SPDX-License-Identifier: MIT
#include <hwnas/ops/concat.hpp>

#include "cuda/device_under_test.hpp"

namespace cuda_concat_test {

using namespace hwnas;
using namespace hwnas::testing;

TEST_CASE("concat on the device and its gradients are copies", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    const auto concatenate = [](const auto& v) { return concat(v); };
    std::vector<std::vector<std::int64_t>> cases{{1, 3, 8, 12, 17}, {16, 16, 16, 16}, {5, 0, 2},
                                                 {4, 132, 8},       {520, 4},         {70, 301}};
    cases.emplace_back(19, 2);  // more than a call takes
    cases.emplace_back(40, 1);
    for (const auto& channels : cases)
        for (const std::int64_t rows : {1, 7, 75}) {
            if (emulated() && rows > 7 && channels[0] > 16) continue;
            INFO(channels.size() << " operands from " << channels[0] << " channels on, " << rows << " rows");
            std::vector<std::vector<double>> inputs;
            std::vector<Shape> shapes;
            for (std::size_t j = 0; j < channels.size(); ++j) {
                shapes.push_back({rows, channels[j]});
                inputs.push_back(random_values<double>(shapes.back().elements(), j));
            }
            check_on_device(device, concatenate, inputs, shapes, 0);
        }
}

TEST_CASE("concat on the device: many rows", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    const std::int64_t n = emulated() ? 9 : 256;
    const Shape shape{n, 28, 28, 16};
    std::vector<std::vector<double>> inputs;
    for (std::uint64_t j = 0; j < 4; ++j) inputs.push_back(random_values<double>(shape.elements(), j));
    check_on_device(device, [](const auto& v) { return concat(v); }, inputs, {shape, shape, shape, shape}, 0);
}

TEST_CASE("concat on the device: a value that stands in the list twice, a constant between", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    const auto twice = [](const auto& v) {
        using V = typename std::decay_t<decltype(v)>::value_type;
        return concat(std::vector<V>{v[0], v[1], v[1].detach(), v[0]});
    };
    for (const std::int64_t c : {3, 8})
        check_on_device(device, twice, {random_values<double>(33 * c, 1), random_values<double>(33 * 5, 2)},
                        {{33, c}, {33, 5}}, 1e-7);
}

}  // namespace cuda_concat_test
