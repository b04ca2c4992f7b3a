// SPDX-License-Identifier: MIT
#include <hwnas/autodiff/program.hpp>
#include <hwnas/ops/separable_conv.hpp>

#include "support/window_ops.hpp"

namespace ops_separable_conv_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

auto separable(const WindowCase& window) {
    return [window](const auto& v) {
        return separable_conv(v[0], v[1], v[2],
                              {.stride = window.stride, .padding = window.padding, .dilation = window.dilation});
    };
}
auto two_ops(const WindowCase& window) {
    return [window](const auto& v) {
        return conv(depthwise_conv(v[0], v[1],
                                   {.stride = window.stride, .padding = window.padding, .dilation = window.dilation}),
                    v[2]);
    };
}
const WindowCase cases[] = {{{3, 28, 28, 16}}, {{2, 9, 7, 5}, 3, 2}, {{2, 6, 8, 3}, 5}, {{1, 7, 7, 4}, 3, 1, -1, 2}};

}  // namespace

TEST_CASE("separable_conv has the bits of its two convolutions", "[ops]") {
    for (const auto& window : cases) {
        INFO(window.str());
        const std::vector<Shape> shapes{
            window.x, {window.kernel, window.kernel, window.x[3]}, {1, 1, window.x[3], window.x[3] + 3}};
        std::vector<std::vector<double>> inputs;
        for (std::uint64_t i = 0; i < 3; ++i) inputs.push_back(random_values<double>(shapes[i].elements(), i));
        for (const int threads : {1, 5})
            CHECK(run_op<float>(separable(window), inputs, shapes, test_device(threads)) ==
                  run_op<float>(two_ops(window), inputs, shapes, test_device(1)));
        const auto portable = test_device(2, cpu::Isa::portable);
        CHECK(run_op<double>(separable(window), inputs, shapes, portable) ==
              run_op<double>(two_ops(window), inputs, shapes, portable));
        check_uses(separable(window), inputs, shapes);
    }
}

TEST_CASE("separable_conv gradients agree with finite differences", "[ops][gradcheck]") {
    const auto device = test_device();
    for (const int stride : {1, 2}) {
        const auto result =
            gradcheck(separable({{2, 5, 4, 3}, 3, stride}),
                      {random_tensor<double>({2, 5, 4, 3}, 1, device), random_tensor<double>({3, 3, 3}, 2, device),
                       random_tensor<double>({1, 1, 3, 4}, 3, device)});
        INFO(result.message);
        CHECK(result.passed);
    }
}

TEST_CASE("separable_conv computes the wanted gradients only and keeps nothing between", "[ops]") {
    const auto device = test_device();
    const auto x = random_tensor<float>({4, 9, 9, 16}, 1, device), w = random_tensor<float>({3, 3, 16}, 2, device),
               mix = random_tensor<float>({1, 1, 16, 8}, 3, device), dy = random_tensor<float>({4, 9, 9, 8}, 4, device);
    std::vector<Variable<float>> all{Variable<float>::leaf(x), Variable<float>::leaf(w), Variable<float>::leaf(mix)};
    backward(separable_conv(all[0], all[1], all[2]), dy);
    for (std::size_t only = 0; only < 3; ++only) {
        std::vector<Variable<float>> v{Variable<float>(x), Variable<float>(w), Variable<float>(mix)};
        v[only] = Variable<float>::leaf(v[only].value());
        backward(separable_conv(v[0], v[1], v[2]), dy);
        CHECK(v[only].grad().to_vector() == all[only].grad().to_vector());
    }
    CHECK_FALSE(separable_conv(Variable<float>(x), Variable<float>(w), Variable<float>(mix)).requires_grad());

    // Three layers: of what passes between the convolutions only one layer's share has to exist at a time.
    const auto square = Variable<float>::leaf(random_tensor<float>({1, 1, 16, 16}, 5, device));
    const auto bytes = [&](const auto& layer) {
        return Program::record(device,
                               [&] {
                                   const auto y = layer(layer(layer(all[0])));
                                   backward(y, random_tensor<float>(y.shape(), 6, device));
                               },
                               {.tiled = false})
            .memory();
    };
    CHECK(bytes([&](const Variable<float>& v) { return separable_conv(v, all[1], square); }) <
          bytes([&](const Variable<float>& v) { return conv(depthwise_conv(v, all[1]), square); }));
}

TEST_CASE("separable_conv names what does not fit", "[ops]") {
    const auto device = test_device();
    const auto of = [&](const Shape& shape) { return Variable<float>(random_tensor<float>(shape, 1, device)); };
    using Catch::Contains;
    CHECK_THROWS_WITH(separable_conv(of({1, 4, 4, 3}), of({3, 3, 2}), of({1, 1, 3, 3})),
                      Contains("separable_conv") && Contains("[3, 3, 2]"));
    CHECK_THROWS_WITH(separable_conv(of({1, 4, 4, 3}), of({3, 3, 3}), of({3, 3, 3, 3})),
                      Contains("expected [1, 1, 3, Cout]"));
    CHECK_THROWS_WITH(separable_conv(of({1, 4, 4, 3}), of({3, 3, 3}), of({1, 1, 2, 3})),
                      Contains("expected [1, 1, 3, Cout]"));
    CHECK_THROWS_WITH(separable_conv(of({1, 4, 4, 3}), of({3, 3, 3}), Variable<float>()), Contains("undefined"));
}

}  // namespace ops_separable_conv_test
