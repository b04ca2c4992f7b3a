// SPDX-License-Identifier: MIT
// Measures the latency table of the device it runs on, which needs nothing installed: no data set, no library, no GPU.
// One source file and headers; compile it there, or elsewhere for it (a cross compiler, -static):
//
//   g++ -std=c++20 -O2 -I include latency_probe.cpp -o latency_probe -pthread
//
// with the headers of hwnas, {fmt} and nlohmann/json in the include path. The search reads what it writes:
//
//   ./latency_probe phone.json --space pointwise --channels 16        (on the device)
//   ./run.sh search --latency phone.json                              (on any machine)
#ifndef FMT_HEADER_ONLY
#define FMT_HEADER_ONLY
#endif
#include <hwnas/cpu/device.hpp>
#include <hwnas/io/latency_table.hpp>
#include <hwnas/latency/profiler.hpp>

#include <charconv>
#include <cstdio>
#include <string_view>

namespace {

struct Options {
    std::string out, space = "pointwise";
    std::int64_t channels = 16, height = 28, width = 28, image_channels = 1, classes = 10, batch = 1, threads = 1;
    std::int64_t seconds = 20;
};

constexpr const char* usage =
    "usage: latency_probe FILE.json [--space paper|pointwise|separable] [--channels N] [--height N] [--width N]\n"
    "       [--image-channels N] [--classes N] [--batch N] [--threads N] [--seconds N]\n";

std::int64_t number(std::string_view option, std::string_view text) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    hwnas::require(error == std::errc() && end == text.data() + text.size() && value >= 1 && value <= 1'000'000,
                   "{}: \"{}\" is not a whole number from 1 to 1000000", option, text);
    return value;
}

Options parse(int argc, char** argv) {
    Options options;
    const std::pair<std::string_view, std::int64_t*> numbers[] = {
        {"--channels", &options.channels}, {"--height", &options.height},
        {"--width", &options.width},       {"--classes", &options.classes},
        {"--batch", &options.batch},       {"--threads", &options.threads},
        {"--seconds", &options.seconds},   {"--image-channels", &options.image_channels}};
    for (int i = 1; i < argc; ++i) {
        const std::string_view word = argv[i];
        if (word.empty() || word[0] != '-') {
            hwnas::require(options.out.empty(), "one file is written, \"{}\" is a second", word);
            options.out = word;
            continue;
        }
        bool known = word == "--space";
        for (const auto& [name, value] : numbers) known |= name == word;
        hwnas::require(known, "unknown option \"{}\"\n{}", word, usage);
        hwnas::require(i + 1 < argc, "{}: its value is missing", word);
        const std::string_view value = argv[++i];
        if (word == "--space") options.space = value;
        for (const auto& [name, target] : numbers)
            if (name == word) *target = number(word, value);
    }
    hwnas::require(!options.out.empty(), "the file to write is missing\n{}", usage);
    return options;
}

}  // namespace

int main(int argc, char** argv) try {
    const Options options = parse(argc, argv);
    const auto space =
        hwnas::SearchSpace::named(options.space, {.image = {options.height, options.width, options.image_channels},
                                                  .classes = options.classes,
                                                  .channels = options.channels});
    const auto table = hwnas::profile(space, hwnas::cpu::device({.threads = static_cast<int>(options.threads)}),
                                      {.batch = options.batch,
                                       .threads = static_cast<int>(options.threads),
                                       .seconds = static_cast<double>(options.seconds)});
    hwnas::io::write_latency_table(options.out, table);
    const auto& quality = *table.quality;
    fmt::print(
        "{}, {} kernels: {} units, {} of them known to 2 % after {} rounds in {:.1f} s; drift {:.1f} %, outliers "
        "{:.1f} %\n{} other networks, measured whole: Spearman {:.3f}, 95 % of the errors within {:.1f} %\nwritten "
        "{}\n",
        table.device, table.isa, table.rows.size(), quality.settled, quality.rounds, quality.seconds,
        100 * quality.drift, 100 * quality.outliers, table.checked->networks, table.checked->spearman,
        100 * table.checked->error_p95, options.out);
} catch (const hwnas::Error& error) {
    fmt::print(stderr, "latency_probe: {}\n", error.what());
    return 1;
}
