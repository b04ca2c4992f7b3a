// SPDX-License-Identifier: MIT
// latency-fit on a made-up file; and the stand-alone probe, whose table a search uses.
#include "app/program.hpp"

#include <hwnas/io/json.hpp>
#include <hwnas/io/latency_table.hpp>

namespace app_latency_test {

namespace {

using hwnas_test::run;
using hwnas_test::TemporaryDirectory;

/// Every 13th cell of NAS-Bench-201 on a device where an operation costs the same on every edge.
std::string measurements() {
    std::string csv = "arch,phone,slow phone\n";
    for (int i = 0; i < 15'625; i += 13) {
        double ms = 2;
        for (int rest = i, e = 0; e < 6; ++e, rest /= 5) {
            csv += static_cast<char>('0' + rest % 5);
            ms += std::array{0.0, 0.1, 1.0, 2.5, 0.7}[static_cast<std::size_t>(rest % 5)];
        }
        ms *= 1 + 0.001 * (i % 11);
        csv += fmt::format(",{:.4f},{}\n", ms, std::round(3 * ms));
    }
    return csv;
}

std::string says(const TemporaryDirectory& directory, std::vector<std::string> words) {
    words.insert(words.begin(), "latency-fit");
    const auto finished = run(directory, words);
    CHECK(finished.out.empty());
    return fmt::format("{} {}", finished.code, finished.err);
}

}  // namespace

TEST_CASE("latency-fit prints one line of JSON", "[app][latency]") {
    const TemporaryDirectory directory;
    directory.put("m.csv", measurements());
    const auto fit = [&](std::vector<std::string> more) {
        std::vector<std::string> words{"latency-fit", "m.csv", "--space", "nasbench201"};
        words.insert(words.end(), more.begin(), more.end());
        const auto finished = run(directory, words);
        INFO(finished.err);
        REQUIRE(finished.code == 0);
        CHECK(finished.err.empty());
        CHECK(finished.out.find('\n') == finished.out.size() - 1);
        return hwnas::io::detail::parse_json<hwnas::io::Json>(finished.out, "output");
    };
    const auto json = fit({"--column", "phone", "--train", "30", "--seed", "1"});
    std::vector<std::string> keys;
    for (const auto& [key, value] : json.items()) keys.push_back(key);
    CHECK(keys == std::vector<std::string>{"column", "train", "test", "r2", "mape", "spearman"});
    CHECK(json["column"] == "phone");
    CHECK(json["train"] == 30);
    CHECK(json["test"] == 1'202 - 30);
    CHECK(json["r2"] > 0.99);
    CHECK(json["mape"] < 0.01);
    CHECK(json["spearman"] > 0.99);
    CHECK(json == fit({"--column", "phone", "--train", "30", "--seed", "1"}));
    CHECK(json != fit({"--column", "phone", "--train", "30", "--seed", "2"}));
    CHECK(json["mape"] < fit({"--column", "phone", "--train", "30", "--seed", "1", "--plain"})["mape"]);
    CHECK(fit({"--column", "slow phone", "--train", "100", "--seed", "1"})["column"] == "slow phone");

    const auto table = run(directory, {"latency-fit", "m.csv", "--space", "nasbench201", "--table", "--seeds", "1"});
    CHECK(table.code == 0);
    CHECK_THAT(table.out, Catch::Matchers::ContainsSubstring("\n| phone | ") &&
                              Catch::Matchers::ContainsSubstring("2 of 2 columns with 30, 2 with 100\n"));
}

TEST_CASE("latency-fit refuses what it cannot read", "[app][latency]") {
    const TemporaryDirectory directory;
    const std::string csv = measurements();
    directory.put("m.csv", csv);
    directory.put("cut.csv", csv.substr(0, 1'000));
    directory.put("text.csv", "arch,phone\n421211,1\n421212,fast\n");
    const std::vector<std::string> space{"--space", "nasbench201"};
    const auto with = [&](std::vector<std::string> words) {
        words.insert(words.end(), space.begin(), space.end());
        return says(directory, words);
    };
    // All that is missing at once, and first whether the file is there.
    CHECK(with({}) ==
          "2 fashion_mnist: latency-fit: FILE.csv is missing, and then --space, --column and --train, or --space and "
          "--table\n");
    CHECK(says(directory, {"none.csv"}) == "1 fashion_mnist: none.csv: cannot be opened (No such file or directory)\n");
    CHECK(
        says(directory, {"m.csv"}) ==
        "2 fashion_mnist: latency-fit: missing: --space NAME (nasbench201, fbnet), --column NAME (phone, slow phone), "
        "--train N (how many networks to fit to)\n");
    CHECK(says(directory, {"m.csv", "--table"}) ==
          "2 fashion_mnist: latency-fit: missing: --space NAME (nasbench201, fbnet)\n");
    CHECK(says(directory, {"m.csv", "--space", "darts"}) ==
          "2 fashion_mnist: --space: \"darts\" is unknown (choose nasbench201, fbnet)\n");
    CHECK(with({"m.csv", "--column", "phone"}) ==
          "2 fashion_mnist: latency-fit: missing: --train N (how many networks to fit to)\n");
    directory.put("none.csv", "arch\n");
    CHECK(says(directory, {"none.csv"}) ==
          "1 fashion_mnist: none.csv: line 1 names no column of times after \"arch\"\n");
    std::filesystem::remove(directory / "none.csv");
    // Too few networks for a table: before its head is printed, and not as an option that nobody gave.
    std::string few;
    for (std::size_t at = 0, lines = 0; lines < 51; ++lines, at = csv.find('\n', at) + 1)
        few += csv.substr(at, csv.find('\n', at) + 1 - at);
    directory.put("few.csv", few);
    CHECK(with({"few.csv", "--table"}) ==
          "1 fashion_mnist: few.csv: 50 networks, --table fits to 1,000 and needs at least 2 more to test on; fit to "
          "fewer with --column and --train\n");
    CHECK(with({"m.csv", "--column", "tpu", "--train", "5"}) ==
          "1 fashion_mnist: m.csv: line 1 has no column \"tpu\" (it has phone, slow phone)\n");
    CHECK(with({"m.csv", "--column", "phone", "--train", "1201"}) ==
          "1 fashion_mnist: m.csv: 1202 networks, --train 1201 leaves fewer than 2 to test on (at most 1200)\n");
    CHECK(with({"m.csv", "--column", "phone", "--train", "2"}).rfind("2 fashion_mnist: --train: \"2\" is not ", 0) ==
          0);
    CHECK_THAT(with({"cut.csv", "--column", "phone", "--train", "5"}),
               Catch::Matchers::Matches("1 fashion_mnist: cut\\.csv: line [0-9]+: [^\n]*\n"));
    CHECK(with({"text.csv", "--column", "phone", "--train", "5"}) ==
          "1 fashion_mnist: text.csv: line 3: \"fast\" in column phone is no time in milliseconds above 0\n");
    CHECK(says(directory, {"m.csv", "--space", "fbnet", "--column", "phone", "--train", "5"}) ==
          "1 fashion_mnist: m.csv: line 2: fbnet: \"000000\" has 6 digits, 22 are expected\n");
    CHECK_THAT(with({"none.csv", "--column", "phone", "--train", "5"}),
               Catch::Matchers::StartsWith("1 fashion_mnist: none.csv: "));
}

TEST_CASE("a search uses the table that the stand-alone probe measured", "[app][latency]") {
    const TemporaryDirectory directory;
    const auto probe = [&](std::vector<std::string> words) { return run(directory, words, 0, HWNAS_PROBE); };
    const auto measured = probe({"phone.json", "--channels", "4", "--height", "8", "--width", "8", "--seconds", "1"});
    INFO(measured.err);
    REQUIRE(measured.code == 0);
    const auto table = hwnas::io::read_latency_table(directory / "phone.json");
    CHECK(table.space == "pointwise");
    CHECK(table.build == "not optimized");
    REQUIRE(table.quality);
    CHECK(table.quality->rounds >= 3);

    const auto data = hwnas_test::tiny_data(directory, 40, 20);
    const auto searched =
        run(directory, {"search", "--data", data, "--no-verify", "--validation", "10", "--batch", "4", "--channels",
                        "4", "--epochs", "1", "--threads", "1", "--latency", "phone.json", "--out", "run"});
    INFO(searched.err);
    CHECK(searched.code == 0);
    CHECK(hwnas::io::read_latency_table(directory / "run/latency.json") == table);

    CHECK(probe({}).err.rfind("latency_probe: the file to write is missing\nusage: ", 0) == 0);
    CHECK(probe({"a", "b"}).err == "latency_probe: one file is written, \"b\" is a second\n");
    CHECK(probe({"a", "--channels"}).err == "latency_probe: --channels: its value is missing\n");
    CHECK(probe({"a", "--batch", "0"}).err ==
          "latency_probe: --batch: \"0\" is not a whole number from 1 to 1000000\n");
    CHECK(probe({"a", "--gpu", "0"}).err.rfind("latency_probe: unknown option \"--gpu\"\nusage: ", 0) == 0);
    CHECK(probe({"a", "--gpu", "0"}).code == 1);
}

}  // namespace app_latency_test
