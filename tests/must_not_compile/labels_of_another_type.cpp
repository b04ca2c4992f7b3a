// expect: no matching function for call to
// SPDX-License-Identifier: MIT
// Labels are std::int32_t; 64-bit ones, which other libraries like to give, are converted by their owner.
#include <hwnas/tensor/dataset.hpp>

int main() {
    std::vector<std::uint8_t> pixels(2 * 4 * 4);
    const hwnas::DatasetOptions options{.image = {4, 4, 1}, .classes = 2};
    const std::vector<std::int64_t> labels{0, 1};
#if defined(HWNAS_MUST_COMPILE)
    const auto data = hwnas::dataset_from_tensors(std::move(pixels),
                                                  std::vector<std::int32_t>(labels.begin(), labels.end()), options);
#else
    const auto data = hwnas::dataset_from_tensors(std::move(pixels), labels, options);
#endif
    return data.count == 2 ? 0 : 1;
}
