// SPDX-License-Identifier: MIT
// read_genotype, JSON and one line: what was read comes back in both forms; whether it fits a space is answered, and
// the forms of others are text or an Error.
#include "fuzz.hpp"

#include <hwnas/io/genotype.hpp>
#include <hwnas/io/genotype_text.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const hwnas::Architecture architecture = [] {
        hwnas::Architecture a{.name = "fuzz", .primitives = {"identity", "max_pool_3x3", "own"}};
        a.add("normal", hwnas::CellGraph::dense(2, 2), {});
        a.add("reduction", hwnas::CellGraph::dense(2, 2), {});
        return a;
    }();
    return fuzz::run(data, size, 600, [](std::string_view bytes) {
        const auto genotype = hwnas::io::genotype_from_text(bytes, "input");
        fuzz::expect(hwnas::io::genotype_from_json(hwnas::io::genotype_to_json(genotype), "again") == genotype,
                     "a genotype that does not come back from JSON");
        fuzz::expect(hwnas::Genotype::parse(genotype.str(), genotype.space) == genotype,
                     "a genotype that does not come back from its line");
        const auto attempt = [](auto&& f) {
            try {
                f();
            } catch (const hwnas::Error&) {
            }
        };
        attempt([&] { (void)genotype.choices(architecture); });
        attempt([&] { (void)hwnas::io::darts_text(genotype); });
        attempt([&] { (void)hwnas::io::dot_text(genotype); });
    });
}
