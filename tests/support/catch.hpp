#pragma once

// Catch2 3 where it is installed, 2.13 otherwise. Tests include this header and nothing of Catch2 itself.
// Floating-point comparison: Catch::Matchers::WithinAbs / WithinRel, spelled the same in both.

#if __has_include(<catch2/catch_test_macros.hpp>)

#include <catch2/catch_all.hpp>

#else

#include <catch2/catch.hpp>

namespace Catch::Matchers {

/// Version 3's name of version 2's `Contains` for strings.
inline auto ContainsSubstring(const std::string& text, CaseSensitive::Choice sensitivity = CaseSensitive::Yes) {
    return Catch::Contains(text, sensitivity);
}

}  // namespace Catch::Matchers

// Version 2 has no SKIP: say so in words that CTest reports as "Skipped" (SKIP_REGULAR_EXPRESSION in
// tests/CMakeLists.txt).
#define SKIP(...)                         \
    do {                                  \
        WARN("SKIPPED: " << __VA_ARGS__); \
        return;                           \
    } while (false)

#endif
