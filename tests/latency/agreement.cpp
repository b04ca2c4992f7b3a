// SPDX-License-Identifier: MIT
// Figures of agreement, against hand calculation and plain double loops.
#include <hwnas/latency/agreement.hpp>

#include <hwnas/core/random.hpp>

#include "support/catch.hpp"

namespace latency_agreement_test {

using namespace hwnas;
using Catch::Matchers::WithinAbs;

namespace {

double plain_kendall(const std::vector<double>& a, const std::vector<double>& b) {
    double both = 0, in_a = 0, in_b = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
        for (std::size_t j = 0; j < i; ++j) {
            const auto sign = [](double x) { return (x > 0) - (x < 0); };
            const int s = sign(a[i] - a[j]), t = sign(b[i] - b[j]);
            both += s * t, in_a += s * s, in_b += t * t;
        }
    return both / std::sqrt(in_a * in_b);
}

}  // namespace

TEST_CASE("rank correlations, ties included", "[latency]") {
    CHECK(spearman({1, 2, 3, 4}, {10, 20, 30, 40}) == 1);
    CHECK(spearman({1, 2, 3, 4}, {4, 3, 2, 1}) == -1);
    CHECK(spearman({1, 1, 1}, {1, 2, 3}) == 0);
    CHECK_THAT(spearman({1, 2, 3, 4, 5}, {2, 1, 4, 3, 5}), WithinAbs(0.8, 1e-12));
    CHECK_THAT(spearman({1, 2, 2, 4}, {1, 2, 3, 4}), WithinAbs(4.5 / std::sqrt(4.5 * 5), 1e-12));
    CHECK(kendall({1, 2, 3}, {1, 2, 3}) == 1);
    CHECK(kendall({1, 1}, {1, 2}) == 0);
    const auto key = seed(5).stream("kendall");
    for (int trial = 0; trial < 20; ++trial) {
        std::vector<double> a, b;
        for (std::uint64_t i = 0; i < 40; ++i) {
            const auto words = random::words_at(key, i, static_cast<std::uint64_t>(trial));
            a.push_back(words.w[0] % 9), b.push_back(words.w[1] % (3 + 10u * static_cast<unsigned>(trial)));
        }
        CAPTURE(trial);
        CHECK_THAT(kendall(a, b), WithinAbs(plain_kendall(a, b), 1e-12));
    }
    CHECK_THROWS_WITH(spearman({1, 2}, {1}), "spearman: 2 values against 1");
    CHECK_THROWS_WITH(kendall({1, 2}, {1}), "kendall: 2 values against 1");
    const double none = std::numeric_limits<double>::quiet_NaN();
    CHECK_THROWS_WITH(spearman({1, none}, {1, 2}), "spearman: value 1 is nan against 2; leave it out");
    CHECK_THROWS_WITH(kendall({1, 2}, {HUGE_VAL, 2}), "kendall: value 0 is 1 against inf; leave it out");
    CHECK_THROWS_WITH(validate_latency({1, 2}, {1, 2}, {1, none}),
                      "validate latency: sample 1 took nan ms the second time");
}

TEST_CASE("a validation says how good and how bad", "[latency]") {
    const auto v = validate_latency({1.1, 2, 3, 8}, {1, 2, 4, 8}, {1, 2, 4, 4}, {"a", "b", "c", "d"}, 2);
    CHECK(v.samples == 4);
    CHECK(v.spearman == 1);
    CHECK(v.kendall == 1);
    CHECK_THAT(v.mape, WithinAbs((0.1 + 0.25) / 4, 1e-12));
    CHECK_THAT(v.r2, WithinAbs(1 - 1.01 / 28.75, 1e-12));
    CHECK_THAT(v.constant_mape, WithinAbs((0.0 + 0.5 + 0.75 + 0.875) / 4, 1e-12));  // the constant 1
    CHECK_THAT(v.error_p95, WithinAbs(0.25, 1e-12));
    REQUIRE(v.repeat);
    CHECK_THAT(v.repeat->mape, WithinAbs(0.125, 1e-12));
    REQUIRE(v.worst.size() == 2);
    CHECK(v.worst[0].name == "c");
    CHECK(v.worst[1].sample == 0);
    const std::string text = v.str();
    CHECK(text.find("samples 4\n") == 0);
    CHECK(text.find("-25.00 %  predicted 3 ms, measured 4 ms  c\n") != std::string::npos);
    CHECK(text.find("measured twice: Spearman") != std::string::npos);
    // A network that took no time has no relative error.
    CHECK_THAT(validate_latency({1, 1, 3}, {0, 1, 2}).mape, WithinAbs(0.25, 1e-12));
    // The best constant, against a search.
    const std::vector<double> times{3, 1, 4, 1.5, 9, 2.6};
    double best = 1;
    for (double c = 0.5; c < 10; c += 0.001)
        best = std::min(best, mean_relative_error(std::vector<double>(times.size(), c), times));
    CHECK_THAT(validate_latency(times, times).constant_mape, WithinAbs(best, 1e-3));

    CHECK_THROWS_WITH(validate_latency({1}, {1}), "validate latency: 1 samples, at least 2 are needed");
    CHECK_THROWS_WITH(validate_latency({1, 2}, {1, 2}, {1}),
                      "validate latency: 2 predictions, 1 second measurements and 0 names for 2 samples");
    CHECK_THROWS_WITH(validate_latency({1, 2}, {1, -2}), "validate latency: sample 1 took -2 ms, predicted 2 ms");
}

}  // namespace latency_agreement_test
