// SPDX-License-Identifier: MIT
// study: what its jobs share, and those that score and measure.
#include "study.hpp"

#include <algorithm>
#include <numeric>
#include <set>

namespace app {

namespace io = hwnas::io;
using io::Json;

hwnas::Genotype Study::random_genotype(int number) const {
    return hwnas::random_genotype(searched_.family.architecture(),
                                  hwnas::seed(searched_.config.seed).stream("study/random"),
                                  static_cast<std::uint64_t>(number));
}
hwnas::FamilyMember Study::member(const hwnas::Genotype& genotype) const {
    hwnas::FamilyMember m;
    m.choices = genotype.choices(searched_.family.architecture());
    m.genotype = genotype;
    m.size = hwnas::Network::network_size(searched_.family.supernet().space(), genotype);
    m.predicted_ms = searched_.family.latency()->predict(genotype);
    return m;
}
double Study::score(const hwnas::Genotype& genotype, const hwnas::Dataset& data) {
    if (stop_requested()) throw StudyInterrupted{};
    auto m = member(genotype);
    searched_.family.score(m, data);
    return *m.accuracy;
}
std::int64_t Study::channels_for(const hwnas::Genotype& genotype, std::int64_t parameters) const {
    auto options = searched_.family.supernet().space().options();
    std::int64_t widest = 0;
    for (std::int64_t c = 1; c <= 256; ++c) {
        options.channels = c;
        if (hwnas::Network::network_size(hwnas::SearchSpace::named(searched_.config.space, options), genotype)
                .parameters > parameters)
            break;
        widest = c;
    }
    if (widest == 0) hwnas::fail("study: no width of {} has at most {} parameters", genotype, parameters);
    return widest;
}
hwnas::FitOptions Study::recipe(const std::string& name, int epochs, int seed) const {
    const auto has = [&](const char* part) { return name == "full" || name == part; };
    hwnas::FitOptions options{.epochs = epochs, .label_smoothing = has("smoothing") ? 0.05 : 0.0};
    options.seed = hwnas::seed(static_cast<std::uint64_t>(seed));
    options.warmup = has("warmup") ? 1 : 0;
    if (has("shift")) options.augment.shift = 2;
    if (has("flip")) options.augment.flip = true;
    if (has("erase")) options.augment.erase = 0.5;
    if (has("average")) options.average = 0.999;
    return options;
}
std::optional<hwnas::Device> Study::local() const {
    return hwnas::detail::measuring_device(searched_.family.latency()->table(), searched_.family.supernet().device(),
                                           hwnas::Measuring::automatic);
}
hwnas::MeasureOptions Study::timing() const {
    const auto& table = searched_.family.latency()->table();
    return {.batch = table.batch,
            .threads = table.threads,
            .repeats = quick_timing_ ? 5 : 200,
            .seconds = quick_timing_ ? 0.5 : 60.0};
}
hwnas::SpeedReference& Study::speed(const hwnas::Device& device) {
    if (!speed_) {
        speed_.emplace(hwnas::Network(searched_.family.supernet().space(), random_genotype(0), device));
        // What is usual, before anything is judged by it.
        const int sessions = quick_timing_ ? 2 : 30;
        hwnas::measure_sessions({}, *speed_, {sessions, quick_timing_ ? 0 : 0.5, sessions}, timing());
    }
    return *speed_;
}
double Study::budget_at(double percentile) const {
    std::vector<double> predicted;
    for (int i = 0; i < scale_.population; ++i)
        predicted.push_back(searched_.family.latency()->predict(random_genotype(i)));
    std::sort(predicted.begin(), predicted.end());
    return predicted[static_cast<std::size_t>(percentile / 100 * static_cast<double>(predicted.size() - 1) + 0.5)];
}

/// Predicted against measured, everything measured twice.
Json Study::latency_job() {
    const auto device = local();
    if (!device)
        throw StudyElsewhere{
            fmt::format("job latency measures, and the latency table is of {} ({} kernels): run it there",
                        searched_.family.latency()->table().device, searched_.family.latency()->table().isa)};
    std::vector<hwnas::Genotype> genotypes;
    for (int i = 0; i < scale_.latency_networks; ++i) genotypes.push_back(random_genotype(i));
    for (const auto& m : searched_.family.sample(scale_.latency_networks, hwnas::seed(1)))
        genotypes.push_back(m.genotype);
    std::vector<hwnas::Network> networks;
    std::vector<double> predicted, first, second;
    for (const auto& genotype : genotypes) {
        networks.emplace_back(searched_.family.supernet().space(), genotype, *device);
        predicted.push_back(searched_.family.latency()->predict(genotype));
    }
    for (auto* medians : {&first, &second})
        for (const auto& m : hwnas::measure_all(networks, timing())) medians->push_back(m.median);
    const auto mape = [&](const std::function<double(std::size_t)>& value) {
        double sum = 0;
        for (std::size_t i = 0; i < first.size(); ++i) sum += std::abs(value(i) - first[i]) / first[i];
        return sum / static_cast<double>(first.size());
    };
    double constant = HUGE_VAL;  // its best value is one of the measured ones
    for (const double c : first) constant = std::min(constant, mape([&](std::size_t) { return c; }));
    Json rows = Json::array();
    for (std::size_t i = 0; i < genotypes.size(); ++i)
        rows.push_back(
            {{"genotype", genotypes[i].str()}, {"predicted", predicted[i]}, {"measured", {first[i], second[i]}}});
    return {{"networks", rows.size()},
            {"spearman", hwnas::spearman(predicted, first)},
            {"spearman_between_measurements", hwnas::spearman(first, second)},
            {"kendall", hwnas::kendall(predicted, first)},
            {"mape", mape([&](std::size_t i) { return predicted[i]; })},
            {"mape_between_measurements", mape([&](std::size_t i) { return second[i]; })},
            {"mape_of_best_constant", constant},
            {"rows", std::move(rows)}};
}

/// The family's choice within a latency budget beside the best of random networks within it: both chosen on one half
/// of the held-out images and judged on the other, weights inherited.
Json Study::budget_job(double percentile) {
    const auto& family = searched_.family;
    const double budget = budget_at(percentile);
    const double start = seconds_now();
    hwnas::BestOptions options{.candidates = scale_.candidates, .progress = [&](const hwnas::ScoringProgress&) {
                                   if (stop_requested()) throw StudyInterrupted{};
                               }};
    if (quick_timing_) options.sessions = {3, 0, 3}, options.measure.repeats = 20;
    Json json = {{"percentile", percentile}, {"budget_ms", budget}};
    try {
        const auto choice = family.best({.latency_ms = budget}, choose_, options);
        const double chosen_in = seconds_now() - start;
        const auto device = local();
        std::optional<hwnas::RepeatedMeasurement> again;
        if (device) {
            const hwnas::Network network(family.supernet().space(), choice.genotype, *device);
            again = hwnas::measure_sessions({&network}, speed(*device), options.sessions, timing())[0];
        }
        json["family"] = {{"genotype", choice.genotype.str()},
                          {"chosen", choice.accuracy},
                          {"judged", score(choice.genotype, judge_)},
                          {"basis", hwnas::latency_basis_name(choice.basis)},
                          {"predicted_ms", choice.predicted_ms},
                          {"measured_ms", choice.measured_ms ? Json(*choice.measured_ms) : Json(nullptr)},
                          {"measured_again_ms", again ? Json(again->median) : Json(nullptr)},
                          {"sessions_again", again ? Json(again->sessions) : Json(nullptr)},
                          {"disturbed_again", again ? Json(again->disturbed) : Json(nullptr)},
                          {"within", again ? Json(again->median <= budget) : Json(nullptr)},
                          {"parameters", choice.parameters},
                          {"scored", choice.scored},
                          {"seconds", chosen_in}};
    } catch (const hwnas::InfeasibleBudget& error) {
        json["family"] = {{"infeasible", error.what()}};
    }
    std::vector<double> chosen, judged;
    std::vector<std::string> genotypes;
    double saved = seconds_now();
    for (int i = 0; static_cast<int>(chosen.size()) < scale_.rivals && i < 1'000 * scale_.rivals; ++i) {
        const auto genotype = random_genotype(i);
        if (family.latency()->predict(genotype) > budget) continue;
        chosen.push_back(score(genotype, choose_)), judged.push_back(score(genotype, judge_));
        genotypes.push_back(genotype.str());
        if (seconds_now() - saved < 20) continue;  // a kill costs twenty seconds
        write_scores(directory_ / "scores.json", searched_.checkpoint_digest, family.scores());
        saved = seconds_now();
    }
    if (chosen.empty()) hwnas::fail("study: no random network within {} ms", budget);
    const auto best = static_cast<std::size_t>(std::max_element(chosen.begin(), chosen.end()) - chosen.begin());
    double mean = 0;
    for (const double x : judged) mean += x / static_cast<double>(judged.size());
    json["random"] = {{"networks", chosen.size()},
                      {"genotype", genotypes[best]},
                      {"chosen", chosen[best]},
                      {"judged", judged[best]},
                      {"judged_mean", mean}};
    return json;
}

/// The front, and those of it that are retrained: first what would be chosen instead of the random networks, at no more
/// latency or parameters than each, then what is spread evenly over it, its ends included.
Json Study::front_job() {
    const auto front = searched_.family.front(choose_, {.candidates = std::max(scale_.candidates, scale_.front)});
    const auto choice = [&](const auto& costs_no_more) {
        auto best = front.end();
        for (auto m = front.begin(); m != front.end(); ++m)
            if (costs_no_more(*m) && (best == front.end() || *m->accuracy > *best->accuracy)) best = m;
        return static_cast<std::size_t>(best - front.begin());
    };
    std::vector<int> wanted(front.size() + 1);  // the last: by nothing on the front
    for (int i = 0; i < scale_.randoms; ++i) {
        const auto random = member(random_genotype(i));
        ++wanted[choice([&](const auto& m) { return m.predicted_ms <= random.predicted_ms; })];
        ++wanted[choice([&](const auto& m) { return m.size.parameters <= random.size.parameters; })];
    }
    std::vector<std::size_t> order(front.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(),
              [&](auto i, auto j) { return wanted[i] != wanted[j] ? wanted[i] > wanted[j] : i < j; });
    std::erase_if(order, [&](auto i) { return wanted[i] == 0; });
    const auto n = std::min(front.size(), static_cast<std::size_t>(scale_.front));
    for (std::size_t i = 0; i < n; ++i) order.push_back(n > 1 ? i * (front.size() - 1) / (n - 1) : 0);
    for (std::size_t i = 0; i < front.size(); ++i) order.push_back(i);

    const auto json = [](const hwnas::FamilyMember& m) -> Json {
        return {{"genotype", m.genotype.str()},
                {"predicted_ms", m.predicted_ms},
                {"parameters", m.size.parameters},
                {"chosen", *m.accuracy}};
    };
    Json members = Json::array(), networks = Json::array();
    for (const auto& m : front) members.push_back(json(m));
    std::set<std::size_t> taken;
    for (const auto i : order)
        if (networks.size() < n && taken.insert(i).second) {
            networks.push_back(json(front[i]));
            networks.back()["judged"] = score(front[i].genotype, judge_);
        }
    return {{"size", front.size()}, {"members", std::move(members)}, {"networks", std::move(networks)}};
}

Json Study::choice_job() {
    const auto choice =
        searched_.family.best({}, choose_, {.candidates = scale_.candidates, .measuring = hwnas::Measuring::never});
    return {
        {"genotype", choice.genotype.str()}, {"chosen", choice.accuracy}, {"judged", score(choice.genotype, judge_)}};
}

}  // namespace app
