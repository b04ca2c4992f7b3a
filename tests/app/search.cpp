// SPDX-License-Identifier: MIT
// The whole program on a tiny data set: the run directory, stopped and resumed runs, retraining. Everything but
// timing.json and measured milliseconds has the same bytes, however often the run was stopped.
#include "app/program.hpp"

#include <hwnas/io/checkpoint.hpp>

#include <algorithm>

namespace app_search_test {

namespace {

namespace io = hwnas::io;
using hwnas_test::Child;
using hwnas_test::files_of;
using hwnas_test::rows_of;
using hwnas_test::run;
using hwnas_test::TemporaryDirectory;

std::vector<std::string> search(const std::string& data, std::vector<std::string> more) {
    std::vector<std::string> words{"search",    "--data", data,         "--no-verify", "--validation", "20",
                                   "--batch",   "4",      "--channels", "4",           "--epochs",     "4",
                                   "--threads", "1"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
}

}  // namespace

TEST_CASE("a search stopped by Ctrl-C and by a kill ends with the same bytes as one that was not", "[app][resume]") {
    const TemporaryDirectory directory;
    const auto data = hwnas_test::tiny_data(directory, 820, 40);  // 200 steps an epoch
    const auto whole = run(directory, search(data, {"--out", "whole"}));
    INFO(whole.err);
    REQUIRE(whole.code == 0);
    CHECK(whole.out.find_first_of("\r\x1b") == std::string::npos);
    CHECK(whole.err.find_first_of("\r\x1b") == std::string::npos);
    CHECK(whole.out.rfind("run        whole\n", 0) == 0);
    CHECK(whole.out.substr(whole.out.size() - 17) == "run        whole\n");
    CHECK_THAT(whole.err, Catch::Matchers::ContainsSubstring("epoch 4/4  loss "));

    Child first(directory, search(data, {"--out", "parts", "--latency", "whole/latency.json"}));
    REQUIRE(hwnas_test::wait_until([&] { return rows_of(directory / "parts/metrics.csv") >= 1; }));
    first.signal(SIGINT);
    const auto stopped = first.wait();
    INFO(stopped.err);
    CHECK(stopped.code == 130);
    const auto position = std::stol(io::checkpoint_metadata(directory / "parts/checkpoint.safetensors").at("step"));
    CHECK_THAT(stopped.err,
               Catch::Matchers::ContainsSubstring(fmt::format(
                   "fashion_mnist: interrupted in epoch {} of 4, checkpoint saved; go on with: fashion_mnist "
                   "search --resume parts\n",
                   std::min(position / 200 + 1, 4l))));
    CHECK_FALSE(std::filesystem::exists(directory / "parts/result.json"));
    CHECK_THAT(io::read_file(directory / "parts/report.html"),
               Catch::Matchers::ContainsSubstring("the search has not ended"));
    CHECK(position >= 200);
    CHECK(position < 800);

    Child second(directory, {"search", "--resume", "parts", "--quiet"});
    REQUIRE(hwnas_test::wait_until([&] { return rows_of(directory / "parts/metrics.csv") >= position / 200 + 1; }));
    second.signal(SIGKILL);
    second.wait();
    // A row that a kill left without its checkpoint goes when the run goes on.
    {
        std::ofstream(directory / "parts/metrics.csv", std::ios::app) << "9,1,1,1,1,1,1\n";
    }

    const auto last = run(directory, {"search", "--resume", "parts", "--quiet"});
    CHECK(last.err.empty());
    REQUIRE(last.code == 0);
    const auto expected = files_of(directory / "whole"), found = files_of(directory / "parts");
    REQUIRE(expected.size() == 9);
    for (const auto& [name, text] : expected) {
        CAPTURE(name);
        REQUIRE(found.contains(name));
        CHECK((found.at(name) == text));
    }
    CHECK(found.size() == expected.size());
    CHECK(rows_of(directory / "parts/metrics.csv") == 4);
    const auto timing = io::read_json(directory / "parts/timing.json");
    CHECK(timing["sessions"].get<int>() >= 2);  // a session that was killed may have left no trace
    CHECK(timing["images_per_second"] > 0);

    const auto result = io::read_json(directory / "whole/result.json");
    CHECK(
        result["search"].dump() ==
        R"({"space":"pointwise","mode":"relaxed","epochs":4,"train_images":800,"batch":4,"channels":4,"seed":42,"device":"cpu"})");
    CHECK(result["control"]["rays"]["identity"].size() == 21);
    CHECK(result["control"]["samples"] == 200);
    REQUIRE(result["family"].size() == 3);
    CHECK(result["family"][1]["complexity"]["depthwise_conv_3x3"].get<double>() == Approx(0.7));
    CHECK(result["family"][2]["complexity"]["max_pool_3x3"].get<double>() == Approx(0.7));
    CHECK(result["family"][0]["accuracy"]["retrained"].is_null());
}

TEST_CASE("a search of pointwise at batch 256 takes less than 800 MB", "[app]") {
    const TemporaryDirectory directory;
    const auto data = hwnas_test::tiny_data(directory, 540, 40, 28);
    const auto finished = run(directory, {"search", "--data", data, "--no-verify", "--validation", "20", "--batch",
                                          "256", "--epochs", "1", "--threads", "2", "--out", "run"});
    INFO(finished.err);
    REQUIRE(finished.code == 0);
    const auto memory = io::read_json(directory / "run/timing.json")["peak_memory_mb"].get<double>();
    CHECK_THAT(finished.out, Catch::Matchers::ContainsSubstring("\nmemory     "));
    CHECK(memory > 200);  // two steps have run: their feature maps alone are more
    if (!hwnas_test::sanitized) CHECK(memory < 800);
}

TEST_CASE("all three modes search, and config.json runs again", "[app]") {
    const TemporaryDirectory directory;
    const auto data = hwnas_test::tiny_data(directory, 60, 20);
    for (const std::string mode : {"straight-through", "single_path"}) {
        const auto finished = run(directory, search(data, {"--out", mode, "--mode", mode, "--epochs", "1", "--quiet",
                                                           "--hyper-form", "pivots", "--pivots", "5"}));
        INFO(finished.err);
        REQUIRE(finished.code == 0);
        const auto again = run(directory, {"search", "--config", mode + "/config.json", "--latency",
                                           mode + "/latency.json", "--out", mode + "-again", "--quiet"});
        INFO(again.err);
        REQUIRE(again.code == 0);
        CHECK((files_of(directory / mode) == files_of(directory / (mode + "-again"))));
    }
}

TEST_CASE("a derived network is trained from scratch, saved and evaluated", "[app]") {
    const TemporaryDirectory directory;
    const auto data = hwnas_test::tiny_data(directory, 220, 20);
    REQUIRE(run(directory, search(data, {"--out", "run", "--epochs", "1", "--quiet"})).code == 0);
    const auto trained =
        run(directory, {"train", "--run", "run", "--profile", "C", "--epochs", "8", "--batch", "10", "--threads", "1"});
    INFO(trained.err);
    REQUIRE(trained.code == 0);
    CHECK_THAT(trained.err, Catch::Matchers::ContainsSubstring("  validation "));
    const auto summary = io::read_json(directory / "run/retrained/C.json");
    CHECK(summary["genotype"] == io::read_json(directory / "run/result.json")["family"][2]["genotype"]);
    CHECK(summary["accuracy"]["test"].get<double>() > 0.5);
    const auto evaluated = run(directory, {"evaluate", "--weights", "run/retrained/C.safetensors", "--data", data,
                                           "--no-verify", "--threads", "1"});
    INFO(evaluated.err);
    REQUIRE(evaluated.code == 0);
    CHECK_THAT(evaluated.out, Catch::Matchers::ContainsSubstring(fmt::format(
                                  "{:.2f} % of 20 test images", 100 * summary["accuracy"]["test"].get<double>())));
}

TEST_CASE("the option --checkpoint-every takes seconds, minutes and hours, and a run keeps it", "[app]") {
    const TemporaryDirectory directory;
    const auto data = hwnas_test::tiny_data(directory, 60, 20);
    for (const auto& [text, seconds] : {std::pair{"90s", 90.0}, {"10m", 600.0}, {"1.5h", 5'400.0}, {"0", 0.0}}) {
        const auto finished =
            run(directory, {"search", "--data", data, "--no-verify", "--validation", "20", "--batch", "4", "--epochs",
                            "1", "--quiet", "--channels", "4", "--out", text, "--checkpoint-every", text});
        INFO(finished.err);
        REQUIRE(finished.code == 0);
        const auto config = io::read_json(directory / text / "config.json");
        CHECK(config["options"]["checkpoint_every"] == seconds);
    }
    for (const std::string text : {"60", "1d", "-1s", "s", "1e9h", "nans", "5 m"})
        CHECK(run(directory, {"search", "--checkpoint-every", text}).err ==
              fmt::format("fashion_mnist: --checkpoint-every: \"{}\" is no time like 90s, 10m or 1h, at most 10000h\n",
                          text));
    auto config = io::read_json(directory / "90s/config.json");
    config["options"]["checkpoint_every"] = -5;
    io::write_json(directory / "90s/config.json", config);
    CHECK(run(directory, {"search", "--resume", "90s"}).err ==
          "fashion_mnist: 90s/config.json: key \"checkpoint_every\" is -5 seconds, allowed are 0 to 36000000\n");
}

}  // namespace app_search_test
