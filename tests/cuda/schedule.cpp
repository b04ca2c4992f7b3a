// SPDX-License-Identifier: MIT
#include <hwnas/ops/schedule.hpp>

#include "cuda/device_under_test.hpp"

namespace cuda_schedule_test {

using namespace hwnas;
using namespace hwnas::testing;

TEST_CASE("schedule on the device goes the CPU's way", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const bool cosine : {false, true})
        for (const auto& options : {ScheduleOptions{.start = 1, .end = 0.2, .total = 11, .cosine = cosine},
                                    ScheduleOptions{.start = 0.4, .end = 0, .total = 9, .warmup = 4, .cosine = cosine},
                                    ScheduleOptions{.start = 3, .end = 1, .total = 1, .cosine = cosine},
                                    ScheduleOptions{.start = 3, .end = 1, .total = 3, .warmup = 2, .cosine = cosine},
                                    ScheduleOptions{.start = 0.025, .end = 1e-4, .total = 50'000, .cosine = cosine}})
            for (const std::int64_t step : {0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 25'000, 49'999, 1'000'000}) {
                CAPTURE(cosine, options.total, step);
                const auto on = [&](const Device& where) {
                    const auto out = Tensor<float>::scalar(-7, where);
                    schedule(out, Tensor<std::int64_t>::scalar(step, where), options);
                    return out.item();
                };
                // The CPU's double, rounded; cosines may differ in its last digits, and so in float's.
                CHECK_THAT(on(device), Catch::Matchers::WithinULP(on(test_device()), cosine ? 1 : 0));
            }
}

TEST_CASE("schedule on the device reads the step from its memory in a recorded step", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
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

}  // namespace cuda_schedule_test
