// SPDX-License-Identifier: MIT
#include <hwnas/ops/weighted_sum.hpp>

#include "cuda/device_under_test.hpp"

namespace cuda_weighted_sum_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

struct Case {
    Shape x, weights;
    int count;
    bool selected_only = false;
    std::int64_t rows() const { return weights.rank() == 1 ? 1 : weights[0]; }
    std::string str() const {
        return fmt::format("{} x {}, weights {}{}", count, x, weights, selected_only ? ", selected only" : "");
    }
    std::vector<int> columns() const {  // not in order, some twice where there are few
        const auto m = static_cast<int>(weights.elements() / rows());
        std::vector<int> all;
        for (int j = 0; j < count; ++j) all.push_back((j * 7 + 3) % m);
        return all;
    }
    /// The inputs, then the weights, of which every third is 0.
    std::vector<std::vector<double>> inputs() const {
        std::vector<std::vector<double>> all;
        for (int j = 0; j < count; ++j)
            all.push_back(random_values<double>(x.elements(), static_cast<std::uint64_t>(j)));
        all.push_back(random_values<double>(weights.elements(), 77));
        for (std::size_t i = 1; i < all.back().size(); i += 3) all.back()[i] = 0;
        return all;
    }
    std::vector<Shape> shapes() const {
        std::vector<Shape> all(static_cast<std::size_t>(count), x);
        all.push_back(weights);
        return all;
    }
    template <class T>
    Variable<T> operator()(const std::vector<Variable<T>>& v) const {
        return weighted_sum(std::vector<Variable<T>>(v.begin(), v.end() - 1), v.back(), columns(), selected_only);
    }
};

}  // namespace

TEST_CASE("weighted_sum on the device agrees with the CPU", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    std::vector<Case> cases{{{3}, {1}, 1},
                            {{1, 9, 1, 1}, {4}, 3},
                            {{2, 1, 9, 3}, {2, 5}, 5},
                            {{5, 3, 2, 8}, {5, 2, 3}, 6},
                            {{5, 3, 2, 8}, {5, 2, 3}, 6, true},
                            {{2, 4, 4, 12}, {1, 8}, 7},
                            {{3, 7, 5, 17}, {3, 16}, 16},
                            {{2, 3, 3, 8}, {40}, 35},  // more than a call takes
                            {{2, 3, 3, 8}, {40}, 35, true},
                            {{1, 50, 50, 4}, {3}, 3},
                            {{258, 3}, {1}, 1},   // chunks of one and of two images
                            {{67, 5}, {16}, 16},  // many blocks: four terms in each
                            {{70, 4}, {70, 17}, 15},
                            {{68, 8}, {17}, 16, true}};
    if (!emulated())
        for (const std::int64_t n : {1, 128, 256})
            for (const Shape& shape : {Shape{n, 28, 28, 16}, Shape{n, 7, 7, 64}}) {
                cases.push_back({shape, {15}, 15});
                cases.push_back({shape, {n, 3}, 3});
            }
    for (const auto& c : cases) {
        INFO(c.str());
        check_on_device(device, c, c.inputs(), c.shapes(), 1e-5);
    }
}

TEST_CASE("weighted_sum on the device: a value that stands in the list many times", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    const auto repeated = [](const auto& v) {
        using V = typename std::decay_t<decltype(v)>::value_type;
        return weighted_sum(std::vector<V>{v[0], v[1], v[1], v[0], v[1].detach(), v[0]}, v[2], {3, 1, 2, 0, 3, 2});
    };
    for (const std::int64_t c : {3, 8})
        for (const Shape& weights : {Shape{4}, Shape{21, 4}})
            check_on_device(device, repeated,
                            {random_values<double>(21 * c, 1), random_values<double>(21 * c, 2),
                             random_values<double>(weights.elements(), 3)},
                            {{21, c}, {21, c}, weights}, 1e-5);
}

TEST_CASE("weighted_sum on the device: a term of weight 0 is not read, but its weight has a gradient", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const std::int64_t c : {9, 36}) {
        const auto full = [&](float value) {
            return Variable<float>::leaf(Tensor<float>::full({2, c}, value, device));
        };
        const auto weights = [&](float first, float second) {
            return Variable<float>::leaf(Tensor<float>::from({first, second}, {2}, device));
        };
        const auto elements = static_cast<std::size_t>(2 * c);
        const auto a = full(3), b = full(NAN), w = weights(2, 0);
        const auto y = weighted_sum<float>({a, b}, w, {0, 1});
        CHECK(y.value().to_vector() == std::vector<float>(elements, 6));
        backward(y, Tensor<float>::full({2, c}, INFINITY, device));
        CHECK(b.grad().to_vector() == std::vector<float>(elements, 0));  // not 0 times infinity
        CHECK(std::isnan(w.grad().to_vector()[1]));
        CHECK(weighted_sum<float>({b, b}, weights(0, 0), {0, 1}).value().to_vector() ==
              std::vector<float>(elements, 0));
        CHECK(std::isnan(weighted_sum<float>({a, b}, weights(1, 1), {0, 1}).value().to_vector().back()));

        const auto one = weights(2, 0);
        const auto unused = full(NAN);
        backward(weighted_sum<float>({full(3), unused}, one, {0, 1}, true), Tensor<float>::full({2, c}, 1, device));
        CHECK(one.grad().to_vector() == std::vector<float>{static_cast<float>(6 * c), 0});
        CHECK(unused.grad().to_vector() == std::vector<float>(elements, 0));
    }
}

TEST_CASE("weighted_sum on the device computes the wanted gradients only, and resumes", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    const auto on = [&](const Device& where, bool with_partial, std::int32_t resume) {
        const std::int64_t n = 5, image = 12, chunks = 2;
        const auto dy = random_tensor<float>({n, image}, 1, where), a = random_tensor<float>({n, image}, 2, where),
                   b = random_tensor<float>({n, image}, 3, where), da = random_tensor<float>({n, image}, 4, where),
                   weights = random_tensor<float>({3}, 5, where), partial = random_tensor<float>({chunks, 2}, 6, where);
        submit(where, contract::WeightedSumBackward<float>{{da.data()},
                                                           with_partial ? partial.data() : nullptr,
                                                           {a.data(), b.data()},
                                                           dy.data(),
                                                           weights.data(),
                                                           n,
                                                           image,
                                                           1,
                                                           3,
                                                           chunks,
                                                           {2, 0},
                                                           2,
                                                           1u,
                                                           0,
                                                           resume});
        auto values = da.to_vector();
        const auto sums = partial.to_vector();
        values.insert(values.end(), sums.begin(), sums.end());
        return values;
    };
    for (const bool with_partial : {false, true})
        for (const std::int32_t resume : {0, 1})
            CHECK(relative_error(on(device, with_partial, resume), on(test_device(), with_partial, resume)) < 1e-6);
}

TEST_CASE("weighted_sum on the device: NaN and infinity where the CPU has them", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    const auto op = [](const auto& v) { return weighted_sum<float>({v[0], v[1]}, v[2], {1, 0}); };
    for (const std::int64_t c : {5, 8})
        for (const Shape& weights : {Shape{2}, Shape{7, 2}}) {
            std::vector<std::vector<float>> inputs{random_values<float>(7 * c, 1), random_values<float>(7 * c, 2),
                                                   random_values<float>(weights.elements(), 3, 0.1, 1.0)};
            const std::vector<Shape> shapes{{7, c}, {7, c}, weights};
            const auto dy = random_values<float>(7 * c, 4);
            check_specials(device, op, {with_specials(inputs[0]), with_specials(inputs[1]), inputs[2]}, shapes,
                           with_specials(dy));
            for (const float bad : no_numbers) {
                check_specials(device, op, {with_one(inputs[0], 9, bad), inputs[1], inputs[2]}, shapes, dy);
                check_specials(device, op, inputs, shapes, with_one(dy, 9, bad));
            }
        }
}

}  // namespace cuda_weighted_sum_test
