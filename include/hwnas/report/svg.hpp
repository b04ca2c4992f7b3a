// SPDX-License-Identifier: MIT
// Pieces of inline SVG: escaped text, axes with round ticks, a drawing that grows, the colours. No style in the pieces:
// classes name what a mark is, and the page's style sheet (report/html.hpp) says how it looks in light and dark.
#pragma once

#include <hwnas/core/error.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hwnas::svg {

// ---- text

/// Text made safe as text and attribute of HTML and XML. What is not UTF-8, or no character of XML, becomes U+FFFD.
inline std::string escape(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size();) {
        const auto byte = [&](std::size_t at) { return at < text.size() ? static_cast<unsigned char>(text[at]) : 0u; };
        const unsigned lead = byte(i);
        std::size_t length = lead < 0x80 ? 1 : lead >> 5 == 6 ? 2 : lead >> 4 == 14 ? 3 : lead >> 3 == 30 ? 4 : 0;
        unsigned code = length == 1 ? lead : length == 2 ? lead & 31 : length == 3 ? lead & 15 : lead & 7;
        for (std::size_t n = 1; n < length; ++n)
            if (byte(i + n) >> 6 == 2)
                code = code << 6 | (byte(i + n) & 63);
            else
                length = 0;
        constexpr std::array<unsigned, 5> least{0, 0, 0x80, 0x800, 0x10000};
        const bool character = length > 0 && code >= least[length] && code <= 0x10FFFF && code >> 11 != 0x1B &&
                               (code >= 0x20 || code == '\n' || code == '\t') && code != 0x7F && (code | 1) != 0xFFFF;
        if (!character)
            out += "\xEF\xBF\xBD";
        else if (code == '&')
            out += "&amp;";
        else if (code == '<')
            out += "&lt;";
        else if (code == '>')
            out += "&gt;";
        else if (code == '"')
            out += "&quot;";
        else if (code == '\'')
            out += "&#39;";
        else
            out += text.substr(i, length);
        i += std::max<std::size_t>(length, 1);
    }
    return out;
}

/// About how wide a line is, in units of the drawing: no font is known here, so rather wide.
inline double text_width(std::string_view text, double size = 12) {
    double em = 0;
    for (const char c : text) {
        if ((c & 0xC0) == 0x80) continue;  // the rest of a character
        const std::string_view narrow = "ijltfr.,:;|'!()[] ", wide = "mwMW%@";
        em += narrow.find(c) != std::string_view::npos ? 0.40 : wide.find(c) != std::string_view::npos ? 0.98 : 0.66;
    }
    return em * size;
}

/// The text, or its beginning and an ellipsis, not wider than `width`.
inline std::string shortened(std::string_view text, double width, double size = 12) {
    if (text_width(text, size) <= width) return std::string(text);
    std::size_t end = text.size();
    while (end > 0 && text_width(text.substr(0, end), size) + size > width) {
        --end;
        while (end > 0 && (text[end] & 0xC0) == 0x80) --end;
    }
    return std::string(text.substr(0, end)) + "\xE2\x80\xA6";
}

/// A coordinate: two decimals at most, no trailing zeros.
inline std::string coordinate(double x) {
    std::string text = fmt::format("{:.2f}", x);
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
    return text == "-0" ? "0" : text;
}

/// Whether it can be drawn: NaN stands for what is not known, and nothing measured is that large.
inline bool drawable(double x) {
    return std::isfinite(x) && std::abs(x) < 1e15;
}

// ---- axes

/// How an axis chooses its range and ticks.
struct AxisOptions {
    int ticks = 5;          ///< about so many ticks
    bool zero = false;      ///< begins at 0 where all values are positive
    bool integers = false;  ///< ticks at whole numbers only
    bool tight = false;     ///< ends at the values, not at ticks
};

/// A range of values, round ticks in it, and their labels.
struct Axis {
    /// Ends of the range, and distance of two ticks.
    double low = 0, high = 1, step = 0.25;
    /// Values with a tick, rising.
    std::vector<double> ticks = {};

    /// A value as text: large numbers as 20k and 1.5M, small ones with as many decimals as the step needs.
    std::string label(double value) const {
        const double largest = std::max(std::abs(low), std::abs(high));
        const auto [unit, suffix] = largest >= 1e9   ? std::pair{1e9, "G"}
                                    : largest >= 1e6 ? std::pair{1e6, "M"}
                                    : largest >= 1e4 ? std::pair{1e3, "k"}
                                                     : std::pair{1.0, ""};
        if (value == 0) return "0";
        // As many decimals as tell one tick from the next; digits and a power of ten for what is tiny or that close.
        const double scaled = step / unit;
        int decimals = 0;
        for (double power = 1; decimals <= 9; ++decimals, power *= 10)
            if (std::abs(scaled * power - std::round(scaled * power)) <= 1e-6 * scaled * power) break;
        if (decimals > 9 || largest < 1e-6) {
            const auto power = [](double x) { return static_cast<int>(std::floor(std::log10(std::abs(x)) + 1e-9)); };
            return fmt::format("{:.{}e}", value, std::clamp(power(value) - power(step), 0, 16));
        }
        const std::string text = fmt::format("{:.{}f}", value / unit, decimals);
        return text + suffix;
    }
    /// Where a value stands between `from` (low) and `to` (high).
    double at(double value, double from, double to) const { return from + (value - low) / (high - low) * (to - from); }
};

/// The axis for these values; those that cannot be drawn do not count.
inline Axis axis(const std::vector<double>& values, const AxisOptions& options = {}) {
    double low = HUGE_VAL, high = -HUGE_VAL;
    for (const double v : values)
        if (drawable(v)) low = std::min(low, v), high = std::max(high, v);
    if (low > high) low = 0, high = 1;
    if (options.zero && low > 0) low = 0;
    // One value alone, or many that only rounding tells apart, stand in the middle.
    if (high - low <= 1e-9 * std::max(std::abs(low), std::abs(high))) {
        const double around = options.integers ? (options.tight ? 0.5 : 1.0) : low == 0 ? 1.0 : 0.1 * std::abs(low);
        low -= options.zero && low >= 0 ? 0 : around, high += around;
    }
    const double rough = (high - low) / std::max(1, options.ticks), power = std::pow(10, std::floor(std::log10(rough)));
    const double digit = rough / power;
    Axis result{.low = low,
                .high = high,
                .step = power * (digit <= 1.0001   ? 1
                                 : digit <= 2.0001 ? 2
                                 : digit <= 5.0001 ? 5
                                                   : 10)};
    if (options.integers) result.step = std::max(1.0, std::round(result.step));
    const double step = result.step;
    if (!options.tight)
        result.low = std::floor(low / step + 1e-9) * step, result.high = std::ceil(high / step - 1e-9) * step;
    if (!(result.high > result.low)) result.high = result.low + step;
    for (double i = std::ceil(result.low / step - 1e-9); i * step <= result.high + 1e-9 * step; ++i)
        result.ticks.push_back(i * step == 0 ? 0 : i * step);
    return result;
}

// ---- colours

/// One colour of a primitive or a series: the mark on a light and on a dark page, at least 3:1 against it, and letters
/// on the mark, at least 4.5:1. The first four stay apart for all kinds of colour blindness; letters and dashes tell
/// all apart.
struct Colour {
    /// On a light page, mark and letters on it; on a dark page, mark and letters on it: "#rrggbb".
    std::string_view light, on_light, dark, on_dark;
};
/// @cond
// Page, text and secondary text in both themes: for the style sheet, not in the API reference.
inline constexpr std::string_view page_light = "#ffffff", page_dark = "#14181d", text_light = "#1c2128",
                                  text_dark = "#e4e8ee", soft_light = "#59626f", soft_dark = "#a0a9b6";
/// @endcond

/// Colours in the order in which primitives and series take them; numbers beyond begin again.
inline constexpr std::array<Colour, 8> palette{{{"#0072b2", "#ffffff", "#3f97e6", "#0d1117"},
                                                {"#d55e00", "#0d1117", "#f58a42", "#0d1117"},
                                                {"#009e73", "#0d1117", "#3fd6a0", "#0d1117"},
                                                {"#a3348a", "#ffffff", "#f3a6cf", "#0d1117"},
                                                {"#4a4f57", "#ffffff", "#c9ced6", "#0d1117"},
                                                {"#5f5200", "#ffffff", "#f0e05a", "#0d1117"},
                                                {"#3d8fcf", "#0d1117", "#8d7bf2", "#0d1117"},
                                                {"#7a2e12", "#ffffff", "#c66a45", "#0d1117"}}};
/// The class of colour `number` in the style sheet, "c0" to "c7"; larger numbers begin again.
inline std::string colour_class(int number) {
    return fmt::format("c{}", number % static_cast<int>(palette.size()));
}

/// Short codes that tell names apart: D I M; DC3 and DC5 where letters repeat; numbers where nothing helps.
inline std::vector<std::string> codes(const std::vector<std::string>& names) {
    std::vector<std::string> initials;
    for (const auto& name : names) {
        std::string letters;
        bool begins = true;
        for (const char c : name) {
            const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'), digit = c >= '0' && c <= '9';
            if (begins && (letter || digit)) letters += letter && c >= 'a' ? static_cast<char>(c - 'a' + 'A') : c;
            begins = !letter && !digit;
        }
        initials.push_back(letters);
    }
    std::vector<std::string> result;
    for (std::size_t i = 0; i < names.size(); ++i) {
        std::string code;
        for (std::size_t n = 1; n <= std::min<std::size_t>(3, initials[i].size()) && code.empty(); ++n) {
            code = initials[i].substr(0, n);
            for (std::size_t j = 0; j < names.size(); ++j)
                if (j != i && initials[j].substr(0, n) == code) code.clear();
            for (const auto& before : result)
                if (before == code) code.clear();
        }
        result.push_back(code.empty() ? std::to_string(i + 1) : code);
    }
    return result;
}

// ---- drawing

/// One `<svg>`: scales with its place, says what it shows to those who cannot see it.
class Drawing {
public:
    /// An empty drawing of these extents, which are its units; title and description are for those who cannot see it.
    Drawing(double width, double height, std::string_view title, std::string_view description)
        : width_(width), height_(height), title_(escape(title)), description_(escape(description)) {}

    /// Adds a line between two points; `classes` say how it looks (report/style.hpp).
    void line(double x1, double y1, double x2, double y2, std::string_view classes) {
        body_ += fmt::format("<line class=\"{}\" x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\"/>\n", classes, coordinate(x1),
                             coordinate(y1), coordinate(x2), coordinate(y2));
    }
    /// Adds a rectangle with its top left corner at (x, y) and corners rounded by `round`.
    void rectangle(double x, double y, double width, double height, std::string_view classes, double round = 0) {
        body_ +=
            fmt::format("<rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"{}/>\n", classes, coordinate(x),
                        coordinate(y), coordinate(std::max(0.0, width)), coordinate(std::max(0.0, height)),
                        round > 0 ? fmt::format(" rx=\"{}\"", coordinate(round)) : "");
    }
    /// Adds a circle around (x, y); `title` is shown when a pointer rests on it.
    void circle(double x, double y, double radius, std::string_view classes, std::string_view title = {}) {
        body_ += fmt::format("<circle class=\"{}\" cx=\"{}\" cy=\"{}\" r=\"{}\"{}", classes, coordinate(x),
                             coordinate(y), coordinate(radius), closed("circle", title));
    }
    /// Adds a path; `data` is the attribute "d" of SVG, `title` is shown when a pointer rests on it.
    void path(const std::string& data, std::string_view classes, std::string_view title = {}) {
        body_ += fmt::format("<path class=\"{}\" d=\"{}\"{}", classes, data, closed("path", title));
    }
    /// Adds a line of text at (x, y), its baseline, cut to the width `most`; a text that was cut has its whole as
    /// title. anchor: start, middle or end.
    void text(double x, double y, std::string_view text, std::string_view classes = "label",
              std::string_view anchor = "start", double most = HUGE_VAL, std::string_view attributes = {}) {
        const std::string shown = shortened(text, most);
        body_ += fmt::format("<text class=\"{}\" x=\"{}\" y=\"{}\" text-anchor=\"{}\"{}>{}{}</text>\n", classes,
                             coordinate(x), coordinate(y), anchor, attributes, escape(shown),
                             shown == text ? "" : "<title>" + escape(text) + "</title>");
    }
    /// Adds a code on a rounded chip of its colour, centred at (x, y).
    void chip(double x, double y, std::string_view code, int colour, std::string_view title = {}) {
        const double width = std::max(18.0, text_width(code, 11) + 8);
        body_ += fmt::format("<g class=\"{}\">", colour_class(colour));
        if (!title.empty()) body_ += "<title>" + escape(title) + "</title>";
        rectangle(x - width / 2, y - 9, width, 18, "chip", 9);
        text(x, y + 4, code, "on", "middle");
        body_ += "</g>\n";
    }
    /// Keeps it from becoming narrower than `least` or wider than `most` pixels, for one that stands in a box that
    /// scrolls.
    void sized(double least, double most) {
        style_ = fmt::format(" style=\"min-width: {}px; max-width: {}px\"", coordinate(least), coordinate(most));
    }
    /// Width in its units.
    double width() const { return width_; }
    /// Height in its units.
    double height() const { return height_; }
    /// All of it as one `<svg>` element.
    std::string str() const {
        return fmt::format(
            "<svg viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" role=\"img\" aria-label=\"{2}\"{5}>\n"
            "<title>{2}</title>\n<desc>{3}</desc>\n{4}</svg>\n",
            coordinate(width_), coordinate(height_), title_, description_, body_, style_);
    }

private:
    static std::string closed(std::string_view tag, std::string_view title) {
        return title.empty() ? "/>\n" : fmt::format("><title>{}</title></{}>\n", escape(title), tag);
    }
    double width_, height_;
    std::string title_, description_, body_, style_;
};

/// One entry of a legend; entries stand side by side, in as many lines as they need.
struct LegendEntry {
    /// Name beside the sign; short code inside a chip.
    std::string name, code = {};
    /// Number of its colour in `palette`.
    int colour = 0;
    /// The sign before the name, or the shape of a point.
    enum class Mark { line, chip, dot, ring, square, diamond, block };
    Mark mark = Mark::line;  ///< which of them
    int dash = 0;            ///< dash pattern of a line, 0 (none) to 3
};

/// Adds the mark of a point, centred at (x, y), to a drawing; `title` is shown when a pointer rests on it.
inline void mark(Drawing& drawing, double x, double y, LegendEntry::Mark kind, int colour,
                 std::string_view title = {}) {
    const std::string fill = "mark " + colour_class(colour);
    const auto at = [&](double dx, double dy) { return coordinate(x + dx) + " " + coordinate(y + dy); };
    using Mark = LegendEntry::Mark;
    if (kind == Mark::ring)
        drawing.circle(x, y, 3.5, "ring " + colour_class(colour), title);
    else if (kind == Mark::square || kind == Mark::block)
        drawing.path("M" + at(-4.5, -4.5) + "L" + at(4.5, -4.5) + "L" + at(4.5, 4.5) + "L" + at(-4.5, 4.5) + "Z", fill,
                     title);
    else if (kind == Mark::diamond)
        drawing.path("M" + at(0, -6) + "L" + at(6, 0) + "L" + at(0, 6) + "L" + at(-6, 0) + "Z", fill, title);
    else
        drawing.circle(x, y, 5, fill, title);
}

/// Height of a legend in a drawing of this width.
inline double legend_height(const std::vector<LegendEntry>& entries, double width);
/// Adds a legend with its top at y to a drawing, or to none if it is null; returns its height.
inline double legend(Drawing* drawing, const std::vector<LegendEntry>& entries, double width, double y) {
    double x = 4;
    int lines = entries.empty() ? 0 : 1;
    for (const auto& entry : entries) {
        const double sign = entry.mark == LegendEntry::Mark::chip ? std::max(18.0, text_width(entry.code, 11) + 8) : 18,
                     most = width - 8 - sign - 6, text = std::min(text_width(entry.name), most);
        if (x > 4 && x + sign + 6 + text > width - 4) x = 4, ++lines;
        if (drawing) {
            const double middle = y + 20 * (lines - 1) + 10;
            if (entry.mark == LegendEntry::Mark::line)
                drawing->line(x, middle, x + sign, middle,
                              fmt::format("curve {} dash{}", colour_class(entry.colour), entry.dash % 4));
            else if (entry.mark == LegendEntry::Mark::chip)
                drawing->chip(x + sign / 2, middle, entry.code, entry.colour);
            else
                mark(*drawing, x + sign / 2, middle, entry.mark, entry.colour);
            drawing->text(x + sign + 6, middle + 4, entry.name, "label", "start", most);
        }
        x += sign + 6 + text + 14;
    }
    return 20.0 * lines + (lines > 0 ? 6 : 0);
}
inline double legend_height(const std::vector<LegendEntry>& entries, double width) {
    return legend(nullptr, entries, width, 0);
}

}  // namespace hwnas::svg
