// SPDX-License-Identifier: MIT
// The report in a real browser, at the widths of a phone and of a desk, light and dark, and on paper: nothing overlaps,
// stands out, is too small or too faint, and nothing is loaded. Skipped where there is no Chromium (apt-get install
// chromium). $HWNAS_SCREENSHOTS names a directory that pictures are left in, to be looked at.
#include <hwnas/io/file.hpp>
#include <hwnas/report/html.hpp>

#include "io/temporary_directory.hpp"
#include "report/sample.hpp"
#include "support/browser.hpp"
#include "support/catch.hpp"

namespace report_browser_test {

namespace {

using hwnas_test::Browser;
using hwnas_test::TemporaryDirectory;

std::string joined(const nlohmann::json& problems) {
    std::string text;
    for (const auto& p : problems) text += p.get<std::string>() + "\n";
    return text;
}

void check_in(Browser& browser, const TemporaryDirectory& directory, const std::string& name, const std::string& page) {
    directory.put(name + ".html", page);
    std::size_t drawings = 0;
    for (auto at = page.find("<svg "); at != std::string::npos; at = page.find("<svg ", at + 1)) ++drawings;
    for (const int width : {360, 768, 1'280})
        for (const std::string scheme : {"light", "dark"}) {
            CAPTURE(name, width, scheme);
            const auto loaded = browser.open(directory / (name + ".html"), width, scheme);
            CHECK(loaded.requests.size() == 1);  // the page itself
            CHECK(loaded.complaints.empty());
            CHECK(joined(browser.evaluate(hwnas_test::layout_problems)) == "");
            CHECK(browser.evaluate(
                      "[...document.querySelectorAll('svg')].filter(s => s.getBoundingClientRect().height > 20)"
                      ".length") == drawings);
            const std::string background = browser.evaluate("getComputedStyle(document.body).backgroundColor");
            CHECK(background == (scheme == "dark" ? "rgb(20, 24, 29)" : "rgb(255, 255, 255)"));
            // Everything unfolded fits as well.
            browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)");
            CHECK(joined(browser.evaluate(hwnas_test::layout_problems)) == "");
            if (const char* pictures = std::getenv("HWNAS_SCREENSHOTS"); pictures && *pictures) {
                browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = false)");
                hwnas::io::write_file_atomic(
                    std::filesystem::path(pictures) / fmt::format("{}-{}-{}.png", name, width, scheme),
                    browser.screenshot());
            }
        }
    browser.open(directory / (name + ".html"), 1'000, "dark", "print");
    CAPTURE(name);
    CHECK(joined(browser.evaluate(hwnas_test::layout_problems)) == "");
    CHECK(browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)");
    CHECK(browser.evaluate("[...document.querySelectorAll('details')].every(d => !d.getClientRects().length)") == true);
    const auto paper = browser.pdf();
    CHECK(paper.substr(0, 5) == "%PDF-");
    CHECK(paper.size() > 20'000);
}

}  // namespace

TEST_CASE("reports in a browser: nothing overlaps, stands out or is loaded", "[report][browser]") {
    const auto program = hwnas_test::chromium();
    if (!program) SKIP("no Chromium here; apt-get install chromium");
    const TemporaryDirectory directory;
    Browser browser(*program, directory / "profile");

    // The check sees what it is for.
    directory.put(
        "planted.html",
        "<!DOCTYPE html><html><body style=\"background:#fff\"><section id=\"s\"><h2>h</h2><p "
        "style=\"color:#bbb\">faint</p>"
        "<p style=\"width:3000px\">wide</p><p style=\"margin-top:-20px\">over</p>"
        "<svg viewBox=\"0 0 200 100\" width=\"200\" aria-label=\"d\"><text x=\"5\" y=\"20\">one</text>"
        "<text x=\"8\" y=\"22\">two</text><text x=\"190\" y=\"60\">leaves</text>"
        "<text x=\"9\" y=\"80\" style=\"font-size:5px\">small</text></svg><img src=\"missing.png\"/></section>"
        "<section id=\"e\"></section><script>console.log(1)</script></body></html>");
    const auto planted = browser.open(directory / "planted.html", 360, "light");
    CHECK(planted.requests.size() == 2);
    CHECK(planted.complaints.size() == 1);
    const auto found = joined(browser.evaluate(hwnas_test::layout_problems));
    for (const char* problem : {"the page is 3", "text \"two\" touches text \"one\"", "\"leaves\" leaves the drawing",
                                "\"small\" has letters of 5.0 px", "p \"faint\" has a contrast of",
                                "p \"wide\" stands out", "p \"over\" overlaps p \"wide\"", "section#e \"\" is empty"})
        CHECK_THAT(found, Catch::Matchers::ContainsSubstring(problem));

    check_in(browser, directory, "full", hwnas::html(hwnas_test::full_report()));
    check_in(browser, directory, "hard", hwnas::html(hwnas_test::hard_report()));
    check_in(browser, directory, "four",
             hwnas::html(hwnas_test::full_report({"conv_3x3", "conv_5x5", "max_pool", "skip"}, 1, 5)));
    check_in(browser, directory, "two", hwnas::html(hwnas_test::full_report({"conv_3x3", "skip"}, 3, 2)));
    check_in(browser, directory, "one", hwnas::html(hwnas_test::full_report({"conv_3x3"}, 40, 1)));
    check_in(browser, directory, "empty", hwnas::html(hwnas::Report{}));
}

}  // namespace report_browser_test
