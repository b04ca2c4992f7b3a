// SPDX-License-Identifier: MIT
// Files only: what a program needs that reads what a search has left. Quick to compile.
#include <hwnas/io/genotype.hpp>
#include <hwnas/io/idx.hpp>
#include <hwnas/version.hpp>

int main() {
    using namespace hwnas;
    const auto genotype = io::genotype_from_text("normal:|identity~0|max_pool_3x3~1|", "light");
    io::write_file_atomic("light.idx", std::string("\0\0\x08\x01\0\0\0\x02"
                                                   "ab",
                                                   10));
    const auto array = io::read_idx("light.idx");
    io::write_genotype("light.json", genotype);
    const bool right = io::read_genotype("light.json") == genotype && array.data.size() == 2;
    fmt::print("{} {}\n", version, right ? "reads what it wrote" : "wrong");
    return right ? 0 : 1;
}
