#pragma once

/// The one place where the version stands; CMakeLists.txt reads these three lines.
#define HWNAS_VERSION_MAJOR 0
#define HWNAS_VERSION_MINOR 1
#define HWNAS_VERSION_PATCH 0

#define HWNAS_DETAIL_TEXT(x) #x
#define HWNAS_DETAIL_VERSION(major, minor, patch) \
    HWNAS_DETAIL_TEXT(major) "." HWNAS_DETAIL_TEXT(minor) "." HWNAS_DETAIL_TEXT(patch)

namespace hwnas {

/// "major.minor.patch" of these headers.
inline constexpr const char* version =
    HWNAS_DETAIL_VERSION(HWNAS_VERSION_MAJOR, HWNAS_VERSION_MINOR, HWNAS_VERSION_PATCH);

}  // namespace hwnas
