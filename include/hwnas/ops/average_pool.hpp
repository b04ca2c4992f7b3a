// SPDX-License-Identifier: MIT
// Average pooling over square windows.
#pragma once

#include <hwnas/autodiff/variable.hpp>
#include <hwnas/cpu/average_pool.hpp>
#include <hwnas/ops/window.hpp>

namespace hwnas {

/// y[n, p, q, c] = (sum of x [N, H, W, C] in the window at (p, q)) / (elements inside the image, or kernel^2 with
/// options.count_padding); each x receives dy over that divisor from every window that sees it. Throws Error where a
/// window sees no pixel, unless padding counts.
template <class T>
Variable<T> average_pool(const Variable<T>& x, const PoolOptions& options = {}) {
    const auto window =
        make_window("average_pool", x.shape(), options.kernel, options.stride, options.padding, options.dilation);
    if (!options.count_padding) require_pixels("average_pool", x.shape(), window);
    const std::int32_t count_padding = options.count_padding ? 1 : 0;
    const auto y = Tensor<T>::empty({window.n, window.oh, window.ow, window.c}, x.device());
    submit(x.device(), contract::AveragePoolForward<T>{y.data(), x.value().data(), window, count_padding});
    return record(y, {&x}, [window, count_padding](const Tensor<T>& dy, const auto& inputs) {
        if (const auto dx = grad_target(inputs[0]))
            submit(dy.device(),
                   contract::AveragePoolBackward<T>{dx.data(), dy.data(), window, count_padding, dx.accumulate});
    });
}

}  // namespace hwnas
