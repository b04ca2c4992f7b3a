// SPDX-License-Identifier: MIT
#pragma once

#include <hwnas/autodiff/variable.hpp>
#include <hwnas/cpu/augment.hpp>
#include <hwnas/ops/step.hpp>

#include <cmath>

namespace hwnas {

/// What may happen to each training image; nothing by default.
struct AugmentOptions {
    std::int64_t shift = 0;   ///< pixels: an image moves by up to so many, each way as likely
    bool flip = false;        ///< every other image is mirrored: left and right change places
    double erase = 0;         ///< share of the images in which a rectangle is erased, 0 to 1
    double erase_size = 0.5;  ///< its largest sides, as a part of the image's; they and its place are drawn evenly
    double outside = 0;       ///< what shows where the image has moved away
    double erased = 0;        ///< what shows in an erased rectangle: 0 is the mean of normalised images

    /// Whether any option changes images.
    bool any() const { return shift > 0 || flip || erase > 0; }
};

/// x [N, H, W, C] -> the same images, each shifted, mirrored and partly erased by chance: a function of (key, number in
/// the batch, step), where step [] lies on the device. Values move and none is computed: every device gives the same
/// bits. No gradient. Throws Error for options out of range.
template <class T>
Variable<T> augment(const Variable<T>& x, const Tensor<std::int64_t>& step, random::Key key,
                    const AugmentOptions& options) {
    require(x.defined(), "augment: input has no value");
    require(x.shape().rank() == 4 && x.shape().elements() > 0, "augment: input has shape {}, expected [N, H, W, C]",
            x.shape());
    detail::require_scalar("augment", "step", step);
    detail::require_same_device("augment", "input", x.device(), "step", step.device());
    const std::int64_t h = x.shape()[1], w = x.shape()[2];
    require(options.shift >= 0 && options.shift < std::max(h, w),
            "augment: a shift of up to {} pixels in images of {} x {}", options.shift, h, w);
    require(options.erase >= 0 && options.erase <= 1, "augment: erases {} of the images, a share from 0 to 1",
            options.erase);
    require(options.erase_size > 0 && options.erase_size <= 1,
            "augment: erases up to {} of a side, a share above 0 and up to 1", options.erase_size);
    require(std::isfinite(options.outside) && std::isfinite(options.erased), "augment: fills with {} and {}",
            options.outside, options.erased);
    const auto side = [&](std::int64_t extent) {
        return std::max<std::int64_t>(1, std::llround(options.erase_size * static_cast<double>(extent)));
    };
    const auto y = Tensor<T>::empty(x.shape(), x.device());
    submit(x.device(), contract::Augment<T>{y.data(), x.value().data(), step.data(), x.shape()[0], x.shape()[3],
                                            AugmentationLimits{.h = h,
                                                               .w = w,
                                                               .shift = options.shift,
                                                               .erase_below = std::llround(options.erase * 0x1p32),
                                                               .erase_h = side(h),
                                                               .erase_w = side(w),
                                                               .flip = options.flip},
                                            key, static_cast<T>(options.outside), static_cast<T>(options.erased)});
    return Variable<T>(y);
}

}  // namespace hwnas
