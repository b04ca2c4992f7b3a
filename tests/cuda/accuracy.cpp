// SPDX-License-Identifier: MIT
#include <hwnas/ops/accuracy.hpp>

#include "cuda/device_under_test.hpp"

namespace cuda_accuracy_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

float share(const std::vector<float>& logits, const std::vector<std::int32_t>& labels, const Device& device) {
    const auto n = static_cast<std::int64_t>(labels.size());
    const Shape shape{n, static_cast<std::int64_t>(logits.size()) / n};
    return accuracy(Variable<float>(Tensor<float>::from(logits, shape, device)),
                    Tensor<std::int32_t>::from(labels, {n}, device))
        .item();
}

}  // namespace

TEST_CASE("accuracy on the device counts what the CPU counts", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const std::int64_t classes : {1, 2, 3, 10, 16, 17, 32, 33, 130})
        for (const std::int64_t n : {1, 31, 257, emulated() ? (classes > 3 ? 64 : 1'100) : 20'000}) {
            CAPTURE(n, classes);
            // Few different values: many ties.
            auto x = random_values<float>(n * classes, 1);
            for (auto& v : x) v = std::floor(4 * v);
            std::vector<std::int32_t> labels;
            for (std::int64_t i = 0; i < n; ++i) {
                const auto row = x.begin() + i * classes;
                labels.push_back(static_cast<std::int32_t>(std::max_element(row, row + classes) - row));
                if (i % 5 == 4) labels.back() = static_cast<std::int32_t>(i % (classes + 1));
                if (i % 7 == 6) x[static_cast<std::size_t>(i * classes + i % classes)] = NAN;
            }
            CHECK(share(x, labels, device) == share(x, labels, test_device()));
        }
}

TEST_CASE("accuracy on the device: ties, infinities, NaN, labels that do not exist", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    CHECK(share({5}, {0}, device) == 1);
    CHECK(share({3, 3, 2}, {0}, device) == 1);
    CHECK(share({3, 3, 2}, {1}, device) == 0);
    CHECK(share({-INFINITY, INFINITY, 2}, {1}, device) == 1);
    CHECK(share({-INFINITY, -INFINITY, -INFINITY}, {0}, device) == 1);
    CHECK(share({-INFINITY, -INFINITY, -INFINITY}, {2}, device) == 0);
    for (const std::int32_t label : {-1, 0, 1, 2}) {
        CHECK(share({NAN, NAN, NAN}, {label}, device) == 0);
        CHECK(share({1, NAN, INFINITY}, {label}, device) == 0);
    }
    for (const std::int32_t label : {-1, 2, 7}) CHECK(share({1, 2}, {label}, device) == 0);
}

}  // namespace cuda_accuracy_test
