// SPDX-License-Identifier: MIT
// LatencyModel::fit, calibrate and validate on made-up devices.
#include <hwnas/latency/fit.hpp>

#include "latency/space_table.hpp"
#include "support/catch.hpp"

namespace latency_fit_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

std::vector<LatencySample> samples_of(const LatencyModel& model, int begin, int end, double deviation = 0) {
    std::vector<LatencySample> samples;
    for (int i = begin; i < end; ++i) {
        auto genotype = Genotype::from_choices(model.architecture(), random_choices(model.architecture(), i));
        const double ms = model.predict(genotype), off = deviation * (i % 2 ? 1 : -1);
        samples.push_back({std::move(genotype), ms * (1 + off), ms * (1 - off)});
    }
    return samples;
}

SearchSpace small_space(const char* name) {
    return SearchSpace::named(name, {.image = {8, 8, 1}, .channels = 4});
}

}  // namespace

TEST_CASE("a model fitted to whole networks predicts others", "[latency]") {
    for (const char* name : {"paper", "pointwise", "separable"}) {
        CAPTURE(name);
        const auto space = small_space(name);
        const LatencyModel truth(space, made_up_table(space));
        const auto model = LatencyModel::fit(space, samples_of(truth, 0, 60), {.device = "phone", .threads = 4});
        const auto v = model.validate(samples_of(truth, 100, 160, 0.01));
        INFO(v.str());
        CHECK(v.mape < 0.02);
        CHECK(v.spearman > 0.97);
        REQUIRE(v.repeat);
        CHECK(v.repeat->mape > 0.01);
        CHECK(model.table().device == "phone");
        CHECK(model.table().threads == 4);
        CHECK(model.table().method == "fitted to 60 whole networks by regularised least squares");
        for (const auto& row : model.table().rows) CHECK(row.median >= 0);
    }
}

TEST_CASE("a table is calibrated with a few measurements", "[latency]") {
    const auto space = small_space("pointwise");
    auto table = made_up_table(space);
    const LatencyModel before(space, table);
    // The device: 30 % slower than its table says, and its transforms half as slow again.
    for (auto& row : table.rows) row.median *= row.unit == "node/transform" ? 1.95 : 1.3;
    const LatencyModel device(space, table);
    const auto test = samples_of(device, 500, 560);
    const double untouched = before.validate(test).mape;
    const auto few = before.calibrate(samples_of(device, 0, 5)), more = before.calibrate(samples_of(device, 0, 40));
    // What the table was checked to, and how well its times were known, is of the times before.
    auto checked = made_up_table(space);
    checked.checked = LatencyCheck{40, 0.99, 0.01, 0.02}, checked.quality = LatencyQuality{.rounds = 5};
    const auto corrected = LatencyModel(space, checked).calibrate(samples_of(device, 0, 5));
    CHECK_FALSE(corrected.table().checked);
    CHECK_FALSE(corrected.table().quality);
    CHECK(untouched > 0.2);
    CHECK(few.validate(test).mape < 0.3 * untouched);
    CHECK(more.validate(test).mape < 0.01);
    CHECK(more.table().device == "made up");
    CHECK(more.table().rows.size() == table.rows.size());
    // One measurement moves the whole table.
    const auto one = before.calibrate(samples_of(device, 0, 1));
    CHECK(one.validate(test).mape < 0.5 * untouched);
    // Nothing to correct: nothing is changed.
    const auto same = before.calibrate(samples_of(before, 0, 10));
    for (const auto& sample : samples_of(before, 20, 30))
        CHECK_THAT(same.predict(sample.genotype), Catch::Matchers::WithinRel(sample.ms, 1e-9));
}

TEST_CASE("fits of units are never below 0, and refuse what is no sample", "[latency]") {
    const auto space = small_space("paper");
    const LatencyModel truth(space, made_up_table(space));
    auto odd = samples_of(truth, 0, 12);
    for (std::size_t i = 0; i < odd.size(); ++i) odd[i].ms = i % 3 == 0 ? 5 : 0.01, odd[i].again.reset();
    for (const auto& model : {LatencyModel::fit(space, odd), truth.calibrate(odd)})
        for (const auto& row : model.table().rows) CHECK(row.median >= 0);

    CHECK_THROWS_WITH(LatencyModel::fit(space, samples_of(truth, 0, 2)),
                      "latency model: 2 samples to fit to, at least 3 are needed");
    CHECK_THROWS_WITH(truth.calibrate({}), "latency model: 0 samples to fit to, at least 1 is needed");
    auto bad = samples_of(truth, 0, 3);
    bad[1].ms = 0;
    CHECK_THROWS_WITH(LatencyModel::fit(space, bad), Catch::Matchers::EndsWith(" took 0 ms, more than 0 is expected"));
    CHECK_THROWS_AS(LatencyModel::fit(small_space("separable"), samples_of(truth, 0, 3)), Error);
}

}  // namespace latency_fit_test
