// SPDX-License-Identifier: MIT
// seeds DIRECTORY: a fuzz target without libFuzzer: every seed, every seed cut short, and with bytes changed the same
// way each time.
#include "fuzz.hpp"

#include <hwnas/core/random.hpp>
#include <hwnas/io/file.hpp>

#include <algorithm>
#include <vector>

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    const auto run = [](const std::string& bytes) {
        LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    };
    std::vector<std::filesystem::path> seeds;
    for (const auto& entry : std::filesystem::directory_iterator(argv[1])) seeds.push_back(entry.path());
    std::sort(seeds.begin(), seeds.end());
    std::size_t inputs = 0;
    const auto key = hwnas::Seed{1}.stream("fuzz");
    for (const auto& seed : seeds) {
        const std::string whole = hwnas::io::read_file(seed);
        run(whole);
        const std::size_t cuts = std::min<std::size_t>(whole.size(), 100);
        for (std::size_t i = 0; i < cuts; ++i) run(whole.substr(0, whole.size() * i / cuts));
        for (std::uint64_t i = 0; i < 300 && !whole.empty(); ++i) {
            std::string changed = whole;
            const auto words = hwnas::random::words_at(key, i, inputs);
            for (std::uint32_t k = 0; k <= words.w[3] % 3; ++k)
                changed[(words.w[0] + k * words.w[1]) % changed.size()] = static_cast<char>(words.w[2] >> (8 * k));
            run(changed);
        }
        inputs += 1 + cuts + 300;
    }
    std::printf("%zu seeds, %zu inputs\n", seeds.size(), inputs);
    return seeds.empty() ? 1 : 0;
}
