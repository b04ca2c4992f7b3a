// SPDX-License-Identifier: MIT
#include <hwnas/ops/batch_norm.hpp>

#include "support/window_ops.hpp"

#include <limits>

namespace ops_batch_norm_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

template <class T>
BatchNormState<T> make_state(std::int64_t c, const Device& device) {
    return {random_tensor<T>({c}, 11, device), random_tensor<T>({c}, 12, device, 0.5, 1.5),
            Tensor<T>::scalar(T(0.1), device)};
}
/// v: x, or x, scale, shift. A state of its own in every call, so that repeated steps see the same one.
auto norm(Phase phase) {
    return [phase](const auto& v) {
        using V = typename std::decay_t<decltype(v)>::value_type;
        using T = typename V::value_type;
        const V none;
        return batch_norm(v[0], v.size() == 3 ? v[1] : none, v.size() == 3 ? v[2] : none,
                          make_state<T>(v[0].shape()[-1], v[0].device()), phase);
    };
}
struct Moments {
    std::vector<double> mean, variance;  // biased
};
Moments moments(const std::vector<double>& x, std::size_t c) {
    Moments m{std::vector<double>(c), std::vector<double>(c)};
    const double rows = static_cast<double>(x.size() / c);
    for (std::size_t i = 0; i < x.size(); ++i) m.mean[i % c] += x[i] / rows;
    for (std::size_t i = 0; i < x.size(); ++i)
        m.variance[i % c] += (x[i] - m.mean[i % c]) * (x[i] - m.mean[i % c]) / rows;
    return m;
}
Outcome<double> slow_norm(Phase phase, std::size_t c, const std::vector<std::vector<double>>& inputs) {
    const auto& x = inputs[0];
    const bool affine = inputs.size() == 3;
    const auto dy = random_values<double>(static_cast<std::int64_t>(x.size()), 77);
    const double rows = static_cast<double>(x.size() / c);
    const auto channels = static_cast<std::int64_t>(c);
    const Moments m = phase == Phase::train
                          ? moments(x, c)
                          : Moments{random_values<double>(channels, 11), random_values<double>(channels, 12, 0.5, 1.5)};
    Outcome<double> out{std::vector<double>(x.size()), {std::vector<double>(x.size())}};
    std::vector<double> dscale(c), dshift(c), xhat(x.size()), inv_std(c);
    for (std::size_t j = 0; j < c; ++j) inv_std[j] = 1 / std::sqrt(m.variance[j] + 1e-5);
    for (std::size_t i = 0; i < x.size(); ++i) {
        const std::size_t j = i % c;
        xhat[i] = (x[i] - m.mean[j]) * inv_std[j];
        out.y[i] = affine ? xhat[i] * inputs[1][j] + inputs[2][j] : xhat[i];
        dscale[j] += dy[i] * xhat[i];
        dshift[j] += dy[i];
    }
    for (std::size_t i = 0; i < x.size(); ++i) {
        const std::size_t j = i % c;
        const double centred = phase == Phase::train ? dy[i] - dshift[j] / rows - xhat[i] * dscale[j] / rows : dy[i];
        out.gradients[0][i] = (affine ? inputs[1][j] : 1.0) * inv_std[j] * centred;
    }
    if (affine) out.gradients.push_back(dscale), out.gradients.push_back(dshift);
    return out;
}
std::vector<std::vector<double>> affine_inputs(const Shape& x) {
    const std::int64_t c = x[-1];
    return {random_values<double>(x.elements(), 1), random_values<double>(c, 2, 0.5, 2.0), random_values<double>(c, 3)};
}

}  // namespace

TEST_CASE("batch_norm and its gradients equal plain loops", "[ops]") {
    const Shape shapes[] = {{2, 1},         {37, 1},         {5, 3},         {3, 1, 3, 8},   {2, 9, 1, 12},
                            {1, 1, 7, 17},  {2, 5, 4, 31},   {2, 3, 3, 64},  {2, 4, 2, 100}, {60'001, 1},
                            {9'001, 12},    {5, 41, 23, 17}, {300, 256},     {2, 9, 9, 10},  {3, 14, 13, 30},
                            {1, 9, 7, 40},  {2, 5, 4, 60},   {1, 9, 5, 120}, {2, 9, 5, 47},  {3, 7, 4, 66},
                            {1, 5, 5, 111}, {1, 4, 3, 516}};
    for (const auto& shape : shapes)
        for (const Phase phase : {Phase::train, Phase::eval}) {
            INFO("x " << shape.str() << (phase == Phase::train ? ", train" : ", eval"));
            const std::int64_t c = shape[-1];
            if (shape[0] == 2 && c == 1 && phase == Phase::train) continue;  // dx is 0 but for rounding
            auto inputs = affine_inputs(shape);
            check_op(norm(phase), inputs, {shape, {c}, {c}}, slow_norm(phase, static_cast<std::size_t>(c), inputs));
            if (shape.elements() > 1000) continue;
            inputs.resize(1);
            check_op(norm(phase), inputs, {shape}, slow_norm(phase, static_cast<std::size_t>(c), inputs));
        }
}

TEST_CASE("batch_norm gradients agree with finite differences", "[ops][gradcheck]") {
    const auto device = test_device();
    for (const Phase phase : {Phase::train, Phase::eval})
        for (const std::int64_t c : {1, 3, 5}) {
            const std::vector<Tensor<double>> inputs{random_tensor<double>({3, 2, 3, c}, 1, device),
                                                     random_tensor<double>({c}, 2, device, 0.5, 2.0),
                                                     random_tensor<double>({c}, 3, device)};
            auto result = gradcheck(norm(phase), inputs);
            INFO(c << " channels: " << result.message);
            CHECK(result.passed);
            result = gradcheck(norm(phase), {inputs[0]});
            INFO("no affine: " << result.message);
            CHECK(result.passed);
        }
}

TEST_CASE("batch_norm: two uses add up, a recorded step repeats", "[ops]") {
    for (const Phase phase : {Phase::train, Phase::eval}) {
        const Shape shape{4, 9, 7, 12};
        check_uses(norm(phase), affine_inputs(shape), {shape, {12}, {12}});
    }
}

TEST_CASE("batch_norm computes the wanted gradients only", "[ops]") {
    const auto device = test_device();
    const auto x = random_tensor<float>({40, 12}, 1, device), scale = random_tensor<float>({12}, 2, device);
    const auto shift = random_tensor<float>({12}, 3, device), seed = random_tensor<float>({40, 12}, 4, device);
    for (const Phase phase : {Phase::train, Phase::eval}) {
        const auto state = make_state<float>(12, device);
        const auto all_x = Variable<float>::leaf(x), all_scale = Variable<float>::leaf(scale),
                   all_shift = Variable<float>::leaf(shift);
        const auto only_x = Variable<float>::leaf(x), only_scale = Variable<float>::leaf(scale),
                   only_shift = Variable<float>::leaf(shift);
        const Variable<float> fixed_x(x), fixed_scale(scale), fixed_shift(shift);
        auto use = [&](const auto& a, const auto& b, const auto& c) {
            const auto own =
                BatchNormState<float>{state.running_mean.clone(), state.running_var.clone(), state.momentum};
            backward(batch_norm(a, b, c, own, phase), seed);
        };
        use(all_x, all_scale, all_shift);
        use(only_x, fixed_scale, fixed_shift);
        use(fixed_x, only_scale, fixed_shift);
        use(fixed_x, fixed_scale, only_shift);
        CHECK(only_x.grad().to_vector() == all_x.grad().to_vector());
        CHECK(only_scale.grad().to_vector() == all_scale.grad().to_vector());
        CHECK(only_shift.grad().to_vector() == all_shift.grad().to_vector());
    }
}

TEST_CASE("batch_norm keeps running statistics, with the unbiased variance, at the momentum on the device", "[ops]") {
    const auto device = test_device();
    const std::int64_t c = 12;
    const auto values = random_values<double>(50 * c, 1, -1.0, 3.0);
    const auto m = moments(values, 12);
    const auto x = Variable<double>(Tensor<double>::from(values, {50, c}, device));
    const auto state = make_state<double>(c, device);
    const auto mean = state.running_mean.to_vector(), variance = state.running_var.to_vector();
    const auto expect = [&](double momentum, const std::vector<double>& mean0, const std::vector<double>& variance0) {
        const auto mean1 = state.running_mean.to_vector(), variance1 = state.running_var.to_vector();
        for (std::size_t j = 0; j < mean1.size(); ++j) {
            CHECK_THAT(mean1[j], Catch::Matchers::WithinAbs(mean0[j] + momentum * (m.mean[j] - mean0[j]), 1e-12));
            CHECK_THAT(variance1[j], Catch::Matchers::WithinAbs(
                                         variance0[j] + momentum * (m.variance[j] * 50 / 49 - variance0[j]), 1e-12));
        }
    };
    batch_norm(x, {}, {}, state, Phase::train);
    expect(0.1, mean, variance);
    state.momentum.assign(1.0);  // the first batch of a recalibration forgets what was there
    batch_norm(x, {}, {}, state, Phase::train);
    expect(1.0, mean, variance);
    const auto kept = state.running_mean.to_vector();
    batch_norm(x, {}, {}, state, Phase::eval);
    CHECK(state.running_mean.to_vector() == kept);

    const auto fresh = make_state<double>(c, device);  // a recorded step reads the momentum when it runs
    const auto program = Program::record(device, [&] { batch_norm(x, {}, {}, fresh, Phase::train); });
    CHECK(fresh.running_mean.to_vector() == mean);
    fresh.momentum.assign(1.0);
    program.run();
    CHECK(fresh.running_mean.to_vector() == kept);
    CHECK_NOTHROW(batch_norm(x, {}, {}, BatchNormState<double>{}, Phase::train));  // untracked
}

TEST_CASE("batch_norm does not cancel: mean 1e4, deviation 1", "[ops]") {
    for (const auto isa : {cpu::Isa::portable, cpu::best_isa()})
        for (const std::int64_t c : {1, 12, 64}) {
            const auto device = test_device(2, isa);
            const std::int64_t rows = 40'000 / c;
            auto in_float = random_values<float>(rows * c, 5, 1e4 - std::sqrt(3.0), 1e4 + std::sqrt(3.0));
            for (std::int64_t j = 0; j < c; ++j)
                in_float[static_cast<std::size_t>(j)] = 1e4f + 30.0f;  // a first row unlike the others
            const std::vector<double> values(in_float.begin(), in_float.end());
            const auto m = moments(values, static_cast<std::size_t>(c));
            const auto state = make_state<float>(c, device);
            state.momentum.assign(1.0f);
            const auto x = Variable<float>(Tensor<float>::from(in_float, {rows, c}, device));
            const auto y = batch_norm(x, {}, {}, state, Phase::train).value().to_vector();
            std::vector<double> expected(values.size());
            for (std::size_t i = 0; i < values.size(); ++i) {
                const std::size_t j = i % static_cast<std::size_t>(c);
                expected[i] = (values[i] - m.mean[j]) / std::sqrt(m.variance[j] + 1e-5);
            }
            INFO(c << " channels");
            CHECK(relative_error(y, expected) <= 1e-5);
            const auto variance = state.running_var.to_vector();
            const double unbiased = static_cast<double>(rows) / static_cast<double>(rows - 1);
            for (std::size_t j = 0; j < variance.size(); ++j)
                CHECK_THAT(static_cast<double>(variance[j]),
                           Catch::Matchers::WithinRel(m.variance[j] * unbiased, 5e-5));
        }
}

TEST_CASE("batch_norm: large images with a corner unlike the rest keep their digits", "[ops]") {
    for (const auto isa : {cpu::Isa::portable, cpu::best_isa()}) {
        const auto device = test_device(2, isa);
        const std::int64_t side = 400, c = 16, rows = side * side;
        auto in_float = random_values<float>(rows * c, 5, -std::sqrt(3.0), std::sqrt(3.0));  // deviation 1
        for (std::int64_t i = 0; i < 8 * c; ++i) in_float[static_cast<std::size_t>(i)] += 30.0f;
        const auto m = moments({in_float.begin(), in_float.end()}, static_cast<std::size_t>(c));
        const auto state = make_state<float>(c, device);
        state.momentum.assign(1.0f);
        const auto x = Variable<float>(Tensor<float>::from(in_float, {1, side, side, c}, device));
        batch_norm(x, {}, {}, state, Phase::train);
        const auto variance = state.running_var.to_vector();
        const double unbiased = static_cast<double>(rows) / static_cast<double>(rows - 1);
        for (std::size_t j = 0; j < variance.size(); ++j)
            CHECK_THAT(static_cast<double>(variance[j]), Catch::Matchers::WithinRel(m.variance[j] * unbiased, 5e-6));
    }
}

TEST_CASE("batch_norm: a constant channel gives the shift, NaN and infinity stay in their channel", "[ops]") {
    const auto device = test_device(2, GENERATE(cpu::Isa::portable, cpu::best_isa()));
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        auto values = random_values<float>(100 * 17, 1);
        for (std::size_t r = 0; r < 100; ++r) values[r * 17 + 3] = 0.7f;
        values[51 * 17 + 9] = bad;
        const auto state = make_state<float>(17, device);
        const auto x = Variable<float>(Tensor<float>::from(values, {100, 17}, device));
        const Variable<float> scale(Tensor<float>::full({17}, 2.0f, device)),
            shift(Tensor<float>::full({17}, 0.25f, device));
        const auto y = batch_norm(x, scale, shift, state, Phase::train).value().to_vector();
        for (std::size_t i = 0; i < y.size(); ++i) {
            if (i % 17 == 9)
                REQUIRE(std::isnan(y[i]));
            else
                REQUIRE(std::isfinite(y[i]));
            if (i % 17 == 3) REQUIRE(std::abs(y[i] - 0.25f) <= 1e-4f);
        }
    }
}

TEST_CASE("batch_norm says what clashes", "[ops]") {
    const auto device = test_device();
    const auto tensor = [&](const Shape& shape) { return Tensor<float>::full(shape, 1.0f, device); };
    const auto constant = [&](const Shape& shape) { return Variable<float>(tensor(shape)); };
    const Variable<float> none, x = constant({2, 3, 3, 4});
    const auto state = make_state<float>(4, device);
    const auto call = [&](const Variable<float>& a, const Variable<float>& scale, const Variable<float>& shift,
                          const BatchNormState<float>& with, Phase phase = Phase::train, double epsilon = 1e-5) {
        return batch_norm(a, scale, shift, with, phase, {.epsilon = epsilon});
    };
    CHECK_THROWS_WITH(call(none, none, none, state), "batch_norm: input is undefined");
    CHECK_THROWS_WITH(call(constant({}), none, none, state), "batch_norm: input has shape [], expected [..., C]");
    CHECK_THROWS_WITH(call(constant({0, 4}), none, none, state), "batch_norm: input [0, 4] is empty");
    CHECK_THROWS_WITH(call(x, none, none, state, Phase::train, 0.0), "batch_norm: epsilon 0 is not above 0");
    CHECK_THROWS_WITH(
        call(x, constant({4}), none, state),
        "batch_norm: scale and shift come together or not at all, shift is undefined (input [2, 3, 3, 4])");
    CHECK_THROWS_WITH(
        call(x, none, constant({4}), state),
        "batch_norm: scale and shift come together or not at all, scale is undefined (input [2, 3, 3, 4])");
    CHECK_THROWS_WITH(call(x, constant({5}), constant({4}), state),
                      "batch_norm: scale has shape [5], expected [4] (input [2, 3, 3, 4])");
    CHECK_THROWS_WITH(call(x, constant({4}), constant({1, 4}), state),
                      "batch_norm: shift has shape [1, 4], expected [4] (input [2, 3, 3, 4])");
    CHECK_THROWS_WITH(call(x, none, none, {tensor({3}), tensor({4}), state.momentum}),
                      "batch_norm: running mean has shape [3], expected [4] (input [2, 3, 3, 4])");
    CHECK_THROWS_WITH(call(x, none, none, {tensor({4}), tensor({3}), state.momentum}),
                      "batch_norm: running variance has shape [3], expected [4] (input [2, 3, 3, 4])");
    CHECK_THROWS_WITH(call(x, none, none, {tensor({4}), {}, state.momentum}),
                      "batch_norm: running mean and running variance come together or not at all (input [2, 3, 3, 4])");
    CHECK_THROWS_WITH(call(x, none, none, {tensor({4}), tensor({4}), {}}),
                      "batch_norm: momentum is undefined, expected one element on the device (input [2, 3, 3, 4])");
    CHECK_THROWS_WITH(call(x, none, none, {tensor({4}), tensor({4}), tensor({4})}),
                      "batch_norm: momentum is [4], expected one element on the device (input [2, 3, 3, 4])");
    CHECK_THROWS_WITH(call(x, none, none, {}, Phase::eval),
                      "batch_norm: evaluation needs a running mean and variance (input [2, 3, 3, 4])");
    CHECK_THROWS_WITH(call(constant({1, 4}), none, none, state),
                      "batch_norm: training needs at least 2 rows for a variance, input [1, 4] has 1");
    CHECK_NOTHROW(call(constant({1, 4}), none, none, state, Phase::eval));
    const auto elsewhere = Variable<float>(Tensor<float>::full({4}, 1.0f, test_device()));
    CHECK_THROWS_WITH(call(x, elsewhere, elsewhere, state),
                      "batch_norm: scale lives on another device (cpu and cpu, two devices of one name: make one and "
                      "share its handle; input [2, 3, 3, 4])");
    CHECK_THROWS_WITH(call(x, none, none, {tensor({4}), tensor({4}), Tensor<float>::scalar(0.1f, test_device())}),
                      "batch_norm: momentum is on another device than input [2, 3, 3, 4]");
}

}  // namespace ops_batch_norm_test
