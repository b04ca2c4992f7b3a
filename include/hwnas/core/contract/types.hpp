// SPDX-License-Identifier: MIT
// Numbers and extents that the calls share.
#pragma once

#include <cstdint>

namespace hwnas::contract {
inline namespace v4 {

using i32 = std::int32_t;
using i64 = std::int64_t;
using u8 = std::uint8_t;

/// Chunks that a sum over n images is cut into, one partial sum each: by shape, so that the bits of the result depend
/// on nothing else. Chunk k holds the images from n k / chunks on.
constexpr i64 image_chunks(i64 n) {
    return n < 32 ? (n < 1 ? 1 : n) : 32;
}

inline constexpr int max_operands = 16;  ///< most tensors in one weighted sum or concatenation call

/// Extents of a windowed op: input [n, h, w, c], output [n, oh, ow, c], square window, zero (or -inf) padding.
struct Window {
    i64 n, h, w, c, oh, ow;
    i32 kernel, stride, padding, dilation;
};

}  // namespace v4
}  // namespace hwnas::contract
