// SPDX-License-Identifier: MIT
// study: jobs with a result each, stopped and gone on with; test accuracies opened once, at the end.
#include "app/program.hpp"

#include <hwnas/io/json.hpp>

#include <algorithm>
#include <map>
#include <numeric>

namespace app_study_test {

namespace {

namespace io = hwnas::io;
using Catch::Matchers::ContainsSubstring;
using hwnas_test::Child;
using hwnas_test::run;
using hwnas_test::TemporaryDirectory;

std::vector<std::string> study(std::vector<std::string> more) {
    std::vector<std::string> words{"study", "--run", "run", "--quick", "--threads", "1", "--quiet"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
}
void search(const TemporaryDirectory& directory) {
    const auto data = hwnas_test::tiny_data(directory, 240, 20);
    REQUIRE(run(directory, {"search", "--data", data, "--no-verify", "--validation", "40", "--batch", "128",
                            "--channels", "4", "--epochs", "2", "--threads", "1", "--quiet", "--out", "run"})
                .code == 0);
}
std::size_t results(const TemporaryDirectory& directory) {
    std::size_t count = 0;
    if (!std::filesystem::exists(directory / "run/study-quick/jobs")) return 0;
    for (const auto& entry : std::filesystem::directory_iterator(directory / "run/study-quick/jobs"))
        count += entry.path().extension() == ".json";
    return count;
}

}  // namespace

TEST_CASE("a study is done job by job, whatever stops it", "[app]") {
    const TemporaryDirectory directory;
    search(directory);
    const auto listed = run(directory, study({"--list"}));
    INFO(listed.err);
    REQUIRE(listed.code == 0);
    for (const char* line : {"open   latency ", "open   budget/05 ", "open   budget/95 ", "open   size/3000/family/2 ",
                             "open   size/3000/random/1 ", "open   rank/front/01 ", "open   rank/random/02 ",
                             "open   recipe/average ", "open   search/1 ", "open   test "})
        CHECK_THAT(listed.out, ContainsSubstring(line));
    const auto all = static_cast<std::size_t>(std::count(listed.out.begin(), listed.out.end(), '\n')) - 1;

    // Jobs whose needs are not done wait; a part can be asked for.
    const auto waiting = run(directory, study({"--only", "test"}));
    CHECK(waiting.code == 0);
    CHECK_THAT(waiting.out, ContainsSubstring("0 done now, 1 open of 1"));
    const auto one = run(directory, study({"--only", "budget/05"}));
    INFO(one.err);
    REQUIRE(one.code == 0);
    const auto budget = io::read_json(directory / "run/study-quick/jobs/budget-05.json");
    CHECK(budget["schema"] == "hwnas-study-job/1");
    CHECK(budget["seconds"] > 0);
    CHECK(budget["result"]["random"]["networks"] == 4);
    CHECK(budget["result"]["budget_ms"] > 0);
    if (budget["result"]["family"].contains("infeasible") == false)
        CHECK(budget["result"]["family"]["measured_ms"].get<double>() <= budget["result"]["budget_ms"].get<double>());

    // Killed in the middle, and gone on with.
    {
        Child child(directory, study({}));
        REQUIRE(hwnas_test::wait_until([&] { return results(directory) >= 6; }));
        child.signal(SIGKILL);
        child.wait();
    }
    const auto left = results(directory);
    CHECK(left < all);
    Child child(directory, study({}));
    REQUIRE(hwnas_test::wait_until([&] { return results(directory) > left; }));
    child.signal(SIGINT);
    const auto stopped = child.wait();
    if (stopped.code != 0) {
        CHECK(stopped.code == 130);
        CHECK_THAT(stopped.err, ContainsSubstring("; go on with: fashion_mnist study --run run --quick\n"));
    }
    const auto before = io::read_file(directory / "run/study-quick/jobs/budget-05.json");
    const auto finished = run(directory, study({}));
    INFO(finished.err);
    REQUIRE(finished.code == 0);
    CHECK(results(directory) == all);
    CHECK(io::read_file(directory / "run/study-quick/jobs/budget-05.json") == before);
    CHECK_THAT(finished.out, ContainsSubstring("0 open of "));
    CHECK_THAT(finished.out, ContainsSubstring("Kendall's tau of recalibrated and retrained accuracy: "));

    const auto summary = io::read_json(directory / "run/study-quick/summary.json");
    CHECK(summary["images"] == "test");
    CHECK(summary["budgets"]["done"] == 2);
    CHECK(summary["retrained"]["size/3000/family"]["count"] == 2);
    CHECK(summary["retrained"]["recipe/full"]["count"] == 1);
    const auto opened = io::read_json(directory / "run/study-quick/jobs/test.json")["result"]["accuracy"];
    CHECK(summary["retrained"]["recipe/full"]["mean"] == opened["recipe/full"]);

    // Networks that the front has fewer of than there are jobs count once; each random one meets the one of
    // the front that other images would choose.
    std::map<std::string, double> chosen;
    const auto of_front = io::read_json(directory / "run/study-quick/jobs/front.json")["result"];
    for (const auto& member : of_front["networks"]) chosen[member["genotype"]] = member["chosen"];
    CHECK(chosen.size() == of_front["networks"].size());  // no network twice
    CHECK(chosen.size() == std::min<std::size_t>(2, of_front["members"].size()));
    CHECK(of_front["size"] == of_front["members"].size());
    std::map<std::string, std::pair<io::Json, double>> front, random;
    for (const auto& [job, accuracy] : opened.items()) {
        if (job.rfind("rank/", 0) != 0) continue;
        auto file = job;
        std::replace(file.begin(), file.end(), '/', '-');
        const auto result = io::read_json(directory / ("run/study-quick/jobs/" + file + ".json"))["result"];
        (job.rfind("rank/front", 0) == 0 ? front : random)[result["genotype"]] = {result, accuracy.get<double>()};
    }
    CHECK(summary["rank"]["networks"] == front.size() + random.size());
    for (const auto& [cost, name] : {std::pair{"predicted_ms", "latency"}, {"parameters", "parameters"}}) {
        std::vector<double> gains;
        for (const auto& [_, some] : random) {
            double best = -1, of_best = 0;
            for (const auto& [genotype, other] : front)
                if (other.first[cost].get<double>() <= some.first[cost].get<double>() && chosen.at(genotype) > best)
                    best = chosen.at(genotype), of_best = other.second;
            if (best >= 0) gains.push_back(of_best - some.second);
        }
        const auto found = summary["front_over_random"][fmt::format("at_no_more_{}", name)];
        CHECK(found["count"] == gains.size());
        CHECK(found["without"] == random.size() - gains.size());
        const double sum = std::accumulate(gains.begin(), gains.end(), 0.0);
        CHECK(std::abs(found["mean"].get<double>() * static_cast<double>(gains.size()) - sum) < 1e-9);
    }
    const auto tested = run(directory, {"evaluate", "--weights", "run/study-quick/weights/recipe-full.safetensors",
                                        "--data", (directory / "data").string(), "--no-verify"});
    CHECK_THAT(tested.out, ContainsSubstring(fmt::format("{:.2f} %", 100 * opened["recipe/full"].get<double>())));
    REQUIRE(summary["searches"].size() == 1);
    const auto& single = summary["searches"][0];
    CHECK(single["tries"].size() >= 1);
    CHECK(single["family"]["search_seconds"] > 0);
    CHECK((single["family"].contains("infeasible") || single["family"]["predicted_ms"] <= single["budget_ms"]));
    CHECK(summary["latency"]["networks"] == 6);
    const auto trained = io::read_json(directory / "run/study-quick/jobs/size-3000-family-1.json")["result"];
    CHECK(trained["parameters"] <= 3'000);
    CHECK(trained["recalibrated_judged"].is_null() == (trained["channels"] != 4));
    // The same recipe and seed give the same network, to the bit.
    const auto weights = io::read_file(directory / "run/study-quick/weights/size-3000-random-1.safetensors");
    std::filesystem::remove(directory / "run/study-quick/jobs/size-3000-random-1.json");
    REQUIRE(run(directory, study({"--only", "size/3000/random/1"})).code == 0);
    CHECK((io::read_file(directory / "run/study-quick/weights/size-3000-random-1.safetensors") == weights));
    const auto nothing = run(directory, study({}));
    CHECK_THAT(nothing.out, ContainsSubstring("0 done now, 0 open of "));

    // A training that is stopped goes on from where it was, and ends with the same bits.
    const auto unfinished = directory / "run/study-quick/unfinished/size-3000-random-1.safetensors";
    CHECK_FALSE(std::filesystem::exists(unfinished));
    bool caught = false;
    for (int attempt = 0; attempt < 200 && !caught; ++attempt) {  // the training takes a few milliseconds
        std::filesystem::remove(directory / "run/study-quick/jobs/size-3000-random-1.json");
        std::filesystem::remove(directory / "stdout");
        Child training(directory, study({"--only", "size/3000/random/1"}));
        REQUIRE(hwnas_test::wait_until([&] {
            return training.ended() || (std::filesystem::exists(directory / "stdout") &&
                                        io::read_file(directory / "stdout").find("job ") != std::string::npos);
        }));
        training.signal(SIGINT);
        training.wait();
        caught = std::filesystem::exists(unfinished);
    }
    REQUIRE(caught);
    const auto half_way = io::read_file(unfinished);
    // Where its result cannot be written, the training is kept.
    const auto in_the_way = directory / "run/study-quick/jobs/.size-3000-random-1.json.tmp";
    std::filesystem::create_directory(in_the_way);
    const auto unwritten = run(directory, study({"--only", "size/3000/random/1"}));
    CHECK(unwritten.code == 1);
    CHECK_THAT(unwritten.err, ContainsSubstring("size-3000-random-1.json"));
    CHECK(std::filesystem::exists(unfinished));
    std::filesystem::remove(in_the_way);
    const auto resumed = run(directory, study({"--only", "size/3000/random/1"}));
    INFO(resumed.err);
    REQUIRE(resumed.code == 0);
    CHECK((io::read_file(directory / "run/study-quick/weights/size-3000-random-1.safetensors") == weights));
    CHECK_FALSE(std::filesystem::exists(unfinished));
    // One of another training is not taken for it.
    std::filesystem::remove(directory / "run/study-quick/jobs/size-3000-random-2.json");
    const auto other = directory / "run/study-quick/unfinished/size-3000-random-2.safetensors";
    io::write_file_atomic(other, half_way);
    const auto mistaken = run(directory, study({"--only", "size/3000/random/2"}));
    CHECK(mistaken.code == 1);
    CHECK_THAT(mistaken.err, ContainsSubstring("size-3000-random-2.safetensors: is of another training; remove it, and "
                                               "the job starts over\n"));
    io::write_file_atomic(other, half_way.substr(0, half_way.size() / 2));
    CHECK_THAT(run(directory, study({"--only", "size/3000/random/2"})).err,
               ContainsSubstring("remove it, and the job starts over\n"));
}

TEST_CASE("study says what is wrong", "[app]") {
    const TemporaryDirectory directory;
    const auto says = [&](const std::vector<std::string>& words) {
        const auto done = run(directory, words);
        return fmt::format("{} {}", done.code, done.err);
    };
    CHECK(says({"study"}) ==
          "2 fashion_mnist: study: --run DIR is missing, the directory of a search that has ended\n");
    CHECK(says({"study", "--run", "none"}) ==
          "1 fashion_mnist: none: there is no such run directory; pass --run the one a search printed\n");
    CHECK(says({"study", "--hours", "-1"}) == "2 fashion_mnist: --hours: \"-1\" is not a number from 0 to 10000\n");
    search(directory);
    CHECK(says(study({"--only", "nonsense"})) ==
          "2 fashion_mnist: --only: no job has \"nonsense\" in its name (fashion_mnist study --run run --list shows "
          "them)\n");
    CHECK(
        says({"study", "--run", "run", "--list", "--out", "run/study-quick", "--threads", "1"}) ==
        "1 fashion_mnist: run/study-quick/study.json: option quick is true there, false in this study (go on with the "
        "same options, or start a new run)\n");
}

}  // namespace app_study_test
