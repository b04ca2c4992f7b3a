// SPDX-License-Identifier: MIT
// study: what its results say so far.
#include "study.hpp"

#include <hwnas/report/table.hpp>

#include <algorithm>
#include <optional>
#include <set>

namespace app {

using hwnas::io::Json;

namespace {

struct Spread {
    double mean = 0, deviation = 0;
    std::size_t count = 0;
};
Spread spread_of(const std::vector<double>& values) {
    Spread s{.count = values.size()};
    for (const double x : values) s.mean += x / static_cast<double>(values.size());
    for (const double x : values) s.deviation += (x - s.mean) * (x - s.mean);
    s.deviation = values.size() > 1 ? std::sqrt(s.deviation / static_cast<double>(values.size() - 1)) : 0;
    return s;
}
Json spread_json(const std::vector<double>& values) {
    const auto s = spread_of(values);
    return {{"mean", s.mean},
            {"deviation", s.deviation},
            {"standard_error", s.count > 0 ? s.deviation / std::sqrt(static_cast<double>(s.count)) : 0.0},
            {"count", s.count}};
}
/// A network trained from scratch at its own width. chosen: its accuracy on the images that choose, for one of the
/// front.
struct Trained {
    std::optional<double> chosen;
    double predicted_ms, parameters, accuracy;
};
/// By how much the one of the front that would have been chosen, of those that cost no more, is above each random
/// network; and how many of these nothing of the front is as cheap as.
Json gains_of_front(const std::vector<Trained>& networks, double Trained::* cost) {
    std::vector<double> gains;
    int without = 0;
    for (const auto& random : networks) {
        if (random.chosen) continue;
        const Trained* best = nullptr;
        for (const auto& other : networks)
            if (other.chosen && other.*cost <= random.*cost && (!best || *other.chosen > *best->chosen)) best = &other;
        if (best)
            gains.push_back(best->accuracy - random.accuracy);
        else
            ++without;
    }
    auto json = spread_json(gains);
    json["without"] = without;
    return json;
}
std::string shown_spread(const Json& spread) {
    return fmt::format("{:.2f} +- {:.2f} % ({})", 100 * spread["mean"].get<double>(),
                       100 * spread["deviation"].get<double>(), spread["count"].get<int>());
}

}  // namespace

Json Study::summary() const {
    Json json = {{"schema", "hwnas-study-summary/1"}};
    const bool tested = done("test");
    const Json test = tested ? result("test")["accuracy"] : Json::object();
    json["images"] = tested ? "test" : "judging half of the held-out images";
    const auto accuracy = [&](const std::string& job) {
        return tested ? test[job].get<double>() : result(job)["judged"].get<double>();
    };
    if (done("latency")) {
        json["latency"] = result("latency");
        json["latency"].erase("rows");
    }
    int budgets = 0, kept = 0, infeasible = 0, close = 0;
    std::vector<double> gains;
    std::vector<double> recalibrated, retrained;
    std::vector<Trained> trained;
    const Json front = done("front") ? result("front")["networks"] : Json::array();
    std::set<std::string> seen;  // a small front has some of its networks twice among the jobs
    std::map<std::string, std::vector<double>> groups;
    for (const auto& job : jobs_) {
        if (!done(job.name)) continue;
        if (job.name.rfind("budget/", 0) == 0) {
            const auto r = result(job.name);
            ++budgets;
            if (r["family"].contains("infeasible")) {
                ++infeasible;
                continue;
            }
            kept += r["family"]["within"].is_boolean() && r["family"]["within"].get<bool>();
            gains.push_back(r["family"]["judged"].get<double>() - r["random"]["judged"].get<double>());
            close += gains.back() >= -0.003;
        }
        if (job.name.rfind("rank/", 0) == 0) {
            const auto r = result(job.name);
            if (!seen.insert(r["genotype"]).second) continue;
            recalibrated.push_back(r["recalibrated_judged"]), retrained.push_back(accuracy(job.name));
            std::optional<double> chosen;
            if (job.name.rfind("rank/front/", 0) == 0)
                for (const auto& member : front)
                    if (member["genotype"] == r["genotype"]) chosen = member["chosen"].get<double>();
            trained.push_back({chosen, r["predicted_ms"], r["parameters"], accuracy(job.name)});
        }
        const auto last = job.name.rfind('/');
        if (job.name.rfind("recipe/", 0) == 0)
            groups[job.name].push_back(accuracy(job.name));
        else if (std::count(job.name.begin(), job.name.end(), '/') >= 2)
            groups[job.name.substr(0, last)].push_back(accuracy(job.name));
    }
    if (budgets > 0)
        json["budgets"] = {{"done", budgets},
                           {"measured_within", kept},
                           {"infeasible", infeasible},
                           {"within_0.3_points_of_best_random", close},
                           {"gain_over_best_random", spread_json(gains)}};
    if (recalibrated.size() >= 2)
        json["rank"] = {{"networks", recalibrated.size()},
                        {"kendall_recalibrated_retrained", hwnas::kendall(recalibrated, retrained)}};
    if (trained.size() >= 2)
        json["front_over_random"] = {{"at_no_more_latency", gains_of_front(trained, &Trained::predicted_ms)},
                                     {"at_no_more_parameters", gains_of_front(trained, &Trained::parameters)}};
    json["retrained"] = Json::object();
    for (const auto& [name, values] : groups) json["retrained"][name] = spread_json(values);
    json["searches"] = Json::array();
    for (const auto& job : jobs_)
        if (job.name.rfind("search/", 0) == 0 && done(job.name)) json["searches"].push_back(result(job.name));
    return json;
}

std::string Study::table() const {
    const auto json = summary();
    hwnas::TextTable table;
    const std::string tau =
        json.contains("rank")
            ? fmt::format(" (Kendall's tau of recalibrated and retrained accuracy: {:.2f} over {} networks)",
                          json["rank"]["kendall_recalibrated_retrained"].get<double>(),
                          json["rank"]["networks"].get<int>())
            : std::string(" (their rank correlation with retrained accuracy is not known yet)");
    table.add({"study", "result"});
    if (json.contains("latency") && json["latency"].contains("spearman"))
        table.add({"predicted against measured",
                   fmt::format("Spearman {:.3f}, between two measurements {:.3f}; MAPE {:.1f} %, of the "
                               "best constant {:.1f} %",
                               json["latency"]["spearman"].get<double>(),
                               json["latency"]["spearman_between_measurements"].get<double>(),
                               100 * json["latency"]["mape"].get<double>(),
                               100 * json["latency"]["mape_of_best_constant"].get<double>())});
    if (json.contains("budgets")) {
        const auto& b = json["budgets"];
        table.add({"budgets", fmt::format("{} of {} measured within, {} refused", b["measured_within"].get<int>(),
                                          b["done"].get<int>(), b["infeasible"].get<int>())});
        table.add({"  over the best random",
                   fmt::format("{:+.2f} points on average, {} of {} not 0.3 below",
                               100 * b["gain_over_best_random"]["mean"].get<double>(),
                               b["within_0.3_points_of_best_random"].get<int>(), b["done"].get<int>())});
    }
    if (json.contains("front_over_random"))
        for (const auto& [name, cost] :
             {std::pair{"at_no_more_latency", "latency"}, {"at_no_more_parameters", "parameters"}}) {
            const auto& gain = json["front_over_random"][name];
            if (gain["count"] == 0) continue;
            table.add({fmt::format("front at no more {}", cost),
                       fmt::format("{:+.2f} points over {} random networks, standard error {:.2f}; {} without",
                                   100 * gain["mean"].get<double>(), gain["count"].get<int>(),
                                   100 * gain["standard_error"].get<double>(), gain["without"].get<int>())});
        }
    for (const auto& [name, spread] : json["retrained"].items()) table.add({name, shown_spread(spread)});
    for (const auto& search : json["searches"]) {
        const auto& family = search["family"];
        table.add({fmt::format("search for {:.4g} ms", search["budget_ms"].get<double>()),
                   search["best"].is_null()
                       ? fmt::format("no try kept the budget, in {:.0f} s", search["seconds"].get<double>())
                       : fmt::format("{:.2f} % in {:.0f} s", 100 * search["best"]["judged"].get<double>(),
                                     search["seconds"].get<double>())});
        table.add(
            {"  the family", family.contains("infeasible")
                                 ? "has none"
                                 : fmt::format("{:.2f} % in {:.0f} s, after one search of {:.0f} s for all budgets",
                                               100 * family["judged"].get<double>(), family["seconds"].get<double>(),
                                               family["search_seconds"].get<double>())});
    }
    return table.str() + "Accuracies are of " + json["images"].get<std::string>() +
           "; those with inherited weights choose, they are no result" + tau + ".\n";
}

}  // namespace app
