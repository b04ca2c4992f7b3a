// SPDX-License-Identifier: MIT
// Max pooling over square windows.
#pragma once

#include <hwnas/autodiff/variable.hpp>
#include <hwnas/cpu/max_pool.hpp>
#include <hwnas/ops/window.hpp>

namespace hwnas {

/// y[n, p, q, c] = the largest x [N, H, W, C] in the window at (p, q), padding never counted, NaN above all; dy goes to
/// the first of equals in row-major order. Throws Error for a kernel above 15, or where a window sees no pixel.
template <class T>
Variable<T> max_pool(const Variable<T>& x, const PoolOptions& options = {}) {
    require(options.kernel <= 15,
            "max_pool: kernel {} is above 15, the most that one byte per element can tell apart (input {})",
            options.kernel, x.shape());
    const auto window =
        make_window("max_pool", x.shape(), options.kernel, options.stride, options.padding, options.dilation);
    require_pixels("max_pool", x.shape(), window);
    const Shape shape{window.n, window.oh, window.ow, window.c};
    const auto y = Tensor<T>::empty(shape, x.device());
    Tensor<std::uint8_t> tap;
    if (x.requires_grad() && !NoGrad::active()) tap = Tensor<std::uint8_t>::empty(shape, x.device());
    submit(x.device(),
           contract::MaxPoolForward<T>{y.data(), tap.defined() ? tap.data() : nullptr, x.value().data(), window});
    return record(y, {&x}, [tap, window](const Tensor<T>& dy, const auto& inputs) {
        if (const auto dx = grad_target(inputs[0]))
            submit(dy.device(), contract::MaxPoolBackward<T>{dx.data(), dy.data(), tap.data(), window, dx.accumulate});
    });
}

}  // namespace hwnas
