// SPDX-License-Identifier: MIT
// ReportPage: what the sections of report.html are put together from: numbers as text, tables, figures, and what to say
// where something is missing.
#pragma once

#include <hwnas/core/text.hpp>
#include <hwnas/report/charts.hpp>
#include <hwnas/report/report.hpp>
#include <hwnas/report/table.hpp>

namespace hwnas::detail {

class ReportPage {
public:
    explicit ReportPage(const Report& report) : r_(report), codes_(svg::codes(report.primitives)) {}

protected:
    using Row = std::vector<std::string>;
    using Mark = svg::LegendEntry::Mark;
    static constexpr std::string_view dash = "\xE2\x80\x93";

    // ---- words
    static std::string e(std::string_view text) { return svg::escape(text); }
    /// Words of a long name may stand on several lines; of a very long one there is only the beginning.
    static std::string breakable(std::string_view text) {
        const std::string shown = svg::shortened(text, 270);
        std::string out = e(shown);
        for (auto at = out.find('_'); at != std::string::npos; at = out.find('_', at + 7)) out.insert(at + 1, "<wbr/>");
        return shown == text ? out : "<abbr title=\"" + e(text) + "\">" + out + "</abbr>";
    }
    static std::string number(double value, int decimals) {
        return svg::drawable(value) ? fmt::format("{:.{}f}", value, decimals) : std::string(dash);
    }
    static std::string count(std::int64_t value) { return value < 0 ? std::string(dash) : with_commas(value); }
    static std::string ms(double value) {
        if (!svg::drawable(value)) return std::string(dash);
        return fmt::format("{:.{}f}", value, std::abs(value) < 0.01 ? 5 : std::abs(value) < 10 ? 3 : 1);
    }
    std::string metric(double value) const { return r_.percent ? number(100 * value, 2) : number(value, 4); }
    double shown(double value) const { return r_.percent ? 100 * value : value; }
    std::string metric_axis() const { return r_.metric + (r_.percent ? ", %" : ""); }
    static std::string plural(std::size_t n, const std::string& one) {
        return fmt::format("{} {}{}", n, one, n == 1 ? "" : "s");
    }

    // ---- parts of the page
    void begin(std::string_view id, std::string_view heading, std::string_view text) {
        out_ += fmt::format("<section id=\"{}\">\n<h2>{}</h2>\n", id, heading);
        if (!text.empty()) out_ += fmt::format("<p>{}</p>\n", text);
    }
    void end() { out_ += "</section>\n"; }
    /// What is not there, and the command or call that gives it.
    void missing(std::string_view what, const std::string& way, std::string_view lead = "To get it:") {
        out_ += fmt::format("<p class=\"missing\">{} {} <code>{}</code></p>\n", what, lead, command(way));
    }
    /// Lines break between words only, but those that fill a line themselves.
    static std::string command(std::string_view text) {
        std::string out;
        for (std::size_t at = 0; at <= text.size();) {
            const auto end = std::min(text.find(' ', at), text.size());
            const auto word = text.substr(at, end - at);
            out += (at ? " " : "") + (word.size() <= 28 ? "<span>" + e(word) + "</span>" : e(word));
            at = end + 1;
        }
        return out;
    }
    /// Rows of cells; the first cell of each heads it. Numbers stand on the right.
    static std::string table(const Row& head, const std::vector<Row>& rows, bool text = false) {
        std::string out =
            fmt::format("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"table\"><table{}>\n",
                        text ? " class=\"text\"" : "");
        if (!head.empty()) {
            out += "<thead><tr>";
            for (const auto& cell : head) out += "<th scope=\"col\">" + breakable(cell) + "</th>";
            out += "</tr></thead>\n";
        }
        out += "<tbody>\n";
        for (const auto& row : rows) {
            // A row of one cell heads those that follow.
            if (row.size() == 1) {
                out += fmt::format("<tr class=\"part\"><th scope=\"rowgroup\" colspan=\"{}\">{}</th></tr>\n",
                                   std::max<std::size_t>(1, head.size()), e(row[0]));
                continue;
            }
            out += "<tr>";
            for (std::size_t i = 0; i < row.size(); ++i)
                out += i == 0 ? "<th scope=\"row\">" + breakable(row[i]) + "</th>" : "<td>" + e(row[i]) + "</td>";
            out += "</tr>\n";
        }
        return out + "</tbody></table></div>\n";
    }
    /// A drawing with what it says, and its numbers as a table to unfold.
    void figure(const std::string& drawing, std::string_view caption, const std::string& numbers = {}) {
        out_ += "<figure>\n" + drawing;
        if (!caption.empty()) out_ += fmt::format("<figcaption>{}</figcaption>\n", caption);
        if (!numbers.empty()) out_ += "<details><summary>Numbers</summary>\n" + numbers + "</details>\n";
        out_ += "</figure>\n";
    }
    /// The chips with their names.
    void key() {
        svg::Drawing none(0, 0, "", "");
        out_ += "<ul class=\"key\">\n";
        for (std::size_t m = 0; m < r_.primitives.size(); ++m)
            out_ += fmt::format("<li><span class=\"code {}\">{}</span> {}</li>\n",
                                svg::colour_class(static_cast<int>(m)), e(codes_[m]), e(r_.primitives[m]));
        out_ += "</ul>\n";
    }

    const Report& r_;
    std::vector<std::string> codes_;
    std::string out_;
};

}  // namespace hwnas::detail
