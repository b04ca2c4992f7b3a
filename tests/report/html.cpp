// SPDX-License-Identifier: MIT
// report.html: well-formed, whole, nothing loaded, the same bytes again; from little data, hard data and none.
#include <hwnas/io/report.hpp>

#include "io/temporary_directory.hpp"
#include "report/sample.hpp"
#include "support/catch.hpp"
#include "support/xml.hpp"

namespace report_html_test {

namespace {

using Catch::Matchers::ContainsSubstring;
using hwnas::Report;
using hwnas_test::full_report;
using hwnas_test::xml_problem;

std::size_t times(const std::string& text, std::string_view what) {
    std::size_t count = 0;
    for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++count;
    return count;
}
constexpr const char* sections[] = {"family",   "costs",   "operations", "control",    "cells",
                                    "training", "latency", "budgets",    "environment"};

/// A report of nothing has its epochs and its environment alone.
void check_page(const std::string& page, bool ended = true) {
    CHECK(xml_problem(page) == "");
    for (const std::string_view id : sections) {
        CAPTURE(id);
        const bool shown = ended || id == "training" || id == "environment";
        CHECK(times(page, fmt::format("<section id=\"{}\">\n<h2>", id)) == (shown ? 1 : 0));
    }
    // Nothing to run and nothing to load.
    for (const char* banned : {"<script", "http:", "https:", "//", "url(", "@import", "<img", "<link", "<iframe",
                               " src=", " href=", "onload", "data:"}) {
        CAPTURE(banned);
        CHECK(times(page, banned) == 0);
    }
    CHECK(times(page, "nan") == times(page, "nan_is_a_name"));
    CHECK(times(page, ">inf") == 0);
    CHECK(times(page, "<svg ") == times(page, "<desc>"));
}

}  // namespace

TEST_CASE("the XML check finds what is planted", "[report]") {
    CHECK(xml_problem("<a b=\"1\"><c/>x &amp; y</a>").empty());
    for (const char* bad : {"<a>", "<a></b>", "<a b=1></a>", "<a b=\"1\" b=\"2\"></a>", "<a>&nbsp;</a>", "<a>& b</a>",
                            "<a b=\"<\"></a>", "<a/><b/>", "<a/>x", "", "<a>< b</a>", "<a>\x01</a>"}) {
        CAPTURE(bad);
        CHECK_FALSE(xml_problem(bad).empty());
    }
}

TEST_CASE("a whole report has every section, chart and number", "[report]") {
    const auto report = full_report();
    const auto page = hwnas::html(report);
    check_page(page);
    CHECK(hwnas::html(full_report()) == page);
    // 2 x 2 scatters, 3 bars, ray, simplex, 3 x 2 cells, 5 curves, latency, budgets.
    CHECK(times(page, "<svg ") == 4 + 3 + 2 + 6 + 5 + 1 + 1);
    CHECK(times(page, "class=\"missing\"") == 0);
    CHECK_THAT(page, ContainsSubstring("<dt>parameters of the profiles</dt><dd>24,000"));
    CHECK_THAT(page, ContainsSubstring("<dd>125 of 200</dd>"));
    CHECK_THAT(page, ContainsSubstring("<th scope=\"row\">multiply-adds, millions</th><td>3.46</td>"));
    CHECK_THAT(page, ContainsSubstring("<h3>B <span class=\"soft\">0.70 of S on depthwise_conv_3x3</span></h3>"));
    CHECK_THAT(page, ContainsSubstring("103 networks: mean relative error "));
    CHECK_THAT(page, ContainsSubstring("<td>0.128</td><td>0.126</td><td>28,100</td>"));
    CHECK_THAT(page, ContainsSubstring("<title>in 0 to 2: "));
    CHECK_THAT(page, ContainsSubstring("<span>--latency</span> <span>DIR/latency.json</span>"));
    // Of every network on a chart the table has a row.
    for (int i = 1; i <= 12; ++i) CHECK(times(page, fmt::format("<th scope=\"row\">random {}</th>", i)) == 2);
    CHECK(times(page, "<th scope=\"row\">study ") == 100);
}

TEST_CASE("an empty report says what is missing and how to get it", "[report]") {
    Report report;
    report.ways.random = "do <this>";
    const auto page = hwnas::html(report);
    check_page(page, false);
    CHECK(times(page, "<svg ") == 0);
    CHECK(times(page, "class=\"missing\"") == 2);  // the result and the epochs
    CHECK(times(page, "<section ") == 2);
    report = full_report();
    report.random.clear(), report.retrained.clear(), report.retrained_random.clear(), report.latencies.clear();
    report.ways.random = "do <this>";
    const auto bare = hwnas::html(report);
    check_page(bare);
    CHECK_THAT(bare,
               ContainsSubstring("No random networks stand beside these as control. To get it: <code><span>do</span> "
                                 "<span>&lt;this&gt;</span></code>"));
    CHECK_THAT(bare, ContainsSubstring("No network has been trained from scratch yet."));
    CHECK_THAT(bare, ContainsSubstring("Only the family was measured."));
    // A lone network is a row of a table: a chart of one point shows nothing.
    report.retrained = {report.family[0]};
    report.retrained[0].retrained = 0.9;
    const auto lone = hwnas::html(report);
    check_page(lone);
    CHECK(times(lone, "<svg ") == times(bare, "<svg "));
    CHECK_THAT(lone, ContainsSubstring("<td>90.00</td>"));
    report.retrained.push_back(report.retrained[0]);
    CHECK(times(hwnas::html(report), "<svg ") == times(bare, "<svg ") + 2);
}

TEST_CASE("hostile names, holes, one epoch and strange cells leave a page whole", "[report]") {
    const auto page = hwnas::html(hwnas_test::hard_report());
    CHECK(xml_problem(page) == "");
    CHECK(times(page, "<script") == 0);
    CHECK_THAT(page, ContainsSubstring("&lt;script&gt;alert(1)&lt;/script&gt;"));
    CHECK_THAT(page, ContainsSubstring("not_of_this_space"));
    CHECK(times(page, "<svg ") > 30);
}

TEST_CASE("any number of primitives", "[report]") {
    for (int k = 1; k <= 12; ++k) {
        CAPTURE(k);
        std::vector<std::string> names;
        for (int m = 0; m < k; ++m) names.push_back(fmt::format("operation_{}", m));
        const auto page = hwnas::html(full_report(names, 2));
        check_page(page);
        CHECK(times(page, "the primitive that most edges choose, for every S\">") == (k > 1 ? 1 : 0));
    }
}

TEST_CASE("another metric is shown as it is", "[report]") {
    auto report = full_report();
    report.metric = "squared error", report.percent = false;
    const auto page = hwnas::html(report);
    check_page(page);
    CHECK_THAT(page, ContainsSubstring(">squared error</text>"));
    CHECK_THAT(page, ContainsSubstring("<th scope=\"row\">supernet</th><td>0.9000</td>"));
}

TEST_CASE("a result becomes a report, and a file", "[report][io]") {
    namespace io = hwnas::io;
    const auto a = hwnas_test::report_architecture({"conv", "skip"});
    io::SearchResult result{.space = "mine",
                            .mode = "relaxed",
                            .epochs = 1,
                            .train_images = 1'000,
                            .batch = 8,
                            .channels = 4,
                            .seed = 3,
                            .device = "cpu",
                            .control = {.rays = {{"conv", {9, 4, 0}, -1}, {"skip", {9, 0, 0}, NAN}},
                                        .samples = 10,
                                        .distinct = 7,
                                        .spearman = {{"conv", -0.5}, {"skip", NAN}}},
                            .family = {}};
    const auto genotype = hwnas::random_genotype(a, hwnas::seed(1).stream("x"), 0);
    result.family.push_back({.name = "A",
                             .complexity = {{"conv", 0.5}, {"skip", 0.5}},
                             .genotype = genotype,
                             .counts = io::counts_of(genotype, a),
                             .size = {.parameters = 1'234, .primitive_parameters = 18, .macs = 2'000'000},
                             .accuracies = {.supernet = 0.875, .derived = NAN, .recalibrated = 0.75},
                             .predicted_ms = 0.125,
                             .measured_ms = 0.25});
    result.random = result.family;
    const auto report = io::report_of(result);
    CHECK(report.primitives == std::vector<std::string>{"conv", "skip"});
    REQUIRE(report.family.size() == 1);
    CHECK(report.family[0].genotype.str() == genotype.str());
    CHECK(report.family[0].counts ==
          std::vector<int>{io::counts_of(genotype, a)[0].second, io::counts_of(genotype, a)[1].second});
    CHECK(std::isnan(report.family[0].derived));
    REQUIRE(report.random.size() == 1);
    CHECK(std::isnan(report.random[0].measured_ms));
    CHECK(report.retrained.empty());
    const hwnas_test::TemporaryDirectory directory;
    io::write_report(directory / "report.html", result);
    const auto page = io::read_file(directory / "report.html");
    check_page(page);
    CHECK_THAT(page, ContainsSubstring("<h1>hwnas search: mine, 4 channels, seed 3</h1>"));
    CHECK_THAT(page, ContainsSubstring("relaxed mode, 1 epoch of 1,000 images, batch 8, on cpu"));

    // What another program left out or made wrong is named.
    auto json = io::result_json(result);
    json.erase("random");  // results before there were any
    CHECK(io::report_of(json).random.empty());
    json["family"][0]["counts"].erase("skip");
    json["family"][0]["complexity"].erase("conv");
    CHECK(hwnas_test::error_of(directory, [&] { io::report_of(json, "result.json"); }) ==
          "result.json: key \"conv\" is missing");
    json["schema"] = "hwnas-result/9";
    CHECK_THAT(hwnas_test::error_of(directory, [&] { io::report_of(json, "result.json"); }),
               ContainsSubstring("result.json: schema version \"hwnas-result/9\" is unknown"));
}

TEST_CASE("random networks are drawn evenly, each by its number", "[report][property]") {
    const auto a = hwnas_test::report_architecture({"x", "y", "z"});
    const auto key = hwnas::seed(5).stream("r");
    std::map<std::string, int> total;
    for (std::uint64_t i = 0; i < 300; ++i) {
        const auto genotype = hwnas::random_genotype(a, key, i);
        CHECK(genotype == hwnas::random_genotype(a, key, i));
        for (const auto& [name, count] : genotype.counts()) total[name] += count;
    }
    CHECK_FALSE(hwnas::random_genotype(a, key, 0) == hwnas::random_genotype(a, key, 1));
    // 8,400 draws of three: a third each, standard deviation 43.
    for (const auto& [name, count] : total) CHECK(std::abs(count - 2'800) < 5 * 43);
}

}  // namespace report_html_test
