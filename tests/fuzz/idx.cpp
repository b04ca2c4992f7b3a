// SPDX-License-Identifier: MIT
// read_idx: what it returns has the bytes its shape says. A gzip file may hold 1032 times its size; growth doubles.
#include "fuzz.hpp"

#include <hwnas/io/idx.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    return fuzz::run(data, size, 4 * 1'032, [](std::string_view bytes) {
        const auto array = hwnas::io::read_idx(fuzz::file_of(bytes));
        std::size_t elements = 1;
        for (const auto extent : array.shape) elements *= static_cast<std::size_t>(extent);
        fuzz::expect(array.data.size() == elements, "an array whose shape is not that of its data");
        fuzz::expect(!array.shape.empty() && array.shape.size() <= 4, "an array of another rank");
    });
}
