// SPDX-License-Identifier: MIT
#include <hwnas/ops/augment.hpp>

#include "cuda/device_under_test.hpp"

namespace cuda_augment_test {

using namespace hwnas;
using namespace hwnas::testing;

TEST_CASE("augment on the device has the CPU's bits", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    const auto key = Seed{3}.stream("augment test");
    for (const Shape& shape : {Shape{3, 1, 1, 1}, Shape{9, 7, 5, 2}, Shape{4, 28, 28, 1}, Shape{2, 8, 12, 16}})
        for (const auto& options : {AugmentOptions{}, AugmentOptions{.flip = true},
                                    AugmentOptions{.erase = 0.5, .erase_size = 1, .erased = 7},
                                    AugmentOptions{.shift = shape[1] / 3, .flip = true, .erase = 0.9, .outside = -1}})
            for (const std::int64_t step : {0, 1'000'000}) {
                CAPTURE(shape.str(), options.shift, step);
                const auto on = [&](const Device& where) {
                    return augment(Variable<float>(random_tensor<float>(shape, 5, where)),
                                   Tensor<std::int64_t>::scalar(step, where), key, options)
                        .value()
                        .to_vector();
                };
                CHECK(on(device) == on(test_device()));
            }
}

}  // namespace cuda_augment_test
