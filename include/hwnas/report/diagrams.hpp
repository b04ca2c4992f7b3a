// SPDX-License-Identifier: MIT
// Diagrams of a search as inline SVG: the simplex of complexity vectors coloured by the primitive that dominates there,
// and a cell as a graph.
#pragma once

#include <hwnas/hypernet/simplex.hpp>
#include <hwnas/report/svg.hpp>
#include <hwnas/space/genotype.hpp>

#include <map>
#include <numbers>

namespace hwnas::svg {

/// A complexity vector and what it gives: how many edges choose each primitive.
struct SimplexPoint {
    std::vector<double> s;    ///< the complexity vector
    std::vector<int> counts;  ///< edges by primitive

    /// The primitive that more edges choose than any other, or -1 where two share the lead or no edge chooses.
    int dominating() const {
        const auto top = std::max_element(counts.begin(), counts.end());
        if (top == counts.end() || *top <= 0 || std::count(counts.begin(), counts.end(), *top) > 1) return -1;
        return static_cast<int>(top - counts.begin());
    }
};

/// All S whose entries are multiples of 1/steps: (steps + 1)(steps + 2)/2 of them for three primitives, corners first
/// entry falling.
inline std::vector<std::vector<double>> simplex_lattice(int k, int steps) {
    require(k >= 1 && steps >= 1, "simplex: a lattice of {} primitives and {} steps; at least 1 of each", k, steps);
    std::vector<std::vector<double>> points;
    std::vector<int> at(static_cast<std::size_t>(k), 0);
    const auto fill = [&](const auto& self, int m, int left) -> void {
        if (m == k - 1) {
            at[static_cast<std::size_t>(m)] = left;
            points.emplace_back();
            for (const int n : at) points.back().push_back(static_cast<double>(n) / steps);
            return;
        }
        for (int n = left; n >= 0; --n) at[static_cast<std::size_t>(m)] = n, self(self, m + 1, left - n);
    };
    fill(fill, 0, steps);
    return points;
}
/// S to colour the simplex by: for up to three primitives the finest lattice of at most 24 steps, for more 360 points
/// that lie all over, half of them nearer to a corner.
inline std::vector<std::vector<double>> simplex_cover(int k) {
    if (k <= 3) return simplex_lattice(k, 24);
    std::vector<std::vector<double>> points;
    const auto key = Seed{}.stream("simplex cover");
    for (std::uint64_t i = 0; i < 360; ++i) {
        auto s = random_complexity(k, key, i);
        const double t = i % 2 ? random::uniform(random::words_at(key, 1'000'000, i).w[0]) : 0.0;
        for (double& x : s) x *= 1 - t;
        s[i / 2 % static_cast<std::uint64_t>(k)] += t;
        points.push_back(std::move(s));
    }
    return points;
}

/// The simplex: a corner a primitive, where S penalises it alone. Three primitives fill a triangle; with more, points
/// are where the mean of the corners, weighted by S, lies, so that several S may share a place.
struct SimplexMap {
    /// Name of the drawing; a description for readers who cannot see it.
    std::string title, description;
    /// Names of the primitives in the order of the space; their short codes, see codes().
    std::vector<std::string> primitives, codes;
    /// The S to draw, coloured by the primitive most of their edges choose.
    std::vector<SimplexPoint> points;
    std::vector<std::pair<std::string, std::vector<double>>> marks = {};  ///< named S: the profiles
    /// Width in units of the drawing; the height follows.
    double width = 340;

    /// The map as one `<svg>` element.
    std::string str() const {
        const int k = static_cast<int>(primitives.size());
        std::vector<LegendEntry> entries;
        for (int m = 0; m < k; ++m)
            entries.push_back({.name = primitives[static_cast<std::size_t>(m)],
                               .code = codes[static_cast<std::size_t>(m)],
                               .colour = m,
                               .mark = LegendEntry::Mark::chip});
        const double above = legend_height(entries, width), margin = 26, side = width - 2 * margin,
                     tall = k <= 2   ? 46
                            : k == 3 ? side * std::sqrt(3.0) / 2
                                     : side;
        Drawing drawing(width, above + tall + 2 * margin, title, description);
        legend(&drawing, entries, width, 0);
        std::vector<std::array<double, 2>> corners;
        for (int m = 0; m < k; ++m) {
            const double turn = 2 * std::numbers::pi * m / std::max(1, k);
            if (k <= 2)
                corners.push_back({margin + side * (k == 1 ? 0.5 : m), above + margin + tall / 2});
            else if (k == 3)
                corners.push_back({margin + side * (m == 0 ? 0.5 : m - 1), above + margin + (m == 0 ? 0 : tall)});
            else
                corners.push_back(
                    {width / 2 + side / 2 * std::sin(turn), above + margin + tall / 2 - side / 2 * std::cos(turn)});
        }
        const auto place = [&](const std::vector<double>& s) {
            std::array<double, 2> at{0, 0};
            for (std::size_t m = 0; m < corners.size() && m < s.size(); ++m)
                at[0] += s[m] * corners[m][0], at[1] += s[m] * corners[m][1];
            return at;
        };
        std::map<std::pair<int, int>, std::string> areas;  // by primitive and how far it dominates
        const int steps = k == 3 ? lattice_steps() : 0;
        for (const auto& point : points) {
            if (point.counts.size() != primitives.size() || point.s.size() != primitives.size()) continue;
            const int top = point.dominating();
            int all = 0;
            for (const int n : point.counts) all += n;
            if (all == 0) continue;
            int level = 3;
            if (top >= 0 && k <= 3) {
                const double most = static_cast<double>(point.counts[static_cast<std::size_t>(top)]) / all;
                level = std::clamp(static_cast<int>(3 * (most - 1.0 / k) / std::max(1e-9, 1 - 1.0 / k)), 0, 2);
            }
            auto& area = areas[{top, level}];
            if (steps > 0) {
                const auto cell = hexagon(point.s, steps);
                for (std::size_t i = 0; i < cell.size(); ++i) {
                    const auto at = place({cell[i].begin(), cell[i].end()});
                    area += (i ? "L" : "M") + coordinate(at[0]) + " " + coordinate(at[1]);
                }
                area += "Z";
            } else {
                const auto [x, y] = place(point.s);
                area += fmt::format("M{} {}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0Z", coordinate(x - 4), coordinate(y));
            }
        }
        for (const auto& [key, data] : areas)
            drawing.path(
                data,
                fmt::format("{} {}", steps > 0 ? "area" : "point",
                            key.first < 0 ? "tied" : fmt::format("level{} {}", key.second, colour_class(key.first))));
        if (k >= 3) {
            std::string outline;
            for (int m = 0; m < k; ++m)
                outline += (m ? "L" : "M") + coordinate(corners[static_cast<std::size_t>(m)][0]) + " " +
                           coordinate(corners[static_cast<std::size_t>(m)][1]);
            drawing.path(outline + "Z", "outline");
        }
        for (int m = 0; m < k; ++m) {
            const auto [x, y] = corners[static_cast<std::size_t>(m)];
            const double cx = width / 2, cy = above + margin + tall * (k == 3 ? 2.0 / 3 : 0.5),
                         length = std::max(1.0, std::hypot(x - cx, y - cy));
            drawing.chip(x + 15 * (x - cx) / length, y + 15 * (y - cy) / length, codes[static_cast<std::size_t>(m)], m,
                         "all of S on " + primitives[static_cast<std::size_t>(m)]);
        }
        // Names of S that lie on each other share a pin.
        std::vector<std::pair<std::string, std::array<double, 2>>> pins;
        for (const auto& [name, s] : marks) {
            if (s.size() != primitives.size()) continue;
            const auto at = place(s);
            const auto near = std::find_if(pins.begin(), pins.end(), [&](const auto& pin) {
                return std::hypot(pin.second[0] - at[0], pin.second[1] - at[1]) < 22;
            });
            if (near == pins.end())
                pins.emplace_back(name, at);
            else
                near->first += ", " + name;
        }
        for (const auto& [name, at] : pins) {
            const std::string shown = shortened(name, 90);
            const double half = std::max(9.0, text_width(shown) / 2 + 5),
                         px = std::clamp(at[0], half + 2, width - half - 2);
            drawing.rectangle(px - half, at[1] - 9, 2 * half, 18, "pin", 9);
            drawing.text(px, at[1] + 4, name, "strong label", "middle", 90);
        }
        return drawing.str();
    }

private:
    /// The steps whose whole lattice the points are, else 0.
    int lattice_steps() const {
        int steps = 1;
        while ((steps + 1) * (steps + 2) / 2 < static_cast<int>(points.size())) ++steps;
        if ((steps + 1) * (steps + 2) / 2 != static_cast<int>(points.size())) return 0;
        for (const auto& point : points)
            for (const double s : point.s)
                if (!(std::abs(s * steps - std::round(s * steps)) < 1e-6)) return 0;
        return steps;
    }
    /// The points nearest to a point of the lattice, within the simplex: a polygon in coordinates of S.
    static std::vector<std::array<double, 3>> hexagon(const std::vector<double>& s, int steps) {
        constexpr std::array<std::array<int, 3>, 6> around{
            {{2, -1, -1}, {1, 1, -2}, {-1, 2, -1}, {-2, 1, 1}, {-1, -1, 2}, {1, -2, 1}}};
        std::vector<std::array<double, 3>> cell;
        for (const auto& d : around)
            cell.push_back({s[0] + d[0] / (3.0 * steps), s[1] + d[1] / (3.0 * steps), s[2] + d[2] / (3.0 * steps)});
        for (std::size_t m = 0; m < 3; ++m) {  // what lies beyond a side goes
            std::vector<std::array<double, 3>> kept;
            for (std::size_t i = 0; i < cell.size(); ++i) {
                const auto &a = cell[i], &b = cell[(i + 1) % cell.size()];
                if (a[m] >= 0) kept.push_back(a);
                if ((a[m] >= 0) != (b[m] >= 0)) {
                    const double t = a[m] / (a[m] - b[m]);
                    kept.push_back({a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]), a[2] + t * (b[2] - a[2])});
                }
            }
            cell = std::move(kept);
        }
        return cell;
    }
};

/// A cell as vertices on a line and its edges as arcs, those from the cell's inputs above, those between nodes below;
/// at the top of each arc the code of its primitive. No two codes share a place, however many edges there are.
struct CellDiagram {
    /// Name of the drawing; a description for readers who cannot see it.
    std::string title, description;
    /// The cell to draw; must live as long as the diagram.
    const Genotype::Group* group = nullptr;
    /// Names in the order of the space, and their short codes; a name not among them has a colour after theirs.
    std::vector<std::string> primitives, codes;

    /// How many vertices come before the first node: no edge may come from a later one.
    static int inputs(const Genotype::Group& group) {
        int count = 1;
        for (std::size_t n = 0; n < group.nodes.size(); ++n)
            for (const auto& edge : group.nodes[n]) count = std::max(count, edge.from - static_cast<int>(n) + 1);
        return count;
    }
    /// The diagram as one `<svg>` element.
    std::string str() const {
        const int in = inputs(*group), vertices = in + static_cast<int>(group->nodes.size());
        int up = 0, down = 0;
        for (int n = 0; n < vertices - in; ++n)
            for (const auto& edge : group->nodes[static_cast<std::size_t>(n)])
                (edge.from < in ? up : down) = std::max(edge.from < in ? up : down, in + n - edge.from);
        double widest = 18;
        for (const auto& code : codes) widest = std::max(widest, text_width(code, 11) + 8);
        const double gap = std::max(56.0, widest + 10), level = 25, width = gap * vertices + 14,
                     line = 14 + level * up + 10, height = line + 26 + level * down;
        const auto x = [&](int v) { return 7 + gap * (v + 0.5); };
        Drawing drawing(width, height, title, description);
        drawing.sized(0.82 * width, 1.35 * width);
        struct Chip {
            double x, y;
            int colour;
            std::string code, title;
        };
        std::vector<Chip> all;
        for (int n = 0; n < vertices - in; ++n)
            for (const auto& edge : group->nodes[static_cast<std::size_t>(n)]) {
                const int to = in + n, length = to - edge.from;
                const bool above = edge.from < in;
                const auto found = std::find(primitives.begin(), primitives.end(), edge.primitive);
                const int m = static_cast<int>(found - primitives.begin());
                const double a = x(edge.from) + (above ? 5 : 7), b = x(to) - (above ? 5 : 7),
                             from = above ? line - 12 : line + 12,
                             peak = above ? line - 12 - level * length : line + 12 + level * length,
                             middle = (x(edge.from) + x(to)) / 2;
                // A cubic reaches three quarters of the way to its control points.
                const double control = from + (peak - from) / 0.75;
                const std::string tip =
                    fmt::format("{} to {}: {}", vertex(edge.from, in), vertex(to, in), edge.primitive);
                drawing.path(fmt::format("M{0} {1}C{0} {2} {3} {2} {3} {1}", coordinate(a), coordinate(from),
                                         coordinate(control), coordinate(b)),
                             fmt::format("edge {}", colour_class(m)), tip);
                all.push_back(
                    {middle, peak, m, found == primitives.end() ? "?" : codes[static_cast<std::size_t>(m)], tip});
            }
        for (const auto& chip : all) drawing.chip(chip.x, chip.y, chip.code, chip.colour, chip.title);
        for (int v = 0; v < vertices; ++v) {
            const std::string name = vertex(v, in);
            const double half = std::max(15.0, text_width(name, 11) / 2 + 5);
            drawing.rectangle(x(v) - half, line - 12, 2 * half, 24, v < in ? "vertex input" : "vertex",
                              v < in ? 4 : 12);
            drawing.text(x(v), line + 4, name, "label strong", "middle");
        }
        return drawing.str();
    }
    /// What a vertex is called in titles: "in 0" for a cell input, "2" for a node.
    static std::string vertex(int number, int inputs) {
        return number < inputs ? fmt::format("in {}", number) : std::to_string(number);
    }
};

}  // namespace hwnas::svg
