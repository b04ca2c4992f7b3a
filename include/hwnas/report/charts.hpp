// SPDX-License-Identifier: MIT
// Charts as inline SVG: lines, scattered points with labels, bars. Each is a struct of what it shows and draws itself.
// Values that are not known (NaN) are left out; the axes say their units.
#pragma once

#include <hwnas/report/svg.hpp>

#include <optional>
#include <utility>

namespace hwnas::svg {

/// The box of a chart inside a Drawing: grid, ticks, titles, and where a value is drawn.
class Frame {
public:
    /// Extents of the box and titles of its axes.
    struct Options {
        /// Width and bottom of the box in units of the drawing; `top`: where it begins, below a legend.
        double width = 340, height = 230, top = 0;
        /// Text under the x axis; text above the y axis.
        std::string x_title, y_title;
    };
    /// Draws grid, ticks and titles into `drawing`, leaving room for the labels of the y axis.
    Frame(Drawing& drawing, const Axis& x, const Axis& y, const Options& o) : x_(x), y_(y) {
        double labels = 0;
        for (const double tick : y.ticks) labels = std::max(labels, text_width(y.label(tick), 11));
        left_ = std::max(30.0, labels + 8), right_ = o.width - 14, top_ = o.top + 28, bottom_ = o.height - 42;
        drawing.text(2, o.top + 14, o.y_title, "axis", "start", o.width - 4);
        for (const double tick : y.ticks) {
            const double at = py(tick);
            drawing.line(left_, at, right_, at, tick == y.low ? "base" : "grid");
            drawing.text(left_ - 6, at + 4, y.label(tick), "tick", "end");
        }
        double free = -HUGE_VAL;  // labels that would touch the one before are left out
        for (const double tick : x.ticks) {
            const std::string label = x.label(tick);
            const double half = text_width(label, 11) / 2, at = std::min(px(tick), o.width - half - 1);
            drawing.line(px(tick), bottom_, px(tick), bottom_ + 4, "base");
            if (at - half < free) continue;
            drawing.text(at, bottom_ + 17, label, "tick", "middle");
            free = at + half + 6;
        }
        drawing.text((left_ + right_) / 2, bottom_ + 36, o.x_title, "axis", "middle", o.width - 4);
    }
    /// x coordinate in the drawing of a value of the x axis.
    double px(double x) const { return x_.at(x, left_, right_); }
    /// y coordinate in the drawing of a value of the y axis; large values are further up, so y is smaller.
    double py(double y) const { return y_.at(y, bottom_, top_); }
    /// x coordinate of the box's left edge.
    double left() const { return left_; }
    /// x coordinate of the box's right edge.
    double right() const { return right_; }
    /// y coordinate of the box's top edge.
    double top() const { return top_; }
    /// y coordinate of the box's bottom edge.
    double bottom() const { return bottom_; }

private:
    Axis x_, y_;
    double left_ = 0, right_ = 0, top_ = 0, bottom_ = 0;
};

/// (x, y) of points in the units of the axes; a point with NaN is not drawn.
using Points = std::vector<std::pair<double, double>>;

/// The x of all points that can be drawn.
inline std::vector<double> firsts(const Points& points) {
    std::vector<double> values;
    for (const auto& [x, y] : points)
        if (drawable(x) && drawable(y)) values.push_back(x);
    return values;
}
/// The y of all points that can be drawn.
inline std::vector<double> seconds(const Points& points) {
    std::vector<double> values;
    for (const auto& [x, y] : points)
        if (drawable(x) && drawable(y)) values.push_back(y);
    return values;
}

/// One line of a LineChart.
struct LineSeries {
    /// Name in the legend.
    std::string name;
    /// Its points, joined in this order.
    Points points;
    /// Number of its colour in `palette`.
    int colour = 0;
    /// Number of its dash pattern, 0 (none) to 3; larger ones begin again.
    int dash = 0;
    std::string code = {};  ///< shown in the legend as a chip where there is one
};

/// Lines over a common x; a value that is not known breaks its line.
struct LineChart {
    /// Name of the chart; a description for readers who cannot see it; text under the x axis; text above the y axis.
    std::string title, description, x_title, y_title;
    /// The lines, later ones on top.
    std::vector<LineSeries> series;
    /// How ticks are placed on the x axis and on the y axis; by default x counts and ends at its values.
    AxisOptions x = {.integers = true, .tight = true}, y = {};
    /// Extents in units of the drawing, the legend not counted.
    double width = 340, height = 230;

    /// Whether no point can be drawn.
    bool empty() const {
        return std::all_of(series.begin(), series.end(), [](const auto& s) { return firsts(s.points).empty(); });
    }
    /// The chart as one `<svg>` element.
    std::string str() const {
        std::vector<LegendEntry> entries;
        std::vector<double> xs, ys;
        for (const auto& s : series) {
            entries.push_back({.name = s.name,
                               .code = s.code,
                               .colour = s.colour,
                               .mark = s.code.empty() ? LegendEntry::Mark::line : LegendEntry::Mark::chip,
                               .dash = s.dash});
            for (const double v : firsts(s.points)) xs.push_back(v);
            for (const double v : seconds(s.points)) ys.push_back(v);
        }
        if (entries.size() < 2) entries.clear();
        const double above = legend_height(entries, width);
        Drawing drawing(width, height + above, title, description);
        legend(&drawing, entries, width, 0);
        const Frame frame(drawing, axis(xs, x), axis(ys, y), {width, height + above, above, x_title, y_title});
        for (const auto& s : series) {
            const auto classes = fmt::format("curve {} dash{}", colour_class(s.colour), s.dash % 4);
            std::string data;
            bool pen = false;
            for (std::size_t i = 0; i < s.points.size(); ++i) {
                const auto [px, py] = s.points[i];
                if (!drawable(px) || !drawable(py)) {
                    pen = false;
                    continue;
                }
                const auto known = [&](std::size_t at) {
                    return at < s.points.size() && drawable(s.points[at].first) && drawable(s.points[at].second);
                };
                data += (pen ? "L" : "M") + coordinate(frame.px(px)) + " " + coordinate(frame.py(py));
                // A point between gaps has no line to be seen by; few points are seen on theirs.
                if ((!pen && !known(i + 1)) || s.points.size() <= 12)
                    drawing.circle(frame.px(px), frame.py(py), 3.5, "mark " + colour_class(s.colour));
                pen = true;
            }
            if (!data.empty()) drawing.path(data, classes);
        }
        return drawing.str();
    }
};

/// One kind of points of a ScatterChart.
struct ScatterSeries {
    /// Name in the legend.
    std::string name;
    /// Its points.
    Points points;
    std::vector<std::string> labels = {};  ///< beside the points; may be empty or fewer
    std::vector<std::string> titles = {};  ///< shown when a pointer rests on them
    /// Number of its colour in `palette`.
    int colour = 0;
    /// Shape of its points.
    LegendEntry::Mark mark = LegendEntry::Mark::dot;
};

/// Points of several kinds, those of later series on top; labels where they fit beside them.
struct ScatterChart {
    /// Name of the chart; a description for readers who cannot see it; text under the x axis; text above the y axis.
    std::string title, description, x_title, y_title;
    /// The kinds of points, later ones on top.
    std::vector<ScatterSeries> series;
    /// How ticks are placed on the x axis and on the y axis.
    AxisOptions x = {}, y = {};
    bool identity = false;  ///< both axes alike, with the line y = x
    /// Extents in units of the drawing, the legend not counted.
    double width = 400, height = 300;

    /// Whether no point can be drawn.
    bool empty() const {
        return std::all_of(series.begin(), series.end(), [](const auto& s) { return firsts(s.points).empty(); });
    }
    /// The chart as one `<svg>` element.
    std::string str() const {
        std::vector<LegendEntry> entries;
        std::vector<double> xs, ys;
        for (const auto& s : series) {
            if (firsts(s.points).empty()) continue;
            entries.push_back({.name = s.name, .colour = s.colour, .mark = s.mark});
            for (const double v : firsts(s.points)) xs.push_back(v), identity ? ys.push_back(v) : void();
            for (const double v : seconds(s.points)) ys.push_back(v), identity ? xs.push_back(v) : void();
        }
        const double above = legend_height(entries, width);
        Drawing drawing(width, height + above, title, description);
        legend(&drawing, entries, width, 0);
        const Axis ax = axis(xs, x), ay = axis(ys, y);
        const Frame frame(drawing, ax, ay, {width, height + above, above, x_title, y_title});
        std::vector<Box> taken;
        if (identity) {
            drawing.line(frame.px(ax.low), frame.py(ax.low), frame.px(ax.high), frame.py(ax.high), "guide");
            for (int i = 0; i <= 64; ++i) {  // no label on the line
                const double at = ax.low + i / 64.0 * (ax.high - ax.low);
                taken.push_back({frame.px(at) - 3, frame.py(at) - 3, frame.px(at) + 3, frame.py(at) + 3});
            }
        }
        struct Label {
            double x, y;
            std::string text;
        };
        std::vector<Label> labels;
        for (const auto& s : series)
            for (std::size_t i = 0; i < s.points.size(); ++i) {
                const auto [px, py] = s.points[i];
                if (!drawable(px) || !drawable(py)) continue;
                const double cx = frame.px(px), cy = frame.py(py);
                mark(drawing, cx, cy, s.mark, s.colour, i < s.titles.size() ? s.titles[i] : "");
                const bool labelled = i < s.labels.size() && !s.labels[i].empty();
                const double reach = labelled ? 6 : 3;
                taken.push_back({cx - reach, cy - reach, cx + reach, cy + reach});
                if (labelled) labels.push_back({cx, cy, s.labels[i]});
            }
        for (const auto& label : labels) place(drawing, frame, taken, label.x, label.y, label.text);
        return drawing.str();
    }

private:
    struct Box {
        double left, top, right, bottom;
        bool touches(const Box& o) const {
            return left < o.right && o.left < right && top < o.bottom && o.top < bottom;
        }
    };
    /// Beside the point where nothing else is, farther out with a thin line to it, or nowhere: the table has it too.
    static void place(Drawing& drawing, const Frame& frame, std::vector<Box>& taken, double x, double y,
                      const std::string& label) {
        const std::string shown = shortened(label, 120);
        const double w = text_width(shown), h = 13;
        for (const double far : {9.0, 18.0, 30.0, 44.0})
            for (int direction = 0; direction < 8; ++direction) {
                constexpr std::array<std::array<double, 2>, 8> ways{
                    {{1, 0}, {-1, 0}, {0, -1}, {0, 1}, {1, -1}, {-1, -1}, {1, 1}, {-1, 1}}};
                const auto [dx, dy] = ways[static_cast<std::size_t>(direction)];
                const double scale = dx != 0 && dy != 0 ? 0.75 : 1, cx = x + dx * far * scale,
                             cy = y + dy * far * scale;
                const double left = dx > 0   ? cx
                                    : dx < 0 ? cx - w
                                             : cx - w / 2,
                             top = dy > 0   ? cy
                                   : dy < 0 ? cy - h
                                            : cy - h / 2;
                const Box box{left, top, left + w, top + h};
                if (box.left < frame.left() || box.right > frame.right() || box.top < frame.top() - 10 ||
                    box.bottom > frame.bottom())
                    continue;
                if (std::any_of(taken.begin(), taken.end(), [&](const Box& o) { return o.touches(box); })) continue;
                if (far > 20) drawing.line(x, y, dx == 0 ? x : cx, dy == 0 ? y : cy, "leader");
                drawing.text(left, top + 10.5, label, "label strong", "start", 120);
                taken.push_back(box);
                return;
            }
    }
};

/// Bars of one kind under each other: a chip and a name above each, its number at its end.
struct BarChart {
    /// One bar.
    struct Bar {
        /// Name above the bar; short code in its chip.
        std::string name, code;
        /// Length of the bar, on a scale from 0 to `most`.
        double value = 0;
        /// Number of its colour in `palette`.
        int colour = 0;
    };
    /// Name of the chart; a description for readers who cannot see it.
    std::string title, description;
    /// The bars from top to bottom.
    std::vector<Bar> bars;
    double most = 1;                   ///< value at which the scale ends
    std::optional<double> guide = {};  ///< a line across, such as what chance gives
    /// Text beside the guide: what it stands for.
    std::string guide_name = {};
    /// Width in units of the drawing; the height follows from the number of bars.
    double width = 340;

    /// The chart as one `<svg>` element.
    std::string str() const {
        const double row = 44, bottom = guide ? 24 : 4;
        Drawing drawing(width, row * static_cast<double>(bars.size()) + bottom, title, description);
        const double left = 4, right = width - 46, scale = most > 0 ? (right - left) / most : 0;
        double y = 0;
        for (const auto& bar : bars) {
            const double chip = std::max(18.0, text_width(bar.code, 11) + 8);
            drawing.chip(left + chip / 2, y + 10, bar.code, bar.colour);
            drawing.text(left + chip + 6, y + 14, bar.name, "label", "start", width - chip - 14);
            const bool known = drawable(bar.value);
            const double length = known ? std::clamp(bar.value, 0.0, most) * scale : 0;
            drawing.rectangle(left, y + 23, right - left, 14, "track", 2);
            drawing.rectangle(left, y + 23, length, 14, "mark " + colour_class(bar.colour), 2);
            drawing.text(width - 4, y + 35, known ? coordinate(bar.value) : "\xE2\x80\x93", "label strong", "end");
            y += row;
        }
        if (guide && drawable(*guide)) {
            const double x = left + std::clamp(*guide, 0.0, most) * scale;
            for (double at = 22; at < y; at += row) drawing.line(x, at, x, at + 16, "guide");
            drawing.text(std::clamp(x, 4 + text_width(guide_name, 11) / 2, width - 4 - text_width(guide_name, 11) / 2),
                         y + 14, guide_name, "tick", "middle", width - 8);
        }
        return drawing.str();
    }
};

}  // namespace hwnas::svg
