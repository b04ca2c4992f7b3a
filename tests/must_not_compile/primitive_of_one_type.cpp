// expect: a primitive's callable is used with float and with double
// SPDX-License-Identifier: MIT
// A primitive of one's own that takes Variable<float>: gradient checks call it with double too.
#include <hwnas/space/primitive.hpp>

int main() {
    using namespace hwnas;
#if defined(HWNAS_MUST_COMPILE)
    const auto apply = [](const auto& x, const auto&, const Site&, Phase) { return relu(x); };
#else
    const auto apply = [](const Variable<float>& x, const PrimitiveParameters<float>&, const Site&, Phase) {
        return relu(x);
    };
#endif
    const Primitive primitive("own", [](const Site&) { return PrimitiveState{}; }, apply);
    return primitive.name() == "own" ? 0 : 1;
}
