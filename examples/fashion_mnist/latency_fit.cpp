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

void check_train(const LatencyFitCommand& command, std::int64_t train, std::size_t networks) {
    if (train > static_cast<std::int64_t>(networks) - 2)
        hwnas::fail("{}: {} networks, --train {} leaves fewer than 2 to test on (at most {})", command.file, networks,
                    train, static_cast<std::int64_t>(networks) - 2);
}

/// Every column at three sizes: medians over seeds, the model beside plain ridge regression.
int print_table(const LatencyFitCommand& command, const hwnas::CodedSpace& space) {
    constexpr std::array<std::int64_t, 3> sizes{30, 100, 1'000};
    print(
        fmt::format("R2 / MAPE % / Spearman, medians over seeds 1 to {}\n\n"
                    "| column | 30 | 100 | 1,000 | plain ridge, 30 | 100 | 1,000 | executes |\n"
                    "|---|---|---|---|---|---|---|---|\n",
                    command.seeds));
    std::array<int, 2> close{};
    const auto columns = io::latency_csv_columns(command.file);
    for (const auto& column : columns) {
        const auto all = io::read_latency_csv(command.file, space, column);
        check_train(command, sizes.back(), all.size());
        std::string line = "| " + column, executes;
        std::array<double, 3> rank{};
        for (const bool plain : {false, true})
            for (std::size_t i = 0; i < sizes.size(); ++i) {
                std::vector<double> r2, mape, rho;
                std::map<std::string, int> chosen;
                for (int seed = 1; seed <= command.seeds; ++seed) {
                    const auto fit = fitted(space, all, sizes[i], static_cast<std::uint64_t>(seed), plain);
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
    if (command.file.empty()) throw UsageError("latency-fit: FILE.csv is missing");
    if (command.space.empty()) throw UsageError("latency-fit: --space is missing (nasbench201, fbnet)");
    const auto space = hwnas::CodedSpace::named(command.space);
    if (command.table) {
        if (!command.column.empty() || command.train > 0)
            throw UsageError("latency-fit: --table fits every column at its own sizes, without --column and --train");
        return print_table(command, space);
    }
    if (command.column.empty()) throw UsageError("latency-fit: --column is missing, the name of a column of the file");
    if (command.train == 0) throw UsageError("latency-fit: --train is missing, how many networks to fit to");
    const auto all = io::read_latency_csv(command.file, space, command.column);
    check_train(command, command.train, all.size());
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
