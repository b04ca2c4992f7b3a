// SPDX-License-Identifier: MIT
// The primitives of the built-in spaces (design: bare per-channel ones for `paper` and `pointwise`, with ReLU, 1x1
// convolution and batch norm for `separable`).
#pragma once

#include <hwnas/ops/average_pool.hpp>
#include <hwnas/ops/concat.hpp>
#include <hwnas/ops/depthwise_conv.hpp>
#include <hwnas/ops/max_pool.hpp>
#include <hwnas/ops/relu.hpp>
#include <hwnas/space/primitive.hpp>
#include <hwnas/space/shared_work.hpp>

namespace hwnas::primitives {

/// "depthwise_conv_3x3": depthwise kernel x kernel convolution without bias or activation; kernel^2 parameters a
/// channel.
inline Primitive depthwise_conv(int kernel = 3) {
    return Primitive(
        fmt::format("depthwise_conv_{0}x{0}", kernel),
        [kernel](const Site& site) {
            return PrimitiveState{.weights = {{"weight", {kernel, kernel, site.channels}, 1.0 / kernel}}};
        },
        [](const auto& x, const auto& p, const Site& site, Phase) {
            return hwnas::depthwise_conv(x, p.weight(0), {.stride = site.stride});
        },
        {.convolution = true, .bare = kernel == 3 ? BareForm::depthwise_conv_3x3 : BareForm::none});
}

/// "max_pool_3x3": maximum over a 3 x 3 window, without parameters.
inline Primitive max_pool() {
    return Primitive(
        "max_pool_3x3", [](const Site&) { return PrimitiveState{}; },
        [](const auto& x, const auto&, const Site& site, Phase) {
            return hwnas::max_pool(x, {.kernel = 3, .stride = site.stride});
        },
        {.pool = true, .bare = BareForm::max_pool_3x3});
}

/// "identity": the input itself, without parameters; for edges of stride 1 only.
inline Primitive identity() {
    return Primitive(
        "identity", [](const Site&) { return PrimitiveState{}; },
        [](const auto& x, const auto&, const Site&, Phase) { return x; },
        {.identity = true, .bare = BareForm::identity});
}

/// ReLU, then two 1x1 convolutions of stride 2, the second one pixel further down and right (zeros beyond the border),
/// concatenated and normalised: halves the resolution without dropping a pixel (DARTS). x [N, H, W, C], weights `even`
/// and `odd` [1, 1, C, C'] and [1, 1, C, C''] -> [N, H / 2, W / 2, C' + C''], extents rounded up; the biases are those
/// of a folded norm.
template <class T>
Normalized<T> factorized_reduce(const Variable<T>& x, const Variable<T>& even, const Variable<T>& odd,
                                const BatchNorm<T>& norm, Phase phase, const Variable<T>& even_bias = {},
                                const Variable<T>& odd_bias = {}) {
    const auto shift = [](const Variable<T>& from) {
        const std::int64_t c = from.shape()[-1];
        std::vector<T> corner(static_cast<std::size_t>(9 * c), T(0));  // a 3x3 filter that only looks at its last tap
        std::fill(corner.end() - c, corner.end(), T(1));
        return hwnas::depthwise_conv(from, Variable<T>(Tensor<T>::from(corner, {3, 3, c}, from.device())),
                                     {.stride = 2});
    };
    if (!SharedWork<T>::stands())
        return norm.normalized(
            concat<T>({relu_conv(x, even, even_bias, {.stride = 2, .padding = 0}), relu_conv(shift(x), odd, odd_bias)}),
            phase);
    // Shared, every second pixel is better picked out once than by each convolution.
    const auto y = once("relu", x, [&] { return relu(x); }), shifted = once("shifted", y, [&] { return shift(y); }),
               picked = once("picked", y, [&] { return average_pool(y, {.kernel = 1, .stride = 2}); });
    return norm.normalized(concat<T>({conv(picked, even, even_bias), conv(shifted, odd, odd_bias)}), phase);
}

/// What factorized_reduce() owns for `in` -> `out` channels: two 1x1 weights and a batch norm that folds into them.
inline PrimitiveState factorized_reduce_state(std::int64_t in, std::int64_t out) {
    const double deviation = std::sqrt(2.0 / static_cast<double>(in));
    return {.weights = {{"even", {1, 1, in, out / 2}, deviation}, {"odd", {1, 1, in, out - out / 2}, deviation}},
            .norms = {{"norm", true, {0, 1}}}};
}

/// "separable_conv_3x3": ReLU - depthwise k x k - 1x1 - batch norm, the separable convolution of DARTS-like spaces.
inline Primitive separable_conv(int kernel = 3) {
    return Primitive(
        fmt::format("separable_conv_{0}x{0}", kernel),
        [kernel](const Site& site) {
            return PrimitiveState{.weights = {{"depthwise", {kernel, kernel, site.channels}, std::sqrt(2.0) / kernel}},
                                  .convolutions = {{"pointwise", 1, site.channels, site.channels}}};
        },
        [](const auto& x, const auto& p, const Site& site, Phase phase) {
            const auto y = once("relu", x, [&] { return relu(x); });
            return p.convolutions[0].after_depthwise(y, p.weight(0), {.stride = site.stride}, phase);
        },
        {.convolution = true});
}

/// "max_pool_3x3": 3 x 3 max pool, then batch norm without scale and shift, as DARTS searches with.
inline Primitive max_pool_norm() {
    return Primitive(
        "max_pool_3x3", [](const Site&) { return PrimitiveState{.norms = {{"norm", false}}}; },
        [](const auto& x, const auto& p, const Site& site, Phase phase) {
            const auto y = once(fmt::format("max_pool_3x3/{}", site.stride), x,
                                [&] { return hwnas::max_pool(x, {.kernel = 3, .stride = site.stride}); });
            return p.norms[0].normalized(y, phase);
        },
        {.pool = true});
}

/// "identity": the input itself, or factorized_reduce() where the edge halves the resolution.
inline Primitive identity_or_reduce() {
    return Primitive(
        "identity",
        [](const Site& site) {
            return site.stride == 1 ? PrimitiveState{} : factorized_reduce_state(site.channels, site.channels);
        },
        [](const auto& x, const auto& p, const Site& site, Phase phase) {
            return site.stride == 1
                       ? x
                       : factorized_reduce(x, p.weight(0), p.weight(1), p.norms[0], phase, p.bias(0), p.bias(1));
        },
        {.identity = true});
}

}  // namespace hwnas::primitives
