// SPDX-License-Identifier: MIT
// Calls: convolutions and pools.
#pragma once

#include <hwnas/core/contract/types.hpp>

namespace hwnas::contract {
inline namespace v4 {

/// y[n, p, q, o] = bias[o] + sum x[n, ., ., i] w[ky, kx, i, o]; window.c = input channels. `rectify`: x is read as
/// max(x, 0).
template <class T>
struct ConvForward {
    static constexpr const char* name = "conv_forward";
    static constexpr int writes = 1, reads = 3;
    T* y;
    const T *x, *w, *bias;
    Window window;
    i64 out_channels;
    i32 rectify;
};
/// dx (+)= the same sum turned around; with `rectified`, the x of a convolution that read max(x, 0), only where that is
/// above 0.
template <class T>
struct ConvBackwardData {
    static constexpr const char* name = "conv_backward_data";
    static constexpr int writes = 1, reads = 3;
    T* dx;
    const T *dy, *w, *rectified;
    Window window;
    i64 out_channels;
    i32 accumulate;
};
/// partial[chunk] [kernel, kernel, c, out_channels] = the sum over its images (image_chunks()); `resume` adds to it.
/// `rectify`: x is read as max(x, 0).
template <class T>
struct ConvBackwardWeight {
    static constexpr const char* name = "conv_backward_weight";
    static constexpr int writes = 1, reads = 2;
    T* partial;
    const T *x, *dy;
    Window window;
    i64 out_channels, chunks;
    i32 resume, rectify;
};
/// y[n, p, q, c] = sum x[n, ., ., c] w[ky, kx, c]
template <class T>
struct DepthwiseConvForward {
    static constexpr const char* name = "depthwise_conv_forward";
    static constexpr int writes = 1, reads = 2;
    T* y;
    const T *x, *w;
    Window window;
};
template <class T>
struct DepthwiseConvBackwardData {
    static constexpr const char* name = "depthwise_conv_backward_data";
    static constexpr int writes = 1, reads = 2;
    T* dx;
    const T *dy, *w;
    Window window;
    i32 accumulate;
};
/// partial[chunk] [kernel, kernel, c] = the sum over its images; `resume` adds to it.
template <class T>
struct DepthwiseConvBackwardWeight {
    static constexpr const char* name = "depthwise_conv_backward_weight";
    static constexpr int writes = 1, reads = 2;
    T* partial;
    const T *x, *dy;
    Window window;
    i64 chunks;
    i32 resume;
};
/// Both of these at once.
template <class T>
struct DepthwiseConvBackward {
    static constexpr const char* name = "depthwise_conv_backward";
    static constexpr int writes = 2, reads = 3;
    T *dx, *partial;
    const T *x, *dy, *w;
    Window window;
    i64 chunks;
    i32 accumulate, resume;  // accumulate: adds to dx
};
/// tap = index ky kernel + kx of the first largest element in row-major order, unless null; NaN wins; padding never
/// does.
template <class T>
struct MaxPoolForward {
    static constexpr const char* name = "max_pool_forward";
    static constexpr int writes = 2, reads = 1;
    T* y;
    u8* tap;
    const T* x;
    Window window;
};
template <class T>
struct MaxPoolBackward {
    static constexpr const char* name = "max_pool_backward";
    static constexpr int writes = 1, reads = 2;
    T* dx;
    const T* dy;
    const u8* tap;
    Window window;
    i32 accumulate;
};
template <class T>
struct AveragePoolForward {  ///< divides by kernel^2, or by the elements inside when !count_padding
    static constexpr const char* name = "average_pool_forward";
    static constexpr int writes = 1, reads = 1;
    T* y;
    const T* x;
    Window window;
    i32 count_padding;
};
template <class T>
struct AveragePoolBackward {
    static constexpr const char* name = "average_pool_backward";
    static constexpr int writes = 1, reads = 1;
    T* dx;
    const T* dy;
    Window window;
    i32 count_padding, accumulate;
};
template <class T>
struct GlobalAveragePoolForward {  ///< y[n, c] = mean over pixels
    static constexpr const char* name = "global_average_pool_forward";
    static constexpr int writes = 1, reads = 1;
    T* y;
    const T* x;
    i64 n, pixels, c;
};
template <class T>
struct GlobalAveragePoolBackward {
    static constexpr const char* name = "global_average_pool_backward";
    static constexpr int writes = 1, reads = 1;
    T* dx;
    const T* dy;
    i64 n, pixels, c;
    i32 accumulate;
};

}  // namespace v4
}  // namespace hwnas::contract
