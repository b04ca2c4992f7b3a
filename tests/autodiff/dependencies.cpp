// SPDX-License-Identifier: MIT
#include <hwnas/autodiff/dependencies.hpp>

#include "support/catch.hpp"
#include "support/random_tensor.hpp"

namespace autodiff_dependencies_test {

using namespace hwnas;
using hwnas::detail::MemoryUse;

namespace {
using Uses = std::vector<std::vector<MemoryUse>>;
MemoryUse read(std::uintptr_t begin, std::uintptr_t end) {
    return {begin, end, false};
}
MemoryUse write(std::uintptr_t begin, std::uintptr_t end) {
    return {begin, end, true};
}
}  // namespace

TEST_CASE("dependencies: a call waits for who wrote what it reads, and for who reads what it writes", "[autodiff]") {
    const Uses uses{{write(0, 10)},                  // 0
                    {write(10, 20)},                 // 1: elsewhere
                    {read(0, 10), write(20, 30)},    // 2: reads what 0 wrote
                    {read(9, 11), write(30, 40)},    // 3: a byte of each
                    {write(5, 6)},                   // 4: must not overtake 2
                    {read(20, 30), read(4, 6)},      // 5: 4 waits for 2 already
                    {write(40, 50)},                 // 6: nobody
                    {read(0, ~std::uintptr_t{0})}};  // 7: anything
    const std::vector<std::vector<std::uint32_t>> expected{{}, {}, {0}, {1, 0}, {2}, {4}, {}, {6, 4, 3}};
    CHECK(hwnas::detail::dependencies(uses) == expected);
    CHECK(hwnas::detail::dependencies({}).empty());
    CHECK(hwnas::detail::dependencies({{read(0, 4)}, {read(0, 4)}}) == std::vector<std::vector<std::uint32_t>>{{}, {}});
}

TEST_CASE("dependencies: what must keep its order does, and nothing is said twice", "[autodiff][property]") {
    const auto key = Seed{3}.stream("uses");
    for (std::uint64_t trial = 0; trial < 20; ++trial) {
        Uses uses(40);
        for (std::size_t i = 0; i < uses.size(); ++i) {
            const auto words = random::words_at(key, i, trial);
            for (int k = 0; k < 3; ++k) {
                const std::uintptr_t begin = (words.w[0] >> (8 * k)) % 60;
                uses[i].push_back({begin, begin + 1 + (words.w[1] >> (8 * k)) % 6, (words.w[2] >> k) % 3 == 0});
            }
        }
        const auto after = hwnas::detail::dependencies(uses);
        std::vector<std::vector<bool>> before(uses.size(), std::vector<bool>(uses.size()));
        for (std::size_t i = 0; i < uses.size(); ++i) {
            for (const auto j : after[i]) {
                REQUIRE(j < i);
                CHECK_FALSE(before[i][j]);  // not said by an earlier one of the list
                before[i][j] = true;
                for (std::size_t k = 0; k < j; ++k) before[i][k] = before[i][k] || before[j][k];
            }
            for (std::size_t j = 0; j < i; ++j) {
                bool clash = false;
                for (const auto& x : uses[i])
                    for (const auto& y : uses[j]) clash |= (x.writes || y.writes) && x.begin < y.end && y.begin < x.end;
                if (clash) CHECK(before[i][j]);
            }
        }
    }
}

}  // namespace autodiff_dependencies_test
