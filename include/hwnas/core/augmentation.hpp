// SPDX-License-Identifier: MIT
// What happens to one training image: drawn from (key, image of the batch, step) in whole numbers, so that CPU and GPU
// agree on every pixel. Std only; compiles under nvcc.
#pragma once

#include <hwnas/core/random.hpp>

namespace hwnas {

/// What may happen to an image; AugmentOptions as kernels read them.
struct AugmentationLimits {
    std::int64_t h = 1, w = 1;              ///< extents of the image, pixels
    std::int64_t shift = 0;                 ///< pixels, up to which it moves in each direction
    std::int64_t erase_below = 0;           ///< of 2^32: how often a rectangle is erased
    std::int64_t erase_h = 1, erase_w = 1;  ///< largest sides of that rectangle, pixels
    std::int32_t flip = 0;                  ///< 1: every other image is mirrored, left and right change places
};
/// What happens to one image: pixel (y, x) comes from source(y, x), unless it is erased.
struct Augmentation {
    /// In pixels: extents of the image; its shift; corner and sides of the erased rectangle.
    std::int64_t h, w, dy, dx, top, left, height, width;
    bool flip;  ///< whether left and right change places

    /// What happens to image `image` of the batch at step `step`.
    HWNAS_HD static Augmentation draw(const AugmentationLimits& limits, random::Key key, std::uint64_t image,
                                      std::uint64_t step) {
        const auto below = [](std::uint32_t word, std::int64_t n) {  // 0 to n - 1
            return static_cast<std::int64_t>((std::uint64_t{word} * static_cast<std::uint64_t>(n)) >> 32);
        };
        const auto a = random::words_at(key, 2 * image, step), b = random::words_at(key, 2 * image + 1, step);
        Augmentation result{limits.h,
                            limits.w,
                            below(a.w[0], 2 * limits.shift + 1) - limits.shift,
                            below(a.w[1], 2 * limits.shift + 1) - limits.shift,
                            0,
                            0,
                            0,
                            0,
                            limits.flip != 0 && (a.w[2] >> 31) != 0};
        if (static_cast<std::int64_t>(a.w[3]) < limits.erase_below) {
            result.height = below(b.w[0], limits.erase_h) + 1, result.width = below(b.w[1], limits.erase_w) + 1;
            result.top = below(b.w[2], limits.h - result.height + 1);
            result.left = below(b.w[3], limits.w - result.width + 1);
        }
        return result;
    }
    /// Whether output pixel (y, x) lies in the erased rectangle.
    HWNAS_HD bool erased(std::int64_t y, std::int64_t x) const {
        return y >= top && y < top + height && x >= left && x < left + width;
    }
    /// Number of the pixel y w + x that (y, x) shows; below 0 where the image has moved away.
    HWNAS_HD std::int64_t source(std::int64_t y, std::int64_t x) const {
        const std::int64_t from_y = y - dy, from_x = (flip ? w - 1 - x : x) - dx;
        return from_y < 0 || from_y >= h || from_x < 0 || from_x >= w ? -1 : from_y * w + from_x;
    }
};

}  // namespace hwnas
