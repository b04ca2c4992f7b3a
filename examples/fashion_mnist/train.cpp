// SPDX-License-Identifier: MIT
// train: one derived network, from scratch, on all images that are not kept for validation.
#include "program.hpp"
#include "run_directory.hpp"

#include <hwnas/io/checkpoint.hpp>
#include <hwnas/io/genotype.hpp>
#include <hwnas/latency/profiler.hpp>
#include <hwnas/train/fit.hpp>

namespace app {
namespace {

namespace io = hwnas::io;

/// What to train and under which name, with the options of its search where it has one.
hwnas::Genotype choose(TrainCommand& command, std::string& name) {
    const int ways = !command.arch.empty() + !command.profile.empty() + !command.network.empty();
    if (ways != 1)
        throw UsageError("train: give --run DIR with --profile A, B or C, or --network FILE, or --arch 'normal:...'");
    if (command.further && command.network.empty())
        throw UsageError("train: --further goes on from the weights of --network FILE, which is missing");
    if (!command.profile.empty() && command.run.empty())
        throw UsageError("train: --profile needs --run, the directory of a search");
    if (!command.run.empty()) {
        SearchConfig config;
        Surroundings around;
        read_config(fs::path(command.run) / "config.json", config, around);
        if (command.space_given && command.space != config.space)
            throw UsageError(fmt::format("train: --space is {}, the run searched {}", command.space, config.space));
        command.space = config.space;
        if (!command.channels_given) command.channels = config.channels;
        if (!command.validation_given) command.validation = config.validation;
        if (command.around.data.empty()) command.around.data = around.data;
        if (!around.verify) command.around.verify = false;
        if (command.channels != config.channels) name = fmt::format("-{}", command.channels);
    }
    if (!command.network.empty()) {
        const auto saved = io::load_network(command.network, hwnas::cpu::device({.threads = 1}));
        const auto& o = saved.space().options();
        if ((command.space_given || !command.run.empty()) && command.space != saved.space().name())
            throw UsageError(fmt::format("train: {} is a network of space {}, not {}", command.network,
                                         saved.space().name(), command.space));
        if (command.further && command.channels_given && command.channels != o.channels)
            throw UsageError(fmt::format("train: --further: the weights in {} are of {} channels, not {}",
                                         command.network, o.channels, command.channels));
        command.space = saved.space().name();
        if (!command.channels_given) command.channels = o.channels;
        name = fs::path(command.network).stem().string() +
               (command.channels != o.channels ? fmt::format("-{}", command.channels) : "");
        return saved.genotype();
    }
    if (command.profile.empty()) {
        name = "network" + name;
        return read_arch(command.arch, command.space, command.space_given || !command.run.empty());
    }
    name = command.profile + name;
    const fs::path file = fs::path(command.run) / "genotypes" / (command.profile + ".json");
    if (!fs::exists(file))
        hwnas::fail("{}: is missing; the search of {} has not ended yet", file.string(), command.run);
    auto genotype = io::read_genotype(file);
    if (!genotype.space.empty() && genotype.space != command.space)
        hwnas::fail("{}: a genotype of space {}, the run searched {}", file.string(), genotype.space, command.space);
    return genotype;
}

}  // namespace

int run_train(const TrainCommand& asked) {
    TrainCommand command = asked;
    std::string name;
    const auto genotype = choose(command, name);
    const auto data = load_data(command.around, command.images, command.validation);
    const auto device = make_device(command.around);
    const auto space = make_space(command.space, command.channels, data.train);
    const hwnas::Network network(space, genotype, device, hwnas::seed(command.seed));
    if (command.further) {
        const auto saved = io::load_network(command.network, device);
        io::check_same_options(command.network, io::detail::space_json(saved.space()).dump(),
                               io::detail::space_json(space), "the data");
        network.inherit(saved.state());
    }
    const fs::path out = !command.out.empty()   ? fs::path(command.out)
                         : !command.run.empty() ? fs::path(command.run) / "retrained"
                                                : fs::path("runs") / (utc_stamp() + "-train");
    io::make_directories(out);
    const fs::path weights = out / (name + ".safetensors"), summary = out / (name + ".json");
    for (const auto& file : {weights, summary}) io::check_writable(file);

    say("output", out.string());
    say_data(data);
    say("device", device.backend().description());
    say("network", fmt::format("{}: {} parameters, {} multiply-adds, {} channels", name,
                               hwnas::with_commas(network.size().parameters), hwnas::with_commas(network.size().macs),
                               command.channels));
    say("training", fmt::format("{} epochs, batch {}, learning rate {}, seed {}", command.epochs, command.batch,
                                command.learning_rate, command.seed));

    const auto validation =
        data.validation.count > 0 ? hwnas::DeviceDataset::upload(data.validation, device) : hwnas::DeviceDataset{};
    std::optional<double> validated;
    TrainingMeter meter(command.around.quiet);
    const Stoppable scope;  // until the files are written
    const auto fitted = hwnas::fit(
        network, data.train,
        {.epochs = command.epochs,
         .batch = command.batch,
         .learning_rate = command.learning_rate,
         .warmup = command.warmup,
         .weight_decay = command.weight_decay,
         .label_smoothing = command.label_smoothing,
         .augment = {.shift = command.shift, .flip = command.flip, .erase = command.erase},
         .average = command.average,
         .seed = hwnas::seed(command.seed),
         .on_step = [&](const hwnas::TrainingProgress& progress) {
             const bool epoch_ends = progress.step == progress.steps;
             if (epoch_ends && validation.count > 0) validated = hwnas::evaluate(network, validation).metric;
             meter.step(progress, epoch_ends && validated ? "  validation " + hwnas::percent(*validated) : "");
             return !stop_requested();
         }});
    meter.finish();
    if (fitted.finished && command.average > 0 && validation.count > 0)
        validated = hwnas::evaluate(network, validation).metric;  // of the average
    if (!fitted.finished) {
        complain(
            "interrupted, nothing is written; training a network starts over: a search can be resumed, this cannot");
        return exit_interrupted;
    }
    io::save_network(
        weights, network,
        {{"name", name}, {"epochs", std::to_string(command.epochs)}, {"seed", std::to_string(command.seed)}});
    const auto tested = hwnas::evaluate(network, data.test);
    const auto latency = hwnas::measure(network);
    io::write_json(
        summary,
        {{"schema", "hwnas-retrained/1"},
         {"name", name},
         {"genotype", genotype.str()},
         {"space", command.space},
         {"channels", command.channels},
         {"epochs", command.epochs},
         {"batch", command.batch},
         {"learning_rate", command.learning_rate},
         {"recipe",
          {{"warmup", command.warmup},
           {"weight_decay", command.weight_decay},
           {"label_smoothing", command.label_smoothing},
           {"shift", command.shift},
           {"flip", command.flip},
           {"erase", command.erase},
           {"average", command.average}}},
         {"seed", command.seed},
         {"from_weights", command.further ? io::Json(command.network) : io::Json(nullptr)},
         {"train_images", data.train.count},
         {"parameters", {{"total", network.size().parameters}, {"primitives", network.size().primitive_parameters}}},
         {"macs", network.size().macs},
         {"accuracy",
          {{"train", fitted.metric},
           {"validation", validated ? io::Json(*validated) : io::Json(nullptr)},
           {"test", tested.metric}}},
         {"latency_ms", {{"measured", latency.median}}}});
    say("accuracy",
        fmt::format("{} of {} test images{}", hwnas::percent(tested.metric), hwnas::with_commas(tested.count),
                    validated ? ", " + hwnas::percent(*validated) + " of the validation images" : ""));
    say("latency", fmt::format("{:.3f} ms for one image on one thread", latency.median));
    say("time", fmt::format("{}, {} images/s", hwnas::duration(meter.seconds()),
                            hwnas::with_commas(static_cast<std::int64_t>(meter.images_per_second()))));
    say("weights", weights.string());
    say("result", summary.string());
    return 0;
}

int run_evaluate(const EvaluateCommand& command) {
    if (command.weights.empty()) throw UsageError("evaluate: --weights FILE is missing, the file that train wrote");
    const auto device = make_device(command.around);
    const auto network = io::load_network(command.weights, device);
    const auto& image = network.space().options().image;
    const auto data = load_data(command.around, 0, 0);
    if (data.test.image != std::array{image.height, image.width, image.channels})
        hwnas::fail("{}: a network for images of {} x {}, the test images have {} x {}", command.weights, image.height,
                    image.width, data.test.image[0], data.test.image[1]);
    const auto tested = hwnas::evaluate(network, data.test);
    const auto latency = hwnas::measure(network);
    say("network", fmt::format("{}, {} channels: {} parameters, {} multiply-adds", network.space().name(),
                               network.space().options().channels, hwnas::with_commas(network.size().parameters),
                               hwnas::with_commas(network.size().macs)));
    say("genotype", network.genotype().str());
    say("device", device.backend().description());
    say("accuracy", fmt::format("{} of {} test images, loss {:.4f}", hwnas::percent(tested.metric),
                                hwnas::with_commas(tested.count), tested.loss));
    say("latency",
        fmt::format("{:.3f} ms for one image on one thread (median of {} runs)", latency.median, latency.count));
    return 0;
}

}  // namespace app
