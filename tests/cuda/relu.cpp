// SPDX-License-Identifier: MIT
#include <hwnas/ops/relu.hpp>

#include "cuda/device_under_test.hpp"

namespace cuda_relu_test {

using namespace hwnas;
using namespace hwnas::testing;

TEST_CASE("relu on the device agrees with the CPU", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    const auto n = GENERATE(1, 3, 4, 31, 257, 1'000, 4'100);
    check_on_device(device, [](const auto& v) { return relu(v[0]); }, {random_values<double>(n, 1)}, {{n}}, 0);
}

TEST_CASE("relu on the device keeps NaN and infinity", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    const auto x = with_specials(random_values<float>(100, 1));
    const auto on = [&](const Device& where) {
        return relu(Variable<float>(Tensor<float>::from(x, {100}, where))).value().to_vector();
    };
    CHECK(same_values(on(device), on(test_device())));
}

}  // namespace cuda_relu_test
