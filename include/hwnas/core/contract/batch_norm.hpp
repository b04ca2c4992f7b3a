// SPDX-License-Identifier: MIT
// Calls: batch normalisation over rows of c channels, `pixels` rows an image. Statistics and sums are taken chunk by
// chunk, chunk k of `chunks` being the images from n k / chunks on; `resume` goes on with what a chunk holds.
#pragma once

#include <hwnas/core/contract/types.hpp>

namespace hwnas::contract {
inline namespace v4 {

/// partial[chunk] [3, c] = an origin near the chunk's mean, the sum of x - origin and of its squares.
template <class T>
struct BatchNormStatistics {
    static constexpr const char* name = "batch_norm_statistics";
    static constexpr int writes = 1, reads = 1;
    T* partial;
    const T* x;
    i64 n, pixels, c, chunks;
    i32 resume;
};
/// What the chunks say together: mean, inv_std = 1 / sqrt(biased variance + epsilon), and the map y = (x - mean) gain +
/// offset with gain = scale inv_std; offset is shift, less what rounding the mean to T lost. running (+)= momentum
/// (batch - running) when given, variance unbiased there as in PyTorch. scale and shift may be null (1 and 0).
template <class T>
struct BatchNormMerge {
    static constexpr const char* name = "batch_norm_merge";
    static constexpr int writes = 6, reads = 4;
    T *mean, *inv_std, *gain, *offset, *running_mean, *running_var;
    const T *partial, *scale, *shift, *momentum;
    i64 n, pixels, c, chunks;
    T epsilon;
};
/// y (+)= gate[0] norm + gate[1] skip, with norm = (x - mean) gain + offset; skip may be null: 0; gate may be null
/// where skip is: 1. Gates are two elements where there is a skip, one where there is none.
template <class T>
struct BatchNormApply {
    static constexpr const char* name = "batch_norm_apply";
    static constexpr int writes = 1, reads = 6;
    T* y;
    const T *x, *mean, *gain, *offset, *skip, *gate;
    i64 rows, c;
    i32 accumulate;
};
template <class T>
struct BatchNormFreeze {  ///< inv_std = 1 / sqrt(var + epsilon), gain = scale inv_std, offset = shift: eval mode
    static constexpr const char* name = "batch_norm_freeze";
    static constexpr int writes = 3, reads = 3;
    T *inv_std, *gain, *offset;
    const T *var, *scale, *shift;
    i64 c;
    T epsilon;
};
/// partial[chunk] [3, c] = sums of dy, of dy (x - mean) inv_std and, with skip, of dy skip.
template <class T>
struct BatchNormGradientSums {
    static constexpr const char* name = "batch_norm_gradient_sums";
    static constexpr int writes = 1, reads = 5;
    T* partial;
    const T *dy, *x, *mean, *inv_std, *skip;
    i64 n, pixels, c, chunks;
    i32 resume;
};
/// dshift, dscale += gate[0] times the sums, means [2, c] = the same over the rows; dgate += <dy, norm> and, with_skip,
/// <dy, skip>. gate may be null: 1.
template <class T>
struct BatchNormGradientMerge {
    static constexpr const char* name = "batch_norm_gradient_merge";
    static constexpr int writes = 4, reads = 4;
    T *dscale, *dshift, *means, *dgate;
    const T *partial, *scale, *shift, *gate;
    i64 n, pixels, c, chunks;
    i32 with_skip;
};
/// dx (+)= scale inv_std (gate[0] dy - means[0] - (x - mean) inv_std means[1]), dskip (+)= gate[1] dy; without means
/// (mean and inv_std are constants, eval mode) the first term only. gate may be null: 1.
template <class T>
struct BatchNormBackward {
    static constexpr const char* name = "batch_norm_backward";
    static constexpr int writes = 2, reads = 7;
    T *dx, *dskip;
    const T *dy, *x, *scale, *mean, *inv_std, *means, *gate;
    i64 rows, c;
    i32 accumulate, accumulate_skip;
};

}  // namespace v4
}  // namespace hwnas::contract
