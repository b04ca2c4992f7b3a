// SPDX-License-Identifier: MIT
#include <hwnas/ops/relu_conv_norm.hpp>

#include "cuda/device_under_test.hpp"

namespace cuda_relu_conv_norm_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

/// v: x, w, scale, shift and, gated, two weights.
auto op_of(int stride, Phase phase) {
    return [=](const auto& v) {
        using T = typename std::decay_t<decltype(v)>::value_type::value_type;
        const auto c = v[2].shape().elements();
        const BatchNormState<T> state{random_tensor<T>({c}, 11, v[0].device()),
                                      random_tensor<T>({c}, 12, v[0].device(), 0.5, 1.5),
                                      Tensor<T>::scalar(T(0.1), v[0].device())};
        return relu_conv_norm(v[0], v[1], v[2], v[3], state, phase, {.stride = stride}, {},
                              v.size() == 5 ? SkipGate<T>{v[4], 0} : SkipGate<T>{});
    };
}
std::vector<Shape> shapes_of(const Shape& x, int kernel, std::int64_t out, bool gated) {
    std::vector<Shape> shapes{x, {kernel, kernel, x[3], out}, {out}, {out}};
    if (gated) shapes.push_back({2});
    return shapes;
}

}  // namespace

TEST_CASE("relu_conv_norm on the device and its gradients agree with the CPU", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    struct Case {
        Shape x;
        int kernel, stride;
        std::int64_t out;
        bool gated;
    };
    std::vector<Case> cases{{{3, 5, 4, 8}, 1, 1, 8, true},
                            {{2, 6, 7, 17}, 1, 1, 17, true},
                            {{2, 7, 5, 12}, 1, 1, 40, false},
                            {{3, 6, 6, 5}, 3, 2, 16, false},
                            {{9, 3, 3, 130}, 1, 1, 64, false}};
    if (!emulated())
        for (const Shape& x : {Shape{256, 28, 28, 16}, Shape{256, 14, 14, 32}, Shape{256, 7, 7, 64}})
            cases.push_back({x, 1, 1, x[3], true});
    for (const auto& [x, kernel, stride, out, gated] : cases)
        for (const Phase phase : {Phase::train, Phase::eval}) {
            INFO(x.str() << " to " << out << ", kernel " << kernel << (phase == Phase::train ? ", train" : ", eval"));
            const auto shapes = shapes_of(x, kernel, out, gated);
            std::vector<std::vector<double>> inputs;
            for (const auto& shape : shapes)
                inputs.push_back(
                    random_values<double>(shape.elements(), inputs.size() + 1, inputs.size() == 2 ? 0.5 : -1.0, 1.0));
            check_on_device(device, op_of(stride, phase), inputs, shapes, 1e-5);
        }
}

TEST_CASE("relu_conv_norm on the device: NaN and infinity where the CPU has them", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const std::int64_t c : {8, 17})
        for (const Phase phase : {Phase::train, Phase::eval}) {
            const Shape x{3, 5, 4, c};
            const auto shapes = shapes_of(x, 1, c, true);
            std::vector<std::vector<float>> inputs;
            for (const auto& shape : shapes)
                inputs.push_back(
                    random_values<float>(shape.elements(), inputs.size() + 1, inputs.size() == 2 ? 0.5 : -1.0, 1.0));
            const auto dy = random_values<float>(x.elements(), 9);
            const auto at = static_cast<std::size_t>(23 * c + 3);
            for (const float bad : no_numbers) {
                INFO(c << " channels, " << (phase == Phase::train ? "train" : "eval") << ", " << bad);
                auto changed = inputs;
                changed[0][at] = bad;
                check_specials(device, op_of(1, phase), changed, shapes, dy);
                check_specials(device, op_of(1, phase), inputs, shapes, with_one(dy, at, bad));
            }
        }
}

}  // namespace cuda_relu_conv_norm_test
