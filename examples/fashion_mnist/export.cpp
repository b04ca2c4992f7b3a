// SPDX-License-Identifier: MIT
// export: a network or its architecture in a form that other programs read.
#include "program.hpp"
#include "searched.hpp"

#include <hwnas/io/checkpoint.hpp>
#include <hwnas/io/cpp_header.hpp>
#include <hwnas/io/genotype.hpp>
#include <hwnas/io/genotype_text.hpp>
#include <hwnas/io/onnx.hpp>
#include <hwnas/train/evaluate.hpp>

namespace app {
namespace {

namespace io = hwnas::io;

/// The format that a file's name asks for, or nothing.
std::string format_of(const fs::path& file) {
    static const std::map<std::string, std::string> formats{{".onnx", "onnx"}, {".safetensors", "safetensors"},
                                                            {".hpp", "hpp"},   {".h", "hpp"},
                                                            {".json", "json"}, {".dot", "dot"},
                                                            {".gv", "dot"}};
    const auto found = formats.find(file.extension().string());
    return found == formats.end() ? "" : found->second;
}

/// What is exported, as far as it has been found.
struct Subject {
    hwnas::Genotype genotype;
    std::string origin;  ///< of weights, in words
    std::optional<hwnas::Network> network = {};
};

/// The network of a genotype with the weights it had in the search, its statistics taken anew on training images.
hwnas::Network inherited(const fs::path& run, const SearchConfig& config, const Surroundings& around,
                         const hwnas::Genotype& genotype, const hwnas::Device& device) {
    const fs::path file = run / "checkpoint.safetensors";
    std::error_code ignored;
    if (!fs::exists(file, ignored)) fail_unfinished(run);
    const auto content = reading(file, checkpoint_way_out(run), [&] {
        (void)io::checkpoint_metadata(file);  // refuses what is none, or is damaged
        return io::read_safetensors(file);
    });
    const auto data = load_data(around, config.images, config.validation);
    hwnas::Network network(make_space(config.space, config.channels, data.train), genotype, device);
    const auto take = [&](const std::string& name, const hwnas::Tensor<float>& tensor) {
        const auto& stored = content.at("supernet/" + name);
        if (stored.shape != io::detail::extents(tensor.shape()))
            hwnas::fail("{}: tensor \"{}\" has shape {}, {} is needed", file.string(), stored.name,
                        io::detail::shape_text(stored.shape), tensor.shape());
        tensor.assign(io::values<float>(stored));
    };
    const auto state = network.state();
    for (const auto& parameter : state.parameters) take(parameter.name, parameter.variable.value());
    for (const auto& buffer : state.buffers) take(buffer.name, buffer.tensor);
    hwnas::recalibrate(network, hwnas::DeviceDataset::upload(data.train, device));
    return network;
}

/// Options that would change nothing are mistakes.
void refuse_idle_options(const ExportCommand& command, const std::string& format, bool weights) {
    const auto refuse = [&](const char* option, bool idle, const std::string& why) {
        if (idle && command.given.contains(option)) throw UsageError(fmt::format("export: {} {}", option, why));
    };
    const bool whole = !command.network.empty();
    refuse("--no-fold", format != "onnx" && format != "hpp",
           fmt::format("is for onnx and hpp, {} has nothing folded", format));
    refuse("--namespace", format != "hpp", fmt::format("is for hpp, {} has none", format));
    for (const char* option : {"--space", "--channels", "--untrained", "--run"})
        refuse(option, whole, "does not go with --network, whose file says it all");
    for (const char* option : {"--channels", "--untrained"})
        refuse(option, !weights, fmt::format("is for networks, {} holds the architecture alone", format));
    refuse("--untrained", !command.profile.empty(),
           "is for --arch, a profile has the weights of its search or of train");
    refuse("--seed", !command.untrained || whole, "is for the initial weights of --untrained networks");
}

Subject find(ExportCommand command, bool weights) {
    const auto device = hwnas::cpu::device({.threads = 0});
    const int named = !command.profile.empty() + !command.arch.empty() + !command.network.empty();
    if (named != 1)
        throw UsageError("export: give --run DIR with --profile A, B or C, or --network FILE, or --arch 'normal:...'");
    if (!command.network.empty()) {
        auto network = load_weights(command.network, device);
        auto genotype = network.genotype();
        return {std::move(genotype), command.network, std::move(network)};
    }
    if (!command.profile.empty() && command.run.empty())
        throw UsageError("export: --profile needs --run, the directory of a search");
    const fs::path run = command.run;
    SearchConfig config;
    Surroundings around;
    if (!command.run.empty()) {
        read_run(run, config, around);
        if (command.space_given && command.space != config.space)
            throw UsageError(fmt::format("export: --space is {}, the run searched {}", command.space, config.space));
        command.space = config.space, command.space_given = true;
        if (!command.channels_given) command.channels = config.channels;
    }
    Subject subject;
    subject.genotype = command.profile.empty() ? read_arch(command.arch, command.space, command.space_given)
                                               : read_profile(run, command.profile, command.space);
    std::string stem = command.profile.empty() ? arch_name(subject.genotype) : command.profile;
    if (!weights) return subject;
    if (command.untrained) {
        const auto space = hwnas::SearchSpace::named(command.space, {.channels = command.channels});
        subject.network.emplace(space, subject.genotype, device, hwnas::seed(command.seed));
        subject.origin = fmt::format("initial weights, seed {}", command.seed);
        return subject;
    }
    if (command.run.empty())
        throw UsageError(
            "export: an architecture has no weights; give --run DIR for those of a search, or --untrained, or export "
            "json, nasbench201, darts or dot");
    if (command.channels != config.channels) stem += fmt::format("-{}", command.channels);
    const fs::path trained = run / "retrained" / (stem + ".safetensors");
    if (fs::exists(trained)) {
        auto network = load_weights(trained, device);
        if (network.genotype().str() == subject.genotype.str()) {
            subject.network = std::move(network);
            subject.origin = trained.string();
            return subject;
        }
    }
    if (command.channels != config.channels)
        hwnas::fail("{}: is missing; the weights of the search have {} channels, train it with --channels {} first",
                    trained.string(), config.channels, command.channels);
    subject.network = inherited(run, config, around, subject.genotype, device);
    subject.origin = "those of the search, batch norms recalibrated; `train` makes better ones";
    return subject;
}

}  // namespace

int run_export(const ExportCommand& command) {
    if (command.output.empty()) throw UsageError("export: --output FILE is missing");
    const std::string format = command.format.empty() ? format_of(command.output) : command.format;
    if (format.empty())
        throw UsageError(
            fmt::format("export: --format is missing, and \"{}\" does not say which (.onnx, .safetensors, .hpp, .json, "
                        ".dot)",
                        command.output));
    const bool weights = format == "onnx" || format == "safetensors" || format == "hpp",
               printed = command.output == "-";
    if (printed && (format == "onnx" || format == "safetensors"))
        throw UsageError(fmt::format("export: {} is not text, give --output the name of a file", format));
    refuse_idle_options(command, format, weights);
    if (!printed) io::check_writable(command.output);
    const auto subject = find(command, weights);
    std::string content;
    if (format == "onnx")
        content = io::onnx_bytes(*subject.network, {.fold = command.fold});
    else if (format == "hpp")
        content = io::cpp_header(*subject.network, {.name_space = command.name_space,
                                                    .fold = command.fold,
                                                    .mean = hwnas::Dataset{}.mean,
                                                    .std = hwnas::Dataset{}.std});
    else if (format == "json")
        content = io::genotype_to_json(subject.genotype).dump(2) + "\n";
    else if (format == "nasbench201")
        content = io::nasbench201_text(subject.genotype);
    else if (format == "darts")
        content = io::darts_text(subject.genotype);
    else if (format == "dot")
        content = io::dot_text(subject.genotype);
    if (printed) {
        print(content);
        return 0;
    }
    if (format == "safetensors")
        io::save_network(command.output, *subject.network);
    else
        io::write_file_atomic(command.output, content);
    if (subject.network) {
        const auto size = subject.network->size();
        say("network", fmt::format("{}, {} channels: {} parameters, {} multiply-adds", subject.network->space().name(),
                                   subject.network->space().options().channels, hwnas::with_commas(size.parameters),
                                   hwnas::with_commas(size.macs)));
        say("weights", subject.origin);
    }
    say("genotype", subject.genotype.str());
    say(format, fmt::format("{}, {} bytes", command.output,
                            hwnas::with_commas(static_cast<std::int64_t>(fs::file_size(command.output)))));
    return 0;
}

}  // namespace app
