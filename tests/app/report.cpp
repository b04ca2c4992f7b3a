// SPDX-License-Identifier: MIT
// report.html of real runs: there after a search, renewed by what adds to the run, the same bytes from the same files.
#include "app/program.hpp"
#include "support/browser.hpp"
#include "support/xml.hpp"

#include <hwnas/io/json.hpp>

namespace app_report_test {

namespace {

namespace io = hwnas::io;
namespace fs = std::filesystem;
using Catch::Matchers::ContainsSubstring;
using hwnas_test::run;
using hwnas_test::TemporaryDirectory;

void search(const TemporaryDirectory& directory, std::vector<std::string> more) {
    std::vector<std::string> words{"search",
                                   "--data",
                                   hwnas_test::tiny_data(directory, 240, 20),
                                   "--no-verify",
                                   "--validation",
                                   "40",
                                   "--batch",
                                   "64",
                                   "--channels",
                                   "4",
                                   "--epochs",
                                   "2",
                                   "--threads",
                                   "1",
                                   "--quiet"};
    words.insert(words.end(), more.begin(), more.end());
    const auto done = run(directory, words);
    INFO(done.err);
    REQUIRE(done.code == 0);
}
std::size_t times(const std::string& text, std::string_view what) {
    std::size_t count = 0;
    for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++count;
    return count;
}
/// A run's measured latencies, which a second run does not repeat, taken from another.
void take_measured(const fs::path& run, const fs::path& from) {
    auto json = io::read_json(run / "result.json");
    const auto other = io::read_json(from / "result.json");
    for (std::size_t i = 0; i < json["family"].size(); ++i)
        json["family"][i]["latency_ms"]["measured"] = other["family"][i]["latency_ms"]["measured"];
    io::write_json(run / "result.json", json);
}

}  // namespace

TEST_CASE("a search leaves a report that is drawn from its files alone", "[app][report]") {
    const TemporaryDirectory directory;
    search(directory, {"--out", "run"});
    const auto page = io::read_file(directory / "run/report.html");
    CHECK(hwnas_test::xml_problem(page) == "");
    for (const char* banned : {"<script", "http:", "https:", "url(", " src=", " href=", "@import"})
        CHECK(times(page, banned) == 0);
    // Scatters, bars, ray, simplex, cells, curves, latency.
    CHECK(times(page, "<svg ") == 2 + 3 + 2 + 6 + 5 + 1);
    CHECK_THAT(page, ContainsSubstring("<h1>hwnas search: pointwise, 4 channels, seed 42</h1>"));
    CHECK_THAT(page, ContainsSubstring("relaxed mode, 2 epochs of 200 images, batch 64, on cpu"));
    CHECK(times(page, "<th scope=\"row\">random 12</th>") == 1);
    const auto table = io::read_json(directory / "run/latency.json");
    CHECK_THAT(page, ContainsSubstring(fmt::format("<td>against {} whole networks: mean relative error ",
                                                   table["checked"]["networks"].get<int>())));
    CHECK_THAT(page, ContainsSubstring("No network has been trained from scratch yet."));
    const auto result = io::read_json(directory / "run/result.json");
    CHECK(result["random"].size() == 12);
    for (const auto& member : result["family"])
        CHECK_THAT(page, ContainsSubstring(
                             fmt::format("<td>{:.2f}</td>", 100 * member["accuracy"]["recalibrated"].get<double>())));
    const auto simplex = io::read_file(directory / "run/simplex.csv");
    CHECK(times(simplex, "\n") == 326);
    CHECK(simplex.rfind(
              "complexity.depthwise_conv_3x3,complexity.identity,complexity.max_pool_3x3,edges.depthwise_conv_3x3,"
              "edges.identity,edges.max_pool_3x3\n1,0,0,",
              0) == 0);

    // Drawn again, here or elsewhere: the same bytes.
    fs::copy(directory / "run", directory / "a copy", fs::copy_options::recursive);
    fs::remove(directory / "a copy/report.html");
    const auto again = run(directory, {"report", "--run", "a copy"});
    CHECK(again.out == "report     a copy/report.html\n");
    CHECK((io::read_file(directory / "a copy/report.html") == page));
    const auto elsewhere = run(directory, {"report", "--run", "run", "--output", "shown.html"});
    CHECK(elsewhere.out == "report     shown.html\n");
    CHECK((io::read_file(directory / "shown.html") == page));

    // A second run of the same options and table: the same, but for what its own clock says.
    search(directory, {"--out", "second", "--latency", "run/latency.json"});
    take_measured(directory / "second", directory / "run");
    REQUIRE(run(directory, {"report", "--run", "second"}).code == 0);
    CHECK((io::read_file(directory / "second/report.html") == page));

    // The command it shows makes that run.
    auto begin = page.find("./run.sh");
    std::string shown = page.substr(page.find("<pre><code>"), page.find("</code></pre>") - page.find("<pre><code>"));
    for (const char* tag : {"<pre><code>", "<span>", "</span>"})
        for (auto at = shown.find(tag); at != std::string::npos; at = shown.find(tag))
            shown.erase(at, std::string(tag).size());
    REQUIRE(begin != std::string::npos);
    std::vector<std::string> words;
    std::istringstream stream(shown);
    for (std::string word; stream >> word;) words.push_back(word == "DIR/latency.json" ? "run/latency.json" : word);
    REQUIRE(words.size() > 10);
    words.erase(words.begin());
    for (const char* more : {"--out", "third", "--threads", "1", "--quiet"}) words.push_back(more);
    const auto third = run(directory, words);
    INFO(third.err);
    REQUIRE(third.code == 0);
    CHECK((io::read_file(directory / "third/checkpoint.safetensors") ==
           io::read_file(directory / "run/checkpoint.safetensors")));
}

TEST_CASE("what adds to a run renews its report", "[app][report]") {
    const TemporaryDirectory directory;
    search(directory, {"--out", "run"});
    const auto count = [&](std::string_view what) { return times(io::read_file(directory / "run/report.html"), what); };
    const auto trained = run(directory, {"train", "--run", "run", "--profile", "C", "--epochs", "1", "--batch", "10",
                                         "--threads", "1", "--quiet"});
    INFO(trained.err);
    REQUIRE(trained.code == 0);
    CHECK(count("No network has been trained from scratch yet.") == 0);
    CHECK(count("best accuracy, trained from scratch") == 1);
    const auto accuracy = io::read_json(directory / "run/retrained/C.json")["accuracy"]["test"].get<double>();
    CHECK(count(fmt::format("<th scope=\"row\">retrained</th><td>\xE2\x80\x93</td><td>\xE2\x80\x93</td><td>{:.2f}</td>",
                            100 * accuracy)) == 1);

    // So does a training that was stopped and taken up.
    const fs::path checkpoint = directory / "run/retrained/A.checkpoint.safetensors";
    {
        hwnas_test::Child child(directory, {"train", "--run", "run", "--profile", "A", "--epochs", "40", "--batch",
                                            "10", "--threads", "1", "--quiet", "--checkpoint-every", "0.01s"});
        REQUIRE(hwnas_test::wait_until([&] { return fs::exists(checkpoint) || child.ended(); }));
        child.signal(SIGINT);
        REQUIRE(child.wait().code == 130);
    }
    REQUIRE(run(directory, {"train", "--resume", "run/retrained/A.checkpoint.safetensors", "--quiet"}).code == 0);
    CHECK(count("<th scope=\"row\">retrained</th><td>\xE2\x80\x93</td>") == 0);

    CHECK(count("No budget has been asked for yet.") == 1);
    REQUIRE(run(directory, {"best", "--run", "run", "--parameters", "100000", "--candidates", "2", "--measure", "never",
                            "--threads", "1", "--quiet"})
                .code == 0);
    CHECK(count("No budget has been asked for yet.") == 0);
    CHECK(count("<th scope=\"row\">100,000 parameters</th>") == 1);

    CHECK(count("Only the family was measured.") == 1);
    REQUIRE(
        run(directory, {"study", "--run", "run", "--out", "run/study", "--quick", "--threads", "1", "--quiet"}).code ==
        0);
    CHECK(count("Only the family was measured.") == 0);
    CHECK(count("<th scope=\"row\">study 6</th>") == 1);
    CHECK(count("within latency budgets") >= 1);
    CHECK(count("random networks, trained alike") == 0);
    CHECK(count("class=\"missing\"") == 0);
    CHECK(hwnas_test::xml_problem(io::read_file(directory / "run/report.html")) == "");

    // In a browser, where there is one.
    if (const auto program = hwnas_test::chromium()) {
        hwnas_test::Browser browser(*program, directory / "profile");
        for (const int width : {360, 1'280}) {
            CAPTURE(width);
            CHECK(browser.open(directory / "run/report.html", width, "dark").requests.size() == 1);
            CHECK(browser.evaluate(hwnas_test::layout_problems).dump() == "[]");
        }
    } else {
        WARN("not opened in a browser: no Chromium here (apt-get install chromium)");
    }

    // A file that cannot be read costs the report, not the training.
    const auto before = io::read_file(directory / "run/report.html");
    directory.put("run/retrained/Z.json", "{");
    const auto next = run(directory, {"train", "--run", "run", "--profile", "B", "--epochs", "1", "--batch", "10",
                                      "--threads", "1", "--quiet"});
    CHECK(next.code == 0);
    CHECK_THAT(next.err, ContainsSubstring(
                             "fashion_mnist: run/report.html is as it was: run/retrained/Z.json: not JSON at line 1"));
    CHECK(fs::exists(directory / "run/retrained/B.json"));
    CHECK((io::read_file(directory / "run/report.html") == before));
    const auto refused = run(directory, {"report", "--run", "run"});
    CHECK(refused.code == 1);
    CHECK_THAT(refused.err, ContainsSubstring("fashion_mnist: run/retrained/Z.json: not JSON at line 1"));
}

TEST_CASE("a search that has not ended has a report too, and older runs have theirs", "[app][report]") {
    const TemporaryDirectory directory;
    search(directory, {"--out", "run"});
    fs::remove(directory / "run/result.json");
    REQUIRE(run(directory, {"report", "--run", "run"}).code == 0);
    const auto page = io::read_file(directory / "run/report.html");
    CHECK(hwnas_test::xml_problem(page) == "");
    CHECK_THAT(page, ContainsSubstring(" of 2 epochs done, the search has not ended"));
    CHECK_THAT(page, ContainsSubstring("There is no result yet. To get it: <code><span>./run.sh</span> "
                                       "<span>search</span> <span>--resume</span> <span>DIR</span></code>"));
    CHECK(times(page, "<svg ") == 5);
    CHECK_THAT(page, !ContainsSubstring("<span>train</span>") && !ContainsSubstring("<span>best</span>"));  // not yet

    fs::copy(fs::path(HWNAS_SOURCE_DIR) / "docs/results/search-pointwise-relaxed", directory / "old");
    REQUIRE(run(directory, {"report", "--run", "old"}).code == 0);
    const auto old = io::read_file(directory / "old/report.html");
    CHECK(hwnas_test::xml_problem(old) == "");
    CHECK_THAT(old, ContainsSubstring("<dd>125 of 200</dd>"));
    CHECK_THAT(old, ContainsSubstring("No random networks stand beside these as control."));
    CHECK_THAT(old, ContainsSubstring("The map of the simplex was not made."));
}

TEST_CASE("report says what is wrong", "[app][report]") {
    const TemporaryDirectory directory;
    const auto says = [&](const std::vector<std::string>& words) {
        const auto done = run(directory, words);
        return fmt::format("{} {}", done.code, done.err);
    };
    CHECK(says({"report"}) == "2 fashion_mnist: report: --run DIR is missing, the directory of a search\n");
    CHECK(says({"report", "--run", "none"}) ==
          "1 fashion_mnist: none: there is no such run directory; pass --run the one a search printed\n");
    fs::copy(fs::path(HWNAS_SOURCE_DIR) / "docs/results/search-pointwise-relaxed", directory / "old");
    directory.put("old/metrics.csv", "epoch,loss\n1\n");
    CHECK(says({"report", "--run", "old"}) == "1 fashion_mnist: old/metrics.csv: row 2 has 1 cells, the header 2\n");
    directory.put("old/metrics.csv", "epoch,loss\n1,x\n");
    CHECK(says({"report", "--run", "old"}) == "1 fashion_mnist: old/metrics.csv: line 2: \"x\" is not a number\n");
    directory.put("old/metrics.csv", "epoch,loss\n1,nan\n");
    directory.put("old/simplex.csv", "a,b\n");
    CHECK(
        says({"report", "--run", "old"}) ==
        "1 fashion_mnist: old/simplex.csv: 2 columns, two for each of the 3 primitives of result.json are expected\n");
    directory.put("old/simplex.csv", "");
    CHECK(says({"report", "--run", "old"}) == "1 fashion_mnist: old/simplex.csv: is empty, a header is expected\n");
    fs::remove(directory / "old/simplex.csv");
    CHECK(says({"report", "--run", "old"}) == "0 ");
    const auto before = io::read_file(directory / "old/report.html");
    const auto full = run(directory, {"report", "--run", "old"}, 20'000);
    CHECK(full.code == 1);
    CHECK_THAT(full.err, ContainsSubstring("old/report.html: cannot be written ("));
    CHECK((io::read_file(directory / "old/report.html") == before));
}

}  // namespace app_report_test
