// SPDX-License-Identifier: MIT
#include <hwnas/ops/step.hpp>

#include "cuda/device_under_test.hpp"

namespace cuda_step_test {

using namespace hwnas;
using namespace hwnas::testing;

TEST_CASE("advance and accumulate_scalar on the device change its memory once per run", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    const auto counter = Tensor<std::int64_t>::scalar(std::int64_t{1} << 40, device);
    const auto sum = Tensor<double>::scalar(0, device);
    const auto tenth = Tensor<float>::scalar(0.1f, device), three = Tensor<float>::scalar(3, device);
    const auto program = Program::record(device, [&] {
        advance(counter);
        advance(counter, -3);
        accumulate_scalar(sum, tenth, 0.5);
        accumulate_scalar(sum, three, -1.0);
    });
    CHECK(counter.item() == std::int64_t{1} << 40);
    program.run();
    program.run();
    CHECK(counter.item() == (std::int64_t{1} << 40) - 4);
    CHECK_THAT(sum.item(), Catch::Matchers::WithinAbs(static_cast<double>(0.1f) - 6, 1e-15));
    advance(counter, 4);
    CHECK(counter.item() == std::int64_t{1} << 40);
}

}  // namespace cuda_step_test
