// SPDX-License-Identifier: MIT
// What the command line says, as plain structs with their defaults; and the commands that take them.
#pragma once

#include <hwnas/core/error.hpp>

#include <cmath>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace app {

/// A mistake in the command line: exit code 2.
class UsageError : public hwnas::Error {
public:
    using Error::Error;
};

/// What a value may be: a number from low to high and a multiple of step, or one of choices; empty choices allow any
/// text.
struct Rule {
    double low = 0, high = 0;
    std::vector<std::string> choices = {};
    int step = 1;

    bool allows(double value) const {
        return value >= low && value <= high && (step == 1 || std::fmod(value, step) == 0);
    }
    /// "a whole number from 0 to 18000000000000000000", "a multiple of 10 from 0 to 59990"
    std::string range(const char* kind) const {
        const auto shown = [](double x) {
            return std::floor(x) == x ? fmt::format("{:.0f}", x) : fmt::format("{}", x);
        };
        return (step == 1 ? fmt::format("a {}", kind) : fmt::format("a multiple of {}", step)) +
               fmt::format(" from {} to {}", shown(low), shown(high));
    }
};

inline constexpr double most_checkpoint_every = 3.6e7;  ///< seconds

/// Where and how a command runs. Nothing here changes a result, but that CPU and GPU round differently.
struct Surroundings {
    std::string data;
    std::string device = "auto";  ///< auto, cpu, cuda or cuda:n
    int threads = 0;
    double checkpoint_every = -1;  ///< seconds; 0: at the end of epochs only; below 0: not said
    bool quiet = false, verify = true;
};

/// Everything the result of a search depends on, but the latency table and the build.
struct SearchConfig {
    std::uint64_t seed = 42;
    int epochs = 20;
    std::int64_t batch = 128;
    std::string space = "pointwise";
    std::int64_t channels = 16;
    std::string mode = "relaxed";
    double learning_rate = 2e-3;
    double complexity_weight = 8.0, latency_weight = 0.1;
    std::string complexity_cost = "count";
    std::string condition = "complexity";
    std::string hyper_form = "mlp";
    int pivots = 16;
    std::int64_t images = 0;
    std::int64_t validation = 5'000;
};

/// f(name, member, rule, help) for every option of a search. The name is that of config.json; options have - for _.
template <class Config, class F>
void for_each_option(Config& c, F&& f) {
    const std::vector<std::string> spaces{"paper", "pointwise", "separable"},
        modes{"relaxed", "straight_through", "single_path"};
    f("seed", c.seed, Rule{0, 1.8e19}, "one seed for all that is random");
    f("epochs", c.epochs, Rule{1, 10'000}, "times the training images are passed");
    f("batch", c.batch, Rule{2, 10'000}, "images a step");
    f("space", c.space, Rule{.choices = spaces}, "search space: paper, pointwise, separable");
    f("channels", c.channels, Rule{1, 4'096}, "channels of the first cell; they double at each reduction");
    f("mode", c.mode, Rule{.choices = modes}, "relaxed, straight_through, single_path");
    f("learning_rate", c.learning_rate, Rule{1e-8, 10}, "of the weights");
    f("complexity_weight", c.complexity_weight, Rule{0, 1'000}, "lambda of the objective");
    f("latency_weight", c.latency_weight, Rule{0, 1'000}, "kappa of the objective");
    f("complexity_cost", c.complexity_cost, Rule{.choices = {"count", "parameters", "latency"}},
      "what a choice costs: count, parameters, latency");
    f("condition", c.condition, Rule{.choices = {"complexity", "complexity_latency"}},
      "complexity, or complexity_latency: one run for every latency weight from 0 to --latency-weight");
    f("hyper_form", c.hyper_form, Rule{.choices = {"mlp", "pivots"}}, "hypernetwork: mlp, pivots");
    f("pivots", c.pivots, Rule{1, 1'000}, "pivots of that form");
    f("images", c.images, Rule{0, 60'000}, "train on the first N images; 0: all");
    f("validation", c.validation, Rule{.high = 59'990, .step = 10}, "images kept out of training, a multiple of 10");
}

struct SearchCommand {
    SearchConfig config;
    Surroundings around;
    std::set<std::string> given = {};  ///< names of the options that the command line has
    std::string out, resume, config_file, latency;
    bool quick = false;
};

/// Limits on the command line; what is not given limits nothing.
struct BestCommand {
    Surroundings around;
    std::string run, out, measure = "auto";
    double latency_ms = 0;                  ///< 0: none
    std::int64_t parameters = 0, macs = 0;  ///< 0: none
    std::vector<std::pair<std::string, int>> counts = {};
    int candidates = 48;
    double margin = -1;  ///< per cent; below 0: the library's
    bool json = false;
};

struct TrainCommand {
    Surroundings around;
    std::set<std::string> given = {};  ///< the options that the command line has
    std::string run, profile, arch, network, out, resume, space = "pointwise";
    std::int64_t channels = 16, batch = 128, images = 0, validation = 5'000;
    bool space_given = false, channels_given = false, validation_given = false, further = false;
    int epochs = 30, shift = 0;
    double learning_rate = 3e-3, warmup = 1, weight_decay = 1e-2, label_smoothing = 0.05, erase = 0, average = 0;
    bool flip = false;
    std::uint64_t seed = 42;
};

struct StudyCommand {
    Surroundings around;
    std::string run, out, only;
    double hours = 0;  ///< no job begins that would end later; 0: all
    bool list = false, quick = false;
};

struct EvaluateCommand {
    Surroundings around;
    std::string weights;
};

/// A network or an architecture in a form that other programs read.
struct ExportCommand {
    std::string run, profile, arch, network, format, output, space = "pointwise", name_space = "model", data;
    std::int64_t channels = 16;
    std::set<std::string> given = {};  ///< the options that the command line has
    bool space_given = false, channels_given = false, fold = true, untrained = false;
    std::uint64_t seed = 42;
};

struct ProfileCommand {
    Surroundings around;
    std::string out, space = "pointwise";
    std::int64_t channels = 16, batch = 0;
    bool whole = false;
};

struct LatencyFitCommand {
    std::set<std::string> given = {};  ///< the options that the command line has
    std::string file, space, column;
    std::int64_t train = 0;
    std::uint64_t seed = 42;
    int seeds = 5;
    bool plain = false, table = false;
};

struct ReportCommand {
    std::string run, output;
};

struct Command {
    enum class Verb { none, search, best, train, study, evaluate, profile, latency_fit, export_, report, info };
    Verb verb = Verb::none;
    SearchCommand search;
    BestCommand best;
    TrainCommand train;
    StudyCommand study;
    EvaluateCommand evaluate;
    ProfileCommand profile;
    ExportCommand export_;
    LatencyFitCommand latency_fit;
    ReportCommand report;
    Surroundings info;
    std::string help;  ///< to be printed instead of running anything
};

/// "learning_rate" -> "--learning-rate"
std::string option_name(std::string name);
/// Defaults of a search: where the library has one, the library's.
SearchConfig default_search();
/// Throws UsageError, one line.
Command parse(int argc, char** argv, const SearchConfig& defaults);

int run_search(const SearchCommand& command);
int run_best(const BestCommand& command);
int run_train(const TrainCommand& command);
int run_study(const StudyCommand& command);
int run_evaluate(const EvaluateCommand& command);
int run_profile(const ProfileCommand& command);
int run_export(const ExportCommand& command);
int run_latency_fit(const LatencyFitCommand& command);
int run_report(const ReportCommand& command);
int run_info(const Surroundings& around);

}  // namespace app
