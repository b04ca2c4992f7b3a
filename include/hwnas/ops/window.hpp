// SPDX-License-Identifier: MIT
// What convolutions and pools share: options with defaults, and the checks that turn them into a contract::Window.
#pragma once

#include <hwnas/core/contract.hpp>
#include <hwnas/core/shape.hpp>

namespace hwnas {

/// Padding that keeps the extent at stride 1 and halves it, rounded up, at stride 2: dilation (kernel - 1) / 2.
inline constexpr int same_padding = -1;

/// Window of a convolution, without its kernel size, which is that of the weights.
struct ConvOptions {
    int stride = 1;              ///< pixels between two windows
    int padding = same_padding;  ///< zeros around the image; same_padding: so that stride 1 keeps its extents
    int dilation = 1;            ///< pixels between two taps
};
/// Window of a pool.
struct PoolOptions {
    int kernel = 3;              ///< side of the window
    int stride = 1;              ///< pixels between two windows
    int padding = same_padding;  ///< around the image; same_padding: so that stride 1 keeps its extents
    int dilation = 1;            ///< pixels between two taps
    bool count_padding = false;  ///< average pool only: divide by kernel^2 at the border too
};

/// Turns options into the window of a kernel call, checking that it fits x [N, H, W, C]; Error messages begin with
/// `op`.
inline contract::Window make_window(const char* op, const Shape& x, std::int64_t kernel, int stride, int padding,
                                    int dilation) {
    require(x.rank() == 4, "{}: input has shape {}, expected [N, H, W, C]", op, x);
    require(x.elements() > 0, "{}: input {} is empty", op, x);
    require(kernel >= 1 && kernel <= 255, "{}: kernel {} is not in 1 to 255", op, kernel);
    require(stride >= 1, "{}: stride {} is below 1", op, stride);
    require(dilation >= 1, "{}: dilation {} is below 1", op, dilation);
    const std::int64_t reach = (kernel - 1) * dilation + 1;
    if (padding == same_padding) {
        require(reach % 2 == 1, "{}: kernel {} has no centre, give its padding explicitly", op, kernel);
        padding = static_cast<int>((reach - 1) / 2);
    }
    require(stride <= 65'535 && dilation <= 65'535, "{}: stride {} or dilation {} is above 65535", op, stride,
            dilation);
    require(padding >= 0 && padding < reach, "{}: padding {} is not in 0 to {}", op, padding, reach - 1);
    require(x[1] + 2 * padding >= reach && x[2] + 2 * padding >= reach,
            "{}: window of {} pixels does not fit input {} with padding {}", op, reach, x, padding);
    return {.n = x[0],
            .h = x[1],
            .w = x[2],
            .c = x[3],
            .oh = (x[1] + 2 * padding - reach) / stride + 1,
            .ow = (x[2] + 2 * padding - reach) / stride + 1,
            .kernel = static_cast<std::int32_t>(kernel),
            .stride = stride,
            .padding = padding,
            .dilation = dilation};
}

/// Throws Error where some window of a pool sees no pixel of x; the message begins with `op`.
inline void require_pixels(const char* op, const Shape& x, const contract::Window& s) {
    const auto check = [&](const char* axis, std::int64_t extent, std::int64_t places) {
        for (std::int64_t place = 0; place < places; ++place) {
            bool sees = false;
            for (std::int32_t tap = 0; tap < s.kernel && !sees; ++tap) {
                const std::int64_t at = place * s.stride - s.padding + std::int64_t{tap} * s.dilation;
                sees = at >= 0 && at < extent;
            }
            require(sees,
                    "{}: the window at {} {} lies wholly in the padding (input {}, kernel {}, stride {}, padding {}, "
                    "dilation {}); pad less",
                    op, axis, place, x, s.kernel, s.stride, s.padding, s.dilation);
        }
    };
    check("row", s.h, s.oh);
    check("column", s.w, s.ow);
}

}  // namespace hwnas
