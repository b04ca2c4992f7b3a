// SPDX-License-Identifier: MIT
// read_safetensors: every tensor has the bytes its shape says, and together they are all there are.
#include "fuzz.hpp"

#include <hwnas/io/safetensors.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    return fuzz::run(data, size, 400, [](std::string_view bytes) {
        const auto content = hwnas::io::read_safetensors(fuzz::file_of(bytes));
        std::size_t total = 0;
        for (const auto& tensor : content.tensors) {
            std::size_t one = hwnas::io::detail::safetensors_size(tensor.dtype);
            for (const auto extent : tensor.shape) one *= static_cast<std::size_t>(extent);
            fuzz::expect(one == tensor.data.size(), "a tensor whose shape is not that of its data");
            total += one;
            fuzz::expect(content.contains(tensor.name), "a tensor that is not found");
        }
        fuzz::expect(total <= bytes.size(), "tensors larger than their file");
    });
}
