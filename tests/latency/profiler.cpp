// SPDX-License-Identifier: MIT
// profile(): complete tables for every kind of space, and the errors. How well they predict is in profiler_slow.cpp.
#include <hwnas/latency/profile_networks.hpp>
#include <hwnas/latency/profiler.hpp>

#include <set>

#include "latency/space_table.hpp"
#include "support/catch.hpp"
#include "support/random_tensor.hpp"

namespace latency_profiler_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {
constexpr double quick = 0.05;
}

TEST_CASE("a profile has every row of its space, once, and provenance", "[latency]") {
    const auto device = test_device(1);
    SpaceOptions own{.image = {8, 8, 1}, .channels = 4, .cells = 2, .nodes = 2};
    own.additional.push_back(primitives::separable_conv(5));
    // Nothing that runs, but no identity by name: its units take no time.
    own.additional.push_back(Primitive(
        "skip", [](const Site&) { return PrimitiveState{}; },
        [](const auto& x, const auto&, const Site&, Phase) { return x; }));
    std::vector<SearchSpace> spaces{
        SearchSpace::pointwise(own),
        SearchSpace::custom("own", {primitives::max_pool_norm()}, own, NodeTransform::pointwise)};
    for (const char* name : {"paper", "pointwise", "separable"})
        for (const auto sharing : {RowSharing::kind, RowSharing::all, RowSharing::none})
            spaces.push_back(
                SearchSpace::named(name, {.image = {9, 8, 3}, .channels = 2, .nodes = 3, .sharing = sharing}));
    for (const auto& space : spaces) {
        CAPTURE(space.name(), space.architecture().rows(), space.architecture().k());
        const auto table =
            profile(space, device, {.batch = 2, .repeats = 2, .warmup = 1, .seconds = quick, .networks = 2});
        CHECK_NOTHROW(LatencyModel(space, table));
        const auto wanted = made_up_table(space, 2);
        CHECK(table.rows.size() == wanted.rows.size());
        std::set<std::string> keys;
        for (const auto& row : table.rows) {
            CHECK(keys.insert(row.key()).second);
            CHECK(row.count >= 2);
            CHECK((row.median >= 0 && row.mean >= 0 && row.deviation >= 0 && row.p90 >= row.median));
            CHECK((row.median > 0) == (row.unit != "skip/first"));
            CHECK(wanted.find(row.unit, row.input, row.stride) != nullptr);
        }
        CHECK(table.space == space.name());
    }
    const auto table = profile(spaces[0], device, {.threads = 2, .repeats = 1, .warmup = 0, .seconds = quick});
    CHECK(table.threads == 2);
    CHECK(table.batch == 1);
    CHECK(table.backend == "cpu");
    CHECK(table.isa == cpu::isa_name(cpu::best_isa()));
    CHECK(table.dtype == "float32");
    CHECK(table.library == version);
    CHECK(table.date.size() == 20);
    CHECK(table.date.back() == 'Z');
    CHECK(table.clock_resolution_ns > 0);
    for (const auto* text : {&table.device, &table.compiler, &table.build, &table.method}) CHECK_FALSE(text->empty());
}

TEST_CASE("profile reports progress and keeps its time", "[latency]") {
    const auto space = SearchSpace::paper({.image = {8, 8, 1}, .channels = 4, .cells = 1, .nodes = 2});
    std::vector<double> seen;
    const auto start = std::chrono::steady_clock::now();
    profile(space, test_device(1),
            {.repeats = 1'000'000'000, .seconds = 0.1, .progress = [&](double done) { seen.push_back(done); }});
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    CHECK(seconds < 5);
    REQUIRE(seen.size() >= 3);
    CHECK(std::is_sorted(seen.begin(), seen.end()));
    CHECK(seen.front() < 1);
    CHECK(seen.back() == 1);
}

TEST_CASE("measure times whole networks, on as many threads as asked for", "[latency]") {
    const auto space = SearchSpace::pointwise({.image = {8, 8, 1}, .channels = 4, .cells = 2});
    const auto& a = space.architecture();
    const auto device = test_device(2);
    std::vector<Network> networks;
    for (int m = 0; m < a.k(); ++m)
        networks.emplace_back(space, Genotype::from_choices(a, std::vector<int>(static_cast<std::size_t>(a.rows()), m)),
                              device);
    const auto all = measure_all(networks, {.repeats = 20, .seconds = 0.2});
    REQUIRE(all.size() == 3);
    for (const auto& found : all) {
        CHECK(found.count >= 20);
        CHECK((found.median > 0 && found.mean > 0 && found.deviation >= 0 && found.p90 >= found.median));
        CHECK(found.count == all[0].count);
    }
    CHECK(measure(networks[0], {.batch = 4, .threads = 2, .repeats = 3, .warmup = 0, .seconds = quick}).median > 0);
    CHECK(measure_all(std::vector<Network>{}).empty());
}

TEST_CASE("statistics of samples", "[latency]") {
    std::vector<double> samples{5, 1, 4, 2, 3, 100, 6, 7, 8, 9, 10};
    const auto found = hwnas::detail::latency_statistics(samples);
    CHECK(found.count == 11);
    CHECK(found.median == 6);
    CHECK(found.p90 == 10);
    CHECK_THAT(found.mean, Catch::Matchers::WithinRel(155.0 / 11, 1e-12));
    CHECK_THAT(found.deviation, Catch::Matchers::WithinRel(std::sqrt((10385 - 155.0 * 155 / 11) / 10), 1e-12));
    std::vector<double> one{2}, none;
    CHECK(hwnas::detail::latency_statistics(one).deviation == 0);
    CHECK(hwnas::detail::latency_statistics(one).p90 == 2);
    CHECK(hwnas::detail::latency_statistics(none).count == 0);
}

TEST_CASE("the interval of a median is that of the binomial distribution", "[latency]") {
    using hwnas::detail::outside_median_interval;
    // Published ranks of the sign test: below 6 there is none; n = 6: 1 and 6; 10: 2 and 9; 20: 6 and 15; 50: 18
    // and 33.
    CHECK_FALSE(outside_median_interval(0));
    CHECK_FALSE(outside_median_interval(5));
    CHECK(outside_median_interval(6) == 0u);
    CHECK(outside_median_interval(10) == 1u);
    CHECK(outside_median_interval(20) == 5u);
    CHECK(outside_median_interval(50) == 17u);
    std::vector<double> samples{10, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    const auto found = hwnas::detail::latency_statistics(samples);
    CHECK((found.low == 2 && found.high == 9));
    CHECK_FALSE(hwnas::detail::settled(found));
    CHECK(hwnas::detail::settled(found, 7));
    std::vector<double> few{1, 1, 1};
    CHECK_FALSE(hwnas::detail::settled(hwnas::detail::latency_statistics(few)));
    std::vector<double> same(6, 1.0);
    CHECK(hwnas::detail::settled(hwnas::detail::latency_statistics(same)));
    // It holds the median of an exponential distribution in about 95 % of repetitions.
    int held = 0;
    for (std::uint64_t trial = 0; trial < 2'000; ++trial) {
        std::vector<double> drawn;
        for (std::uint64_t i = 0; i < 41; ++i)
            drawn.push_back(
                -std::log((random::words_at(seed(9).stream("interval"), trial, i).w[0] + 0.5) / 4294967296.0));
        const auto statistics = hwnas::detail::latency_statistics(drawn);
        held += statistics.low <= std::log(2.0) && std::log(2.0) <= statistics.high;
    }
    CHECK(held >= 0.94 * 2'000);
    CHECK(held <= 0.99 * 2'000);
}

TEST_CASE("drift is found and taken out, outliers are counted", "[latency]") {
    std::vector<double> a, b;
    for (int r = 0; r < 100; ++r) {
        const double speed = r < 40 ? 1 : 1.2;
        a.push_back(2 * speed), b.push_back(5 * speed);
    }
    a[7] = 100;  // an outlier does not bend it
    const hwnas::detail::Drift drift({&a, &b});
    CHECK_THAT(drift.range(), Catch::Matchers::WithinRel(0.2, 1e-9));
    std::vector<double> parts;  // two samples a round
    for (int r = 0; r < 100; ++r) parts.insert(parts.end(), {r < 40 ? 1.0 : 1.2, r < 40 ? 1.0 : 1.2});
    auto corrected = drift.corrected(parts, 100);
    CHECK_THAT(*std::max_element(corrected.begin(), corrected.end()),
               Catch::Matchers::WithinRel(*std::min_element(corrected.begin(), corrected.end()), 1e-12));
    CHECK_THAT(hwnas::detail::latency_statistics(a).outliers, Catch::Matchers::WithinAbs(0.01, 1e-12));
    const std::vector<double> few(19, 1.0);
    CHECK(hwnas::detail::Drift({&few}).range() == 0);
    CHECK(hwnas::detail::Drift({&few}).corrected({1, 2}, 1) == std::vector<double>{1, 2});
}

TEST_CASE("a profile ends when its medians are known, and says what happened", "[latency]") {
    int rounds = 0;
    hwnas::detail::repeat_until(8, 1e9, [&] { ++rounds; }, [&] { return rounds >= 20; }, [](double) {});
    CHECK(rounds == 22);  // looked at after 8, then when grown by a quarter: 10, 12, 15, 18, 22
    const auto space = SearchSpace::paper({.image = {8, 8, 1}, .channels = 4, .cells = 1, .nodes = 2});
    const auto table = profile(space, test_device(1), {.seconds = 0.5});
    REQUIRE(table.quality);
    const auto& q = *table.quality;
    CHECK(q.rounds >= 3);
    CHECK((q.seconds > 0 && q.seconds < 60));
    CHECK((q.settled >= 0 && q.settled <= std::ssize(table.rows)));
    CHECK((q.drift >= 0 && q.outliers >= 0 && q.outliers < 1 && q.factor > 0));
    for (const auto& row : table.rows)
        if (row.interval) CHECK(((*row.interval)[0] <= row.median && row.median <= (*row.interval)[1]));
    REQUIRE(table.checked);
    CHECK(table.checked->networks == 40);
    CHECK((table.checked->mape > 0 && table.checked->mape <= table.checked->error_p95));
    CHECK(std::abs(table.checked->spearman) <= 1);
    CHECK_FALSE(profile(space, test_device(1), {.repeats = 3, .seconds = 0.1, .checks = 0}).checked);
}

TEST_CASE("marginal times come from whole networks where units cannot be timed", "[latency]") {
    const auto space = SearchSpace::pointwise({.image = {8, 8, 1}, .channels = 4, .cells = 2, .nodes = 2});
    const auto table =
        profile_networks(space, test_device(1), {.repeats = 5, .warmup = 1, .seconds = 1, .networks = 12});
    CHECK(table.rows.size() == made_up_table(space).rows.size());
    CHECK(table.method == "15 whole networks run in turn; fitted to 15 whole networks by regularised least squares");
    CHECK(table.library == version);
    REQUIRE(table.checked);
    CHECK(table.checked->networks == 40);
    const LatencyModel model(space, table);
    const auto& a = space.architecture();
    CHECK_FALSE(
        model.calibrate({{Genotype::from_choices(a, std::vector<int>(static_cast<std::size_t>(a.rows()), 0)), 1}})
            .table()
            .checked);  // its times are others
    CHECK(model.predict(Genotype::from_choices(a, std::vector<int>(static_cast<std::size_t>(a.rows()), 0))) > 0);
}

TEST_CASE("profile and measure refuse what cannot be timed", "[latency]") {
    const auto space = SearchSpace::paper({.image = {4, 4, 1}, .channels = 2, .cells = 1, .nodes = 1});
    const auto device = test_device(1);
    CHECK_THROWS_WITH(profile(space, device, {.checks = 1}),
                      "profile: checked by 1 networks, none or at least 2 are possible");
    CHECK_THROWS_WITH(profile(space, device, {.batch = 0}), "profile: batch 0, at least 1 is needed");
    CHECK_THROWS_WITH(profile(space, device, {.threads = 0}), "profile: 0 threads, at least 1 is needed");
    CHECK_THROWS_WITH(profile(space, device, {.repeats = 0}),
                      "profile: 0 repeats after 5 for warming up; at least 1 and 0 are needed");
    CHECK_THROWS_WITH(profile(space, device, {.seconds = 0}), "profile: 0 seconds, some time is needed");
    CHECK_THROWS_WITH(profile(space, device, {.networks = -1}),
                      "profile: -1 random networks, none or more are possible");
    CHECK_THROWS_WITH(profile(space, Device{}),
                      "device: none given; pass hwnas::cpu::device() or hwnas::cuda::device(0)");
    class Elsewhere final : public Backend {
        std::string name() const override { return "cuda:0"; }
        std::string description() const override { return "elsewhere"; }
        void* allocate(std::size_t) override { return nullptr; }
        void release(void*, std::size_t) noexcept override {}
        void upload(void*, const void*, std::size_t) override {}
        void download(void*, const void*, std::size_t) override {}
        void run(const Call&, const Guard&) override {}
    };
    CHECK_THROWS_WITH(profile(space, Device(std::make_shared<Elsewhere>())),
                      "profile: cuda:0 cannot be timed kernel by kernel; use a device from cpu::device(), or a table "
                      "measured elsewhere");
    const Network network(space, Genotype::from_choices(space.architecture(), {0, 0}), device);
    CHECK_THROWS_WITH(measure(network, {.batch = 0}), "measure: batch 0, at least 1 is needed");
    CHECK_THROWS_WITH(measure(network, {.threads = -1}), "measure: -1 threads, at least 1 is needed");
    CHECK_THROWS_WITH(measure_all(std::vector<const Network*>{nullptr}), "measure: a network is null");
}

}  // namespace latency_profiler_test
