// SPDX-License-Identifier: MIT
// Depthwise convolution: one filter per channel, no mixing of channels.
#pragma once

#include <hwnas/autodiff/variable.hpp>
#include <hwnas/cpu/depthwise_conv.hpp>
#include <hwnas/cpu/reduce_chunks.hpp>
#include <hwnas/ops/window.hpp>

namespace hwnas {

namespace detail {

/// The window of a depthwise convolution of x with w, or an error that says what clashes.
template <class T>
contract::Window depthwise_extents(const char* op, const Variable<T>& x, const Variable<T>& w,
                                   const ConvOptions& options) {
    require(w.shape().rank() == 3 && w.shape()[0] == w.shape()[1],
            "{}: weight has shape {}, expected [K, K, C] (input {})", op, w.shape(), x.shape());
    const auto window = make_window(op, x.shape(), w.shape()[0], options.stride, options.padding, options.dilation);
    require(w.shape()[2] == window.c, "{}: weight has {} channels, input has {} (input {}, weight {})", op,
            w.shape()[2], window.c, x.shape(), w.shape());
    require(w.device() == x.device(), "{}: weight lives on another device ({}; input {}, weight {})", op,
            device_clash(w.device(), x.device()), x.shape(), w.shape());
    return window;
}
/// Adds to the gradients of x and w what dy says, those that are wanted.
template <class T>
void depthwise_backward(const std::shared_ptr<Node<T>>& to_x, const std::shared_ptr<Node<T>>& to_w, const Tensor<T>& x,
                        const Tensor<T>& w, const Tensor<T>& dy, const contract::Window& window) {
    const auto& device = dy.device();
    const auto dx = grad_target(to_x), dw = grad_target(to_w);
    const std::int64_t chunks = device.backend().image_chunks(window.n);
    Tensor<T> partial;
    if (dw) partial = Tensor<T>::empty({chunks, window.kernel, window.kernel, window.c}, device);
    // At a stride above 1 dy is a small part of what is read, and two calls can run side by side.
    if (dx && dw && window.stride == 1) {
        submit(device, contract::DepthwiseConvBackward<T>{dx.data(), partial.data(), x.data(), dy.data(), w.data(),
                                                          window, chunks, dx.accumulate, 0});
    } else {
        if (dx)
            submit(device,
                   contract::DepthwiseConvBackwardData<T>{dx.data(), dy.data(), w.data(), window, dx.accumulate});
        if (dw)
            submit(device,
                   contract::DepthwiseConvBackwardWeight<T>{partial.data(), x.data(), dy.data(), window, chunks, 0});
    }
    if (dw)
        submit(device,
               contract::ReduceChunks<T>{dw.data(), partial.data(), dw.tensor.elements(), chunks, dw.accumulate});
}

}  // namespace detail

/// y[n, p, q, c] = sum_{a, b} x[n, p stride - padding + a dilation, q stride - padding + b dilation, c] w[a, b, c] for
/// x [N, H, W, C], w [K, K, C], zero padding; dx is the same sum turned around with w, dw[a, b, c] sums dy times the x
/// that tap saw. Throws Error for shapes that clash or a window larger than the padded image.
template <class T>
Variable<T> depthwise_conv(const Variable<T>& x, const Variable<T>& w, const ConvOptions& options = {}) {
    const auto window = detail::depthwise_extents("depthwise_conv", x, w, options);
    const auto y = Tensor<T>::empty({window.n, window.oh, window.ow, window.c}, x.device());
    submit(x.device(), contract::DepthwiseConvForward<T>{y.data(), x.value().data(), w.value().data(), window});
    const Tensor<T> x_saved = w.requires_grad() ? x.value() : Tensor<T>(),
                    w_saved = x.requires_grad() ? w.value() : Tensor<T>();
    return record(y, {&x, &w}, [x_saved, w_saved, window](const Tensor<T>& dy, const auto& inputs) {
        detail::depthwise_backward(inputs[0], inputs[1], x_saved, w_saved, dy, window);
    });
}

}  // namespace hwnas
