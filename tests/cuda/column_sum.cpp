// SPDX-License-Identifier: MIT
#include <hwnas/ops/column_sum.hpp>
#include <hwnas/ops/sum.hpp>

#include "cuda/device_under_test.hpp"

#if defined(HWNAS_CUDA_EMULATED)
#include "../../cuda/column_sum.cuh"
#endif

namespace cuda_column_sum_test {

using namespace hwnas;
using namespace hwnas::testing;

TEST_CASE("column_sum on the device agrees with the CPU at every period", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    struct Case {
        std::int64_t rows, period;
    };
    std::vector<Case> cases;
    for (const std::int64_t period : {1, 2, 3, 4, 10, 17, 64, 65, 130})
        for (const std::int64_t rows : {1, 2, 5, 70}) cases.push_back({rows, period});
    cases.insert(cases.end(), {{2, 5'000}, {1, 1'026}, {600, 8}, {2'100, 1}});
    if (!emulated())
        cases.insert(cases.end(), {{200'704, 16}, {256, 10}, {1'000'003, 7}, {3, 4'000'000}, {100'000, 130}});
    for (const auto [rows, period] : cases) {
        CAPTURE(rows, period);
        check_on_device(
            device, [](const auto& v) { return column_sum(v[0]); }, {random_values<double>(rows * period, 1)},
            {{rows, period}}, 1e-7);
    }
}

TEST_CASE("column_sum on the device cuts long sums into chunks, in double throughout", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    struct Case {
        std::int64_t rows, period;
    };
    std::vector<Case> cases{{70'001, 1}, {40'000, 2}, {17'000, 4}, {10'010, 7}};
    if (!emulated()) cases.insert(cases.end(), {{10'000'001, 1}, {20'000'000, 1}, {1'000'000, 64}});
    for (const auto [rows, period] : cases)
        for (const std::int32_t accumulate : {0, 1}) {
            CAPTURE(rows, period, accumulate);
            const auto run = [&](const Device& where) {
                const auto x = random_tensor<float>({rows, period}, 1, where, 0.0, 1.0),
                           out = random_tensor<float>({period}, 2, where);
                detail::column_sum_into(out, x, 0.5, accumulate);
                return out.to_vector();
            };
            CHECK(relative_error(run(device), run(test_device())) <= 2e-7);
        }
}

TEST_CASE("column_sum on the device: unaligned input, and sums that float could not hold", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    const auto x = random_tensor<float>({245}, 1, device), out = Tensor<float>::full({12}, 0.0f, device),
               partial = Tensor<float>::empty({12}, device);
    const auto values = x.to_vector();
    for (const std::int64_t offset : {1, 4}) {
        submit(device, contract::ColumnSum<float>{out.data(), partial.data(), x.data() + offset, 240, 12, 1.0f, 0});
        std::vector<double> expected(12);
        for (std::size_t i = 0; i < 240; ++i)
            expected[i % 12] += static_cast<double>(values[i + static_cast<std::size_t>(offset)]);
        CHECK(relative_error(out.to_vector(), expected) <= 1e-7);
    }
    const auto huge = Tensor<float>::full({1'000}, 3e38f, device);
    CHECK_THAT(mean(Variable<float>(huge)).value().item(), Catch::Matchers::WithinRel(3e38f, 1e-6f));
}

TEST_CASE("column_sum on the device keeps NaN and infinity in their columns", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    auto x = random_values<float>(300, 1);
    x[7] = NAN, x[18] = INFINITY, x[19] = INFINITY, x[29] = -INFINITY;
    const auto on = [&](const Device& where) {
        return column_sum(Variable<float>(Tensor<float>::from(x, {30, 10}, where))).value().to_vector();
    };
    CHECK(same_values(on(device), on(test_device())));
}

#if defined(HWNAS_CUDA_EMULATED)
TEST_CASE("column_sum on the device takes no more chunks than its op allocates", "[cuda]") {
    for (const std::int64_t period : {1, 3, 63, 64, 65, 1'000, 3'000, 100'000})
        for (const std::int64_t n : {0, 1, 16'384, 32'768, 100'000, 1'000'000, 100'000'000})
            CHECK(cuda::column_sum_chunks(n, period) <= cpu::column_sum_chunks(n, period));
}
#endif

}  // namespace cuda_column_sum_test
