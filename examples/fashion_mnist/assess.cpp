// SPDX-License-Identifier: MIT
// What a search found: profiles A, B, C beside random networks of the space, on the test images.
#include "assess.hpp"

namespace app {
namespace {

namespace io = hwnas::io;

constexpr std::uint64_t control_networks = 12;  ///< random ones that are tested beside the family

/// Profiles A, B, C, named by what they penalise.
std::vector<std::pair<std::string, hwnas::Complexity>> profiles(const hwnas::SearchSpace& space) {
    const auto& primitives = space.primitives();
    const int k = static_cast<int>(primitives.size());
    std::vector<std::pair<std::string, hwnas::Complexity>> result{{"A", hwnas::uniform_complexity(k)}};
    const auto add = [&](const char* name, auto trait) {
        for (int m = 0; m < k; ++m)
            if (primitives[static_cast<std::size_t>(m)].traits().*trait) {
                result.emplace_back(name, hwnas::penalised(k, m, 0.7));
                return;
            }
    };
    add("B", &hwnas::PrimitiveTraits::convolution);
    add("C", &hwnas::PrimitiveTraits::pool);
    return result;
}

}  // namespace

io::SearchResult assess(const SearchConfig& config, const hwnas::Family& family, const io::FashionMnist& data,
                        bool quiet) {
    const auto& space = family.supernet().space();
    const auto& a = family.architecture();
    io::SearchResult result{.space = config.space,
                            .mode = config.mode,
                            .epochs = config.epochs,
                            .train_images = data.train.count,
                            .batch = config.batch,
                            .channels = config.channels,
                            .seed = config.seed,
                            .device = family.supernet().device().name(),
                            .control = family.control(),
                            .family = {}};
    const auto test = hwnas::DeviceDataset::upload(data.test, family.supernet().device());
    hwnas::ProgressLine line(hwnas::ProgressOptions::standard_error(quiet));
    const auto& table = family.latency()->table();
    // A table of a CPU is compared with a measurement on this one.
    const auto on = table.backend == "cpu" ? hwnas::cpu::device({.threads = 1}) : family.supernet().device();
    std::vector<hwnas::Network> timed;
    for (const auto& [name, s] : profiles(space)) {
        line.update([who = name] { return "testing network " + who; });
        const auto genotype = family.at(s);
        io::MemberResult member{.name = name,
                                .complexity = {},
                                .genotype = genotype,
                                .counts = io::counts_of(genotype, a),
                                .size = hwnas::Network::network_size(space, genotype),
                                .accuracies = family.accuracies(s, test),
                                .predicted_ms = family.latency()->predict(genotype)};
        for (std::size_t m = 0; m < s.size(); ++m) member.complexity.emplace_back(a.primitives[m], s[m]);
        timed.emplace_back(space, genotype, on, hwnas::seed(config.seed));
        result.family.push_back(std::move(member));
    }
    // In turn, so that a slow moment of the machine meets all of them.
    const auto times = hwnas::measure_all(timed, {.batch = table.batch, .threads = table.threads});
    for (std::size_t i = 0; i < times.size(); ++i) result.family[i].measured_ms = times[i].median;
    const auto key = hwnas::seed(config.seed).stream("search/random");
    for (std::uint64_t i = 0; i < control_networks; ++i) {
        line.update([i] { return fmt::format("testing random network {} of {}", i + 1, control_networks); });
        const auto genotype = hwnas::random_genotype(a, key, i);
        const auto network = family.network(genotype);
        hwnas::recalibrate(network, family.train_data());
        result.random.push_back({.name = "random",
                                 .complexity = {},
                                 .genotype = genotype,
                                 .counts = io::counts_of(genotype, a),
                                 .size = network.size(),
                                 .accuracies = {.recalibrated = hwnas::evaluate(network, test).metric},
                                 .predicted_ms = family.latency()->predict(genotype)});
    }
    return result;
}

}  // namespace app
