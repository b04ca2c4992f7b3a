// SPDX-License-Identifier: MIT
// profile: the latency table of this machine. info: what a bug report needs.
#include "program.hpp"

#include <hwnas/cuda.hpp>
#include <hwnas/io/latency_table.hpp>
#include <hwnas/latency/profile_networks.hpp>
#include <hwnas/version.hpp>

#include <zlib.h>
#include <Eigen/Core>

namespace app {
namespace {
namespace io = hwnas::io;
std::string compiler() {
#if defined(__clang__)
    return fmt::format("clang {}.{}.{}", __clang_major__, __clang_minor__, __clang_patchlevel__);
#else
    return fmt::format("g++ {}.{}.{}", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
}
}  // namespace

int run_profile(const ProfileCommand& command) {
    const auto device = make_device(command.around);
    const auto space = hwnas::SearchSpace::named(command.space, {.channels = command.channels});
    if (!command.out.empty() && fs::is_directory(command.out))
        hwnas::fail("{}: is a directory, give the name of a file", command.out);
    hwnas::ProgressLine line(hwnas::ProgressOptions::standard_error(command.around.quiet));
    hwnas::ProfileOptions options{
        .batch = command.batch > 0 ? std::optional(command.batch) : std::nullopt,
        .threads = std::max(1, command.around.threads),
        .progress = [&](double done) { line.update([&] { return fmt::format("measuring: {:3.0f} %", 100 * done); }); }};
    if (command.whole) options.networks = 60;
    const auto table =
        command.whole ? hwnas::profile_networks(space, device, options) : hwnas::profile(space, device, options);
    line.finish();
    if (!command.out.empty()) io::write_latency_table(command.out, table);
    say("device", device.backend().cpu() ? fmt::format("{}, {} kernels, {} thread{}", table.device, table.isa,
                                                       table.threads, table.threads == 1 ? "" : "s")
                                         : table.device);
    say("space", describe(space));
    say("method", fmt::format("batch {}: {}", table.batch, table.method));
    if (const auto& q = table.quality) {
        say("measured", fmt::format("{} rounds in {}; {} of {} medians known to 2 % or a thousandth of a network (95 % "
                                    "confidence), the widest interval {:.1f} %",
                                    hwnas::with_commas(q->rounds), hwnas::duration(q->seconds), q->settled,
                                    table.rows.size(), 100 * q->widest));
        say("machine", fmt::format("{:.1f} % drift, corrected; {:.1f} % of the samples are outliers; units add up to "
                                   "networks times {:.3f}",
                                   100 * q->drift, 100 * q->outliers, q->factor));
    }
    if (const auto& c = table.checked)
        say("checked",
            fmt::format("{} other networks, measured whole: Spearman {:.3f}, mean error {:.1f} %, 95 % of the "
                        "errors within {:.1f} %",
                        c->networks, c->spearman, 100 * c->mape, 100 * c->error_p95));
    hwnas::TextTable text;
    text.add({"unit", "input", "stride", "median ms", "mean ms", "p90 ms", "samples"});
    for (const auto& row : table.rows)
        text.add({row.unit, fmt::format("{}", fmt::join(row.input, "x")), std::to_string(row.stride),
                  fmt::format("{:.5f}", row.median), fmt::format("{:.5f}", row.mean), fmt::format("{:.5f}", row.p90),
                  hwnas::with_commas(row.count)});
    print("\n" + text.str());
    if (!command.out.empty()) say("\nwritten", command.out);
    return 0;
}

int run_info(const Surroundings& around) {
    const auto device = hwnas::cpu::device({.threads = around.threads});
    say("hwnas", hwnas::version);
    say("compiler", compiler());
    say("libraries", fmt::format("Eigen {}.{}.{}, fmt {}.{}.{}, nlohmann-json {}.{}.{}, zlib {}", EIGEN_WORLD_VERSION,
                                 EIGEN_MAJOR_VERSION, EIGEN_MINOR_VERSION, FMT_VERSION / 10000, FMT_VERSION / 100 % 100,
                                 FMT_VERSION % 100, NLOHMANN_JSON_VERSION_MAJOR, NLOHMANN_JSON_VERSION_MINOR,
                                 NLOHMANN_JSON_VERSION_PATCH, ::zlibVersion()));
    say("processor", hwnas::detail::processor_name(device));
    say("device", device.backend().description());
    const int cards = hwnas::cuda::device_count();
    if (cards == 0) try {
            hwnas::cuda::device(0);
        } catch (const hwnas::Error& error) {
            say("cuda", "no device: " + why_no_device(error));
        }
    for (int i = 0; i < cards; ++i) say(fmt::format("cuda:{}", i), hwnas::cuda::device(i).backend().description());
    const auto directory = io::detail::fashion_mnist_directory(around.data);
    const bool there = !io::detail::fashion_mnist_path(directory, io::detail::fashion_mnist_train_images.stem).empty();
    say("data", fmt::format("{}{}", directory.string(),
                            there ? "" : ": not there (apt-get install dataset-fashion-mnist, or --data DIR)"));
    return 0;
}

}  // namespace app
