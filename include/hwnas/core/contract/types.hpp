// SPDX-License-Identifier: MIT
// Numbers and extents that the calls share.
#pragma once

#include <cstdint>

namespace hwnas::contract {
inline namespace v1 {

using i32 = std::int32_t;
using i64 = std::int64_t;
using u8 = std::uint8_t;

inline constexpr int max_operands = 16;  ///< most tensors in one weighted sum or concatenation call

/// Extents of a windowed op: input [n, h, w, c], output [n, oh, ow, c], square window, zero (or -inf) padding.
struct Window {
    i64 n, h, w, c, oh, ow;
    i32 kernel, stride, padding, dilation;
};

}  // namespace v1
}  // namespace hwnas::contract
