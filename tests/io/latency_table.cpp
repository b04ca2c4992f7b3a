// SPDX-License-Identifier: MIT
// Latency tables as JSON: they come back bit for bit, and a damaged file is refused by name, place and reason.
#include <hwnas/io/latency_table.hpp>
#include <hwnas/latency/model.hpp>

#include <functional>
#include <limits>

#include "io/temporary_directory.hpp"
#include "support/catch.hpp"

namespace io_latency_table_test {

using namespace hwnas;
using hwnas_test::error_of;
using hwnas_test::TemporaryDirectory;
using io::Json;

namespace {

LatencyTable two_rows() {
    return {.space = "pointwise",
            .device = "a processor",
            .backend = "cpu",
            .isa = "avx2+fma",
            .threads = 2,
            .batch = 3,
            .dtype = "float32",
            .compiler = "gcc 12.2.0",
            .build = "optimized",
            .library = "0.1.0",
            .date = "2026-11-23T12:00:00Z",
            .method = "by hand",
            .clock_resolution_ns = 20.5,
            .rows = {{"depthwise_conv_3x3", {3, 28, 28, 16}, 1, 50, 0.1, 1.0 / 3, 0.05, 0.2},
                     {"node/transform", {3, 7, 7, 64}, 1, 50, 0.3, 0, 5e-9, 0.4}}};
}
const std::filesystem::path data = std::filesystem::path(HWNAS_SOURCE_DIR) / "tests" / "data";

}  // namespace

TEST_CASE("a latency table comes back bit for bit", "[io][latency]") {
    const TemporaryDirectory directory;
    const auto path = directory / "latency.json";
    io::write_latency_table(path, two_rows());
    CHECK(io::read_latency_table(path) == two_rows());
    CHECK(io::read_json(path)["schema"] == "hwnas-latency/1");
    CHECK(io::read_json(path).begin().key() == "schema");
    auto measured = two_rows();
    measured.rows[1].interval = {0.25, 1.0 / 3};
    measured.quality = LatencyQuality{70, 1.5, 2, 0.01, 0.02, 0.03, 1.04};
    measured.checked = LatencyCheck{40, 0.99, 0.02, 0.05};
    io::write_latency_table(path, measured);
    CHECK(io::read_latency_table(path) == measured);
    const LatencyTable empty;
    io::write_latency_table(path, empty);
    CHECK(io::read_latency_table(path) == empty);
}

TEST_CASE("the stored tables serve the spaces they are named after", "[io][latency]") {
    const auto table = io::read_latency_table(data / "latency_pointwise.json");
    const auto space = SearchSpace::pointwise({.image = {28, 28, 1}, .channels = 16});
    const LatencyModel model(space, table);
    const auto& a = space.architecture();
    const auto all = [&](const char* name) {
        return model.predict(
            Genotype::from_choices(a, std::vector<int>(static_cast<std::size_t>(a.rows()), a.index(name))));
    };
    CHECK(all("identity") < all("max_pool_3x3"));
    CHECK(all("max_pool_3x3") < all("depthwise_conv_3x3"));
    CHECK((model.reference() > model.fixed() && model.fixed() > 0));
    CHECK_NOTHROW(LatencyModel(SearchSpace::pointwise({.image = {8, 8, 1}, .channels = 4, .cells = 2}),
                               io::read_latency_table(data / "latency_pointwise_tiny.json")));
}

TEST_CASE("a latency table that says something else is refused with its place", "[io][latency]") {
    const TemporaryDirectory directory;
    const auto path = directory / "t.json";
    const Json good = io::latency_table_to_json(two_rows());
    const auto message = [&](const std::function<void(Json&)>& change) {
        Json json = good;
        change(json);
        return error_of([&] { io::latency_table_from_json(json, "t.json"); });
    };
    CHECK(message([](Json&) {}) == "no error");
    CHECK(message([](Json& j) { j["schema"] = "hwnas-latency/9"; }) ==
          "t.json: schema version \"hwnas-latency/9\" is unknown, this library reads \"hwnas-latency/1\" (write the "
          "file again, or use its version)");
    CHECK(message([](Json& j) { j["schema"] = "hwnas-genotype/1"; }) ==
          "t.json: schema \"hwnas-genotype/1\" is another kind of file, \"hwnas-latency/1\" is expected");
    CHECK(message([](Json& j) { j["threads"] = 0; }) == "t.json: key \"threads\" is 0, at least 1 is expected");
    CHECK(message([](Json& j) { j["batch"] = -1; }) == "t.json: key \"batch\" is -1, at least 1 is expected");
    CHECK(message([](Json& j) { j["clock_resolution_ns"] = -1; }) ==
          "t.json: key \"clock_resolution_ns\" is -1, a time is not negative");
    CHECK(message([](Json& j) { j["rows"] = 1; }) ==
          "t.json: key \"rows\" has the wrong type (number, array expected)");
    CHECK(message([](Json& j) { j["rows"][1]["median"] = -0.5; }) ==
          "t.json: row 1: key \"median\" is -0.5 ms, a time is not negative");
    CHECK(message([](Json& j) { j["rows"][1]["p90"] = "fast"; }) ==
          "t.json: row 1: key \"p90\" has the wrong type (string, number expected)");
    CHECK(message([](Json& j) { j["rows"][1]["p90"] = nullptr; }) ==
          "t.json: row 1: key \"p90\" has the wrong type (null, number expected)");
    CHECK(message([](Json& j) { j["rows"][0]["unit"] = ""; }) == "t.json: row 0: \"\" is no name of a unit");
    CHECK(message([](Json& j) { j["rows"][0]["input"] = {3, 28, 28}; }) ==
          "t.json: row 0: key \"input\" has 3 extents, [N, H, W, C] is expected");
    CHECK(message([](Json& j) { j["rows"][0]["input"] = {3, 28, 0, 16}; }) ==
          "t.json: row 0: key \"input\" is [3, 28, 0, 16], extents are at least 1");
    CHECK(message([](Json& j) { j["rows"][0]["input"] = {1, 28, 28, 16}; }) ==
          "t.json: row 0: key \"input\" starts with 1, the table's batch is 3");
    CHECK(message([](Json& j) { j["rows"][0]["stride"] = 0; }) ==
          "t.json: row 0: key \"stride\" is 0, at least 1 is expected");
    CHECK(message([](Json& j) { j["rows"][0]["count"] = -2; }) ==
          "t.json: row 0: key \"count\" is -2, a number of samples is not negative");
    CHECK(message([](Json& j) { j["rows"][0] = 7; }) ==
          "t.json: row 0: number where an object with key \"unit\" is expected");
    CHECK(message([](Json& j) { j["rows"].push_back(j["rows"][0]); }) ==
          "t.json: row 2: depthwise_conv_3x3 [3, 28, 28, 16] stride 1 is in the table already");
    CHECK(message([](Json& j) { j["rows"][0]["median_ci95"] = {0.2, 0.1}; }) ==
          "t.json: row 0: key \"median_ci95\" is [0.2, 0.1], two times in ascending order are expected");
    CHECK(message([](Json& j) { j["quality"] = {{"rounds", 3}}; }) == "t.json: quality: key \"seconds\" is missing");
    CHECK(message([](Json& j) { j["quality"] = 3; }).rfind("t.json: quality: ", 0) == 0);
    CHECK(message([](Json& j) { j["checked"] = {{"networks", 40}, {"spearman", 1}, {"mape", 0.1}}; }) ==
          "t.json: checked: key \"error_p95\" is missing");
    const Json checked{{"networks", 40}, {"spearman", 1}, {"mape", 0.1}, {"error_p95", -0.1}};
    CHECK(message([&](Json& j) { j["checked"] = checked; }) ==
          "t.json: checked: key \"error_p95\" is -0.1, an error is not negative");
    for (const auto& [key, value] : good.items())
        CHECK(message([&](Json& j) { j.erase(key); }) == fmt::format("t.json: key \"{}\" is missing", key));
    for (const auto& [key, value] : good["rows"][1].items())
        CHECK(message([&](Json& j) { j["rows"][1].erase(key); }) ==
              fmt::format("t.json: row 1: key \"{}\" is missing", key));
    // What is not finite is no JSON on the way in, and refused on the way out.
    directory.put("t.json", "{\"schema\": \"hwnas-latency/1\", \"threads\": NaN}");
    CHECK_THROWS_AS(io::read_latency_table(path), Error);
    directory.put("t.json", good.dump().replace(good.dump().find("0.05"), 4, "1e999"));
    CHECK(error_of(directory, [&] { io::read_latency_table(path); }) ==
          "t.json: not JSON: number overflow parsing '1e999'");
    auto table = two_rows();
    table.rows[1].mean = std::numeric_limits<double>::infinity();
    CHECK(error_of(directory, [&] { io::write_latency_table(directory / "u.json", table); }) ==
          "u.json: the number at /rows/1/mean is inf, JSON holds finite numbers only");
}

TEST_CASE("a latency table cut or changed at any byte never does worse than an Error", "[io][latency]") {
    const TemporaryDirectory directory;
    const std::string text = io::latency_table_to_json(two_rows()).dump();
    const auto attempt = [](const std::string& changed) {
        return io::latency_table_from_json(io::detail::parse_json<Json>(changed, "t.json"), "t.json");
    };
    for (std::size_t length = 0; length < text.size(); ++length)
        REQUIRE_THROWS_AS(attempt(text.substr(0, length)), Error);
    CHECK_THROWS_AS(io::read_latency_table(directory.put("t.json", text.substr(0, text.size() / 2))), Error);
    int read = 0;
    for (std::size_t at = 0; at < text.size(); ++at)
        for (const char c : {'\0', '"', '-', '9', '}', ',', '\x80'}) {
            std::string changed = text;
            changed[at] = c;
            try {
                attempt(changed);
                ++read;
            } catch (const Error& error) {
                REQUIRE(std::string(error.what()).rfind("t.json: ", 0) == 0);
                REQUIRE(std::string(error.what()).find('\n') == std::string::npos);
            }
        }
    CHECK(read > 0);  // another letter in a name is another name
}

}  // namespace io_latency_table_test
