// expect: designator order|does not match declaration order|field designator|must be initialized in
// SPDX-License-Identifier: MIT
// Options are named in the order in which they are declared; the compiler says which comes first.
#include <hwnas/space/search_space.hpp>

int main() {
#if defined(HWNAS_MUST_COMPILE)
    const hwnas::SpaceOptions options{.classes = 3, .channels = 8};
#else
    const hwnas::SpaceOptions options{.channels = 8, .classes = 3};
#endif
    return options.channels == 8 ? 0 : 1;
}
