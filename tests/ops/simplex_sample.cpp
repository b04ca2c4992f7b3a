// SPDX-License-Identifier: MIT
#include <hwnas/autodiff/program.hpp>
#include <hwnas/ops/simplex_sample.hpp>

#include "support/catch.hpp"
#include "support/random_tensor.hpp"

#include <numeric>

namespace ops_simplex_sample_test {

using namespace hwnas;
using namespace hwnas::testing;
using Catch::Matchers::WithinAbs;

namespace {
const random::Key key = Seed{7}.stream("simplex test");
}

TEST_CASE("simplex_sample has the moments of the uniform distribution on the simplex", "[ops][property]") {
    const auto device = test_device(1);
    const auto step = Tensor<std::int64_t>::scalar(0, device);
    for (const std::int64_t k : {1, 2, 3, 8}) {
        const std::int64_t n = 20'000;
        std::vector<double> mean(static_cast<std::size_t>(k)), square(mean), previous(mean);
        double covariance = 0;
        for (std::int64_t i = 0; i < n; ++i) {
            step.assign(i);
            const auto s = simplex_sample<double>(k, step, key, device).to_vector();
            double sum = 0;
            for (std::size_t c = 0; c < s.size(); ++c) {
                if (!(s[c] > 0)) FAIL("coordinate " << s[c]);
                sum += s[c], mean[c] += s[c] / static_cast<double>(n),
                    square[c] += s[c] * s[c] / static_cast<double>(n);
            }
            if (std::abs(sum - 1) > 1e-14) FAIL("sum is 1 " << sum - 1);
            covariance += s.front() * s.back() / static_cast<double>(n);
        }
        const double kd = static_cast<double>(k), variance = (kd - 1) / (kd * kd * (kd + 1));
        for (std::size_t c = 0; c < mean.size(); ++c) {
            CHECK_THAT(mean[c], WithinAbs(1 / kd, 4 * std::sqrt(variance / static_cast<double>(n)) + 1e-12));
            CHECK_THAT(square[c] - mean[c] * mean[c], WithinAbs(variance, 0.04 * variance + 1e-12));
        }
        if (k > 2)
            CHECK_THAT(covariance - mean.front() * mean.back(),
                       WithinAbs(-1 / (kd * kd * (kd + 1)), 0.1 / (kd * kd * (kd + 1))));
    }
}

TEST_CASE("simplex_sample is a function of key and step, in float as in double, eager or recorded", "[ops][program]") {
    const auto device = test_device();
    const auto step = Tensor<std::int64_t>::scalar(3, device);
    const auto reference = simplex_sample<double>(5, step, key, device).to_vector();
    double sum = 0;
    for (std::uint64_t i = 0; i < 5; ++i) sum += random::exponential(random::words_at(key, i, 3).w[0]);
    CHECK_THAT(reference[2], WithinAbs(random::exponential(random::words_at(key, 2, 3).w[0]) / sum, 1e-15));
    CHECK(relative_error(simplex_sample<float>(5, step, key, device).to_vector(), reference) < 1e-7);
    CHECK(simplex_sample<double>(5, step, Seed{8}.stream("simplex test"), device).to_vector() != reference);
    Tensor<double> s;
    const auto program = Program::record(device, [&] { s = simplex_sample<double>(5, step, key, device); });
    program.run();
    CHECK(s.to_vector() == reference);
    step.assign(4);
    program.run();
    CHECK(s.to_vector() == simplex_sample<double>(5, step, key, device).to_vector());
    CHECK(s.to_vector() != reference);
}

TEST_CASE("simplex_sample says what it cannot take", "[ops]") {
    const auto device = test_device(), other = test_device();
    const auto step = Tensor<std::int64_t>::scalar(0, device);
    CHECK_THROWS_WITH(simplex_sample<float>(0, step, key, device),
                      "simplex_sample: 0 coordinates asked for, at least 1 is needed");
    CHECK_THROWS_WITH(simplex_sample<float>(3, {}, key, device), "simplex_sample: step has no value");
    CHECK_THROWS_WITH(simplex_sample<float>(3, Tensor<std::int64_t>::full({1}, 0, device), key, device),
                      "simplex_sample: step has shape [1], expected one number, []");
    CHECK_THROWS_WITH(simplex_sample<float>(3, step, key, other),
                      "simplex_sample: step and the sample must be on one device, they are on cpu and cpu");
}

}  // namespace ops_simplex_sample_test
