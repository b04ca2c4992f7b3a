// SPDX-License-Identifier: MIT
#include <hwnas/cpu/reduce_chunks.hpp>

#include "cuda/device_under_test.hpp"

namespace cuda_reduce_chunks_test {

using namespace hwnas;
using namespace hwnas::testing;

TEST_CASE("reduce_chunks on the device sums chunk by chunk", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    struct Case {
        std::int64_t n, chunks;
    };
    std::vector<Case> cases{{1, 1}, {1, 3}, {9, 2}, {31, 7}, {144, 64}, {33, 256}, {260, 65}, {1'000, 5}};
    if (emulated())
        cases.push_back({32 * 1'060, 9});  // more blocks than make the device full
    else
        cases.insert(cases.end(), {{40'000, 256}, {1'000'003, 32}});
    for (const auto& [n, chunks] : cases) {
        INFO(n << " elements, " << chunks << " chunks");
        const auto partial = random_values<float>(n * chunks, 1), before = random_values<float>(n, 2);
        for (const std::int32_t accumulate : {0, 1}) {
            std::vector<double> expected(static_cast<std::size_t>(n));
            for (std::size_t i = 0; i < partial.size(); ++i)
                expected[i % expected.size()] += static_cast<double>(partial[i]);
            for (std::size_t i = 0; accumulate && i < expected.size(); ++i)
                expected[i] += static_cast<double>(before[i]);
            const auto from = Tensor<float>::from(partial, {chunks, n}, device);
            const auto out = Tensor<float>::from(before, {n}, device);
            submit(device, contract::ReduceChunks<float>{out.data(), from.data(), n, chunks, accumulate});
            CHECK(relative_error(out.to_vector(), expected) <= 5e-7);
        }
    }
}

TEST_CASE("reduce_chunks on the device keeps NaN and infinity in their columns", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    const auto partial = with_specials(random_values<float>(45 * 20, 1));
    const auto on = [&](const Device& where) {
        const auto from = Tensor<float>::from(partial, {20, 45}, where), out = Tensor<float>::empty({45}, where);
        submit(where, contract::ReduceChunks<float>{out.data(), from.data(), 45, 20, 0});
        return out.to_vector();
    };
    const auto found = on(device), expected = on(test_device());
    for (std::size_t i = 0; i < found.size(); ++i) {
        CHECK(std::isnan(found[i]) == std::isnan(expected[i]));
        CHECK(std::isinf(found[i]) == std::isinf(expected[i]));
    }
}

}  // namespace cuda_reduce_chunks_test
