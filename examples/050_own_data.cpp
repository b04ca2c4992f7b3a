// SPDX-License-Identifier: MIT
// Data of one's own: tensors in memory, here colour pictures of 20 x 24 pixels in four classes, drawn as they are
// needed. From them to a network that keeps a budget, as a file that other programs run: docs/your_own_data.md.
#include "short_run.hpp"  // example:: does nothing here but shorten the run for the tests

#include <hwnas/hwnas.hpp>
#include <hwnas/io/cpp_header.hpp>
#include <hwnas/io/onnx.hpp>

/// Stripes, checks, a disc or a frame, in two random colours, somewhere, at some size, under noise.
hwnas::Dataset pictures(std::int64_t count, hwnas::Seed seed) {
    constexpr int height = 20, width = 24;
    std::vector<std::uint8_t> pixels;  // [count, height, width, 3], a byte a channel
    std::vector<std::int32_t> labels;  // [count]
    const auto key = seed.stream("pictures");
    for (std::uint64_t n = 0; n < static_cast<std::uint64_t>(count); ++n) {
        const auto r = hwnas::random::words_at(key, 0, n), colours = hwnas::random::words_at(key, 1, n);
        const int kind = static_cast<int>(n % 4), size = static_cast<int>(2 + r.w[0] % 4),
                  cy = static_cast<int>(6 + r.w[1] % 8), cx = static_cast<int>(6 + r.w[2] % 12), radius = size + 1;
        const bool upright = r.w[3] % 2 == 0;
        for (int i = 0; i < height * width; ++i) {
            const int y = i / width, x = i % width, dy = std::abs(y - cy), dx = std::abs(x - cx);
            const bool stripe = ((upright ? x : y) + cx) / size % 2 == 0,
                       check = ((x + cx) / size + (y + cy) / size) % 2 == 0,
                       disc = dy * dy + dx * dx <= radius * radius, frame = std::max(dy, dx) == radius;
            const bool on = kind == 0 ? stripe : kind == 1 ? check : kind == 2 ? disc : frame;
            const auto noise = hwnas::random::words_at(key, static_cast<std::uint64_t>(i) + 2, n);
            for (std::size_t c = 0; c < 3; ++c)
                pixels.push_back(
                    static_cast<std::uint8_t>((colours.w[on ? 0 : 1] >> (8 * c) & 127) + noise.w[c] % 128));
        }
        labels.push_back(kind);
    }
    return hwnas::dataset_from_tensors(
        std::move(pixels), std::move(labels),
        {.name = "pictures", .image = {height, width, 3}, .classes = 4, .mean = 0.5f, .std = 0.2f});
}

int main() try {
    const auto train = pictures(example::fast() ? 256 : 8'192, hwnas::seed(1)),
               validation = pictures(example::fast() ? 128 : 1'024, hwnas::seed(2)),
               test = pictures(example::fast() ? 128 : 2'048, hwnas::seed(3));
    const auto device = hwnas::cpu::device({.threads = 2});
    const auto space = hwnas::SearchSpace::pointwise(
        {.image = {.height = 20, .width = 24, .channels = 3}, .classes = 4, .channels = 8});
    hwnas::SingleLevelTrainer trainer{hwnas::SuperNet{space, device, hwnas::seed(4)},
                                      hwnas::HyperNet{space, device, hwnas::seed(4)},
                                      hwnas::LatencyModel{space, hwnas::profile(space, device, example::timing())},
                                      {.epochs = example::epochs(8)}};
    const hwnas::Family family = trainer.fit(train);
    hwnas::Choice best = family.best(example::loosened({.latency_ms = 0.2, .parameters = 12'000}), validation);
    hwnas::fit(best.network, train, {.epochs = example::epochs(8)});
    hwnas::io::write_onnx(best.network, "pictures.onnx");
    hwnas::io::write_cpp_header(best.network, "pictures.hpp", {.name_space = "pictures", .mean = 0.5f, .std = 0.2f});
    fmt::print("{}\n{:.3f} ms, {} parameters, {:.1f} % of new pictures; pictures.onnx and pictures.hpp written\n",
               best.genotype, *best.measured_ms, best.parameters, 100 * hwnas::evaluate(best.network, test).metric);
} catch (const hwnas::Error& error) {
    return example::report(error);
}
