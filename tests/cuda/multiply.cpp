// SPDX-License-Identifier: MIT
#include <hwnas/ops/mean_squared_error.hpp>
#include <hwnas/ops/multiply.hpp>

#include "cuda/device_under_test.hpp"

namespace cuda_multiply_test {

using namespace hwnas;
using namespace hwnas::testing;

TEST_CASE("multiply on the device agrees with the CPU at every period", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    struct Case {
        std::int64_t rows, period;
    };
    std::vector<Case> cases;
    for (const std::int64_t period : {1, 2, 3, 4, 12, 17, 64, 65, 130})
        for (const std::int64_t rows : {1, 2, 70}) cases.push_back({rows, period});
    if (!emulated()) cases.insert(cases.end(), {{1'000'000, 1}, {200'704, 16}, {100'001, 7}, {1'000, 4'096}});
    for (const auto [rows, period] : cases) {
        CAPTURE(rows, period);
        check_on_device(device, [](const auto& v) { return v[0] * v[1]; },
                        {random_values<double>(rows * period, 1), random_values<double>(period, 2)},
                        {{rows, period}, {period}});
    }
    check_on_device(device, [](const auto& v) { return mean_squared_error(v[0], v[1]); },
                    {random_values<double>(130, 1), random_values<double>(130, 2)}, {{13, 10}, {13, 10}});
}

TEST_CASE("multiply on the device overwrites or adds, aligned or not", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const std::int64_t offset : {0, 1})
        for (const std::int64_t period : {4, 12, 60, 10, 120})
            for (const std::int32_t accumulate : {0, 1}) {
                CAPTURE(offset, period, accumulate);
                const auto run = [&](const Device& where) {
                    const auto a = random_tensor<float>({130}, 1, where), b = random_tensor<float>({130}, 2, where),
                               out = random_tensor<float>({130}, 3, where), sum = random_tensor<float>({130}, 4, where);
                    submit(where, contract::Multiply<float>{out.data() + offset, a.data() + offset, b.data() + offset,
                                                            120, period, accumulate});
                    submit(where, contract::MultiplyReduce<float>{sum.data() + offset, a.data() + offset,
                                                                  b.data() + offset, 120, period, accumulate});
                    auto all = out.to_vector();
                    const auto sums = sum.to_vector();
                    all.insert(all.end(), sums.begin(), sums.end());
                    return all;
                };
                CHECK(relative_error(run(device), run(test_device())) <= 1e-7);
            }
}

TEST_CASE("multiply on the device keeps NaN and infinity", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    const auto a = with_specials(random_values<float>(200, 1)), b = with_specials(random_values<float>(20, 2));
    const auto run = [&](const Device& where) {
        return multiply(Variable<float>(Tensor<float>::from(a, {10, 20}, where)),
                        Variable<float>(Tensor<float>::from(b, {20}, where)))
            .value()
            .to_vector();
    };
    CHECK(same_values(run(device), run(test_device())));
}

}  // namespace cuda_multiply_test
