// SPDX-License-Identifier: MIT
#include <hwnas/ops/scale.hpp>
#include <hwnas/ops/sum.hpp>

#include "cuda/device_under_test.hpp"

namespace cuda_scale_test {

using namespace hwnas;
using namespace hwnas::testing;

TEST_CASE("scale on the device agrees with the CPU", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const std::int64_t n : {1, 3, 4, 33, 257, 1'000})
        for (const double factor : {2.0, -0.3}) {
            CAPTURE(n, factor);
            check_on_device(device, [&](const auto& v) { return scale(v[0], factor); }, {random_values<double>(n, 1)},
                            {{n}});
        }
}

TEST_CASE("the gradient of a sum on the device agrees with the CPU", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const std::int64_t n : {1, 3, 4, 33, 257, 1'000}) {
        CAPTURE(n);
        check_on_device(device, [](const auto& v) { return mean(v[0]); }, {random_values<double>(n, 1, 0, 1)}, {{n}});
    }
}

TEST_CASE("scale and broadcast on the device overwrite or add, aligned or not", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const std::int64_t n : {7, 40, emulated() ? 999 : 9'000'000})
        for (const std::int64_t offset : {0, 1})
            for (const std::int32_t accumulate : {0, 1}) {
                CAPTURE(n, offset, accumulate);
                // Powers of two: products are exact, so that fused and separate sums have the same bits.
                const auto scaled = [&](const Device& where) {
                    const auto x = random_tensor<float>({n + 1}, 1, where),
                               out = random_tensor<float>({n + 2}, 2, where);
                    submit(where, contract::Scale<float>{out.data() + offset, x.data() + offset, n, -4.0f, accumulate});
                    return out.to_vector();
                };
                CHECK(scaled(device) == scaled(test_device()));
                const auto spread = [&](const Device& where) {
                    const auto x = Tensor<float>::scalar(0.7f, where), out = random_tensor<float>({n + 2}, 2, where);
                    submit(where, contract::Broadcast<float>{out.data() + offset, x.data(), n, 0.25f, accumulate});
                    return out.to_vector();
                };
                CHECK(spread(device) == spread(test_device()));
            }
}

TEST_CASE("scale on the device keeps NaN and infinity", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    const auto x = with_specials(random_values<float>(100, 1));
    const auto on = [&](const Device& where, double factor) {
        return scale(Variable<float>(Tensor<float>::from(x, {100}, where)), factor).value().to_vector();
    };
    CHECK(same_values(on(device, 0.5), on(test_device(), 0.5)));
    CHECK(same_values(on(device, 0.0), on(test_device(), 0.0)));
}

}  // namespace cuda_scale_test
