// Names without documentation, among others that have some.
#pragma once

namespace hwnas {

/// Has some.
struct Documented {
    int first = 0, second = 0;  ///< both
    int third = 0;
    /// Has some.
    int fourth() const { return third; }
    int fifth() const { return third; }
    Documented() = default;
};
struct Undocumented {
    int sixth = 0;  ///< has some
};
/// Has some.
inline int one() { return 1; }
inline int two() { return 2; }
int* three();

namespace detail {
inline int four() { return 4; }
}  // namespace detail

}  // namespace hwnas
