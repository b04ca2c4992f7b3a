// SPDX-License-Identifier: MIT
// The command line. CLI11 splits it and writes the help; values are read here, because its own messages about numbers
// run over 300 digits, and an unknown option gets the nearest known one.
#include "options.hpp"

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
        if (!whole || !(static_cast<double>(value) >= rule.low && static_cast<double>(value) <= rule.high)) {
            const char* kind = std::floating_point<T> ? "number" : "whole number";
            throw UsageError(
                fmt::format("{}: \"{}\" is not a {} from {} to {}", option, text, kind, rule.low, rule.high));
        }
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
                    meant.empty() ? fmt::format(" (fashion_mnist {} --help lists them)", app.get_name()) : meant));
}

}  // namespace

Command parse(int argc, char** argv, const SearchConfig& defaults) {
    Command command;
    command.search.config = defaults;
    CLI::App app("Searches a family of networks for Fashion-MNIST on this machine.", "fashion_mnist");
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
        if (std::string(name) == "validation") option->group("");
        option->each([&s, name](const std::string&) { s.given.insert(name); });
    });
    add(*search, "--latency", s.latency, {}, "latency table to use instead of measuring");
    add(*search, "--out", s.out, {}, "run directory [runs/<UTC time>-seed<seed>]");
    add(*search, "--resume", s.resume, {}, "go on with the run in this directory");
    add(*search, "--config", s.config_file, {}, "options from a config.json; those given here win");
    search->add_flag("--quick", s.quick, "a short search: fewer images and epochs")->disable_flag_override();
    add_surroundings(*search, s.around);

    auto& t = command.train;
    auto* train = sub("train", "train a derived network from scratch", Command::Verb::train);
    add(*train, "--run", t.run, {}, "directory of a search, with --profile");
    add(*train, "--profile", t.profile, {.choices = {"A", "B", "C"}}, "which of its family: A, B, C");
    add(*train, "--arch", t.arch, {}, "or a genotype: 'normal:|...| reduction:|...|'")->type_name("TEXT");
    add(*train, "--space", t.space, {.choices = {"paper", "pointwise", "separable"}}, "space of --arch")
        ->each([&t](const std::string&) { t.space_given = true; });
    add(*train, "--channels", t.channels, {1, 4'096}, "channels of the first cell (with --run: as searched)")
        ->each([&t](const std::string&) { t.channels_given = true; });
    add(*train, "--epochs", t.epochs, {1, 10'000}, "times the training images are passed");
    add(*train, "--batch", t.batch, {2, 10'000}, "images a step");
    add(*train, "--learning-rate", t.learning_rate, {1e-8, 10}, "its peak");
    add(*train, "--seed", t.seed, {0, 1.8e19}, "of initial weights and data order");
    add(*train, "--images", t.images, {0, 60'000}, "train on the first N images; 0: all");
    add(*train, "--validation", t.validation, {0, 59'990}, "images kept out of training")
        ->group("")
        ->each([&t](const std::string&) { t.validation_given = true; });
    add(*train, "--out", t.out, {}, "directory for weights and result [RUN/retrained, or runs/<UTC time>-train]");
    add_surroundings(*train, t.around);

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
    profile->add_flag("--quiet", p.around.quiet, "no progress")->disable_flag_override();

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
        const std::vector<std::string> verbs{"search", "train", "evaluate", "profile", "info"};
        if (extras.empty())
            throw UsageError("no command given (search, train, evaluate, profile, info; --help says more)");
        throw UsageError(fmt::format("unknown command \"{}\"{}", extras.front(), nearest(extras.front(), verbs)));
    }
    refuse_extras(*app.get_subcommands().front());
    return command;
}

}  // namespace app
