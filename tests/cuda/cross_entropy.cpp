// SPDX-License-Identifier: MIT
#include <hwnas/ops/cross_entropy.hpp>

#include "cuda/device_under_test.hpp"

namespace cuda_cross_entropy_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

struct Result {
    float loss;
    std::vector<float> gradient;
    bool operator==(const Result&) const = default;
};
template <class T = float>
auto run(const std::vector<float>& logits, const std::vector<std::int32_t>& labels, double smoothing,
         const Device& device, int uses = 1, bool recorded = false) {
    const auto n = static_cast<std::int64_t>(labels.size()), classes = static_cast<std::int64_t>(logits.size()) / n;
    const auto x =
        Variable<T>::leaf(Tensor<T>::from(std::vector<T>(logits.begin(), logits.end()), {n, classes}, device));
    const auto on_device = Tensor<std::int32_t>::from(labels, {n}, device);
    Variable<T> loss;
    const auto step = [&] {
        for (int use = 0; use < uses; ++use)
            backward(loss = cross_entropy(x, on_device, {.label_smoothing = smoothing}));
    };
    if (recorded)
        Program::record(device, step).run();
    else
        step();
    std::vector<float> gradient;
    for (const T g : x.grad().to_vector()) gradient.push_back(static_cast<float>(g));
    return Result{static_cast<float>(loss.value().item()), gradient};
}

}  // namespace

TEST_CASE("cross_entropy on the device agrees with the CPU in double", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    struct Case {
        std::int64_t n, classes;
        double smoothing = 0;
    };
    std::vector<Case> cases{{1, 1},        {1, 10}, {33, 10},       {100, 10, 0.1},  {33, 3, 0.5},   {70, 16},
                            {31, 17, 0.1}, {5, 33}, {40, 130, 0.1}, {3, 1'000, 0.1}, {1'100, 2, 0.3}};
    if (!emulated()) cases.insert(cases.end(), {{256, 10}, {10'000, 10, 0.1}, {128, 1'000, 0.1}});
    for (const auto& [n, classes, smoothing] : cases) {
        CAPTURE(n, classes, smoothing);
        const auto x = random_values<float>(n * classes, 1, -4, 4);
        std::vector<std::int32_t> labels;
        for (std::int64_t i = 0; i < n; ++i) labels.push_back(static_cast<std::int32_t>((7 * i + 3) % classes));
        const auto expected = run<double>(x, labels, smoothing, test_device());
        const auto found = run(x, labels, smoothing, device);
        CHECK_THAT(found.loss, Catch::Matchers::WithinRel(expected.loss, 1e-6f) ||
                                   Catch::Matchers::WithinAbs(static_cast<double>(expected.loss), 1e-7));
        // With one class p - q is 0 but for the rounding of p.
        if (classes > 1) CHECK(relative_error(found.gradient, expected.gradient) <= 1e-6);
        CHECK(run(x, labels, smoothing, device, 1, true) == found);
        auto doubled = found.gradient;
        for (auto& g : doubled) g *= 2;
        CHECK(relative_error(run(x, labels, smoothing, device, 2).gradient, doubled) <= 1e-7);
    }
}

TEST_CASE("cross_entropy on the device: huge logits, NaN, and labels that do not exist", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    const auto both = [&](const std::vector<float>& x, const std::vector<std::int32_t>& labels) {
        for (const double smoothing : {0.0, 0.1}) {
            const auto found = run(x, labels, smoothing, device), expected = run(x, labels, smoothing, test_device());
            CAPTURE(x, labels, smoothing, found.loss, expected.loss);
            CHECK((same_values({found.loss}, {expected.loss}) ||
                   std::abs(found.loss - expected.loss) <= 1e-6f * std::abs(expected.loss)));
            CHECK(same_values(found.gradient, expected.gradient));
        }
    };
    for (const std::int32_t label : {0, 1, 2, -1}) both({1e30f, -1e30f, 0, 0}, {label, 1});
    both({NAN, 0, 0, 0}, {1, 1});
    both({0, NAN, 0, 0}, {0, 1});
    both({-INFINITY, 0}, {1});
    both({-INFINITY, 0}, {0});
    both({INFINITY, 0}, {0});
    both({-INFINITY, -INFINITY}, {0});
}

}  // namespace cuda_cross_entropy_test
