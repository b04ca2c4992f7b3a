// SPDX-License-Identifier: MIT
#include <hwnas/autodiff/program.hpp>
#include <hwnas/ops/gumbel_softmax.hpp>
#include <hwnas/ops/softmax.hpp>

#include "support/catch.hpp"
#include "support/random_tensor.hpp"

#include <limits>

namespace ops_gumbel_softmax_test {

using namespace hwnas;
using namespace hwnas::testing;
using Catch::Matchers::WithinAbs;

namespace {

const random::Key key = Seed{42}.stream("gumbel test");

template <class T>
GumbelSoftmaxOptions<T> options_at(const Device& device, double temperature, std::int64_t step = 0,
                                   std::int64_t draws = 1, bool hard = false) {
    return {.temperature = Tensor<T>::scalar(static_cast<T>(temperature), device),
            .step = Tensor<std::int64_t>::scalar(step, device),
            .key = key,
            .draws = draws,
            .hard = hard};
}
template <class T>
Variable<T> logits(const std::vector<double>& alpha, const Shape& shape, const Device& device) {
    return Variable<T>::leaf(Tensor<T>::from(std::vector<T>(alpha.begin(), alpha.end()), shape, device));
}
/// Mean over the draws of gamma [G, 1, k].
std::vector<double> mean_draw(const std::vector<float>& gamma, std::size_t k) {
    std::vector<double> mean(k, 0);
    for (std::size_t i = 0; i < gamma.size(); ++i)
        mean[i % k] += static_cast<double>(gamma[i]) / static_cast<double>(gamma.size() / k);
    return mean;
}

}  // namespace

TEST_CASE("gumbel_softmax equals a plain loop, its noise is a function of key, step and position", "[ops]") {
    struct Case {
        std::int64_t groups, rows, columns;
    };
    for (const auto [groups, rows, columns] : {Case{1, 1, 1}, Case{1, 28, 3}, Case{3, 5, 8}, Case{128, 14, 17}}) {
        const auto device = test_device(1);
        const auto alpha = random_values<double>(rows * columns, 1, -2, 2);
        const double t = 0.5;
        std::vector<double> soft, hard;
        std::vector<std::int32_t> selected;
        for (std::int64_t r = 0; r < groups * rows; ++r) {
            std::vector<double> z;
            double sum = 0;
            for (std::int64_t c = 0; c < columns; ++c) {
                const auto word = random::words_at(key, static_cast<std::uint64_t>(r * columns + c), 9).w[0];
                z.push_back(alpha[static_cast<std::size_t>(r % rows * columns + c)] +
                            static_cast<double>(random::gumbel(word)));
                sum += std::exp(z.back() / t);
            }
            const auto best = std::max_element(z.begin(), z.end()) - z.begin();
            for (std::int64_t c = 0; c < columns; ++c)
                soft.push_back(std::exp(z[static_cast<std::size_t>(c)] / t) / sum), hard.push_back(c == best);
            if (r < rows) selected.push_back(static_cast<std::int32_t>(best));
        }
        const auto relaxed =
            gumbel_softmax(logits<float>(alpha, {rows, columns}, device), options_at<float>(device, t, 9, groups));
        CHECK(relaxed.gamma.shape() == Shape{groups, rows, columns});
        CHECK(relative_error(relaxed.gamma.value().to_vector(), soft) < 1e-5);
        CHECK(relaxed.soft.to_vector() == relaxed.gamma.value().to_vector());
        CHECK(relaxed.selected.to_vector() == selected);
        CHECK(relative_error(gumbel_softmax(logits<double>(alpha, {rows, columns}, device),
                                            options_at<double>(device, t, 9, groups))
                                 .soft.to_vector(),
                             soft) < 1e-13);
        const auto one_hot = gumbel_softmax(logits<float>(alpha, {rows, columns}, device),
                                            options_at<float>(device, t, 9, groups, true));
        CHECK(relative_error(one_hot.gamma.value().to_vector(), hard) == 0);
        CHECK(one_hot.soft.to_vector() == relaxed.soft.to_vector());
        CHECK(one_hot.selected.to_vector() == selected);
        for (const auto& other : {test_device(2), test_device(5, cpu::Isa::portable)})
            CHECK(relaxed.soft.to_vector() ==
                  gumbel_softmax(logits<float>(alpha, {rows, columns}, other), options_at<float>(other, t, 9, groups))
                      .soft.to_vector());
        // Draw 0 is what a single draw gives, and another step gives another draw.
        const auto single =
            gumbel_softmax(logits<float>(alpha, {rows, columns}, device), options_at<float>(device, t, 9))
                .soft.to_vector();
        CHECK(std::equal(single.begin(), single.end(), relaxed.soft.to_vector().begin()));
        if (columns > 1)
            CHECK(single !=
                  gumbel_softmax(logits<float>(alpha, {rows, columns}, device), options_at<float>(device, t, 10))
                      .soft.to_vector());
    }
}

TEST_CASE("straight-through draws have mean softmax(alpha) at every temperature", "[ops][property]") {
    const auto device = test_device();
    const auto alpha = logits<float>({1, 0, -1}, {1, 3}, device);
    const std::vector<double> p{0.66524096, 0.24472847, 0.09003057};
    std::int64_t step = 0;
    for (const double t : {1.0, 0.5, 0.05}) {
        const auto mean = mean_draw(
            gumbel_softmax(alpha, options_at<float>(device, t, step++, 4000, true)).gamma.value().to_vector(), 3);
        for (std::size_t m = 0; m < 3; ++m)
            CHECK_THAT(mean[m], WithinAbs(p[m], 3 * std::sqrt(p[m] * (1 - p[m]) / 4000)));
    }
    // The same noise gives the same choice at every temperature.
    CHECK(gumbel_softmax(alpha, options_at<float>(device, 1, 0, 500, true)).gamma.value().to_vector() ==
          gumbel_softmax(alpha, options_at<float>(device, 0.05, 0, 500, true)).gamma.value().to_vector());
}

TEST_CASE("the mean of relaxed draws is softmax(alpha) only as the temperature falls", "[ops][property]") {
    const auto device = test_device();
    const auto alpha = logits<float>({1, 0, -1}, {1, 3}, device);
    const auto cold = mean_draw(gumbel_softmax(alpha, options_at<float>(device, 0.05, 0, 100'000)).soft.to_vector(), 3);
    const auto warm = mean_draw(gumbel_softmax(alpha, options_at<float>(device, 1, 1, 100'000)).soft.to_vector(), 3);
    const std::vector<double> p{0.665, 0.245, 0.090}, at_one{0.567, 0.290, 0.143};
    for (std::size_t m = 0; m < 3; ++m) {
        CHECK_THAT(cold[m], WithinAbs(p[m], 0.01));
        CHECK_THAT(warm[m], WithinAbs(at_one[m], 0.005));
    }
}

TEST_CASE("gumbel_softmax gradient agrees with finite differences, straight-through has the relaxed one",
          "[ops][gradcheck]") {
    const auto device = test_device();
    struct Case {
        std::int64_t groups, rows, columns;
        double temperature;
    };
    for (const auto [groups, rows, columns, temperature] :
         {Case{1, 1, 1, 1}, Case{1, 5, 3, 1}, Case{4, 3, 8, 0.3}, Case{2, 2, 17, 2}}) {
        const auto options = options_at<double>(device, temperature, 3, groups);
        const auto result = gradcheck([&](const auto& v) { return gumbel_softmax(v[0], options).gamma; },
                                      {random_tensor<double>({rows, columns}, 2, device)});
        INFO(result.message);
        CHECK(result.passed);
    }
    const auto alpha = random_values<double>(28 * 3, 3), seed = random_values<double>(7 * 28 * 3, 4);
    const auto gradient = [&]<class T>(T, bool hard, int uses) {
        const auto x = logits<T>(alpha, {28, 3}, device);
        for (int use = 0; use < uses; ++use)
            backward(gumbel_softmax(x, options_at<T>(device, 0.7, 5, 7, hard)).gamma,
                     Tensor<T>::from(std::vector<T>(seed.begin(), seed.end()), {7, 28, 3}, device));
        return x.grad().to_vector();
    };
    const auto reference = gradient(double{}, false, 1);
    CHECK(gradient(double{}, true, 1) == reference);
    CHECK(relative_error(gradient(float{}, false, 1), reference) < 1e-5);
    CHECK(relative_error(gradient(float{}, true, 2), [&] {
              auto twice = reference;
              for (auto& x : twice) x *= 2;
              return twice;
          }()) < 1e-5);
}

TEST_CASE("gumbel_softmax neither overflows nor hides NaN, the first of equals is selected", "[ops]") {
    const auto device = test_device();
    const double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
    // At 1e30 the noise is below the last digit: a tie, which the first wins.
    const auto draw =
        gumbel_softmax(logits<float>({3e38, -3e38, 0, 0, 1e30, 1e30, -inf, 0, -inf, 0, nan, 0}, {4, 3}, device),
                       options_at<float>(device, 0.01, 0, 2, true));
    CHECK(draw.selected.to_vector()[0] == 0);
    CHECK(draw.selected.to_vector()[1] == 1);
    CHECK(draw.selected.to_vector()[2] == 1);
    const auto soft = draw.soft.to_vector(), gamma = draw.gamma.value().to_vector();
    CHECK(std::vector<float>(soft.begin(), soft.begin() + 9) == std::vector<float>{1, 0, 0, 0, 0.5, 0.5, 0, 1, 0});
    CHECK(std::vector<float>(gamma.begin(), gamma.begin() + 9) == std::vector<float>{1, 0, 0, 0, 1, 0, 0, 1, 0});
    for (std::size_t i = 9; i < 12; ++i) CHECK((std::isnan(soft[i]) && std::isnan(gamma[i])));
}

TEST_CASE("gumbel_softmax in a recorded step follows the step and temperature in device memory", "[ops][program]") {
    const auto device = test_device();
    const auto alpha = logits<float>(random_values<double>(15, 6), {5, 3}, device);
    const auto grad = Tensor<float>::full({5, 3}, 0, device);
    alpha.set_grad(grad);
    const auto options = options_at<float>(device, 1, 0, 2, true);
    GumbelSoftmax<float> draw;
    const auto seed = random_tensor<float>({2, 5, 3}, 7, device);
    const auto program =
        Program::record(device, [&] { backward((draw = gumbel_softmax(alpha, options)).gamma, seed); });
    for (std::int64_t step = 0; step < 2; ++step) {
        options.step.assign(step);
        options.temperature.assign(step ? 0.3f : 1.0f);
        grad.assign(0.0f);
        program.run();
        const auto eager = Variable<float>::leaf(alpha.value().clone());
        const auto expected = gumbel_softmax(eager, options_at<float>(device, step ? 0.3f : 1.0f, step, 2, true));
        CHECK(draw.soft.to_vector() == expected.soft.to_vector());
        CHECK(draw.gamma.value().to_vector() == expected.gamma.value().to_vector());
        CHECK(draw.selected.to_vector() == expected.selected.to_vector());
        backward(expected.gamma, seed);
        CHECK(grad.to_vector() == eager.grad().to_vector());
    }
}

TEST_CASE("gumbel_softmax says what it cannot take", "[ops]") {
    const auto device = test_device(), other = test_device();
    const auto alpha = logits<float>({0, 0, 0}, {1, 3}, device);
    const auto good = options_at<float>(device, 1);
    auto options = good;
    CHECK_THROWS_WITH(gumbel_softmax(Variable<float>(), good), "gumbel_softmax: alpha has no value");
    CHECK_THROWS_WITH(gumbel_softmax(logits<float>({0, 0}, {2}, device), good),
                      "gumbel_softmax: alpha has shape [2], expected [edges, primitives]");
    options.temperature = {};
    CHECK_THROWS_WITH(gumbel_softmax(alpha, options), "gumbel_softmax: temperature has no value");
    options = good, options.step = Tensor<std::int64_t>::full({2}, 0, device);
    CHECK_THROWS_WITH(gumbel_softmax(alpha, options), "gumbel_softmax: step has shape [2], expected one number, []");
    options = good, options.draws = 0;
    CHECK_THROWS_WITH(gumbel_softmax(alpha, options), "gumbel_softmax: 0 draws asked for, at least 1 is needed");
    options = good, options.step = Tensor<std::int64_t>::scalar(0, other);
    CHECK_THROWS_WITH(gumbel_softmax(alpha, options),
                      "gumbel_softmax: alpha and step must be on one device, they are on cpu and cpu");
}

}  // namespace ops_gumbel_softmax_test
