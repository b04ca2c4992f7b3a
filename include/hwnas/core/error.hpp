// SPDX-License-Identifier: MIT
// One exception type for everything a user can mend. Text: `op or file: what clashes, the way out`.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <utility>

namespace hwnas {

/// Thrown for every mistake a caller can mend: shapes, names, files, budgets. what() is one line.
class Error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Throws Error with a formatted message; the one place that throws.
template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
    throw Error(fmt::format(format, std::forward<Args>(args)...));
}

/// fail() unless the condition holds.
template <class... Args>
void require(bool condition, fmt::format_string<Args...> format, Args&&... args) {
    if (!condition) fail(format, std::forward<Args>(args)...);
}

}  // namespace hwnas
