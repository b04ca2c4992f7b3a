// SPDX-License-Identifier: MIT
// Every struct of the closed list has a CPU kernel: cpu/kernels.hpp compiles. And the list is what its readers rely on.
#include <hwnas/cpu/kernels.hpp>

#include "support/catch.hpp"

#include <set>
#include <string>

namespace cpu_kernels_test {

using namespace hwnas;

TEST_CASE("the contract's list has one name and one number per struct, pointers first, the same in float and double",
          "[cpu]") {
    std::set<std::string> names;
    int index = 0;
    contract::Calls<float>::for_each([&]<class S>() {
        CHECK(names.insert(S::name).second);
        CHECK(contract::Calls<float>::index_of<S>() == index);
        CHECK((S::writes >= 1 && S::reads >= 0));
        CHECK(sizeof(S) >= static_cast<std::size_t>(S::writes + S::reads) * sizeof(void*));
        CHECK(std::is_trivially_copyable_v<S>);
        ++index;
    });
    CHECK(index == contract::Calls<float>::size);
    index = 0;
    contract::Calls<double>::for_each([&]<class S>() {
        CHECK(names.count(S::name) == 1);
        CHECK(contract::Calls<double>::index_of<S>() == index++);
    });
    CHECK(contract::Calls<float>::size == contract::Calls<double>::size);
}

}  // namespace cpu_kernels_test
