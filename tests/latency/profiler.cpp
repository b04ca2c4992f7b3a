// SPDX-License-Identifier: MIT
// profile(): complete tables for every kind of space, and the errors. How well they predict is in profiler_slow.cpp.
#include <hwnas/latency/profiler.hpp>

#include <set>

#include "latency/space_table.hpp"
#include "support/catch.hpp"
#include "support/random_tensor.hpp"

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

TEST_CASE("profile and measure refuse what cannot be timed", "[latency]") {
    const auto space = SearchSpace::paper({.image = {4, 4, 1}, .channels = 2, .cells = 1, .nodes = 1});
    const auto device = test_device(1);
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
