// SPDX-License-Identifier: MIT
// The table of launchers: an entry for every call in contract.hpp's list; one without kernels does not link.
#include "dispatch.hpp"

#include <array>

namespace hwnas::cuda {

template <class S>
void launch_call(const Stream& stream, const void* call);  // instantiated in the .cu of its op

Launcher launcher(int index) {
    using Calls = contract::Calls<float>;
    static const auto table = [] {
        std::array<Launcher, static_cast<std::size_t>(Calls::size)> launchers{};
        std::size_t next = 0;
        Calls::for_each([&]<class S>() { launchers[next++] = &launch_call<S>; });
        return launchers;
    }();
    return table[static_cast<std::size_t>(index)];
}

}  // namespace hwnas::cuda
