// SPDX-License-Identifier: MIT
// The linear map: a 1x1 convolution over one row of pixels.
#pragma once

#include <hwnas/ops/conv.hpp>

namespace hwnas {

/// y[n, o] = bias[o] + sum_i x[n, i] w[i, o] for x [N, I], w [I, O], bias [O] or undefined (else Error); dx = dy w^T,
/// dw = x^T dy, dbias sums dy over rows.
template <class T>
Variable<T> linear(const Variable<T>& x, const Variable<T>& w, const Variable<T>& bias = {}) {
    require(x.defined() && w.defined(), "linear: {} is undefined", x.defined() ? "weight" : "input");
    require(x.shape().rank() == 2, "linear: input has shape {}, expected [N, I]", x.shape());
    require(x.shape().elements() > 0, "linear: input {} is empty", x.shape());
    require(w.shape().rank() == 2 && w.shape()[1] > 0, "linear: weight has shape {}, expected [I, O] (input {})",
            w.shape(), x.shape());
    require(w.shape()[0] == x.shape()[1], "linear: weight has {} inputs, input has {} (input {}, weight {})",
            w.shape()[0], x.shape()[1], x.shape(), w.shape());
    const contract::Window window{.n = 1,
                                  .h = 1,
                                  .w = x.shape()[0],
                                  .c = x.shape()[1],
                                  .oh = 1,
                                  .ow = x.shape()[0],
                                  .kernel = 1,
                                  .stride = 1,
                                  .padding = 0,
                                  .dilation = 1};
    return detail::conv_window("linear", x, w, bias, window, {x.shape()[0], w.shape()[1]});
}

}  // namespace hwnas
