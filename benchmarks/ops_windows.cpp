// SPDX-License-Identifier: MIT
// Ops over windows. X and Y are the elements of input and output; bytes count every array once, the kernels' own
// partial sums never; operations count every tap, at the border too.
//                            bytes              operations
//   depthwise_conv forward   4 (X + Y)          2 k^2 Y
//     backward_data          4 (Y + X)          2 k^2 Y
//     backward_weight        4 (X + Y)          2 k^2 Y
//     backward               4 (2 X + Y)        4 k^2 Y      both, dy read once
//   conv                     the same with 4 W for the weights and Cin times the operations
//   separable_conv forward   4 (X + Y + W)      2 k^2 U + 2 Cin Y    U: elements between its two convolutions
//     backward               4 (2 X + Y + 2 W)  4 k^2 U + 4 Cin Y
//   relu_conv_norm forward   4 (X + W + 3 Y)    2 k^2 Cin Y + 10 Y + X    what is normalised is written and read
//     forward_backward       4 (3 X + 3 W + 7 Y)   three times the convolution and ReLU, 20 Y    backward: that and
//                                                  dy are read twice; gated: 3 Y and 7 Y operations more
//   max_pool forward         4 X + 5 Y          -            one byte an output says where it came from
//     backward               5 Y + 4 X          -
//   average_pool             4 (X + Y)          k^2 Y        either way
//   node_sum of5 forward     4 (5 + 1) Y        (2 * 18 + 3) Y    a derived node: two convolutions of 3x3, and three
//                                                                 values as they are, two vertices and a pool's
//     backward               4 (4 + 1) Y        2 * 2 * 18 Y      of the two convolutions alone
#include "ops.hpp"

namespace hwnas::benchmarks {

namespace {

struct Window {
    int kernel = 3, stride = 1;
    std::string str() const { return fmt::format("_k{}{}", kernel, stride == 1 ? "" : fmt::format("_s{}", stride)); }
    double outputs(const Extent& x) const {
        const std::int64_t h = (x.h + stride - 1) / stride;
        return static_cast<double>(x.n * h * h * x.c);
    }
};

void add_depthwise_conv(const Extent& x, const Window& window) {
    const double in = x.elements(), out = window.outputs(x), taps = window.kernel * window.kernel;
    const bool in_cache = f32 * in < 1e6;
    const Work one{f32 * (in + out), 2 * taps * out, in_cache};
    add_op({.name = "depthwise_conv",
            .shape = x.str() + window.str(),
            .inputs = {{x.shape()}, {{window.kernel, window.kernel, x.c}, Role::parameter}},
            .apply = [stride = window.stride](const auto& v) { return depthwise_conv(v[0], v[1], {.stride = stride}); },
            .forward = one,
            .backward = {{"backward_data", one, true, false},
                         {"backward_weight", one, false, true},
                         {"backward", {f32 * (2 * in + out), 4 * taps * out, in_cache}}}});
}

void add_conv(const Extent& x, std::int64_t channels, const Window& window) {
    const double in = x.elements(), taps = window.kernel * window.kernel,
                 out = window.outputs(x) / static_cast<double>(x.c) * static_cast<double>(channels),
                 weights = taps * static_cast<double>(x.c * channels);
    const Work one{f32 * (in + out + weights), 2 * taps * static_cast<double>(x.c) * out};
    add_op({.name = "conv",
            .shape = fmt::format("{}_to{}{}", x.str(), channels, window.str()),
            .inputs = {{x.shape()}, {{window.kernel, window.kernel, x.c, channels}, Role::parameter}},
            .apply = [stride = window.stride](const auto& v) { return conv(v[0], v[1], {.stride = stride}); },
            .forward = one,
            .backward = {{"backward_data", one, true, false},
                         {"backward_weight", one, false, true},
                         {"backward", {f32 * (2 * in + out + 2 * weights), 2 * one.flops}}}});
}

void add_separable_conv(const Extent& x, std::int64_t channels, const Window& window) {
    const double in = x.elements(), taps = window.kernel * window.kernel, between = window.outputs(x),
                 c = static_cast<double>(x.c), out = between / c * static_cast<double>(channels),
                 weights = taps * c + c * static_cast<double>(channels), flops = 2 * taps * between + 2 * c * out;
    add_op({.name = "separable_conv",
            .shape = fmt::format("{}_to{}{}", x.str(), channels, window.str()),
            .inputs = {{x.shape()},
                       {{window.kernel, window.kernel, x.c}, Role::parameter},
                       {{1, 1, x.c, channels}, Role::parameter}},
            .apply = [stride = window.stride](
                         const auto& v) { return separable_conv(v[0], v[1], v[2], {.stride = stride}); },
            .forward = {f32 * (in + out + weights), flops},
            .backward = {{.work = {f32 * (2 * in + out + 2 * weights), 2 * flops}}}});
}

/// gated: as at a node of the space `pointwise`, else as at an input of a cell.
void add_relu_conv_norm(const Extent& x, std::int64_t channels, const Window& window, bool gated) {
    const double in = x.elements(), taps = window.kernel * window.kernel,
                 out = window.outputs(x) / static_cast<double>(x.c) * static_cast<double>(channels),
                 weights = taps * static_cast<double>(x.c * channels),
                 convolution = 2 * taps * static_cast<double>(x.c) * out;
    std::vector<Input> inputs{{x.shape()},
                              {{window.kernel, window.kernel, x.c, channels}, Role::parameter},
                              {{channels}, Role::parameter},
                              {{channels}, Role::parameter}};
    if (gated) inputs.push_back({{2}});
    add_op({.name = "relu_conv_norm",
            .shape = fmt::format("{}_to{}{}{}", x.str(), channels, window.str(), gated ? "_gated" : ""),
            .inputs = inputs,
            .apply =
                [gated, stride = window.stride](const auto& v) {
                    return relu_conv_norm(v[0], v[1], v[2], v[3], BatchNormState<float>{}, Phase::train,
                                          {.stride = stride}, {}, gated ? SkipGate<float>{v[4], 0} : SkipGate<float>{});
                },
            .forward = {f32 * (in + weights + 3 * out), convolution + (gated ? 13 : 10) * out + in},
            .backward = {
                {.name = "forward_backward",
                 .work = {f32 * (3 * in + 3 * weights + 7 * out), 3 * convolution + (gated ? 27 : 20) * out + 3 * in},
                 .with_forward = true}}});
}

void add_max_pool(const Extent& x, const Window& window) {
    const double in = x.elements(), out = window.outputs(x);
    const PoolOptions options{.kernel = window.kernel, .stride = window.stride};
    add_op({.name = "max_pool",
            .shape = x.str() + window.str(),
            .inputs = {{x.shape()}},
            .apply = [options](const auto& v) { return max_pool(v[0], options); },
            .forward = {f32 * in + (f32 + 1) * out},
            .backward = {{.work = {(f32 + 1) * out + f32 * in}}}});
}

void add_average_pool(const Extent& x, const Window& window) {
    const double in = x.elements(),
                 out = static_cast<double>(x.n * (x.h / window.stride) * (x.h / window.stride) * x.c);
    const PoolOptions options{.kernel = window.kernel, .stride = window.stride, .padding = window.kernel == 2 ? 0 : -1};
    const Work work{f32 * (in + out), window.kernel * window.kernel * out};
    add_op({.name = "average_pool",
            .shape = x.str() + window.str(),
            .inputs = {{x.shape()}},
            .apply = [options](const auto& v) { return average_pool(v[0], options); },
            .forward = work,
            .backward = {{.work = work}}});
}

/// A node of a derived cell that five edges lead to: two convolve, one brings a pool, two bring their vertices.
void add_node_sum(const Extent& x) {
    const double y = x.elements();
    const Input filter{{3, 3, x.c}, Role::parameter};
    add_op({.name = "node_sum",
            .shape = x.str() + "_of5",
            .inputs = {{x.shape()}, {x.shape()}, {x.shape()}, {x.shape()}, {x.shape()}, filter, filter},
            .apply =
                [](const auto& v) {
                    using Source = NodeSource<float>;
                    return node_sum<float>(
                        {{Source(v[0]), v[5]}, {Source(v[1]), v[6]}, {Source(v[2])}, {Source(v[3])}, {Source(v[4])}});
                },
            .forward = {f32 * 6 * y, 39 * y},
            .backward = {{.work = {f32 * 5 * y, 72 * y}}}});
}

[[maybe_unused]] const bool ops_windows_added = [] {
    for (const auto& x : extents()) {
        add_depthwise_conv(x, {});
        add_conv(x, x.c, {.kernel = 1});
        add_separable_conv(x, x.c, {});
        add_relu_conv_norm(x, x.c, {.kernel = 1}, true);
        add_max_pool(x, {});
        add_node_sum(x);
    }
    if (on_gpu()) {
        add_depthwise_conv({128, 112, 96}, {3, 2});
        add_depthwise_conv({128, 28, 240}, {5});
        add_depthwise_conv({128, 14, 672}, {5});
        add_depthwise_conv({128, 56, 96}, {7});
    }
    for (const std::int64_t n : on_gpu() ? std::vector<std::int64_t>{256} : std::vector<std::int64_t>{128, 2}) {
        const Extent x{n, 28, 16};
        for (const Window& window : {Window{5}, Window{7}, Window{3, 2}, Window{5, 2}, Window{7, 2}})
            add_depthwise_conv(x, window);
        add_max_pool(x, {3, 2});
        add_average_pool(x, {2, 2});  // where cells halve their inputs
        add_average_pool(x, {3});
        add_conv({n, 28, 1}, 16, {3});   // the stem
        add_conv({n, 14, 64}, 32, {1});  // a cell's input
        add_relu_conv_norm({n, 14, 64}, 32, {1}, false);
        add_separable_conv(x, 16, {3, 2});  // where the cells of `separable` halve their inputs
        add_conv(x, 16, {3});
    }
    return true;
}();

}  // namespace

}  // namespace hwnas::benchmarks
