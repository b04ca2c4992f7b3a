// expect: use of deleted function|call to (implicitly-)?deleted
// SPDX-License-Identifier: MIT
// Networks own their weights: they are moved, and copied by clone() only, where one sees it.
#include <hwnas/supernet/network.hpp>

int main() {
    const auto device = hwnas::cpu::device({.threads = 1});
    const auto space = hwnas::SearchSpace::paper({.image = {8, 8, 1}, .channels = 4});
    const hwnas::Network network{space, hwnas::Genotype::from_choices(space.architecture(), std::vector<int>(28, 0)),
                                 device};
#if defined(HWNAS_MUST_COMPILE)
    const hwnas::Network copy = network.clone();
#else
    const hwnas::Network copy = network;
#endif
    return copy.cells().size() == 3 ? 0 : 1;
}
