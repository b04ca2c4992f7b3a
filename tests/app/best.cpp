// SPDX-License-Identifier: MIT
// best: a network within a budget out of a finished run, as text and as JSON, and training that goes on from it.
#include "app/program.hpp"

#include <hwnas/io/checkpoint.hpp>
#include <hwnas/io/genotype.hpp>

namespace app_best_test {

namespace {

namespace io = hwnas::io;
using Catch::Matchers::ContainsSubstring;
using hwnas_test::run;
using hwnas_test::TemporaryDirectory;

std::vector<std::string> search(const std::string& data, std::vector<std::string> more = {}) {
    std::vector<std::string> words{"search",    "--data", data,         "--no-verify", "--validation", "40",
                                   "--batch",   "10",     "--channels", "4",           "--epochs",     "2",
                                   "--threads", "1",      "--quiet",    "--out",       "run"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
}
std::vector<std::string> best(std::vector<std::string> more) {
    std::vector<std::string> words{"best", "--run", "run", "--candidates", "4", "--threads", "1", "--quiet"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
}

}  // namespace

TEST_CASE("best chooses within a budget and train goes on from it", "[app]") {
    const TemporaryDirectory directory;
    const auto data = hwnas_test::tiny_data(directory, 240, 20);
    REQUIRE(run(directory, search(data)).code == 0);

    const auto chosen = run(directory, best({"--latency-ms", "1000", "--parameters", "100000", "--json"}));
    INFO(chosen.err);
    REQUIRE(chosen.code == 0);
    const auto json = io::Json::parse(chosen.out);
    CHECK(json["schema"] == "hwnas-choice/1");
    CHECK(json["feasible"] == true);
    CHECK(json["budget"].dump() == R"({"latency_ms":1000.0,"parameters":100000})");
    CHECK(json["latency_ms"]["basis"] == "measured");
    CHECK(json["latency_ms"]["measured"] > 0);
    CHECK(json["latency_ms"]["measured_limit"] < 1000);
    CHECK(json["accuracy"]["images"] == 40);
    CHECK(json["scored"] == 4);
    CHECK(io::read_json(directory / "run/best/1000ms-100000parameters.json") == json);
    const std::string weights = json["weights"];
    const auto network = io::load_network(directory / weights, hwnas::cpu::device({.threads = 1}));
    CHECK(network.genotype().str() == json["genotype"].get<std::string>());
    CHECK(network.size().parameters == json["parameters"]);
    CHECK(io::read_genotype(directory / "run/best/1000ms-100000parameters.genotype.json").str() ==
          json["genotype"].get<std::string>());
    CHECK(io::read_json(directory / "run/scores.json")["scores"].size() == 4);

    // As text; what was scored is not scored again, and is the same.
    const auto again = run(directory, best({"--latency-ms", "1000", "--parameters", "100000"}));
    INFO(again.err);
    REQUIRE(again.code == 0);
    CHECK_THAT(again.out, ContainsSubstring("genotype   " + json["genotype"].get<std::string>() + "\n"));
    CHECK_THAT(again.out, ContainsSubstring(" ms measured, below "));
    CHECK_THAT(again.out, ContainsSubstring("next       fashion_mnist train --run run --network " + weights + "\n"));
    CHECK(io::read_json(directory / "run/scores.json")["scores"].size() == 4);

    const auto few = run(directory, best({"--count", "identity<=5", "--count", "depthwise_conv_3x3<=9", "--json"}));
    INFO(few.err);
    REQUIRE(few.code == 0);
    const auto counts = io::Json::parse(few.out)["counts"];
    CHECK(counts.value("identity", 0) <= 5);
    CHECK(counts.value("depthwise_conv_3x3", 0) <= 9);

    const auto impossible = run(directory, best({"--parameters", "10", "--json"}));
    CHECK(impossible.code == 1);
    CHECK(impossible.err.empty());
    const auto smallest = io::Json::parse(impossible.out);
    CHECK(smallest["feasible"] == false);
    CHECK(smallest["smallest"]["parameters"] > 10);
    const auto said = run(directory, best({"--parameters", "10"}));
    CHECK(said.code == 1);
    const auto least = smallest["smallest"]["parameters"].get<long>();
    CHECK(smallest["message"] ==
          fmt::format("best: no network of the family keeps 10 parameters; the nearest needs {}{} parameters",
                      least >= 1'000 ? fmt::format("{},", least / 1'000) : "",
                      least >= 1'000 ? fmt::format("{:03}", least % 1'000) : std::to_string(least)));
    const std::string way_out = "; allow that with: fashion_mnist ";
    CHECK(said.err == fmt::format("fashion_mnist: {}{}best --run run --parameters {}\n",
                                  smallest["message"].get<std::string>(), way_out, least));
    CHECK(run(directory, best({"--parameters", std::to_string(least)})).code == 0);
    // The command that is offered is one that finds a network, whatever was limited.
    const auto several = run(directory, best({"--latency-ms", "1e-6", "--macs", "1", "--count", "identity<=0",
                                              "--measure", "never", "--margin", "20"}));
    CHECK(several.code == 1);
    const auto at = several.err.find(way_out);
    REQUIRE(at != std::string::npos);
    const auto command = several.err.substr(at + way_out.size());
    CHECK_THAT(command, Catch::Matchers::Matches(
                            "best --run run --latency-ms [0-9.e-]+ --macs [0-9]+ --count 'identity<=[0-9]+' --measure "
                            "never --margin 20\n"));
    CHECK(std::system(fmt::format("cd '{}' && '{}' {} --candidates 2 --quiet >/dev/null 2>&1",
                                  directory.path().string(), HWNAS_PROGRAM, command.substr(0, command.size() - 1))
                          .c_str()) == 0);

    // Never measured, or a table that says it is of elsewhere: predicted, with a margin.
    const auto predicted =
        run(directory, best({"--latency-ms", "1000", "--measure", "never", "--margin", "25", "--json"}));
    REQUIRE(predicted.code == 0);
    const auto latency = io::Json::parse(predicted.out)["latency_ms"];
    CHECK(latency["basis"] == "predicted");
    CHECK(latency["measured"].is_null());
    CHECK(latency["margin"] == 0.25);

    const auto trained = run(directory, {"train", "--run", "run", "--network", weights, "--epochs", "1", "--batch",
                                         "10", "--threads", "1", "--quiet"});
    INFO(trained.err);
    REQUIRE(trained.code == 0);
    const auto summary = io::read_json(directory / "run/retrained/1000ms-100000parameters.json");
    CHECK(summary["genotype"] == json["genotype"]);
    CHECK(summary["from_weights"].is_null());
    const auto further = run(directory, {"train", "--run", "run", "--network", weights, "--further", "--epochs", "1",
                                         "--batch", "10", "--threads", "1", "--quiet", "--out", "further"});
    INFO(further.err);
    REQUIRE(further.code == 0);
    const auto gone_on = io::read_json(directory / "further/1000ms-100000parameters.json");
    CHECK(gone_on["from_weights"] == weights);
    // One seed, one order of the data: what differs is where they began.
    CHECK((io::read_file(directory / "further/1000ms-100000parameters.safetensors") !=
           io::read_file(directory / "run/retrained/1000ms-100000parameters.safetensors")));
    const auto wider = run(directory, {"train", "--run", "run", "--network", weights, "--channels", "6", "--epochs",
                                       "1", "--batch", "10", "--threads", "1", "--quiet"});
    CHECK(wider.code == 0);
    CHECK(std::filesystem::exists(directory / "run/retrained/1000ms-100000parameters-6.json"));
    CHECK(run(directory, {"train", "--run", "run", "--network", weights, "--channels", "6", "--further"}).err ==
          "fashion_mnist: train: --further: the weights in " + weights + " are of 4 channels, not 6\n");
}

TEST_CASE("best covers every latency weight of a run that is conditioned on it", "[app]") {
    const TemporaryDirectory directory;
    const auto data = hwnas_test::tiny_data(directory, 120, 20);
    REQUIRE(run(directory, search(data, {"--condition", "complexity-latency", "--latency-weight", "2"})).code == 0);
    CHECK(io::read_json(directory / "run/config.json")["options"]["condition"] == "complexity_latency");
    const auto chosen = run(directory, best({"--json"}));
    INFO(chosen.err);
    REQUIRE(chosen.code == 0);
    const auto json = io::Json::parse(chosen.out);
    CHECK(json["latency_weight"] >= 0);
    CHECK(json["latency_weight"] <= 2);
    CHECK(json["budget"].empty());
    CHECK(std::filesystem::exists(directory / "run/best/any.safetensors"));
    // A run of before this option has no such key.
    auto config = io::read_json(directory / "run/config.json");
    config["options"].erase("condition");
    io::write_json(directory / "run/config.json", config);
    CHECK_THAT(run(directory, best({})).err, ContainsSubstring("another network"));
}

TEST_CASE("best says what is wrong", "[app]") {
    const TemporaryDirectory directory;
    const auto says = [&](const std::vector<std::string>& words) {
        const auto finished = run(directory, words);
        return fmt::format("{} {}", finished.code, finished.err);
    };
    CHECK(says({"best"}) == "2 fashion_mnist: best: --run DIR is missing, the directory of a search\n");
    CHECK(says({"best", "--run", "none"}) ==
          "1 fashion_mnist: none: there is no such run directory; pass --run the one a search printed\n");
    CHECK(says({"best", "--run", "none", "--latency-ms", "0"}) ==
          "2 fashion_mnist: --latency-ms: \"0\" is not a number from 1e-09 to 1000000000\n");
    CHECK(says({"best", "--run", "none", "--parameters", "-5"})
              .rfind("2 fashion_mnist: --parameters: \"-5\" is not", 0) == 0);
    CHECK(says({"best", "--run", "none", "--count", "identity=3"}) ==
          "2 fashion_mnist: --count: \"identity=3\" is not PRIMITIVE<=N, like \"identity<=9\"\n");
    CHECK(says({"best", "--run", "none", "--count", "identity<=x"}) ==
          "2 fashion_mnist: --count: \"x\" is not a whole number from 0 to 1000000\n");
    CHECK(says({"best", "--run", "none", "--count", "identity<=3", "--count", "identity<=4"}) ==
          "2 fashion_mnist: --count: identity is limited twice\n");
    CHECK(says({"best", "--latency", "3"}) ==
          "2 fashion_mnist: best: unknown option \"--latency\", did you mean --latency-ms?\n");
    CHECK(says({"search", "--condition", "complexity_latency", "--latency-weight", "0"}) ==
          "2 fashion_mnist: --condition complexity_latency: --latency-weight is the largest weight it covers, and is "
          "0\n");
    CHECK(says({"train", "--arch", "x", "--further"}) ==
          "2 fashion_mnist: train: --further goes on from the weights of --network FILE, which is missing\n");

    const auto data = hwnas_test::tiny_data(directory, 120, 20);
    REQUIRE(run(directory, search(data)).code == 0);
    CHECK(says(best({"--count", "conv<=3"})) ==
          "2 fashion_mnist: --count: no primitive \"conv\" in space pointwise (it has depthwise_conv_3x3, identity, "
          "max_pool_3x3)\n");
    directory.put("run/scores.json", "[]");
    CHECK(says(best({})).rfind("1 fashion_mnist: run/scores.json: ", 0) == 0);
    std::filesystem::remove(directory / "run/scores.json");
    std::filesystem::remove(directory / "run/checkpoint.safetensors");
    CHECK(says(best({})) ==
          "1 fashion_mnist: run: its search has not ended; go on with: fashion_mnist search --resume run\n");
}

}  // namespace app_best_test
