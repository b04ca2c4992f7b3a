// SPDX-License-Identifier: MIT
#include <hwnas/ops/gumbel_softmax.hpp>

#include "cuda/device_under_test.hpp"

namespace cuda_gumbel_softmax_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

struct Result {
    std::vector<float> gamma, soft, gradient;
    std::vector<std::int32_t> selected;
};
struct Case {
    std::int64_t groups, rows, columns;
    float temperature = 0.5f;
};
Result run(const std::vector<float>& alpha, const Case& c, bool hard, const Device& device, bool recorded = false) {
    const auto x = Variable<float>::leaf(Tensor<float>::from(alpha, {c.rows, c.columns}, device));
    const auto seed = random_tensor<float>({c.groups, c.rows, c.columns}, 2, device);
    const GumbelSoftmaxOptions<float> options{.temperature = Tensor<float>::scalar(c.temperature, device),
                                              .step = Tensor<std::int64_t>::scalar(9, device),
                                              .key = Seed{42}.stream("gumbel test"),
                                              .draws = c.groups,
                                              .hard = hard};
    GumbelSoftmax<float> draw;
    const auto step = [&] { backward((draw = gumbel_softmax(x, options)).gamma, seed); };
    if (recorded)
        Program::record(device, step).run();
    else
        step();
    return {draw.gamma.value().to_vector(), draw.soft.to_vector(), x.grad().to_vector(), draw.selected.to_vector()};
}

}  // namespace

TEST_CASE("gumbel_softmax on the device makes the CPU's choices, and agrees in the rest", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    std::vector<Case> cases{{1, 1, 1},  {1, 42, 3}, {3, 5, 8},        {40, 14, 3},       {130, 3, 5},      {2, 3, 16},
                            {2, 3, 17}, {3, 2, 33}, {5, 2, 64, 0.1f}, {2, 2, 130, 2.0f}, {9, 1, 40, 0.05f}};
    if (!emulated()) cases.insert(cases.end(), {{256, 42, 3}, {1, 1'000'000, 3}, {100'000, 3, 8}, {1'024, 2, 300}});
    for (const auto& c : cases)
        for (const bool hard : {false, true}) {
            CAPTURE(c.groups, c.rows, c.columns, hard);
            const auto alpha = random_values<float>(c.rows * c.columns, 1, -2, 2);
            const auto found = run(alpha, c, hard, device), expected = run(alpha, c, hard, test_device());
            CHECK(found.selected == expected.selected);
            CHECK(relative_error(found.soft, expected.soft) <= 2e-7);
            CHECK(relative_error(found.gradient, expected.gradient) <= 2e-6);
            CHECK(found.gamma == (hard ? expected.gamma : found.soft));
            const auto recorded = run(alpha, c, hard, device, true);
            CHECK(recorded.gamma == found.gamma);
            CHECK(recorded.gradient == found.gradient);
        }
}

TEST_CASE("gumbel_softmax on the device adds noise with the CPU's bits", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    // alpha is 0 for the first class, so that it has its noise alone, and for the second what takes its noise to the
    // next number above or below: where the last bit of either noise is another, so are choices.
    const random::Key key = Seed{42}.stream("gumbel test");
    const std::int64_t rows = emulated() ? 300 : 100'000;
    std::vector<float> alpha;
    std::vector<std::int32_t> chosen;
    for (std::int64_t r = 0; r < rows; ++r) {
        const auto noise = [&](std::int64_t c) {
            return random::gumbel(random::words_at(key, static_cast<std::uint64_t>(2 * r + c), 9).w[0]);
        };
        alpha.push_back(0);
        alpha.push_back(std::nextafter(noise(0), r % 2 ? 100.0f : -100.0f) - noise(1));
        chosen.push_back(alpha.back() + noise(1) > noise(0));
    }
    CHECK(run(alpha, {1, rows, 2}, true, device).selected == chosen);
    CHECK(run(alpha, {1, rows, 2}, true, test_device()).selected == chosen);
}

TEST_CASE("gumbel_softmax on the device neither overflows nor hides NaN, the first of equals is selected", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const std::int64_t columns : {3, 16, 40, 70})
        for (const std::int64_t at : {std::int64_t{0}, columns / 2, columns - 1})
            for (const bool hard : {false, true}) {
                CAPTURE(columns, at, hard);
                auto alpha = random_values<float>(8 * columns, 1);
                const auto element = [&](std::int64_t row, std::int64_t c) -> float& {
                    return alpha[static_cast<std::size_t>(row * columns + c % columns)];
                };
                element(0, at) = 3e38f, element(0, at + 1) = -3e38f;
                element(1, at) = 1e30f, element(1, at + 2) = 1e30f;  // the noise is below the last digit: a tie
                element(2, at) = -INFINITY;
                element(3, at) = NAN;
                for (std::int64_t c = 0; c < columns; ++c) element(4, c) = -INFINITY;
                element(5, at) = INFINITY;
                element(6, at) = NAN, element(6, at + 1) = INFINITY;
                element(7, at) = INFINITY, element(7, at + 1) = INFINITY;
                const Case c{2, 8, columns, 0.01f};
                const auto found = run(alpha, c, hard, device), expected = run(alpha, c, hard, test_device());
                CHECK(found.selected == expected.selected);
                if (hard) CHECK(same_values(found.gamma, expected.gamma));
                for (std::size_t i = 0; i < found.soft.size(); ++i) {
                    INFO("row " << static_cast<std::int64_t>(i) / columns);
                    if (std::isnan(expected.soft[i]))
                        CHECK(std::isnan(found.soft[i]));
                    else
                        CHECK_THAT(found.soft[i],
                                   Catch::Matchers::WithinAbs(static_cast<double>(expected.soft[i]), 2e-6));
                }
            }
}

TEST_CASE("gumbel_softmax on the device keeps the relaxed sample apart where that is asked for", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const std::int64_t columns : {3, 50}) {
        const auto alpha = random_tensor<float>({4, columns}, 1, device),
                   out = Tensor<float>::empty({4, columns}, device), soft = Tensor<float>::empty({4, columns}, device),
                   t = Tensor<float>::scalar(1.0f, device);
        const auto selected = Tensor<std::int32_t>::empty({4}, device);
        const auto step = Tensor<std::int64_t>::scalar(0, device);
        submit(
            device,
            contract::GumbelSoftmaxForward<float>{
                out.data(), soft.data(), selected.data(), alpha.data(), t.data(), step.data(), 1, 4, columns, {}, 0});
        CHECK(out.to_vector() == soft.to_vector());
    }
}

}  // namespace cuda_gumbel_softmax_test
