// SPDX-License-Identifier: MIT
// Calls: batch normalisation over rows of c channels.
#pragma once

#include <hwnas/core/contract/types.hpp>

namespace hwnas::contract {
inline namespace v1 {

/// Statistics of this batch; running (+)= momentum (batch - running) when given, variance unbiased there as in PyTorch.
/// scale and shift may be null (1 and 0). partial: [chunks, 2, c].
template <class T>
struct BatchNormForward {
    static constexpr const char* name = "batch_norm_forward";
    static constexpr int writes = 6, reads = 4;
    T *y, *mean, *inv_std, *running_mean, *running_var, *partial;
    const T *x, *scale, *shift, *momentum;
    i64 rows, c, chunks;
    T epsilon;
};
template <class T>
struct BatchNormEval {  ///< y = scale (x - mean) / sqrt(var + epsilon) + shift; writes inv_std
    static constexpr const char* name = "batch_norm_eval";
    static constexpr int writes = 2, reads = 5;
    T *y, *inv_std;
    const T *x, *mean, *var, *scale, *shift;
    i64 rows, c;
    T epsilon;
};
/// frozen = 1: mean and inv_std are constants (eval mode). partial: [chunks, 2, c].
template <class T>
struct BatchNormBackward {
    static constexpr const char* name = "batch_norm_backward";
    static constexpr int writes = 4, reads = 5;
    T *dx, *dscale, *dshift, *partial;
    const T *dy, *x, *scale, *mean, *inv_std;
    i64 rows, c, chunks;
    i32 accumulate, frozen;
};  // dscale and dshift always accumulate

}  // namespace v1
}  // namespace hwnas::contract
