// SPDX-License-Identifier: MIT
#include <hwnas/ops/simplex_sample.hpp>

#include "cuda/device_under_test.hpp"

namespace cuda_simplex_sample_test {

using namespace hwnas;
using namespace hwnas::testing;

TEST_CASE("simplex_sample on the device has the CPU's bits", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    const random::Key key = Seed{7}.stream("simplex test");
    for (const std::int64_t k : {1, 2, 3, 8, 31, 33, 126, 256, 257, 600, emulated() ? 700 : 100'000})
        for (const std::int64_t step : {std::int64_t{0}, std::int64_t{3}, std::int64_t{1} << 40}) {
            CAPTURE(k, step);
            const auto on = [&](const Device& where) {
                return simplex_sample<float>(k, Tensor<std::int64_t>::scalar(step, where), key, where).to_vector();
            };
            CHECK(on(device) == on(test_device()));
        }
}

}  // namespace cuda_simplex_sample_test
