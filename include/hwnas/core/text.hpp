// SPDX-License-Identifier: MIT
// How numbers are written for people, in reports and in messages alike.
#pragma once

#include <cstdint>
#include <string>

namespace hwnas {

/// A whole number with commas between thousands: 1234567 -> "1,234,567".
inline std::string with_commas(std::int64_t value) {
    std::string text = std::to_string(value);
    const std::size_t digits = value < 0 ? 1 : 0;
    for (std::size_t at = text.size(); at > 3 + digits; at -= 3) text.insert(at - 3, 1, ',');
    return text;
}

}  // namespace hwnas
