// SPDX-License-Identifier: MIT
#include <hwnas/ops/add.hpp>

#include "cuda/device_under_test.hpp"

namespace cuda_add_test {

using namespace hwnas;
using namespace hwnas::testing;

TEST_CASE("add and subtract on the device have the bits of a plain loop at every period", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    struct Case {
        std::int64_t rows, period;
    };
    std::vector<Case> cases;
    for (const std::int64_t period : {1, 3, 4, 8, 10, 17, 64, 65, 300})
        for (const std::int64_t rows : {1, 4, 37}) cases.push_back({rows, period});
    if (!emulated()) cases.insert(cases.end(), {{200'704, 16}, {1'000'003, 7}, {3, 4'000'000}});
    for (const auto [rows, period] : cases) {
        CAPTURE(rows, period);
        const auto a = random_values<float>(rows * period, 1), b = random_values<float>(period, 2);
        const Variable<float> u(Tensor<float>::from(a, {rows, period}, device)),
            v(Tensor<float>::from(b, {period}, device));
        const auto sum = (u + v).value().to_vector(), difference = (u - v).value().to_vector();
        bool equal = true;
        for (std::size_t i = 0; i < a.size(); ++i)
            equal = equal && sum[i] == a[i] + b[i % b.size()] && difference[i] == a[i] - b[i % b.size()];
        CHECK(equal);
    }
}

TEST_CASE("add on the device with its gradients agrees with the CPU", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const Shape& b : {Shape{6, 5, 12}, Shape{5, 12}, Shape{12}, Shape{}}) {
        INFO("second operand " << b.str());
        check_on_device(device, [](const auto& v) { return (v[0] + v[1]) - v[1] - v[1]; },
                        {random_values<double>(360, 1), random_values<double>(b.elements(), 2)}, {{6, 5, 12}, b});
    }
    check_on_device(device, [](const auto& v) { return add(v); },
                    {random_values<double>(77, 1), random_values<double>(77, 2), random_values<double>(77, 3)},
                    {{7, 11}, {7, 11}, {7, 11}});
}

TEST_CASE("add on the device: unaligned operands, a part of an array, and adding to itself", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const std::int64_t offset : {0, 1, 4})
        for (const std::int64_t period : {4, 60, 120}) {
            CAPTURE(offset, period);
            const auto run = [&](const Device& where) {
                const auto a = random_tensor<float>({130}, 1, where), b = random_tensor<float>({130}, 2, where);
                submit(where, contract::Add<float>{a.data() + 4, a.data() + 4, b.data() + offset, 120, period, 1.0f});
                submit(where, contract::Add<float>{a.data() + offset, a.data() + offset, b.data(), 120, period, -1.0f});
                return a.to_vector();
            };
            CHECK(run(device) == run(test_device()));
        }
}

TEST_CASE("add on the device keeps NaN and infinity", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    const auto a = with_specials(random_values<float>(200, 1)), b = with_specials(random_values<float>(20, 2));
    const auto run = [&](const Device& where) {
        return add(Variable<float>(Tensor<float>::from(a, {10, 20}, where)),
                   Variable<float>(Tensor<float>::from(b, {20}, where)))
            .value()
            .to_vector();
    };
    CHECK(same_values(run(device), run(test_device())));
}

}  // namespace cuda_add_test
