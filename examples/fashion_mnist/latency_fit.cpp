// SPDX-License-Identifier: MIT
// latency-fit: a latency model fitted to some of the measured networks of a CSV file, tested on the others.
#include "program.hpp"

#include <hwnas/io/json.hpp>
#include <hwnas/io/latency_csv.hpp>

namespace app {
namespace {
namespace io = hwnas::io;

struct Fitted {
    std::size_t test = 0;
    hwnas::LatencyValidation validation;
    hwnas::Execution execution;
};

/// Trains on `train` random networks, tests on the rest. plain: ridge regression on one column a position and option.
Fitted fitted(hwnas::CodedSpace space, const hwnas::CodedSamples& all, std::int64_t train, std::uint64_t seed,
              bool plain) {
    const auto order = hwnas::random_order(all.size(), hwnas::seed(seed));
    const auto middle = order.begin() + static_cast<std::ptrdiff_t>(train);
    hwnas::CodedFitOptions options;
    if (plain) {
        space.levels = {space.levels.back()};
        space.work.clear();
        options = {.degrees_of_freedom = 0, .execution = hwnas::Execution::everything};
    }
    const auto model = hwnas::CodedLatencyModel::fit(space, all.pick({order.begin(), middle}), options);
    const auto test = all.pick({middle, order.end()});
    return {test.size(), model.validate(test), model.execution()};
}

double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

/// Refuses, in one line, all that is not there to fit with; otherwise all columns of the file.
std::vector<std::string> checked_columns(const LatencyFitCommand& command) {
    if (command.file.empty())
        throw UsageError(
            "latency-fit: FILE.csv is missing, and then --space, --column and --train, or --space and --table");
    for (const char* option : {"--column", "--train", "--seed", "--plain"})
        if (command.table && command.given.contains(option))
            throw UsageError(fmt::format(
                "latency-fit: {} does not go with --table, which fits every column at its own sizes and seeds",
                option));
    if (!command.table && command.given.contains("--seeds"))
        throw UsageError("latency-fit: --seeds is for --table, one fit has --seed");
    auto columns = io::latency_csv_columns(command.file);
    if (columns.empty()) hwnas::fail("{}: line 1 names no column of times after \"arch\"", command.file);
    std::vector<std::string> missing;
    if (command.space.empty()) missing.push_back("--space NAME (nasbench201, fbnet)");
    if (!command.table && command.column.empty())
        missing.push_back(
            fmt::format("--column NAME ({})", io::detail::shown(fmt::format("{}", fmt::join(columns, ", ")), 500)));
    if (!command.table && command.train == 0) missing.push_back("--train N (how many networks to fit to)");
    if (!missing.empty()) throw UsageError(fmt::format("latency-fit: missing: {}", fmt::join(missing, ", ")));
    return columns;
}

/// Every column at three sizes: medians over seeds, the model beside plain ridge regression.
int print_table(const LatencyFitCommand& command, const hwnas::CodedSpace& space,
                const std::vector<std::string>& columns) {
    constexpr std::array<std::size_t, 3> sizes{30, 100, 1'000};
    std::vector<hwnas::CodedSamples> samples;  // all are read before a line is printed
    for (const auto& column : columns) {
        samples.push_back(io::read_latency_csv(command.file, space, column));
        if (const auto networks = samples.back().size(); networks < sizes.back() + 2)
            hwnas::fail(
                "{}: {} networks, --table fits to {} and needs at least 2 more to test on; fit to fewer with "
                "--column and --train",
                command.file, networks, hwnas::with_commas(static_cast<std::int64_t>(sizes.back())));
    }
    print(
        fmt::format("R2 / MAPE % / Spearman, medians over seeds 1 to {}\n\n"
                    "| column | 30 | 100 | 1,000 | plain ridge, 30 | 100 | 1,000 | executes |\n"
                    "|---|---|---|---|---|---|---|---|\n",
                    command.seeds));
    std::array<int, 2> close{};
    for (std::size_t c = 0; c < columns.size(); ++c) {
        const auto& all = samples[c];
        std::string line = "| " + columns[c], executes;
        std::array<double, 3> rank{};
        for (const bool plain : {false, true})
            for (std::size_t i = 0; i < sizes.size(); ++i) {
                std::vector<double> r2, mape, rho;
                std::map<std::string, int> chosen;
                for (int seed = 1; seed <= command.seeds; ++seed) {
                    const auto fit = fitted(space, all, static_cast<std::int64_t>(sizes[i]),
                                            static_cast<std::uint64_t>(seed), plain);
                    r2.push_back(fit.validation.r2), mape.push_back(fit.validation.mape);
                    rho.push_back(fit.validation.spearman), ++chosen[hwnas::execution_name(fit.execution)];
                }
                line += fmt::format(" | {:.3f} / {:.1f} / {:.4f}", median(r2), 100 * median(mape), median(rho));
                if (plain) continue;
                rank[i] = median(rho);
                executes += i ? "; " : "";
                for (bool first = true; const auto& [name, times] : chosen)
                    executes += fmt::format("{}{}{}", std::exchange(first, false) ? "" : ", ", name,
                                            chosen.size() > 1 ? fmt::format(" x{}", times) : "");
            }
        for (std::size_t i = 0; i < close.size(); ++i) close[i] += rank[i] >= rank[2] - 0.01;
        print(line + " | " + (executes == "everything; everything; everything" ? "everything" : executes) + " |\n");
    }
    print(fmt::format("\nSpearman within .01 of that with 1,000 networks: {} of {} columns with 30, {} with 100\n",
                      close[0], columns.size(), close[1]));
    return 0;
}

}  // namespace

int run_latency_fit(const LatencyFitCommand& command) {
    const auto columns = checked_columns(command);
    const auto space = hwnas::CodedSpace::named(command.space);
    if (command.table) return print_table(command, space, columns);
    const auto all = io::read_latency_csv(command.file, space, command.column);
    if (const auto most = static_cast<std::int64_t>(all.size()) - 2; command.train > most)
        hwnas::fail("{}: {} networks, --train {} leaves fewer than 2 to test on (at most {})", command.file, all.size(),
                    command.train, most);
    const auto fit = fitted(space, all, command.train, command.seed, command.plain);
    print(io::Json{{"column", command.column},
                   {"train", command.train},
                   {"test", fit.test},
                   {"r2", fit.validation.r2},
                   {"mape", fit.validation.mape},
                   {"spearman", fit.validation.spearman}}
              .dump() +
          "\n");
    return 0;
}

}  // namespace app
