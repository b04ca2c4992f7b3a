// SPDX-License-Identifier: MIT
// Depthwise and 1x1 convolution as one op, which keeps nothing of what passes between them: computing it again in the
// backward pass is faster than fetching it from memory.
#pragma once

#include <hwnas/ops/conv.hpp>
#include <hwnas/ops/depthwise_conv.hpp>

namespace hwnas {

/// y = conv(depthwise_conv(x, depthwise, options), pointwise) for x [N, H, W, C], depthwise [K, K, C], pointwise [1, 1,
/// C, Cout] (else Error). Gradients of all three.
template <class T>
Variable<T> separable_conv(const Variable<T>& x, const Variable<T>& depthwise, const Variable<T>& pointwise,
                           const ConvOptions& options = {}) {
    require(x.defined() && depthwise.defined() && pointwise.defined(), "separable_conv: an operand is undefined");
    const auto window = detail::depthwise_extents("separable_conv", x, depthwise, options);
    require(pointwise.shape().rank() == 4 && pointwise.shape()[0] == 1 && pointwise.shape()[1] == 1 &&
                pointwise.shape()[2] == window.c && pointwise.shape()[3] > 0,
            "separable_conv: pointwise weight has shape {}, expected [1, 1, {}, Cout] (input {})", pointwise.shape(),
            window.c, x.shape());
    detail::require_conv_device("separable_conv", x, pointwise, "pointwise weight");
    const Shape between{window.n, window.oh, window.ow, window.c};
    const std::int64_t out_channels = pointwise.shape()[3];
    const auto mixing = make_window("separable_conv", between, 1, 1, 0, 1);
    const auto filtered = [window, between](const Tensor<T>& from, const Tensor<T>& w) {
        const auto u = Tensor<T>::empty(between, from.device());
        submit(from.device(), contract::DepthwiseConvForward<T>{u.data(), from.data(), w.data(), window});
        return u;
    };
    const auto y = Tensor<T>::empty({window.n, window.oh, window.ow, out_channels}, x.device());
    submit(x.device(), contract::ConvForward<T>{y.data(), filtered(x.value(), depthwise.value()).data(),
                                                pointwise.value().data(), nullptr, mixing, out_channels, 0});
    return record(y, {&x, &depthwise, &pointwise},
                  [=, value = x.value(), w = depthwise.value(), mix = pointwise.value()](const Tensor<T>& dy,
                                                                                         const auto& inputs) {
                      if (inputs[2])
                          detail::conv_weight_backward(inputs[2], filtered(value, w), dy, mixing, out_channels);
                      if (!inputs[0] && !inputs[1]) return;
                      const auto du = Tensor<T>::empty(between, dy.device());
                      submit(dy.device(), contract::ConvBackwardData<T>{du.data(), dy.data(), mix.data(), nullptr,
                                                                        mixing, out_channels, 0});
                      detail::depthwise_backward(inputs[0], inputs[1], value, w, du, window);
                  });
}

}  // namespace hwnas
