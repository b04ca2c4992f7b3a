// SPDX-License-Identifier: MIT
#include <hwnas/autodiff/program.hpp>
#include <hwnas/ops/step.hpp>

#include "support/catch.hpp"
#include "support/random_tensor.hpp"

namespace ops_step_test {

using namespace hwnas;
using namespace hwnas::testing;

TEST_CASE("advance and accumulate_scalar change device memory once per run", "[ops][program]") {
    const auto device = test_device();
    const auto counter = Tensor<std::int64_t>::scalar(std::int64_t{1} << 40, device);
    const auto sum = Tensor<double>::scalar(0, device);
    const auto single = Tensor<float>::scalar(0.1f, device);
    const auto reference = Tensor<double>::scalar(3, device);
    const auto program = Program::record(device, [&] {
        advance(counter);
        advance(counter, -3);
        accumulate_scalar(sum, single, 0.5);
        accumulate_scalar(sum, reference, -1.0);
    });
    CHECK(counter.item() == std::int64_t{1} << 40);
    program.run();
    program.run();
    CHECK(counter.item() == (std::int64_t{1} << 40) - 4);
    CHECK(sum.item() == ((0.5 * static_cast<double>(0.1f) - 3) + 0.5 * static_cast<double>(0.1f)) - 3);
    advance(counter, 4);
    CHECK(counter.item() == std::int64_t{1} << 40);
}

TEST_CASE("advance and accumulate_scalar say what they cannot take", "[ops]") {
    const auto device = test_device(), other = test_device();
    const auto sum = Tensor<double>::scalar(0, device);
    CHECK_THROWS_WITH(advance({}), "advance: counter has no value");
    CHECK_THROWS_WITH(advance(Tensor<std::int64_t>::full({1}, 0, device)),
                      "advance: counter has shape [1], expected one number, []");
    CHECK_THROWS_WITH(accumulate_scalar({}, sum, 1), "accumulate_scalar: sum has no value");
    CHECK_THROWS_WITH(accumulate_scalar(sum, Tensor<float>::full({2}, 0, device), 1),
                      "accumulate_scalar: value has shape [2], expected one number, []");
    CHECK_THROWS_WITH(accumulate_scalar(sum, Tensor<float>::scalar(0, other), 1),
                      "accumulate_scalar: sum and value must be on one device, they are on cpu and cpu");
}

}  // namespace ops_step_test
