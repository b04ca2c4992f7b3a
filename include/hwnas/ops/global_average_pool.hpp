// SPDX-License-Identifier: MIT
// Global average pooling: an image becomes one number per channel.
#pragma once

#include <hwnas/autodiff/variable.hpp>
#include <hwnas/cpu/global_average_pool.hpp>

namespace hwnas {

/// y[n, c] = mean over h, w of x[n, h, w, c] for x [N, H, W, C] (else Error); gradient: dx[n, h, w, c] = dy[n, c] / (H
/// W).
template <class T>
Variable<T> global_average_pool(const Variable<T>& x) {
    require(x.shape().rank() == 4, "global_average_pool: input has shape {}, expected [N, H, W, C]", x.shape());
    require(x.shape().elements() > 0, "global_average_pool: input {} is empty", x.shape());
    const std::int64_t n = x.shape()[0], pixels = x.shape()[1] * x.shape()[2], c = x.shape()[3];
    const auto y = Tensor<T>::empty({n, c}, x.device());
    submit(x.device(), contract::GlobalAveragePoolForward<T>{y.data(), x.value().data(), n, pixels, c});
    return record(y, {&x}, [n, pixels, c](const Tensor<T>& dy, const auto& inputs) {
        if (const auto dx = grad_target(inputs[0]))
            submit(dy.device(),
                   contract::GlobalAveragePoolBackward<T>{dx.data(), dy.data(), n, pixels, c, dx.accumulate});
    });
}

}  // namespace hwnas
