// SPDX-License-Identifier: MIT
#include <hwnas/autodiff/program.hpp>
#include <hwnas/ops/schedule.hpp>

#include "support/catch.hpp"
#include "support/random_tensor.hpp"

#include <numbers>

namespace ops_schedule_test {

using namespace hwnas;
using namespace hwnas::testing;
using Catch::Matchers::WithinAbs;

namespace {

template <class T>
T value_at(std::int64_t step, const ScheduleOptions& options) {
    const auto device = test_device(1);
    const auto out = Tensor<T>::scalar(T(-7), device);
    schedule(out, Tensor<std::int64_t>::scalar(step, device), options);
    return out.item();
}

}  // namespace

TEST_CASE("schedule goes from start to end in a line or half a cosine, and stays there", "[ops]") {
    const ScheduleOptions line{.start = 1, .end = 0.2, .total = 11},
        cosine{.start = 1, .end = 0.2, .total = 11, .cosine = true};
    for (std::int64_t step = 0; step <= 10; ++step) {
        const double progress = static_cast<double>(step) / 10;
        CHECK_THAT(value_at<double>(step, line), WithinAbs(1 - 0.8 * progress, 1e-15));
        CHECK_THAT(value_at<double>(step, cosine),
                   WithinAbs(0.2 + 0.4 * (1 + std::cos(std::numbers::pi * progress)), 1e-15));
        CHECK(value_at<float>(step, line) ==
              static_cast<float>(value_at<double>(step, {.start = 1, .end = 0.2f, .total = 11})));
    }
    for (const auto& options : {line, cosine}) {
        CHECK(value_at<double>(0, options) == 1.0);
        for (const std::int64_t step : {10, 11, 1'000'000}) CHECK(value_at<double>(step, options) == 0.2);
        CHECK(value_at<float>(10, options) == 0.2f);
    }
}

TEST_CASE("schedule warms up in a line to start", "[ops]") {
    const ScheduleOptions options{.start = 0.4, .end = 0, .total = 9, .warmup = 4};
    const std::vector<double> expected{0.1, 0.2, 0.3, 0.4, 0.4, 0.3, 0.2, 0.1, 0.0, 0.0};
    for (std::size_t step = 0; step < expected.size(); ++step)
        CHECK_THAT(value_at<double>(static_cast<std::int64_t>(step), options), WithinAbs(expected[step], 1e-15));
    CHECK(value_at<double>(0, {.start = 3, .end = 1, .total = 1}) == 3.0);
    CHECK(value_at<double>(2, {.start = 3, .end = 1, .total = 3, .warmup = 2}) == 3.0);
}

TEST_CASE("schedule in a recorded step reads the step from the device", "[ops][program]") {
    const auto device = test_device();
    const auto out = Tensor<float>::scalar(0, device);
    const auto step = Tensor<std::int64_t>::scalar(0, device);
    const auto program = Program::record(device, [&] {
        schedule(out, step, {.start = 1, .end = 0, .total = 3});
        advance(step);
    });
    for (const float expected : {1.0f, 0.5f, 0.0f, 0.0f}) {
        program.run();
        CHECK(out.item() == expected);
    }
}

TEST_CASE("schedule says what it cannot take", "[ops]") {
    const auto device = test_device(), other = test_device();
    const auto out = Tensor<float>::scalar(0, device);
    const auto step = Tensor<std::int64_t>::scalar(0, device);
    CHECK_THROWS_WITH(schedule(Tensor<float>(), step, {}), "schedule: out has no value");
    CHECK_THROWS_WITH(schedule(Tensor<float>::full({2}, 0, device), step, {}),
                      "schedule: out has shape [2], expected one number, []");
    CHECK_THROWS_WITH(schedule(out, {}, {}), "schedule: step has no value");
    CHECK_THROWS_WITH(schedule(out, Tensor<std::int64_t>::scalar(0, other), {}),
                      "schedule: out and step must be on one device, they are on cpu and cpu");
    CHECK_THROWS_WITH(schedule(out, step, {.total = 0}), "schedule: 0 steps in total, at least 1 is needed");
    CHECK_THROWS_WITH(schedule(out, step, {.total = 5, .warmup = 5}),
                      "schedule: warm-up of 5 steps is not in 0 to 4 (total 5)");
    CHECK_THROWS_WITH(schedule(out, step, {.total = 5, .warmup = -1}),
                      "schedule: warm-up of -1 steps is not in 0 to 4 (total 5)");
    CHECK_THROWS_WITH(schedule(out, step, {.start = HUGE_VAL, .end = 1}),
                      "schedule: start inf and end 1 must be finite");
}

}  // namespace ops_schedule_test
