// SPDX-License-Identifier: MIT
// Convolution over all channels, with or without a bias; 1x1 windows are matrix products.
#pragma once

#include <hwnas/autodiff/variable.hpp>
#include <hwnas/cpu/conv.hpp>
#include <hwnas/cpu/reduce_chunks.hpp>
#include <hwnas/cpu/relu.hpp>
#include <hwnas/ops/column_sum.hpp>
#include <hwnas/ops/window.hpp>

namespace hwnas {

namespace detail {

/// The window of a convolution of x with w, or an error that says what clashes.
template <class T>
contract::Window conv_extents(const char* op, const Variable<T>& x, const Variable<T>& w, const ConvOptions& options) {
    require(x.defined() && w.defined(), "{}: {} is undefined", op, x.defined() ? "weight" : "input");
    require(w.shape().rank() == 4 && w.shape()[0] == w.shape()[1] && w.shape()[3] > 0,
            "{}: weight has shape {}, expected [K, K, Cin, Cout] (input {})", op, w.shape(), x.shape());
    const auto window = make_window(op, x.shape(), w.shape()[0], options.stride, options.padding, options.dilation);
    require(w.shape()[2] == window.c, "{}: weight has {} input channels, input has {} (input {}, weight {})", op,
            w.shape()[2], window.c, x.shape(), w.shape());
    return window;
}
template <class T>
void require_conv_device(const char* op, const Variable<T>& x, const Variable<T>& other, const char* what) {
    require(other.device() == x.device(), "{}: {} lives on another device ({}; input {}, {} {})", op, what,
            device_clash(other.device(), x.device()), x.shape(), what, other.shape());
}

/// Adds to the gradient of w what dy and x say, if it is wanted.
template <class T>
void conv_weight_backward(const std::shared_ptr<Node<T>>& to_w, const Tensor<T>& x, const Tensor<T>& dy,
                          const contract::Window& window, std::int64_t out_channels, bool rectify = false) {
    const auto dw = grad_target(to_w);
    if (!dw) return;
    const std::int64_t chunks = dy.device().backend().image_chunks(window.n);
    const auto partial = Tensor<T>::empty({chunks, window.kernel, window.kernel, window.c, out_channels}, dy.device());
    submit(dy.device(), contract::ConvBackwardWeight<T>{partial.data(), x.data(), dy.data(), window, out_channels,
                                                        chunks, 0, rectify});
    submit(dy.device(),
           contract::ReduceChunks<T>{dw.data(), partial.data(), dw.tensor.elements(), chunks, dw.accumulate});
}

/// What conv, relu_conv and linear share once shapes are checked.
template <class T>
Variable<T> conv_window(const char* op, const Variable<T>& x, const Variable<T>& w, const Variable<T>& bias,
                        const contract::Window& window, const Shape& y_shape, bool rectify = false) {
    const std::int64_t out_channels = y_shape[-1];
    require_conv_device(op, x, w, "weight");
    if (bias.defined()) {
        require(bias.shape() == Shape{out_channels}, "{}: bias has shape {}, expected [{}] (input {}, weight {})", op,
                bias.shape(), out_channels, x.shape(), w.shape());
        require_conv_device(op, x, bias, "bias");
    }
    const auto y = Tensor<T>::empty(y_shape, x.device());
    submit(x.device(),
           contract::ConvForward<T>{y.data(), x.value().data(), w.value().data(),
                                    bias.defined() ? bias.value().data() : nullptr, window, out_channels, rectify});
    const Tensor<T> x_saved = w.requires_grad() || (rectify && x.requires_grad()) ? x.value() : Tensor<T>(),
                    w_saved = x.requires_grad() ? w.value() : Tensor<T>();
    return record(y, {&x, &w, &bias},
                  [x_saved, w_saved, window, out_channels, rectify](const Tensor<T>& dy, const auto& inputs) {
                      if (const auto dx = grad_target(inputs[0]))
                          submit(dy.device(), contract::ConvBackwardData<T>{dx.data(), dy.data(), w_saved.data(),
                                                                            rectify ? x_saved.data() : nullptr, window,
                                                                            out_channels, dx.accumulate});
                      conv_weight_backward(inputs[1], x_saved, dy, window, out_channels, rectify);
                      if (inputs[2]) give_column_sum(inputs[2], dy);
                  });
}

}  // namespace detail

/// y[n, p, q, o] = bias[o] + sum_{a, b, i} x[n, p stride - padding + a dilation, q stride - padding + b dilation, i]
/// w[a, b, i, o] for x [N, H, W, Cin], w [K, K, Cin, Cout], bias [Cout], zero padding; dx is the same sum turned around
/// with w, dw[a, b, i, o] sums dy times the x that tap saw, dbias sums dy over pixels. Throws Error for shapes that
/// clash or a window larger than the padded image.
template <class T>
Variable<T> conv(const Variable<T>& x, const Variable<T>& w, const Variable<T>& bias, const ConvOptions& options = {}) {
    const auto window = detail::conv_extents("conv", x, w, options);
    return detail::conv_window("conv", x, w, bias, window, {window.n, window.oh, window.ow, w.shape()[3]});
}

/// The convolution without a bias.
template <class T>
Variable<T> conv(const Variable<T>& x, const Variable<T>& w, const ConvOptions& options = {}) {
    return conv(x, w, Variable<T>(), options);
}

/// conv(relu(x), w, bias) as one op, which never stores the rectified input.
template <class T>
Variable<T> relu_conv(const Variable<T>& x, const Variable<T>& w, const Variable<T>& bias,
                      const ConvOptions& options = {}) {
    const auto window = detail::conv_extents("relu_conv", x, w, options);
    return detail::conv_window("relu_conv", x, w, bias, window, {window.n, window.oh, window.ow, w.shape()[3]}, true);
}

}  // namespace hwnas
