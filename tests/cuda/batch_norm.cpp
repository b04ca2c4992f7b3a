// SPDX-License-Identifier: MIT
#include <hwnas/ops/weighted_norm_sum.hpp>

#include "cuda/device_under_test.hpp"

namespace cuda_batch_norm_test {

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
std::vector<std::vector<double>> affine_inputs(const Shape& x) {
    const std::int64_t c = x[-1];
    return {random_values<double>(x.elements(), 1), random_values<double>(c, 2, 0.5, 2.0), random_values<double>(c, 3)};
}

}  // namespace

TEST_CASE("batch_norm on the device agrees with the CPU", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    std::vector<Shape> shapes{{3, 1},         {37, 1},        {5, 3},          {3, 1, 3, 8},   {2, 9, 1, 12},
                              {1, 1, 7, 17},  {2, 5, 4, 31},  {2, 3, 3, 64},   {2, 4, 2, 100}, {261, 4},
                              {3, 1, 2, 130}, {1, 300, 3, 4}, {3, 25, 13, 16}, {2, 7, 1, 516}, {290, 1}};
    if (!emulated())
        for (const std::int64_t n : {1, 128, 256, 300})
            for (const Shape& shape :
                 {Shape{n, 28, 28, 16}, Shape{n, 14, 14, 32}, Shape{n, 7, 7, 64}, Shape{n, 3, 5, 17}})
                shapes.push_back(shape);
    for (const auto& shape : shapes)
        for (const Phase phase : {Phase::train, Phase::eval}) {
            INFO("x " << shape.str() << (phase == Phase::train ? ", train" : ", eval"));
            const std::int64_t c = shape[-1];
            auto inputs = affine_inputs(shape);
            check_on_device(device, norm(phase), inputs, {shape, {c}, {c}}, 1e-5);
            if (shape.elements() > 1000) continue;
            inputs.resize(1);
            check_on_device(device, norm(phase), inputs, {shape}, 1e-5);
        }
}

TEST_CASE("batch_norm on the device computes the wanted gradients only, and keeps running statistics", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    const auto on = [&]<class T>(T, const Device& where, Phase phase, int wanted) {
        const auto of = [&](const Shape& shape, std::uint64_t seed, bool gradient) {
            const auto values = random_values<float>(shape.elements(), seed);
            const auto value = Tensor<T>::from(std::vector<T>(values.begin(), values.end()), shape, where);
            return gradient ? Variable<T>::leaf(value) : Variable<T>(value);
        };
        const auto x = of({40, 12}, 1, wanted == 0), scale = of({12}, 2, wanted == 1), shift = of({12}, 3, wanted == 2);
        const auto state = make_state<T>(12, where);
        backward(batch_norm(x, scale, shift, state, phase), test_seed<T>({40, 12}, where));
        std::vector<std::vector<T>> found{state.running_mean.to_vector(), state.running_var.to_vector()};
        for (const auto* v : {&x, &scale, &shift})
            if (v->requires_grad()) found.push_back(v->grad().to_vector());
        return found;
    };
    for (const Phase phase : {Phase::train, Phase::eval})
        for (const int wanted : {0, 1, 2}) {
            const auto found = on(0.0f, device, phase, wanted);
            const auto expected = on(0.0, test_device(), phase, wanted);
            for (std::size_t i = 0; i < found.size(); ++i) CHECK(relative_error(found[i], expected[i]) < 1e-5);
        }
}

TEST_CASE("batch_norm on the device does not cancel: mean 1e4, deviation 1", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const std::int64_t c : {1, 12, 64}) {
        const std::int64_t rows = (emulated() ? 8'000 : 400'000) / c;
        auto values = random_values<float>(rows * c, 5, 1e4 - std::sqrt(3.0), 1e4 + std::sqrt(3.0));
        for (std::int64_t j = 0; j < c; ++j) values[static_cast<std::size_t>(j)] += 30.0f;  // a row unlike the others
        const auto on = [&]<class T>(T, const Device& where) {
            const auto state = make_state<T>(c, where);
            state.momentum.assign(T(1));
            const auto x = Tensor<T>::from(std::vector<T>(values.begin(), values.end()), {8, rows / 8, c}, where);
            const auto y = batch_norm(Variable<T>(x), {}, {}, state, Phase::train).value().to_vector();
            return std::pair{y, state.running_var.to_vector()};
        };
        if (rows % 8 != 0) values.resize(static_cast<std::size_t>(rows / 8 * 8 * c));
        const auto found = on(0.0f, device);
        const auto expected = on(0.0, test_device());
        INFO(c << " channels");
        CHECK(relative_error(found.first, expected.first) <= 1e-5);
        CHECK(relative_error(found.second, expected.second) <= 5e-5);
    }
}

TEST_CASE("batch_norm on the device: NaN and infinity stay in their channel", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const std::int64_t c : {16, 17})
        for (const float bad : {NAN, INFINITY, -INFINITY}) {
            auto values = random_values<float>(100 * c, 1);
            for (std::int64_t r = 0; r < 100; ++r) values[static_cast<std::size_t>(r * c + 3)] = 0.7f;
            values[static_cast<std::size_t>(51 * c + 9)] = bad;
            const auto filled = [&](float value) { return Variable<float>(Tensor<float>::full({c}, value, device)); };
            const auto x = Variable<float>(Tensor<float>::from(values, {2, 50, c}, device));
            const auto y = batch_norm(x, filled(2.0f), filled(0.25f), make_state<float>(c, device), Phase::train);
            const auto found = y.value().to_vector();
            for (std::size_t i = 0; i < found.size(); ++i) {
                const auto channel = i % static_cast<std::size_t>(c);
                REQUIRE(std::isnan(found[i]) == (channel == 9));
                if (channel == 3) REQUIRE(std::abs(found[i] - 0.25f) <= 1e-4f);
            }
        }
}

TEST_CASE("batch_norm's calls on the device: gates, a skip, sums that go on", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    struct Case {
        std::int64_t n, pixels, c, chunks;
    };
    for (const auto& [n, pixels, c, chunks] : {Case{5, 6, 8, 3}, {7, 3, 17, 2}, {2, 40, 132, 2}, {3, 4, 40, 1}})
        for (const bool with_skip : {true, false})
            for (const std::int32_t more : {0, 1}) {
                const auto on = [&](const Device& where) {
                    const Shape shape{n * pixels, c};
                    std::uint64_t seed = 0;
                    const auto tensor = [&](const Shape& extents) {
                        return random_tensor<float>(extents, ++seed, where, 0.5, 1.5);
                    };
                    const auto x = tensor(shape), dy = tensor(shape), other = tensor(shape), y = tensor(shape),
                               dx = tensor(shape), dskip = tensor(shape), mean = tensor({c}), inv_std = tensor({c}),
                               gain = tensor({c}), offset = tensor({c}), scale = tensor({c}), shift = tensor({c}),
                               dscale = tensor({c}), dshift = tensor({c}), means = tensor({2, c}), gate = tensor({2}),
                               dgate = tensor({2}), sums = tensor({chunks, 3, c}), statistics = tensor({chunks, 3, c});
                    const float* const skip = with_skip ? other.data() : nullptr;
                    submit(where, contract::BatchNormStatistics<float>{statistics.data(), x.data(), n, pixels, c,
                                                                       chunks, more});
                    submit(where,
                           contract::BatchNormApply<float>{y.data(), x.data(), mean.data(), gain.data(), offset.data(),
                                                           skip, gate.data(), n * pixels, c, more});
                    submit(where,
                           contract::BatchNormGradientSums<float>{sums.data(), dy.data(), x.data(), mean.data(),
                                                                  inv_std.data(), skip, n, pixels, c, chunks, more});
                    submit(where, contract::BatchNormGradientMerge<float>{
                                      more ? nullptr : dscale.data(), more ? dshift.data() : nullptr, means.data(),
                                      dgate.data(), sums.data(), more ? scale.data() : nullptr,
                                      more ? nullptr : shift.data(), gate.data(), n, pixels, c, chunks, with_skip});
                    submit(where, contract::BatchNormBackward<float>{dx.data(), with_skip ? dskip.data() : nullptr,
                                                                     dy.data(), x.data(), more ? scale.data() : nullptr,
                                                                     mean.data(), inv_std.data(), means.data(),
                                                                     gate.data(), n * pixels, c, more, 1 - more});
                    std::vector<std::vector<float>> all;
                    for (const auto* t : {&y, &sums, &statistics, &dscale, &dshift, &means, &dgate, &dx, &dskip})
                        all.push_back(t->to_vector());
                    return all;
                };
                const auto found = on(device), expected = on(test_device());
                for (std::size_t i = 0; i < found.size(); ++i) {
                    INFO("tensor " << i << ", " << c << " channels, skip " << with_skip << ", accumulate " << more);
                    if (i == 2 && !more) continue;  // the origin is free
                    CHECK(relative_error(found[i], expected[i]) < 3e-6);
                }
            }
}

TEST_CASE("weighted_norm_sum on the device agrees with the CPU", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    // v: weights, a value as it is, then x, scale and shift of three norms.
    const auto node = [](const auto& v) {
        using V = typename std::decay_t<decltype(v)>::value_type;
        using T = typename V::value_type;
        std::vector<Normalized<T>> terms{v[1]};
        for (std::size_t j = 2; j < v.size(); j += 3)
            terms.emplace_back(v[j], v[j + 1], v[j + 2], make_state<T>(v[j].shape()[-1], v[j].device()), Phase::train);
        return weighted_norm_sum<T>(terms, v[0], {2, 0, 3, 1});
    };
    for (const auto& x :
         {Shape{3, 5, 4, 12}, Shape{2, 3, 7, 5}, Shape{emulated() ? 2 : 256, emulated() ? 4 : 7, 7, 64}})
        for (const Shape& weights : {Shape{1, 4}, Shape{x[0], 4}}) {
            INFO("x " << x.str() << ", weights " << weights.str());
            std::vector<std::vector<double>> inputs{random_values<double>(weights.elements(), 1, 0, 1),
                                                    random_values<double>(x.elements(), 2)};
            std::vector<Shape> shapes{weights, x};
            for (std::uint64_t j = 0; j < 3; ++j) {
                inputs.push_back(random_values<double>(x.elements(), 3 + 3 * j));
                inputs.push_back(random_values<double>(x[3], 4 + 3 * j, 0.5, 1.5));
                inputs.push_back(random_values<double>(x[3], 5 + 3 * j));
                shapes.insert(shapes.end(), {x, {x[3]}, {x[3]}});
            }
            check_on_device(device, node, inputs, shapes, 1e-5);
        }
}

TEST_CASE("batch_norm on the device: NaN and infinity where the CPU has them, gradients too", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const std::int64_t c : {16, 17})
        for (const Phase phase : {Phase::train, Phase::eval}) {
            const Shape x{3, 5, 4, c};
            const std::vector<Shape> shapes{x, {c}, {c}};
            const std::vector<std::vector<float>> inputs{random_values<float>(x.elements(), 1),
                                                         random_values<float>(c, 2, 0.5, 2.0),
                                                         random_values<float>(c, 3)};
            const auto dy = random_values<float>(x.elements(), 4);
            const auto at = static_cast<std::size_t>(23 * c + 9);
            for (const float bad : no_numbers) {
                INFO(c << " channels, " << (phase == Phase::train ? "train" : "eval") << ", " << bad);
                check_specials(device, norm(phase), {with_one(inputs[0], at, bad), inputs[1], inputs[2]}, shapes, dy);
                check_specials(device, norm(phase), inputs, shapes, with_one(dy, at, bad));
                check_specials(device, norm(phase), {inputs[0], with_one(inputs[1], 3, bad), inputs[2]}, shapes, dy,
                               {.apart = false});
            }
        }
}

}  // namespace cuda_batch_norm_test
