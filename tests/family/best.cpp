// SPDX-License-Identifier: MIT
// Budgets: what is returned keeps them, what is not there is refused with what would do.
#include "family/searched.hpp"

#include <chrono>

namespace family_best_test {

using namespace hwnas;
using namespace hwnas::testing;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::WithinAbs;

namespace {

const Dataset& validation() {
    static const Dataset data = shades(300, 3);
    return data;
}
InfeasibleBudget refused(const Family& family, const Budget& budget,
                         const BestOptions& options = {.candidates = 2, .sessions = {7, 0, 7}}) {
    try {
        family.best(budget, validation(), options);
    } catch (const InfeasibleBudget& error) {
        return error;
    }
    throw std::logic_error("the budget was kept");
}
Family foreign() {
    const auto& space = searched().supernet().space();
    return searched_with(LatencyModel(space, made_up_table(space)));
}

}  // namespace

TEST_CASE("best: what is returned keeps its budget and is what was scored", "[family]") {
    const auto& family = searched();
    auto any = family.best({}, validation(), {.candidates = 4, .sessions = {7, 0, 7}});
    CHECK(any.accuracy > 0.5);
    CHECK(any.parameters == any.network.state().parameter_count());
    CHECK(any.parameters == any.network.size().parameters);
    CHECK(any.macs == any.network.size().macs);
    CHECK(any.basis == LatencyBasis::measured);
    CHECK(*any.measured_ms > 0);
    CHECK(*any.measured_limit_ms > *any.measured_ms * 0.5);
    CHECK(any.margin == 0);
    CHECK(any.predicted_ms == family.latency()->predict(any.genotype));
    CHECK(any.genotype == family.at(any.complexity));
    CHECK(any.scored == 4);
    CHECK(any.considered == static_cast<int>(family.sweep().size()));
    CHECK(std::abs(evaluate(any.network, validation()).metric - any.accuracy) < 1e-6);
    const auto smaller =
        family.best({.parameters = any.parameters - 1}, validation(), {.candidates = 4, .sessions = {7, 0, 7}});
    CHECK(smaller.parameters < any.parameters);
    const auto fewer = family.best({.macs = any.macs - 1}, validation(), {.candidates = 4, .sessions = {7, 0, 7}});
    CHECK(fewer.macs < any.macs);
    for (const int most : {1, 3}) {
        const auto counted = family.best({.counts = {{"depthwise_conv_3x3", most}, {"identity", 4}}}, validation(),
                                         {.candidates = 4, .sessions = {7, 0, 7}});
        auto counts = counted.genotype.counts();
        CHECK(counts["depthwise_conv_3x3"] <= most);
        CHECK(counts["identity"] <= 4);
    }
    CHECK(*family.best({.latency_ms = 1e6}, validation(), {.candidates = 2, .sessions = {7, 0, 7}}).measured_limit_ms <
          1e6);
    // It is ready to be trained further, and the family stays as it was.
    const auto before = family.mixture(uniform_complexity(3));
    fit(any.network, shades(128, 1), {.epochs = 1, .batch = 32});
    CHECK(family.mixture(uniform_complexity(3)) == before);
}

TEST_CASE("best: more candidates are never worse, and the best of all is found", "[family]") {
    const auto& family = searched();
    const auto all = family.sweep();
    const Budget budget{.parameters = 2'000};
    double most = 0;
    for (auto member : all)
        if (member.size.parameters <= budget.parameters) {
            family.score(member, validation());
            most = std::max(most, *member.accuracy);
        }
    const auto exhaustive = family.best(budget, validation(), {.candidates = static_cast<int>(all.size())});
    CHECK(exhaustive.accuracy == most);
    CHECK(family.best(budget, validation(), {.candidates = 8, .sessions = {7, 0, 7}}).accuracy >= most - 0.05);
    CHECK(exhaustive.parameters <= 2'000);
}

TEST_CASE("best: scores are paid for once, progress tells", "[family]") {
    const auto family = searched().clone();
    const auto before = family.scores().size();
    std::vector<ScoringProgress> told;
    const BestOptions options{.candidates = 6, .progress = [&](const ScoringProgress& p) { told.push_back(p); }};
    const auto other = shades(200, 8);
    const auto first = family.best({.parameters = 3'000}, other, options);
    REQUIRE(told.size() == 6);
    for (int i = 0; i < 6; ++i) {
        CHECK(told[static_cast<std::size_t>(i)].done == i + 1);
        CHECK(told[static_cast<std::size_t>(i)].total == 6);
        CHECK_FALSE(told[static_cast<std::size_t>(i)].cached);
    }
    CHECK(family.scores().size() == before + 6);
    told.clear();
    const auto again = family.best({.parameters = 3'000}, other, options);
    CHECK(again.genotype == first.genotype);
    CHECK(again.accuracy == first.accuracy);
    REQUIRE(told.size() == 6);
    for (const auto& p : told) CHECK(p.cached);
    CHECK(family.scores().size() == before + 6);
    // What is kept of one family serves another of the same weights: a file would do.
    const auto copy = searched().clone();
    family.scores().for_each([&](std::uint64_t key, const std::vector<int>& choices, double score) {
        copy.scores().insert(key, choices, score);
    });
    CHECK(copy.scores().size() == family.scores().size());
    // Other data, other statistics: other scores.
    CHECK(ScoreCache::key(other, {}) != ScoreCache::key(validation(), {}));
    CHECK(ScoreCache::key(other, {}) != ScoreCache::key(other, {.batches = 3}));
    CHECK(ScoreCache::key(other, {}) == ScoreCache::key(shades(200, 8), {}));
}

TEST_CASE("best: a budget that cannot be kept names what can", "[family]") {
    const auto& family = searched();
    const auto& space = family.supernet().space();
    std::int64_t least_parameters = std::numeric_limits<std::int64_t>::max(), least_macs = least_parameters;
    for (const auto& member : family.sweep()) {
        least_parameters = std::min(least_parameters, member.size.parameters);
        least_macs = std::min(least_macs, member.size.macs);
    }
    const auto large = refused(family, {.parameters = 10});
    // What was limited, and nothing else, with commas between thousands.
    const auto shown = [](std::int64_t n) {
        REQUIRE(n < 1'000'000);
        return n < 1'000 ? fmt::format("{}", n) : fmt::format("{},{:03}", n / 1'000, n % 1'000);
    };
    CHECK(large.what() ==
          fmt::format("best: no network of the family keeps 10 parameters; the nearest needs {} parameters",
                      shown(least_parameters)));
    CHECK(large.parameters == Network::network_size(space, large.smallest).parameters);
    CHECK(large.parameters == least_parameters);
    CHECK(family.best({.parameters = large.parameters}, validation(), {.candidates = 2, .sessions = {7, 0, 7}})
              .parameters == least_parameters);
    CHECK(refused(family, {.macs = 1}).macs == least_macs);
    CHECK(refused(family, {.macs = 1}).what() ==
          fmt::format("best: no network of the family keeps 1 multiply-adds; the nearest needs {} multiply-adds",
                      shown(least_macs)));
    CHECK_THAT(refused(family, {.latency_ms = 1e-9, .parameters = 5'000, .macs = 1'000'000}).what(),
               Catch::Matchers::Matches(
                   "best: no network of the family keeps 1e-09 ms, 5,000 parameters, 1,000,000 multiply-adds; the "
                   "nearest needs [0-9.e-]+ ms \\((measured|predicted)\\), [0-9,]+ parameters, [0-9,]+ multiply-adds"));
    // A local table: what it says is measured before it is refused; and what the error names is feasible.
    const auto slow = refused(family, {.latency_ms = 1e-9});
    CHECK(slow.basis == LatencyBasis::measured);
    CHECK_THAT(slow.what(), Catch::Matchers::EndsWith(" ms (measured)"));
    CHECK(slow.latency_ms > 0);
    CHECK(*family.best({.latency_ms = 2 * slow.latency_ms}, validation(), {.candidates = 2, .sessions = {7, 0, 7}})
               .measured_limit_ms <= 2 * slow.latency_ms);
    // Counts that contradict each other.
    const auto none = refused(family, {.counts = {{"depthwise_conv_3x3", 0}, {"identity", 0}, {"max_pool_3x3", 0}}});
    CHECK_THAT(none.what(), ContainsSubstring("keeps 0 edges of depthwise_conv_3x3, 0 edges of identity, 0 edges of "
                                              "max_pool_3x3; the nearest needs ") &&
                                ContainsSubstring(" edges of max_pool_3x3"));
}

TEST_CASE("best: a table of another device predicts, with a margin", "[family]") {
    const auto family = foreign();
    double least = HUGE_VAL, most = 0;
    for (const auto& member : family.sweep())
        least = std::min(least, member.predicted_ms), most = std::max(most, member.predicted_ms);
    const auto choice = family.best({.latency_ms = most}, validation(), {.candidates = 3, .sessions = {7, 0, 7}});
    CHECK(choice.basis == LatencyBasis::predicted);
    CHECK_FALSE(choice.measured_ms);
    CHECK_FALSE(choice.measured_limit_ms);
    CHECK(choice.margin == default_latency_margin);
    CHECK(choice.predicted_ms * 1.1 <= most);
    const auto wide = family.best({.latency_ms = most}, validation(), {.candidates = 3, .margin = 0.25});
    CHECK(wide.margin == 0.25);
    CHECK(wide.predicted_ms * 1.25 <= most);
    const auto error = refused(family, {.latency_ms = least}, {.candidates = 2, .margin = 0.05});
    CHECK(error.basis == LatencyBasis::predicted);
    CHECK(error.latency_ms == least * (1 + 0.05));
    CHECK_THAT(error.what(), Catch::Matchers::EndsWith(" ms (predicted)"));
    CHECK(family.best({.latency_ms = error.latency_ms}, validation(), {.candidates = 2, .margin = 0.05}).genotype ==
          error.smallest);
    // Whoever knows better says so.
    CHECK(family.best({}, validation(), {.candidates = 1, .measuring = Measuring::always}).basis ==
          LatencyBasis::measured);
    CHECK(searched().best({}, validation(), {.candidates = 1, .measuring = Measuring::never}).basis ==
          LatencyBasis::predicted);
    // A table that was checked carries its margin: measured = predicted / (1 - 0.2) at worst.
    auto checked = family.latency()->table();
    checked.checked = LatencyCheck{40, 0.98, 0.06, 0.2};
    const auto known = searched_with(LatencyModel(family.supernet().space(), checked));
    CHECK_THAT(known.best({}, validation(), {.candidates = 1, .sessions = {7, 0, 7}}).margin, WithinAbs(0.25, 1e-12));
    CHECK(known.best({}, validation(), {.candidates = 1, .margin = 0.5}).margin == 0.5);
    // One session's check says little of the next: no margin is smaller than what levels were seen to move by.
    checked.checked->error_p95 = 0.01;
    const auto sure = searched_with(LatencyModel(family.supernet().space(), checked));
    CHECK(sure.best({}, validation(), {.candidates = 1}).margin == least_latency_margin);
    CHECK(sure.best({}, validation(), {.candidates = 1, .margin = 0.0}).margin == 0);
    checked.checked->error_p95 = 0.95;
    const auto useless = searched_with(LatencyModel(family.supernet().space(), checked));
    CHECK_THROWS_WITH(useless.best({}, validation(), {.candidates = 1, .sessions = {7, 0, 7}}),
                      "best: the latency table was checked, and errors up to 95 % found: measure another");
    auto table = made_up_table(family.supernet().space());
    table.backend = "cuda:0";
    const auto of_a_card = searched_with(LatencyModel(family.supernet().space(), table));
    CHECK(of_a_card.best({}, validation(), {.candidates = 1, .sessions = {7, 0, 7}}).basis == LatencyBasis::predicted);
    CHECK_THROWS_WITH(of_a_card.best({}, validation(), {.candidates = 1, .measuring = Measuring::always}),
                      "best: the latency table is of cuda:0, this family is on cpu: it cannot be measured");
}

TEST_CASE("best: bad input", "[family]") {
    const auto& family = searched();
    const auto untimed = searched_with({});
    CHECK_THROWS_WITH(untimed.best({.latency_ms = 1}, validation()),
                      "best: a latency budget needs a family searched with a LatencyModel");
    const auto choice = untimed.best({}, validation(), {.candidates = 2, .sessions = {7, 0, 7}});
    CHECK_FALSE(choice.measured_ms);
    CHECK(choice.basis == LatencyBasis::none);
    CHECK_THROWS_WITH(untimed.best({.parameters = 10}, validation()),
                      ContainsSubstring("keeps 10 parameters; the nearest needs ") && !ContainsSubstring(" ms"));
    CHECK_THROWS_WITH(family.best({}, validation(), {.candidates = 0, .sessions = {7, 0, 7}}),
                      "best: 0 candidates; at least 1 is needed");
    CHECK_THROWS_WITH(family.best({}, validation(), {.margin = -0.1}),
                      "best: a margin of -0.1; a share from 0 on is expected, 0.1 is 10 %");
    CHECK_THROWS_WITH(family.best({.latency_ms = 0}, validation()),
                      "best: a latency budget of 0 ms; it must be above 0, and is not given where there is none");
    CHECK_THROWS_WITH(family.best({.latency_ms = NAN}, validation()),
                      "best: a latency budget of nan ms; it must be above 0, and is not given where there is none");
    CHECK_THROWS_WITH(family.best({.parameters = 0}, validation()), ContainsSubstring("a budget of 0 parameters"));
    CHECK_THROWS_WITH(family.best({.counts = {{"conv", 3}}}, validation()),
                      "architecture: no primitive \"conv\" in space pointwise (it has depthwise_conv_3x3, identity, "
                      "max_pool_3x3)");
    CHECK_THROWS_WITH(family.best({.counts = {{"identity", -1}}}, validation()),
                      "best: a budget of -1 edges of identity; 0 allows none");
    CHECK_THROWS_WITH(family.control(10, 1), "control: 10 samples, 1 points; at least 0 and 2");
}

TEST_CASE("front: no member beats another in everything", "[family]") {
    const auto& family = searched();
    const auto front = family.front(validation(), {.candidates = 16, .sessions = {7, 0, 7}});
    REQUIRE_FALSE(front.empty());  // one network may beat all others: measured times decide
    for (std::size_t i = 0; i < front.size(); ++i) {
        if (i) CHECK(front[i - 1].predicted_ms <= front[i].predicted_ms);
        for (std::size_t j = 0; j < front.size(); ++j)
            if (i != j)
                CHECK((front[j].predicted_ms > front[i].predicted_ms ||
                       front[j].size.parameters > front[i].size.parameters || *front[j].accuracy < *front[i].accuracy));
    }
    CHECK_THROWS_WITH(family.front(validation(), {.candidates = 0, .sessions = {7, 0, 7}}),
                      "front: 0 candidates; at least 1 is needed");

    const auto member = [](double ms, std::int64_t parameters, double accuracy) {
        FamilyMember m;
        m.predicted_ms = ms, m.size.parameters = parameters, m.accuracy = accuracy;
        return m;
    };
    const std::vector<FamilyMember> five{member(3, 30, 0.9), member(1, 10, 0.7), member(2, 40, 0.9), member(2, 10, 0.7),
                                         member(1, 10, 0.6)};
    CHECK(non_dominated(five) == std::vector<std::size_t>{1, 2, 0});
    CHECK(non_dominated(five, false) == std::vector<std::size_t>{4});
    CHECK(non_dominated({five[1], five[1]}).size() == 2);  // equals do not beat each other
    CHECK(non_dominated({}).empty());
    CHECK_THROWS_WITH(non_dominated({FamilyMember{}}), "front: a network without an accuracy; score it first");
}

TEST_CASE("selection: spread candidates, and what a regression expects", "[family]") {
    using namespace hwnas::detail;
    CHECK(similarity({1, 2, 0, 0}, {1, 2, 1, 0}) == 0.75);
    const std::vector<std::vector<int>> choices{{0, 0, 0, 0}, {0, 0, 0, 1}, {1, 1, 1, 1}, {0, 0, 0, 0}, {2, 2, 2, 2}};
    std::vector<const std::vector<int>*> pointers;
    for (const auto& c : choices) pointers.push_back(&c);
    CHECK(spread(pointers, {1, 1, 1, 1, 1}, 3) == std::vector<std::size_t>{0, 2, 4});
    CHECK(spread(pointers, {1, 1, 1, 1, 1}, 9) == std::vector<std::size_t>{0, 2, 4, 1});   // no copies
    CHECK(spread(pointers, {0.2, 0.2, 0.9, 0.2, 0.2}, 1) == std::vector<std::size_t>{2});  // near the limit first
    CHECK(spread({}, {}, 3).empty());
    // An additive truth is found from less than all of it.
    const auto truth = [](const std::vector<int>& c) {
        double sum = 0.7;
        for (std::size_t i = 0; i < c.size(); ++i)
            sum += 0.01 * static_cast<double>(i + 1) * (c[i] == 2) - 0.02 * (c[i] == 0);
        return sum;
    };
    const auto random = [](std::uint64_t n) {
        std::vector<int> c;
        for (std::uint64_t i = 0; i < 8; ++i)
            c.push_back(static_cast<int>(random::words_at(seed(1).stream("c"), i, n).w[0] % 3));
        return c;
    };
    std::vector<std::vector<int>> known;
    std::vector<double> scores, expected, true_scores;
    for (std::uint64_t n = 0; n < 40; ++n) known.push_back(random(n)), scores.push_back(truth(known.back()));
    const ScoreRegression regression(known, scores, 0.01);
    for (std::uint64_t n = 100; n < 150; ++n)
        expected.push_back(regression(random(n))), true_scores.push_back(truth(random(n)));
    CHECK(spearman(expected, true_scores) > 0.9);
    CHECK(std::abs(ScoreRegression({{0, 1}}, {0.5})({0, 1}) - 0.5) < 1e-12);
}

TEST_CASE("repeated measurement: the limit covers one more session", "[family]") {
    const auto steady = repeated_measurement({2.0, 2.0, 2.0});
    CHECK(steady.median == 2.0);
    CHECK(steady.limit == 2.0);
    const auto three = repeated_measurement({1.0, 3.0, 2.0});
    CHECK(three.median == 2.0);
    CHECK(std::abs(three.limit - (2 + 6.965 * std::sqrt(4.0 / 3))) < 1e-9);
    CHECK(repeated_measurement({1.0, 2.0}).median == 1.5);
    CHECK(three.disturbed == 0);
    CHECK_THROWS_WITH(repeated_measurement({1.0}), "measure: 1 sessions, a spread needs at least 2");
    // 99 % of normal sessions: 400 times seven sessions and an eighth, within three deviations of a binomial.
    int within = 0;
    for (std::uint64_t i = 0; i < 400; ++i) {
        std::vector<double> sessions;
        for (std::uint64_t j = 0; j < 8; ++j) {
            const auto words = random::words_at(seed(5).stream("sessions"), j, i);
            sessions.push_back(1 + 0.02 * random::normal_pair(words.w[0], words.w[1])[0]);
        }
        const double next = sessions.back();
        sessions.pop_back();
        within += next <= repeated_measurement(sessions).limit;
    }
    CHECK(within >= 390);
    CHECK(within < 400);
    const auto& family = searched();
    const Network network(family.supernet().space(), family.at(uniform_complexity(3)), test_device(1));
    SpeedReference reference(Network(family.supernet().space(), family.at(uniform_complexity(3)), test_device(1)));
    const auto measured =
        measure_sessions({&network, &network}, reference, {.count = 3, .pause = 0, .most = 4}, {.repeats = 5});
    REQUIRE(measured.size() == 2);
    CHECK(measured[1].sessions.size() >= 3);
    CHECK(measured[1].sessions.size() <= 4);
    CHECK(measured[1].limit >= measured[1].median * 0.99);
    const auto refused = [&](const SessionOptions& when) { measure_sessions({&network}, reference, when, {}); };
    CHECK_THROWS_WITH(refused({.count = 1}), "measure: 1 sessions, a spread needs at least 2");
    CHECK_THROWS_WITH(refused({.count = 3, .most = 2}), "measure: 3 sessions wanted, 2 allowed");
    CHECK_THROWS_WITH(refused({.pause = -1}), "measure: pauses of -1 s between sessions, 0 to 60 are possible");
    const auto start = std::chrono::steady_clock::now();
    measure_sessions({&network}, reference, {.count = 3, .pause = 0.05, .most = 3}, {.repeats = 1});
    CHECK(std::chrono::steady_clock::now() - start >= std::chrono::milliseconds(100));
}

TEST_CASE("repeated measurement: sessions that found the machine slow do not count", "[family]") {
    const auto& family = searched();
    SpeedReference reference(Network(family.supernet().space(), family.at(uniform_complexity(3)), test_device(1)));
    const std::vector<double> machine{1.00, 1.01, 1.40, 0.99, 1.00, 1.04, 1.41};
    for (const double ms : machine) reference.see(ms);
    CHECK_FALSE(reference.disturbed(1.04));
    CHECK(reference.disturbed(1.07));
    CHECK_FALSE(reference.disturbed(0.5));
    const auto measured = repeated_measurement({2.00, 2.02, 2.80, 1.98, 2.00, 2.06, 2.90}, machine, reference);
    CHECK(measured.disturbed == 2);
    CHECK(measured.sessions.size() == 7);
    CHECK(measured.median == 2.00);
    CHECK(measured.limit == repeated_measurement({2.00, 2.02, 1.98, 2.00, 2.06}).limit);
    // It is the reference that tells: a network that was slow while the machine was not is slow.
    const auto slow = repeated_measurement({2.00, 2.02, 2.01, 2.90, 2.00, 2.06, 2.90}, machine, reference);
    CHECK(slow.disturbed == 2);
    CHECK(slow.limit > 2.9);
    // A machine that is slow most of the time is a slow machine.
    for (int i = 0; i < 20; ++i) reference.see(1.40);
    CHECK_FALSE(reference.disturbed(1.41));
    CHECK(repeated_measurement({2.00, 2.80, 2.80}, {1.00, 1.40, 1.40}, reference).disturbed == 0);
    // Two steady sessions say too little: then all count.
    SpeedReference other(Network(family.supernet().space(), family.at(uniform_complexity(3)), test_device(1)));
    for (const double ms : {1.0, 1.0, 1.0, 1.4, 1.4}) other.see(ms);
    CHECK(repeated_measurement({2.0, 2.0, 2.8}, {1.0, 1.0, 1.4}, other).disturbed == 0);
}

TEST_CASE("family: a thousand candidates are predicted in less than a second", "[family]") {
    // The real space, untrained weights: what is timed does not depend on them. At -O1, on a busy machine.
    const auto space = SearchSpace::pointwise();
    const auto device = test_device(1);
    const Family family(
        SuperNet(space, device, seed(1)), HyperNet(space, device, seed(1)), LatencyModel(space, made_up_table(space)),
        std::make_shared<DeviceDataset>(DeviceDataset::upload(shades(4, 1), device)), classification<float>());
    const auto start = std::chrono::steady_clock::now();
    const auto sample = family.sample(1'000);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    CHECK(sample.size() == 1'000);
    CHECK(seconds < 1);
}

}  // namespace family_best_test
