// SPDX-License-Identifier: MIT
// result.json to the letter: keys, their order, null for what has not been done.
#include <hwnas/io/result.hpp>

#include <limits>

#include "io/temporary_directory.hpp"
#include "support/catch.hpp"

namespace io_result_test {

namespace {

namespace io = hwnas::io;
using hwnas_test::error_of;
using hwnas_test::TemporaryDirectory;

io::SearchResult sample() {
    io::SearchResult result{.space = "pointwise",
                            .mode = "relaxed",
                            .epochs = 20,
                            .train_images = 55'000,
                            .batch = 128,
                            .channels = 16,
                            .seed = 42,
                            .device = "cpu",
                            .control = {.rays = {{"conv", {2, 1, 0}, -1}},
                                        .samples = 200,
                                        .distinct = 7,
                                        .spearman = {{"conv", -0.5}, {"skip", -0.25}}},
                            .family = {}};
    result.family.push_back({.name = "A",
                             .complexity = {{"conv", 0.5}, {"skip", 0.5}},
                             .genotype = hwnas::Genotype::parse("normal:|conv~0|conv~1|"),
                             .counts = {{"conv", 2}, {"skip", 0}},
                             .size = {.parameters = 100, .primitive_parameters = 18, .macs = 2'000},
                             .accuracies = {.supernet = 0.875, .derived = 0.5, .recalibrated = 0.75},
                             .predicted_ms = 0.125,
                             .measured_ms = 0.25});
    return result;
}

}  // namespace

TEST_CASE("result.json is written to the letter of its schema", "[io][result]") {
    const TemporaryDirectory directory;
    io::write_result(directory / "result.json", sample());
    CHECK(
        io::read_json(directory / "result.json").dump() ==
        R"({"schema":"hwnas-result/1",)"
        R"("search":{"space":"pointwise","mode":"relaxed","epochs":20,"train_images":55000,"batch":128,"channels":16,"seed":42,"device":"cpu"},)"
        R"("control":{"rays":{"conv":[2,1,0]},"ray_spearman":{"conv":-1.0},"samples":200,"distinct":7,"spearman":{"conv":-0.5,"skip":-0.25}},)"
        R"("family":[{"name":"A","complexity":{"conv":0.5,"skip":0.5},"genotype":"normal:|conv~0|conv~1|","counts":{"conv":2,"skip":0},)"
        R"("parameters":{"total":100,"primitives":18},"macs":2000,)"
        R"("accuracy":{"supernet":0.875,"derived":0.5,"recalibrated":0.75,"retrained":null},"latency_ms":{"predicted":0.125,"measured":0.25}}],"random":[]})");
}

TEST_CASE("a rank correlation of counts that never change is null, and unknown in a report", "[io][result]") {
    auto result = sample();
    result.control.rays[0].spearman = result.control.spearman[1].second = NAN;
    const auto control = io::result_json(result)["control"];
    CHECK(control["ray_spearman"].dump() == R"({"conv":null})");
    CHECK(control["spearman"].dump() == R"({"conv":-0.5,"skip":null})");
}

TEST_CASE("a network that was retrained says so", "[io][result]") {
    auto result = sample();
    result.family[0].retrained = 0.9375;
    CHECK(io::result_json(result)["family"][0]["accuracy"]["retrained"] == 0.9375);
}

TEST_CASE("random networks stand beside the family with what is known of them", "[io][result]") {
    auto result = sample();
    result.random = {result.family[0]};
    CHECK(
        io::result_json(result)["random"].dump() ==
        R"([{"genotype":"normal:|conv~0|conv~1|","counts":{"conv":2,"skip":0},"parameters":{"total":100,"primitives":18},)"
        R"("macs":2000,"accuracy":{"recalibrated":0.75},"latency_ms":{"predicted":0.125}}])");
}

TEST_CASE("a result with a number that is not finite is refused and the file stays", "[io][result]") {
    const TemporaryDirectory directory;
    directory.put("result.json", "before");
    auto result = sample();
    result.family[0].accuracies.derived = std::numeric_limits<double>::quiet_NaN();
    CHECK(error_of(directory, [&] { io::write_result(directory / "result.json", result); }) ==
          "result.json: the number at /family/0/accuracy/derived is nan, JSON holds finite numbers only");
    CHECK(io::read_file(directory / "result.json") == "before");
}

TEST_CASE("counts name every primitive, chosen or not", "[io][result]") {
    const hwnas::Architecture architecture{.name = "x", .primitives = {"skip", "conv", "pool"}, .groups = {}};
    const auto counts = io::counts_of(hwnas::Genotype::parse("normal:|conv~0|pool~1|+|conv~0|"), architecture);
    CHECK(counts == std::vector<std::pair<std::string, int>>{{"skip", 0}, {"conv", 2}, {"pool", 1}});
}

}  // namespace io_result_test
