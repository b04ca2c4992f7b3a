// SPDX-License-Identifier: MIT
// search: latency table, one training run, family; a run directory that can be resumed at any step.
#include "assess.hpp"
#include "family_table.hpp"
#include "program.hpp"
#include "report.hpp"
#include "run_directory.hpp"
#include "searched.hpp"

#include <hwnas/io/checkpoint.hpp>
#include <hwnas/io/genotype.hpp>
#include <hwnas/io/latency_table.hpp>
#include <hwnas/io/result.hpp>

namespace app {
namespace {

namespace io = hwnas::io;

// The short search of run.sh: long enough that S controls the counts, short enough for two slow cores.
constexpr std::int64_t quick_images = 10'000;
constexpr int quick_epochs = 3;

std::string shown(const io::Json& value) {
    return value.is_string() ? value.get<std::string>() : value.dump();
}

/// Options of the run to do: of config.json or the directory to resume, with what the command line adds.
void settle(SearchCommand& command) {
    const auto asked = config_json(command.config);
    const Surroundings around = command.around;
    const bool resume = !command.resume.empty();
    if (command.quick && !command.config_file.empty())
        throw UsageError("--quick does not go with --config: both say how many images and epochs");
    if (resume) {
        for (const auto& [option, text] :
             {std::pair{"--out", command.out}, {"--config", command.config_file}, {"--latency", command.latency}})
            if (!text.empty())
                throw UsageError(fmt::format("{} does not go with --resume: the run keeps its own", option));
        if (command.quick) throw UsageError("--quick does not go with --resume: the run keeps its options");
        if (!fs::is_directory(command.resume))
            hwnas::fail("{}: there is no such run directory; pass --resume the one a search printed", command.resume);
        if (!fs::exists(fs::path(command.resume) / "config.json"))
            hwnas::fail("{}: no search has begun there, config.json is missing; begin one with --out {}",
                        command.resume, command.resume);
    }
    if (resume || !command.config_file.empty()) {
        const fs::path file = resume ? fs::path(command.resume) / "config.json" : fs::path(command.config_file);
        SearchConfig stored;
        read_config(file, stored, command.around);
        const auto before = config_json(stored);
        for_each_option(stored, [&]<class T>(const char* name, T& member, const Rule&, const char*) {
            if (!command.given.contains(name)) return;
            if (resume && before[name] != asked[name])
                throw UsageError(fmt::format(
                    "{} is {} here and {} in {}: a resumed run keeps its options, start a new one for others",
                    option_name(name), shown(asked[name]), shown(before[name]), file.string()));
            member = asked[name].get<T>();
        });
        command.config = stored;
        // What changes no result may change: where the data are, how many threads.
        if (!around.data.empty()) command.around.data = around.data;
        if (around.threads > 0) command.around.threads = around.threads;
        if (around.checkpoint_every >= 0) command.around.checkpoint_every = around.checkpoint_every;
        command.around.quiet = around.quiet;
        if (!around.verify) command.around.verify = false;
    }
    if (command.quick) {
        if (!command.given.contains("images")) command.config.images = quick_images;
        if (!command.given.contains("epochs")) command.config.epochs = quick_epochs;
    }
}

bool there(const fs::path& path) {
    std::error_code error;
    return fs::exists(path, error);
}

fs::path run_directory(const SearchCommand& command) {
    if (!command.resume.empty()) return fs::path(command.resume).lexically_normal();
    if (!command.out.empty()) return command.out;
    const std::string name = fmt::format("{}-seed{}", utc_stamp(), command.config.seed);
    fs::path path = fs::path("runs") / name;
    for (int i = 2; there(path); ++i) path = fs::path("runs") / fmt::format("{}-{}", name, i);
    return path;
}

/// The table of --latency, or of the run that is resumed; none where it has yet to be measured.
std::optional<hwnas::LatencyTable> stored_table(const SearchCommand& command, const fs::path& run,
                                                const hwnas::SearchSpace& space) {
    fs::path file = command.latency;
    if (!command.resume.empty()) {
        file = run / "latency.json";
        if (!there(file)) {
            if (!there(run / "checkpoint.safetensors")) return {};  // stopped before it was measured
            hwnas::fail("{}: is missing, and a search that has begun never measures again; start a new run",
                        file.string());
        }
    }
    if (file.empty()) return {};
    auto table = io::read_latency_table(file);
    if (!table.space.empty() && table.space != space.name())
        hwnas::fail("{}: holds times of space {}, the search is in {} (profile --space {}, or search --space {})",
                    file.string(), table.space, space.name(), space.name(), table.space);
    const hwnas::LatencyModel checked(space, table);
    return table;
}

hwnas::LatencyTable measured_table(const SearchCommand& command, const hwnas::SearchSpace& space,
                                   const hwnas::Device& device, Timing& timing) {
    hwnas::ProgressLine line(hwnas::ProgressOptions::standard_error(command.around.quiet));
    const double start = seconds_now();
    auto table =
        hwnas::profile(space, device, {.progress = [&](double done) {
                           line.update([&] { return fmt::format("measuring latencies: {:3.0f} %", 100 * done); });
                       }});
    line.finish();
    timing.profile_seconds = seconds_now() - start;
    say("latency",
        fmt::format("{} units measured in {}: {}", table.rows.size(), hwnas::duration(timing.profile_seconds),
                    device.backend().cpu() ? "one image, one thread"
                                           : fmt::format("{} images on {}", table.batch, device.name())));
    return table;
}

constexpr const char* metrics_header = "epoch,loss,accuracy,task_loss,complexity,latency_ms,temperature\n";

/// Does what writes into the run directory; what cannot be written is said with the way on.
template <class F>
void keeping(const fs::path& run, F&& write) {
    try {
        write();
    } catch (const hwnas::Error& error) {
        hwnas::fail("{}; once that is mended, go on with: {}", error.what(),
                    command_line({"search", "--resume", run.string()}));
    }
}

/// Trains, keeping the run directory up to date.
class Search {
public:
    Search(const SearchCommand& command, fs::path run, Timing timing)
        : command_(command),
          config_(command.config),
          run_(std::move(run)),
          timing_(timing),
          meter_(command.around.quiet) {}

    /// The family, or none when Ctrl-C came first.
    std::optional<hwnas::Family> train(const hwnas::SearchSpace& space, const hwnas::Device& device,
                                       const hwnas::LatencyTable& table, const hwnas::Dataset& data) {
        hwnas::TrainerOptions options = trainer_options(config_);
        options.on_step = [this](const hwnas::TrainingProgress& progress) {
            meter_.step(progress);
            return !stop_requested();
        };
        options.on_epoch = [this](const hwnas::TrainingProgress& progress) { add_metrics(progress); };
        options.on_checkpoint = [this](const auto& state, const auto&) { save(state); };
        options.checkpoint_every = std::chrono::duration<double>(checkpoint_every(command_.around));
        auto& trainer = trainer_.emplace(make_trainer(config_, space, device, table, std::move(options)));
        say("supernet",
            fmt::format("{} parameters; hypernetwork ({}) {}",
                        hwnas::with_commas(trainer.supernet().state().parameter_count()), config_.hyper_form,
                        hwnas::with_commas(trainer.hypernet().state().parameter_count())));
        options_ = checkpoint_options(config_, data.count, run_);
        trainer.begin(data);
        steps_ = trainer.steps_per_epoch();
        const std::int64_t begun = restore();
        say("search", fmt::format("{}, {} epochs of {} steps, batch {}, seed {}", config_.mode, config_.epochs, steps_,
                                  config_.batch, config_.seed));
        if (begun > 0)
            say("resumed", fmt::format("after {} epoch{} and {} steps", begun / steps_, begun / steps_ == 1 ? "" : "s",
                                       begun % steps_));

        interrupt_note(
            fmt::format("stopped at once, what was done since the last checkpoint is lost; go on with: {}", way_on()));
        const Stoppable scope;
        meter_.begin();
        auto family = trainer.fit();
        meter_.finish();
        interrupt_note(fmt::format("interrupted after training; go on with: {}", way_on()));
        if (!stop_requested()) return family;
        return std::nullopt;
    }
    /// What is to be typed to go on.
    std::string way_on() const { return command_line({"search", "--resume", run_.string()}); }
    /// The epoch it is in, counted from 1.
    std::int64_t epoch() const { return std::min<std::int64_t>(trainer_->steps_done() / steps_ + 1, config_.epochs); }
    Timing timing() const {
        Timing now = timing_;
        now.search_seconds += meter_.seconds();
        now.images += meter_.images();
        now.peak_memory_mb = peak_memory_mb();
        return now;
    }

private:
    std::int64_t restore() {
        const fs::path file = run_ / "checkpoint.safetensors";
        metrics_ = metrics_header;
        if (command_.resume.empty() || !fs::exists(file)) {
            if (timing_.images > 0)
                complain(
                    fmt::format("{}: is missing, so that the search begins again from its first step", file.string()));
            write_metrics();
            return 0;
        }
        const auto metadata = reading(file, checkpoint_way_out(run_), [&] {
            auto text = io::checkpoint_metadata(file);
            for (const char* key : {"config", "metrics"})
                if (!text.contains(key))
                    hwnas::fail("{}: has no {} in its metadata, this program did not write it", file.string(), key);
            return text;
        });
        check_checkpoint_options(file, metadata.at("config"), options_, run_);
        reading(file, checkpoint_way_out(run_), [&] { return io::load_checkpoint(file, trainer_->state()); });
        // Rows after the checkpoint, of an epoch whose checkpoint a kill prevented, go.
        metrics_ = metadata.at("metrics");
        write_metrics();
        const std::int64_t done = trainer_->steps_done(), all = steps_ * config_.epochs;
        if (done < 0 || done > all)
            hwnas::fail("{}: stands after step {}, the run has {}; this checkpoint is of another run; {}",
                        file.string(), done, all, checkpoint_way_out(run_));
        return done;
    }
    void add_metrics(const hwnas::TrainingProgress& progress) {
        const auto m = progress.metrics();
        const auto& o = trainer_->options();
        const double step = static_cast<double>((progress.epoch + 1) * steps_ - 1),
                     last = static_cast<double>(std::max<std::int64_t>(1, config_.epochs * steps_ - 1));
        const double temperature = o.temperature_start + (o.temperature_end - o.temperature_start) * step / last;
        metrics_ += fmt::format("{},{:.8g},{:.8g},{:.8g},{:.8g},{:.8g},{:.8g}\n", progress.epoch + 1, m[0], m[1], m[2],
                                m[3], m[4], temperature);
        write_metrics();
    }
    void write_metrics() const {
        keeping(run_, [&] { io::write_file_atomic(run_ / "metrics.csv", metrics_); });
    }
    void save(const std::vector<hwnas::NamedTensor>& state) const {
        const std::int64_t step = trainer_->steps_done();
        keeping(run_, [&] {
            io::save_checkpoint(run_ / "checkpoint.safetensors", state,
                                {{"epoch", std::to_string(step / steps_)},
                                 {"step", std::to_string(step)},
                                 {"config", options_.dump()},
                                 {"metrics", metrics_}});
            write_timing(run_ / "timing.json", timing());
        });
    }

    const SearchCommand& command_;
    const SearchConfig& config_;
    fs::path run_;
    Timing timing_;
    TrainingMeter meter_;
    std::optional<hwnas::SingleLevelTrainer<hwnas::SuperNet>> trainer_;
    io::Json options_;
    std::string metrics_;
    std::int64_t steps_ = 1;
};

}  // namespace

SearchConfig default_search() {
    const hwnas::TrainerOptions library;
    const hwnas::HyperNetOptions hypernet;
    SearchConfig config;
    config.epochs = library.epochs;
    config.batch = library.batch;
    config.mode = hwnas::search_mode_name(library.mode);
    config.learning_rate = library.learning_rate;
    config.complexity_weight = library.complexity_weight;
    config.latency_weight = library.latency_weight;
    config.complexity_cost = hwnas::complexity_cost_name(library.complexity_cost);
    config.pivots = hypernet.pivots;
    return config;
}

int run_search(const SearchCommand& asked) {
    SearchCommand command = asked;
    settle(command);
    const auto& config = command.config;
    if (config.latency_weight == 0 && config.complexity_weight == 0)
        throw UsageError(
            "--complexity-weight and --latency-weight are both 0: nothing would tell the architectures apart");
    if (config.condition == "complexity_latency" && config.latency_weight == 0)
        throw UsageError("--condition complexity_latency: --latency-weight is the largest weight it covers, and is 0");
    if (config.hyper_form == "mlp" && command.given.contains("pivots"))
        throw UsageError("--pivots is for --hyper-form pivots, the form is mlp");
    const bool resume = !command.resume.empty();
    // All that can be wrong is looked at before anything is written.
    const auto data = load_data(command.around, config.images, config.validation);
    if (config.batch > data.train.count)
        throw UsageError(fmt::format("--batch {} is more than the {} training images", config.batch, data.train.count));
    const auto device = make_device(command.around);
    const auto space = make_space(config.space, config.channels, data.train);
    const fs::path run = run_directory(command);
    auto table = stored_table(command, run, space);
    if (!resume) io::make_directories(run);
    const io::DirectoryLock lock(run);
    if (!resume) {
        if (there(run / "config.json"))
            hwnas::fail("{}: holds a run already; go on with it by --resume {}, or choose another --out", run.string(),
                        run.string());
        io::make_directories(run / "genotypes");
        write_config(run / "config.json", command);
    }
    say("run", run.string());
    if (command.quick)
        say("short",
            fmt::format("{} images, {} epoch{}; the whole search: {}", hwnas::with_commas(data.train.count),
                        config.epochs, config.epochs == 1 ? "" : "s", command_line({"search", "--epochs", "20"})));
    say_data(data);
    say("device", device.backend().description());
    say("space", describe(space));

    Timing timing = read_timing(run / "timing.json");
    if (resume) ++timing.sessions;
    interrupt_note(fmt::format("interrupted; go on with: {}", command_line({"search", "--resume", run.string()})));
    if (table)
        say("latency",
            fmt::format("table of {}, {} units ({})", resume ? (run / "latency.json").string() : command.latency,
                        table->rows.size(), table->device));
    else
        table = measured_table(command, space, device, timing);
    if (!there(run / "latency.json")) keeping(run, [&] { io::write_latency_table(run / "latency.json", *table); });
    Search search(command, run, timing);
    const auto family = search.train(space, device, *table, data.train);
    if (!family) {
        renew_report(run);
        std::fflush(stdout);
        complain(fmt::format("interrupted in epoch {} of {}, checkpoint saved; go on with: {}", search.epoch(),
                             config.epochs, search.way_on()));
        return exit_interrupted;
    }
    timing = search.timing();
    const double start = seconds_now();
    const auto result = assess(config, *family, data, command.around.quiet);
    timing.evaluation_seconds = seconds_now() - start;
    timing.peak_memory_mb = peak_memory_mb();
    keeping(run, [&] {
        for (const auto& member : result.family)
            io::write_genotype(run / "genotypes" / (member.name + ".json"), member.genotype);
        write_simplex(run / "simplex.csv", *family);
        io::write_result(run / "result.json", result);
        write_timing(run / "timing.json", timing);
    });

    print(fmt::format("\n{}\n{}\n", family_table(result), control_table(result.control)));
    double off = 0;
    for (const auto& member : result.family)
        off += std::abs(member.predicted_ms / member.measured_ms - 1) / static_cast<double>(result.family.size());
    if (off > 0.1)
        say("note",
            fmt::format("predicted latencies are {:.0f} % off the measured ones: most often the machine was busy. "
                        "On an idle one, measure again: {}",
                        100 * off, command_line({"profile", "--out", "latency.json"})));
    const double rate = timing.search_seconds > 0 ? static_cast<double>(timing.images) / timing.search_seconds : 0;
    say("time",
        fmt::format("{} of training, {} images/s; {} of testing", hwnas::duration(timing.search_seconds),
                    hwnas::with_commas(static_cast<std::int64_t>(rate)), hwnas::duration(timing.evaluation_seconds)));
    say("memory", fmt::format("{:.0f} MB at most", timing.peak_memory_mb));
    keeping(run, [&] { write_report(run); });
    say("report", (run / "report.html").string());
    say("next", command_line({"train", "--run", run.string(), "--profile", "A"}));
    say("or", command_line({"best", "--run", run.string(), "--latency-ms",
                            fmt::format("{:.2g}", budget_to_try(result.family.front().measured_ms))}) +
                  ": the most accurate network within a budget");
    say("run", run.string());
    return 0;
}

}  // namespace app
