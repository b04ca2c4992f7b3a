// SPDX-License-Identifier: MIT
// The command line. CLI11 splits it and writes the help; values are read here, because its own messages about numbers
// run over 300 digits, and an unknown option gets the nearest known one.
#include "program.hpp"

#include <hwnas/version.hpp>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <concepts>

namespace app {

std::string option_name(std::string name) {
    std::replace(name.begin(), name.end(), '_', '-');
    return "--" + name;
}

namespace {

template <class T>
void read(const std::string& option, const std::string& text, const Rule& rule, T& target) {
    if constexpr (std::same_as<T, std::string>) {
        if (rule.choices.empty()) {
            if (text.empty()) throw UsageError(fmt::format("{}: is empty", option));
            target = text;
            return;
        }
        std::string name = text;
        std::replace(name.begin(), name.end(), '-', '_');
        if (std::find(rule.choices.begin(), rule.choices.end(), name) == rule.choices.end())
            throw UsageError(
                fmt::format("{}: \"{}\" is unknown (choose {})", option, text, fmt::join(rule.choices, ", ")));
        target = name;
    } else {
        T value{};
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        const bool whole = error == std::errc() && end == text.data() + text.size();
        if (!whole || !rule.allows(static_cast<double>(value)))
            throw UsageError(fmt::format("{}: \"{}\" is not {}", option, text,
                                         rule.range(std::floating_point<T> ? "number" : "whole number")));
        target = value;
    }
}

template <class T>
CLI::Option* add(CLI::App& app, const std::string& option, T& target, const Rule& rule, const std::string& help) {
    auto* added = app.add_option_function<std::string>(
        option, [&target, rule, option](const std::string& text) { read(option, text, rule, target); }, help);
    if constexpr (std::same_as<T, std::string>) {
        added->type_name(rule.choices.empty() ? "PATH" : "NAME");
        if (!target.empty()) added->default_str(target);
    } else {
        added->type_name("N")->default_str(fmt::format("{}", target));
    }
    return added->take_last();
}

bool names_device(const std::string& text) {
    if (text == "auto" || text == "cpu" || text == "cuda") return true;
    const bool numbered = text.rfind("cuda:", 0) == 0 && text.size() > 5 && text.size() < 9;
    return numbered && text.find_first_not_of("0123456789", 5) == std::string::npos;
}

void add_device(CLI::App& app, Surroundings& around) {
    app.add_option_function<std::string>(
           "--device",
           [&around](const std::string& text) {
               if (!names_device(text))
                   throw UsageError(
                       fmt::format("--device: \"{}\" is unknown (choose auto, cpu, cuda or cuda:N)", text));
               around.device = text;
           },
           "auto (a GPU where there is one), cpu, cuda or cuda:N")
        ->type_name("NAME")
        ->default_str("auto")
        ->take_last();
}

/// "90s", "10m", "1.5h" as seconds.
double read_duration(const std::string& option, const std::string& text) {
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const std::string_view unit = std::string_view(text).substr(static_cast<std::size_t>(end - text.data()));
    const double seconds = unit == "s" || (unit.empty() && value == 0) ? 1
                           : unit == "m"                               ? 60
                           : unit == "h"                               ? 3'600
                                                                       : -1;
    if (error != std::errc() || seconds < 0 || !(value >= 0 && value * seconds <= most_checkpoint_every))
        throw UsageError(fmt::format("{}: \"{}\" is no time like 90s, 10m or 1h, at most 10000h", option, text));
    return value * seconds;
}

void add_checkpoint_every(CLI::App& app, Surroundings& around) {
    const std::string option = "--checkpoint-every";
    app.add_option_function<std::string>(
           option,
           [&around, option](const std::string& text) { around.checkpoint_every = read_duration(option, text); },
           "how much work a kill may cost, like 90s, 10m, 1h; 0: an epoch")
        ->type_name("TIME")
        ->default_str("60s")
        ->take_last();
}

void add_surroundings(CLI::App& app, Surroundings& around) {
    add(app, "--threads", around.threads, {0, 1'024},
        "threads of the CPU; 0: all cores. The result is the same at any number");
    add_device(app, around);
    add(app, "--data", around.data, {}, "directory of Fashion-MNIST (else $HWNAS_DATA, or where apt puts it)");
    app.add_flag("--quiet", around.quiet, "no progress")->disable_flag_override();
    app.add_flag_callback("--no-verify", [&around] { around.verify = false; })->disable_flag_override()->group("");
}

std::size_t distance(const std::string& a, const std::string& b) {
    std::vector<std::size_t> row(b.size() + 1);
    for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
    for (std::size_t i = 0; i < a.size(); ++i) {
        std::size_t corner = std::exchange(row[0], i + 1);
        for (std::size_t j = 0; j < b.size(); ++j)
            corner = std::exchange(row[j + 1], std::min({row[j + 1] + 1, row[j] + 1, corner + (a[i] != b[j])}));
    }
    return row.back();
}

/// ", did you mean --epochs?" or nothing.
std::string nearest(const std::string& word, const std::vector<std::string>& known) {
    std::string best;
    std::size_t least = std::max<std::size_t>(2, word.size() / 3) + 1;
    for (const auto& candidate : known)
        if (const auto d = distance(word, candidate); d < least) least = d, best = candidate;
    return best.empty() ? "" : fmt::format(", did you mean {}?", best);
}

void refuse_extras(CLI::App& app) {
    const auto extras = app.remaining();
    if (extras.empty()) return;
    std::vector<std::string> known;
    for (const auto* option : app.get_options())
        for (const auto& name : option->get_lnames()) known.push_back("--" + name);
    const std::string word = extras.front().substr(0, extras.front().find('='));
    const auto meant = word.size() > 1 && word[0] == '-' ? nearest(word, known) : "";
    throw UsageError(
        fmt::format("{}: unknown {} \"{}\"{}", app.get_name(), word[0] == '-' ? "option" : "argument", word,
                    meant.empty() ? fmt::format(" ({} lists them)", command_line({app.get_name(), "--help"})) : meant));
}

}  // namespace

Command parse(int argc, char** argv, const SearchConfig& defaults) {
    Command command;
    command.search.config = defaults;
    CLI::App app("Searches a family of networks for Fashion-MNIST on this machine.", command_line({}));
    app.require_subcommand(0, 1);
    app.allow_extras();
    const auto sub = [&](const char* name, const char* text, Command::Verb verb) {
        auto* added = app.add_subcommand(name, text);
        added->allow_extras();
        added->callback([&command, verb] { command.verb = verb; });
        return added;
    };

    auto& s = command.search;
    auto* search = sub("search", "one training run; its end: the family A, B, C", Command::Verb::search);
    for_each_option(s.config, [&](const char* name, auto& member, const Rule& rule, const char* help) {
        auto* option = add(*search, option_name(name), member, rule, help);
        option->each([&s, name](const std::string&) { s.given.insert(name); });
    });
    add(*search, "--latency", s.latency, {}, "latency table to use instead of measuring");
    add(*search, "--out", s.out, {}, "run directory [runs/<UTC time>-seed<seed>]");
    add(*search, "--resume", s.resume, {}, "go on with the run in this directory");
    add(*search, "--config", s.config_file, {}, "options from a config.json; those given here win");
    add_checkpoint_every(*search, s.around);
    search->add_flag("--quick", s.quick, "a short search: fewer images and epochs")->disable_flag_override();
    add_surroundings(*search, s.around);

    auto& b = command.best;
    auto* best = sub("best", "the most accurate network of a search within a budget", Command::Verb::best);
    add(*best, "--run", b.run, {}, "directory of a search that has ended");
    add(*best, "--latency-ms", b.latency_ms, {1e-9, 1e9},
        "milliseconds, as in the run's latency table; measured here if the table is of here")
        ->default_str("none");
    add(*best, "--parameters", b.parameters, {1, 1e15}, "parameters in total")->default_str("none");
    add(*best, "--macs", b.macs, {1, 1e18}, "multiply-adds for one image")->default_str("none");
    best->add_option_function<std::vector<std::string>>(
            "--count",
            [&b](const std::vector<std::string>& words) {
                for (const auto& word : words) {
                    const auto at = word.find("<=");
                    if (at == 0 || at == std::string::npos)
                        throw UsageError(
                            fmt::format("--count: \"{}\" is not PRIMITIVE<=N, like \"identity<=9\"", word));
                    int most = 0;
                    read("--count", word.substr(at + 2), {0, 1e6}, most);
                    b.counts.emplace_back(word.substr(0, at), most);
                }
            },
            "edges that may choose a primitive, at most; may be given several times")
        ->type_name("PRIMITIVE<=N")
        ->allow_extra_args(false);
    add(*best, "--candidates", b.candidates, {1, 100'000}, "networks to score on the validation images");
    add(*best, "--margin", b.margin, {0, 900},
        "per cent between prediction and budget, where the table is of another device")
        ->default_str("10");
    add(*best, "--measure", b.measure, {.choices = {"auto", "always", "never"}},
        "auto (if the table is of this machine), always, never");
    add(*best, "--out", b.out, {}, "directory for the network [RUN/best]");
    best->add_flag("--json", b.json, "print one JSON object and nothing else")->disable_flag_override();
    add_surroundings(*best, b.around);

    auto& t = command.train;
    auto* train = sub("train", "train a derived network from scratch", Command::Verb::train);
    add(*train, "--run", t.run, {}, "directory of a search, with --profile");
    add(*train, "--profile", t.profile, {.choices = {"A", "B", "C"}}, "which of its family: A, B, C");
    add(*train, "--arch", t.arch, {}, "or a genotype: 'normal:|...| reduction:|...|', or a file of one")
        ->type_name("TEXT|FILE");
    add(*train, "--network", t.network, {}, "or the architecture of a saved network, like those of `best`");
    train->add_flag("--further", t.further, "start from the weights in --network")->disable_flag_override();
    add(*train, "--space", t.space, {.choices = {"paper", "pointwise", "separable"}}, "space of --arch")
        ->each([&t](const std::string&) { t.space_given = true; });
    add(*train, "--channels", t.channels, {1, 4'096}, "channels of the first cell (with --run: as searched)")
        ->each([&t](const std::string&) { t.channels_given = true; });
    add(*train, "--epochs", t.epochs, {1, 10'000}, "times the training images are passed");
    add(*train, "--batch", t.batch, {2, 10'000}, "images a step");
    add(*train, "--learning-rate", t.learning_rate, {1e-8, 10}, "its peak");
    add(*train, "--warmup", t.warmup, {0, 10'000}, "epochs over which it rises");
    add(*train, "--weight-decay", t.weight_decay, {0, 10}, "decoupled");
    add(*train, "--label-smoothing", t.label_smoothing, {0, 0.99}, "share of the target that all classes share");
    add(*train, "--shift", t.shift, {0, 27}, "pixels by which an image moves at most");
    train->add_flag("--flip", t.flip, "mirror every other image")->disable_flag_override();
    add(*train, "--erase", t.erase, {0, 1}, "how often a rectangle of the image is erased");
    add(*train, "--average", t.average, {0, 0.999999}, "decay of the moving average of the weights; 0: none");
    add(*train, "--seed", t.seed, {0, 1.8e19}, "of initial weights and data order");
    add(*train, "--images", t.images, {0, 60'000}, "train on the first N images; 0: all");
    add(*train, "--validation", t.validation, {.high = 59'990, .step = 10},
        "images kept out of training, a multiple of 10")
        ->each([&t](const std::string&) { t.validation_given = true; });
    add(*train, "--out", t.out, {}, "directory for weights and result [RUN/retrained, or runs/<UTC time>-train]");
    add(*train, "--resume", t.resume, {}, "go on from this checkpoint of a training that was stopped")
        ->type_name("FILE");
    add_checkpoint_every(*train, t.around);
    add_surroundings(*train, t.around);

    auto& y = command.study;
    auto* study = sub("study", "the evaluation of a finished search, job by job", Command::Verb::study);
    add(*study, "--run", y.run, {}, "directory of a search that has ended");
    add(*study, "--out", y.out, {}, "directory of the study [RUN/study]");
    add(*study, "--only", y.only, {}, "jobs with this in their name")->type_name("TEXT");
    add(*study, "--hours", y.hours, {0, 10'000}, "begin no job that would end later; 0: all");
    study->add_flag("--list", y.list, "show the jobs and run none")->disable_flag_override();
    study->add_flag("--quick", y.quick, "a little of everything, of no value but to see it work")
        ->disable_flag_override();
    add_surroundings(*study, y.around);

    auto* evaluate = sub("evaluate", "accuracy and latency of a saved network", Command::Verb::evaluate);
    add(*evaluate, "--weights", command.evaluate.weights, {}, "safetensors file that train wrote");
    add_surroundings(*evaluate, command.evaluate.around);

    auto& p = command.profile;
    auto* profile = sub("profile", "measure the latency table of this machine", Command::Verb::profile);
    p.around.threads = 1;
    add(*profile, "--out", p.out, {}, "file to write it to");
    add(*profile, "--space", p.space, {.choices = {"paper", "pointwise", "separable"}},
        "search space: paper, pointwise, separable");
    add(*profile, "--channels", p.channels, {1, 4'096}, "channels of the first cell");
    add(*profile, "--batch", p.batch, {0, 10'000}, "images a run; 0: 1 on a CPU, 64 on a GPU");
    add_device(*profile, p.around);
    add(*profile, "--threads", p.around.threads, {1, 1'024}, "threads of the networks that are timed");
    profile->add_flag("--whole", p.whole, "time whole networks only; least squares finds the units' times")
        ->disable_flag_override();
    profile->add_flag("--quiet", p.around.quiet, "no progress")->disable_flag_override();

    auto& x = command.export_;
    auto* exporting = sub("export", "a network or an architecture for other programs", Command::Verb::export_);
    add(*exporting, "--run", x.run, {}, "directory of a search, with --profile or --arch");
    add(*exporting, "--profile", x.profile, {.choices = {"A", "B", "C"}}, "which of its family: A, B, C");
    add(*exporting, "--network", x.network, {}, "or a network that train wrote (.safetensors)");
    add(*exporting, "--arch", x.arch, {}, "or a genotype: 'normal:|...| reduction:|...|', or a file of one")
        ->type_name("TEXT|FILE");
    add(*exporting, "--format", x.format,
        {.choices = {"onnx", "safetensors", "hpp", "json", "nasbench201", "darts", "dot"}},
        "onnx, safetensors, hpp (a C++ header): the network; json, nasbench201, darts, dot: its architecture [by the "
        "name of the file]");
    add(*exporting, "--output", x.output, {}, "file to write; - is standard output, for text")->type_name("FILE");
    add(*exporting, "--space", x.space, {.choices = {"paper", "pointwise", "separable"}}, "space of --arch")
        ->each([&x](const std::string&) { x.space_given = true; });
    add(*exporting, "--channels", x.channels, {1, 4'096}, "of --untrained networks: channels of the first cell")
        ->each([&x](const std::string&) { x.channels_given = true; });
    exporting->add_flag_callback(
                 "--no-fold", [&x] { x.fold = false; }, "onnx, hpp: keep batch norms as they are")
        ->disable_flag_override();
    add(*exporting, "--namespace", x.name_space, {}, "hpp: namespace of the model")->type_name("NAME");
    exporting
        ->add_flag("--untrained", x.untrained,
                   "allow a network with initial weights, for --arch: to time it elsewhere before it is trained")
        ->disable_flag_override();
    add(*exporting, "--seed", x.seed, {0, 1.8e19}, "of initial weights");
    auto& l = command.latency_fit;
    auto* fit =
        sub("latency-fit", "fit a latency model to measured networks, test it on others", Command::Verb::latency_fit);
    add(*fit, "file", l.file, {}, "CSV file: a column arch, one digit a position, and columns of milliseconds");
    add(*fit, "--space", l.space, {.choices = {"nasbench201", "fbnet"}}, "space of the networks: nasbench201, fbnet");
    add(*fit, "--column", l.column, {}, "column of the times")->type_name("NAME");
    add(*fit, "--train", l.train, {3, 1e9}, "random networks to fit to; the others are the test");
    add(*fit, "--seed", l.seed, {0, 1.8e19}, "which networks those are");
    fit->add_flag("--plain", l.plain, "plain ridge regression instead, to compare with")->disable_flag_override();
    fit->add_flag("--table", l.table, "all columns fitted to 30, 100 and 1,000 networks, beside plain ridge regression")
        ->disable_flag_override();
    add(*fit, "--seeds", l.seeds, {1, 100}, "seeds that --table takes medians over");

    auto* report = sub("report", "draw the report.html of a run directory anew", Command::Verb::report);
    add(*report, "--run", command.report.run, {}, "directory of a search, ended or not");
    add(*report, "--output", command.report.output, {}, "file to write [RUN/report.html]")->type_name("FILE");

    auto* info = sub("info", "versions, devices, kernels, data", Command::Verb::info);
    add_surroundings(*info, command.info);
    app.set_version_flag("--version", "fashion_mnist of hwnas " + std::string(hwnas::version));

    if (std::find(argv, argv + argc, std::string_view("--")) != argv + argc)
        throw UsageError("\"--\" has no meaning here: there are options only, and none is taken for a file name");
    try {
        app.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
        command.help = app.help();
        return command;
    } catch (const CLI::CallForVersion& version) {
        command.help = std::string(version.what()) + "\n";
        return command;
    } catch (const CLI::ParseError& error) {
        std::string text = error.what();
        std::replace(text.begin(), text.end(), '\n', ' ');
        throw UsageError(text);
    }
    if (app.get_subcommands().empty()) {
        const auto extras = app.remaining();
        const std::vector<std::string> verbs{"search",  "best",        "train",  "study",  "evaluate",
                                             "profile", "latency-fit", "export", "report", "info"};
        if (extras.empty())
            throw UsageError(
                "no command given (search, best, train, study, evaluate, profile, latency-fit, export, "
                "report, info; --help says more)");
        throw UsageError(fmt::format("unknown command \"{}\"{}", extras.front(), nearest(extras.front(), verbs)));
    }
    refuse_extras(*app.get_subcommands().front());
    for (const auto& [of, given] : {std::pair{train, &t.given}, {exporting, &x.given}, {fit, &l.given}})
        for (const auto* option : of->get_options())
            if (option->count() > 0) given->insert(option->get_name());
    return command;
}

}  // namespace app
