// SPDX-License-Identifier: MIT
// train: one derived network, from scratch, on all images that are not kept for validation; stopped, it goes on from
// its checkpoint with the same bits.
#include "program.hpp"
#include "report.hpp"
#include "run_directory.hpp"
#include "searched.hpp"

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
        read_run(command.run, config, around);
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
        const auto saved = load_weights(command.network, hwnas::cpu::device({.threads = 1}));
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
        auto genotype = read_arch(command.arch, command.space, command.space_given || !command.run.empty());
        name = arch_name(genotype) + name;
        return genotype;
    }
    name = command.profile + name;
    return read_profile(command.run, command.profile, command.space);
}

/// f(name, member) for what a checkpoint has to keep of the command.
template <class Command, class F>
void for_each_kept(Command& c, F&& f) {
    f("space", c.space), f("channels", c.channels), f("batch", c.batch), f("images", c.images);
    f("validation", c.validation), f("epochs", c.epochs), f("shift", c.shift), f("learning_rate", c.learning_rate);
    f("warmup", c.warmup), f("weight_decay", c.weight_decay), f("label_smoothing", c.label_smoothing);
    f("erase", c.erase), f("average", c.average), f("flip", c.flip), f("seed", c.seed), f("further", c.further);
    f("network", c.network), f("data", c.around.data), f("verify", c.around.verify);
    f("checkpoint_every", c.around.checkpoint_every);
}

constexpr std::string_view checkpoint_ending = ".checkpoint.safetensors",
                           training_way_out = "remove it, and begin again without --resume";

/// A checkpoint, or the one in a directory.
std::string stopped_training(const std::string& path) {
    std::error_code error;
    if (!fs::is_directory(path, error)) return path;
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(path, error))
        if (entry.path().string().ends_with(checkpoint_ending)) found.push_back(entry.path().string());
    std::sort(found.begin(), found.end());
    if (found.size() == 1) return found[0];
    hwnas::fail("{}: {}, {}", path,
                found.empty() ? "holds no stopped training"
                              : "holds several stopped trainings: " + fmt::format("{}", fmt::join(found, ", ")),
                fmt::format("give the path of a file NAME{}", checkpoint_ending));
}

/// The directory of the search whose `retrained` this is, or nothing.
fs::path run_of(const fs::path& out) {
    std::error_code error;
    const auto run = out.lexically_normal().parent_path();
    const bool inside = out.lexically_normal().filename() == "retrained";
    if (!inside || !fs::exists((run.empty() ? fs::path(".") : run) / "config.json", error)) return {};
    return run.empty() ? fs::path(".") : run;
}

/// The same from the checkpoint of a training that was stopped.
hwnas::Genotype take_up(TrainCommand& command, std::string& name) {
    for (const auto& option : command.given)
        if (!std::set<std::string>{"--resume", "--threads", "--device", "--data", "--quiet", "--no-verify",
                                   "--checkpoint-every"}
                 .contains(option))
            throw UsageError(fmt::format("train: {} does not go with --resume: a training keeps its options", option));
    const std::string file = stopped_training(command.resume);
    const auto metadata = reading(file, training_way_out, [&] { return io::checkpoint_metadata(file); });
    const auto found = metadata.find("training");
    if (found == metadata.end())
        hwnas::fail("{}: is no checkpoint of `train` (search --resume takes the directory of a search)", file);
    const auto json = io::detail::parse_json<io::Json>(found->second, file + ": training");
    const Surroundings around = command.around;
    for_each_kept(command, [&]<class T>(const char* key, T& member) { member = io::require<T>(json, key, file); });
    if (!around.data.empty()) command.around.data = around.data;
    if (!around.verify) command.around.verify = false;
    if (around.checkpoint_every >= 0) command.around.checkpoint_every = around.checkpoint_every;
    name = io::require<std::string>(json, "name", file);
    const fs::path path = file;
    if (path.filename() != name + std::string(checkpoint_ending))
        hwnas::fail("{}: was {}{} when it was written; give it that name again", file, name, checkpoint_ending);
    command.out = path.has_parent_path() ? path.parent_path().string() : ".";
    return hwnas::Genotype::parse(io::require<std::string>(json, "genotype", file), command.space);
}

/// Writes and removes the checkpoint of one training.
class Stopped {
public:
    Stopped(fs::path file, const TrainCommand& command, const std::string& name, const hwnas::Genotype& genotype,
            std::int64_t train_images)
        : file_(std::move(file)), train_images_(train_images) {
        json_ = {{"name", name}, {"genotype", genotype.str()}, {"train_images", train_images}};
        for_each_kept(command, [this](const char* key, const auto& member) { json_[key] = member; });
    }
    void save(const std::vector<hwnas::NamedTensor>& state) const {
        try {
            io::save_checkpoint(file_, state, {{"training", json_.dump()}});
        } catch (const hwnas::Error& error) {
            if (!there()) throw;
            hwnas::fail("{}; once that is mended, go on with: {}", error.what(), way_on());
        }
    }
    void load(const std::vector<hwnas::NamedTensor>& state) const {
        const auto metadata = reading(file_, training_way_out, [&] { return io::load_checkpoint(file_, state); });
        const auto json = io::detail::parse_json<io::Json>(metadata.at("training"), file_.string());
        const auto images = io::require<std::int64_t>(json, "train_images", file_.string());
        if (images != train_images_)
            hwnas::fail("{}: a training on {} images, there are {} now (pass the same --data)", file_.string(), images,
                        train_images_);
    }
    bool there() const {
        std::error_code error;
        return fs::exists(file_, error);
    }
    void remove() const {
        std::error_code error;
        fs::remove(file_, error);  // what stays is taken for a training that can be taken up: its end is done again
    }
    std::string way_on() const { return command_line({"train", "--resume", file_.string()}); }
    const fs::path& file() const { return file_; }

private:
    fs::path file_;
    std::int64_t train_images_;
    io::Json json_;
};

/// What was trained is never written over.
void refuse_finished(const fs::path& weights, const fs::path& summary) {
    std::vector<std::string> there;
    std::error_code error;
    for (const auto& file : {weights, summary})
        if (fs::exists(file, error)) there.push_back(file.string());
    if (!there.empty())
        hwnas::fail(
            "{}: {} there from a training that has ended; choose another directory with --out DIR, or remove {}",
            fmt::join(there, ", "), there.size() == 1 ? "is" : "are", there.size() == 1 ? "it" : "them");
}

}  // namespace

int run_train(const TrainCommand& asked) {
    TrainCommand command = asked;
    std::string name;
    const bool resume = !command.resume.empty();
    const auto genotype = resume ? take_up(command, name) : choose(command, name);
    command.around.checkpoint_every = checkpoint_every(command.around);
    if (command.warmup >= command.epochs && command.epochs > 1)
        throw UsageError(
            fmt::format("train: --warmup {} is not less than --epochs {}", command.warmup, command.epochs));
    const auto data = load_data(command.around, command.images, command.validation);
    if (!resume && command.batch > data.train.count)
        throw UsageError(
            fmt::format("--batch {} is more than the {} training images", command.batch, data.train.count));
    const auto device = make_device(command.around);
    const auto space = make_space(command.space, command.channels, data.train);
    const hwnas::Network network(space, genotype, device, hwnas::seed(command.seed));
    if (command.further && !resume) {
        const auto saved = load_weights(command.network, device);
        io::check_same_options(command.network, io::detail::space_json(saved.space()).dump(),
                               io::detail::space_json(space), "the data");
        network.inherit(saved.state());
    }
    const fs::path out = !command.out.empty()   ? fs::path(command.out)
                         : !command.run.empty() ? fs::path(command.run) / "retrained"
                                                : fs::path("runs") / (utc_stamp() + "-train");
    io::make_directories(out);
    const fs::path weights = out / (name + ".safetensors"), summary = out / (name + ".json");
    const Stopped stopped(out / (name + std::string(checkpoint_ending)), command, name, genotype, data.train.count);
    if (!resume && stopped.there())
        hwnas::fail("{}: a training was stopped there; go on with: {} (or remove the file, to begin again)",
                    stopped.file().string(), stopped.way_on());
    for (const auto& file : {weights, summary, stopped.file()}) io::check_writable(file);
    if (!resume)  // one that is taken up at its very end may find them
        refuse_finished(weights, summary);

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
    const auto begin = [&](const std::vector<hwnas::NamedTensor>& state) {
        if (!resume) return;
        stopped.load(state);
        const auto step =
            std::get<hwnas::Tensor<std::int64_t>>(std::find_if(state.begin(), state.end(), [](const auto& entry) {
                                                      return entry.name == "fit/step";
                                                  })->tensor);
        const std::int64_t done = step.item(), steps = data.train.count / command.batch;
        say("resumed",
            fmt::format("after {} epoch{} and {} steps", done / steps, done / steps == 1 ? "" : "s", done % steps));
    };
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
         .on_step =
             [&](const hwnas::TrainingProgress& progress) {
                 const bool epoch_ends = progress.step == progress.steps;
                 if (epoch_ends && validation.count > 0) validated = hwnas::evaluate(network, validation).metric;
                 meter.step(progress, epoch_ends && validated ? "  validation " + hwnas::percent(*validated) : "");
                 return !stop_requested();
             },
         .on_checkpoint = [&](const auto& state, const auto&) { stopped.save(state); },
         .checkpoint_every = std::chrono::duration<double>(command.around.checkpoint_every),
         .on_begin = begin});
    meter.finish();
    if (!fitted.finished) {
        std::fflush(stdout);
        complain(fmt::format("interrupted, checkpoint saved; go on with: {}", stopped.way_on()));
        return exit_interrupted;
    }
    if (validation.count > 0 && (command.average > 0 || !validated))  // of the average, or taken up at its end
        validated = hwnas::evaluate(network, validation).metric;
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
    stopped.remove();
    if (const fs::path run = command.run.empty() ? run_of(out) : fs::path(command.run); !run.empty()) renew_report(run);
    say("accuracy",
        fmt::format("{} of {} test images{}", hwnas::percent(tested.metric), hwnas::with_commas(tested.count),
                    validated ? ", " + hwnas::percent(*validated) + " of the validation images" : ""));
    say("latency", fmt::format("{:.3f} ms for one image on one thread", latency.median));
    const auto rate = static_cast<std::int64_t>(meter.images_per_second());
    say("time",
        hwnas::duration(meter.seconds()) + (rate > 0 ? fmt::format(", {} images/s", hwnas::with_commas(rate)) : ""));
    say("weights", weights.string());
    say("result", summary.string());
    say("next", command_line({"export", "--network", weights.string(), "--output", name + ".onnx"}));
    return 0;
}

int run_evaluate(const EvaluateCommand& command) {
    if (command.weights.empty()) throw UsageError("evaluate: --weights FILE is missing, the file that train wrote");
    const auto device = make_device(command.around);
    const auto network = load_weights(command.weights, device);
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
