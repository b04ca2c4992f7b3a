// SPDX-License-Identifier: MIT
// Pieces of inline SVG: escaping, ticks, labels, colours, drawings.
#include <hwnas/report/charts.hpp>
#include <hwnas/report/diagrams.hpp>

#include "support/catch.hpp"
#include "support/xml.hpp"

#include <limits>

namespace report_svg_test {

namespace {

namespace svg = hwnas::svg;
using hwnas_test::xml_problem;

std::vector<std::string> labels(const svg::Axis& axis) {
    std::vector<std::string> result;
    for (const double tick : axis.ticks) result.push_back(axis.label(tick));
    return result;
}
using Texts = std::vector<std::string>;

/// Of the relative luminances of two colours "#rrggbb", as WCAG has it.
double contrast(std::string_view a, std::string_view b) {
    const auto luminance = [](std::string_view colour) {
        double sum = 0;
        const double weight[] = {0.2126, 0.7152, 0.0722};
        for (std::size_t i = 0; i < 3; ++i) {
            const double v = std::stoi(std::string(colour.substr(1 + 2 * i, 2)), nullptr, 16) / 255.0;
            sum += weight[i] * (v <= 0.04045 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4));
        }
        return sum + 0.05;
    };
    const double x = luminance(a), y = luminance(b);
    return std::max(x, y) / std::min(x, y);
}

}  // namespace

TEST_CASE("text is escaped for HTML and XML, and what is no text is replaced", "[report]") {
    CHECK(svg::escape("a<b>&\"c'") == "a&lt;b&gt;&amp;&quot;c&#39;");
    CHECK(svg::escape("\xE5\xA4\xA7 \xC3\xB6 \xF0\x9F\x98\x80\n") == "\xE5\xA4\xA7 \xC3\xB6 \xF0\x9F\x98\x80\n");
    const std::string bad = "\xEF\xBF\xBD";
    CHECK(svg::escape(std::string("\x01\0\x7f", 3)) == bad + bad + bad);
    CHECK(svg::escape("\xFF") == bad);
    CHECK(svg::escape("\xC3") == bad);            // cut off
    CHECK(svg::escape("\xC3(") == bad + "(");     // no continuation
    for (const char* one : {"\xC0\xAF",           // overlong
                            "\xED\xA0\x80",       // half of a surrogate pair
                            "\xEF\xBF\xBF",       // no character
                            "\xF4\x90\x80\x80"})  // beyond the last one
        CHECK(svg::escape(one) == bad);
    CHECK(xml_problem("<a b=\"" + svg::escape("\xC0<>&'\"\x02") + "\"></a>").empty());
}

TEST_CASE("text is cut to a width between characters", "[report]") {
    CHECK(svg::shortened("identity", 200) == "identity");
    const auto cut = svg::shortened("depthwise_conv_3x3", 60);
    CHECK(cut.substr(0, 4) == "dept");
    CHECK(svg::text_width(cut) <= 60);
    for (double width = 0; width < 80; width += 3) {
        const auto text = svg::shortened("\xC3\xB6\xC3\xB6\xE5\xA4\xA7\xE5\xA4\xA7\xE5\xA4\xA7\xE5\xA4\xA7", width);
        CHECK(svg::escape(text) == text);
    }
}

TEST_CASE("ticks are round, and their labels say what they need to", "[report]") {
    CHECK(labels(svg::axis({0.12, 0.148})) == Texts{"0.12", "0.13", "0.14", "0.15"});
    CHECK(labels(svg::axis({30'906, 40'106})) == Texts{"30k", "32k", "34k", "36k", "38k", "40k", "42k"});
    CHECK(labels(svg::axis({1, 20}, {.integers = true, .tight = true})) == Texts{"5", "10", "15", "20"});
    CHECK(labels(svg::axis({1, 3}, {.integers = true, .tight = true})) == Texts{"1", "2", "3"});
    CHECK(labels(svg::axis({1}, {.integers = true, .tight = true})) == Texts{"1"});
    CHECK(labels(svg::axis({3, 14}, {.zero = true, .integers = true})) == Texts{"0", "5", "10", "15"});
    CHECK(labels(svg::axis({1'250'000, 4'000'000})) == Texts{"1M", "2M", "3M", "4M"});
    CHECK(labels(svg::axis({-0.2, 0.3})).front() == "-0.2");
    CHECK(labels(svg::axis({})) == labels(svg::axis({std::numeric_limits<double>::quiet_NaN(), INFINITY, 1e300})));
    CHECK(labels(svg::axis({2e-9, 7e-9})).front() == "2e-09");
    CHECK(labels(svg::axis({0.1234561, 0.1234563})).front() == "0.12345610");
}

TEST_CASE("an axis holds its values, ticks rise in even steps, and there are some", "[report][property]") {
    std::uint64_t state = 1;
    const auto next = [&] {
        state = state * 6'364'136'223'846'793'005u + 1'442'695'040'888'963'407u;
        return static_cast<double>(state >> 11) / 9'007'199'254'740'992.0;
    };
    for (int i = 0; i < 3'000; ++i) {
        const double size = std::pow(10, 26 * next() - 12), low = (next() - 0.5) * size,
                     high = low + next() * size * std::pow(10, -6 * next());
        const svg::AxisOptions options{
            .ticks = 2 + static_cast<int>(6 * next()), .zero = i % 3 == 0, .integers = i % 5 == 0, .tight = i % 2 == 0};
        const auto axis = svg::axis({low, high}, options);
        CAPTURE(i, low, high, axis.low, axis.high, axis.step);
        const double slack = 1e-6 * (axis.high - axis.low);
        CHECK(axis.low <= low + slack);
        CHECK(axis.high >= high - slack);
        CHECK(axis.high > axis.low);
        CHECK(axis.ticks.size() <= 16);
        CHECK((!axis.ticks.empty() || options.tight));
        for (std::size_t t = 1; t < axis.ticks.size(); ++t) {
            CHECK(axis.ticks[t] - axis.ticks[t - 1] == Approx(axis.step).epsilon(1e-3));
            CHECK(axis.label(axis.ticks[t]) != axis.label(axis.ticks[t - 1]));
        }
        if (options.integers)
            for (const double tick : axis.ticks) CHECK(tick == std::round(tick));
    }
}

TEST_CASE("marks and letters on them stand out from both pages", "[report]") {
    CHECK(contrast("#000000", "#ffffff") == Approx(21));
    for (const auto& colour : svg::palette) {
        CAPTURE(colour.light, colour.dark);
        CHECK(contrast(colour.light, svg::page_light) >= 3);
        CHECK(contrast(colour.dark, svg::page_dark) >= 3);
        CHECK(contrast(colour.light, colour.on_light) >= 4.5);
        CHECK(contrast(colour.dark, colour.on_dark) >= 4.5);
    }
    CHECK(contrast(svg::text_light, svg::page_light) >= 7);
    CHECK(contrast(svg::text_dark, svg::page_dark) >= 7);
    CHECK(contrast(svg::soft_light, svg::page_light) >= 4.5);
    CHECK(contrast(svg::soft_dark, svg::page_dark) >= 4.5);
}

TEST_CASE("the first four colours stay apart for the three kinds of colour blindness", "[report]") {
    // Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB; distances in Oklab. 0.02 is just noticeable.
    using Matrix = std::array<std::array<double, 3>, 3>;
    const Matrix kinds[] = {
        {{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}},
        {{{0.152286, 1.052583, -0.204868}, {0.114503, 0.786281, 0.099216}, {-0.003882, -0.048116, 1.051998}}},
        {{{0.367322, 0.860646, -0.227968}, {0.280085, 0.672501, 0.047413}, {-0.011820, 0.042940, 0.968881}}},
        {{{1.255528, -0.076749, -0.178779}, {-0.078411, 0.930809, 0.147602}, {0.004733, 0.691367, 0.303900}}}};
    const auto seen = [](std::string_view colour, const Matrix& kind) {
        std::array<double, 3> linear{}, sees{};
        for (std::size_t i = 0; i < 3; ++i) {
            const double v = std::stoi(std::string(colour.substr(1 + 2 * i, 2)), nullptr, 16) / 255.0;
            linear[i] = v <= 0.04045 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4);
        }
        for (std::size_t i = 0; i < 3; ++i)
            sees[i] = std::clamp(kind[i][0] * linear[0] + kind[i][1] * linear[1] + kind[i][2] * linear[2], 0.0, 1.0);
        const auto [r, g, b] = sees;
        const double l = std::cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b),
                     m = std::cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b),
                     s = std::cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
        return std::array<double, 3>{0.2104542553 * l + 0.7936177850 * m - 0.0040720468 * s,
                                     1.9779984951 * l - 2.4285922050 * m + 0.4505937099 * s,
                                     0.0259040371 * l + 0.7827717662 * m - 0.8086757660 * s};
    };
    for (const auto member : {&svg::Colour::light, &svg::Colour::dark})
        for (const auto& kind : kinds)
            for (std::size_t i = 0; i < 4; ++i)
                for (std::size_t j = 0; j < i; ++j) {
                    const auto a = seen(svg::palette[i].*member, kind), b = seen(svg::palette[j].*member, kind);
                    CAPTURE(svg::palette[i].*member, svg::palette[j].*member);
                    CHECK(std::hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]) > 0.05);
                }
}

TEST_CASE("codes tell primitives apart", "[report]") {
    CHECK(svg::codes({"depthwise_conv_3x3", "identity", "max_pool_3x3"}) == Texts{"D", "I", "M"});
    CHECK(svg::codes({"depthwise_conv_3x3", "depthwise_conv_5x5", "max_pool", "mean_pool"}) ==
          Texts{"DC3", "DC5", "3", "4"});
    CHECK(svg::codes({"", "###", "conv", "conv_b", "1"}) == Texts{"1", "2", "3", "CB", "5"});
    std::vector<std::string> many;
    for (int i = 0; i < 40; ++i) many.push_back(fmt::format("op_{}", i % 20));
    auto codes = svg::codes(many);
    std::sort(codes.begin(), codes.end());
    CHECK(std::adjacent_find(codes.begin(), codes.end()) == codes.end());
}

TEST_CASE("coordinates are short and the same everywhere", "[report]") {
    CHECK(svg::coordinate(1) == "1");
    CHECK(svg::coordinate(1.5) == "1.5");
    CHECK(svg::coordinate(-0.001) == "0");
    CHECK(svg::coordinate(100) == "100");
    CHECK(svg::coordinate(33.333333) == "33.33");
}

TEST_CASE("a line breaks where a value is not known, and a lonely point is a dot", "[report]") {
    const double unknown = std::numeric_limits<double>::quiet_NaN();
    svg::Points points;
    for (int i = 0; i < 20; ++i) points.emplace_back(i, i == 5 || i == 7 ? unknown : i);
    const auto drawn = svg::LineChart{.title = "t",
                                      .description = "d",
                                      .x_title = "x",
                                      .y_title = "y",
                                      .series = {{.name = "a", .points = points}}}
                           .str();
    CHECK(xml_problem(drawn).empty());
    const auto path = drawn.substr(drawn.find("d=\"M"), drawn.find('"', drawn.find("d=\"M") + 3) - drawn.find("d=\"M"));
    CHECK(std::count(path.begin(), path.end(), 'M') == 3);
    CHECK(drawn.find("<circle") != std::string::npos);
    CHECK(drawn.find("nan") == std::string::npos);
    CHECK(svg::LineChart{.title = "",
                         .description = "",
                         .x_title = "",
                         .y_title = "",
                         .series = {{.name = "a", .points = {{1, unknown}}}}}
              .empty());
}

TEST_CASE("labels of a crowd of points never touch each other", "[report]") {
    svg::ScatterChart chart{
        .title = "t", .description = "d", .x_title = "x", .y_title = "y", .series = {{.name = "a", .points = {}}}};
    for (int i = 0; i < 30; ++i) {
        chart.series[0].points.emplace_back(1 + 0.01 * (i % 5), 2 + 0.01 * (i / 5));
        chart.series[0].labels.push_back(fmt::format("network {}", i));
    }
    const auto drawn = chart.str();
    CHECK(xml_problem(drawn).empty());
    CHECK(drawn.find("class=\"label strong\"") != std::string::npos);
    CHECK(drawn.find("leader") != std::string::npos);
}

TEST_CASE("the lattice of the simplex", "[report]") {
    CHECK(svg::simplex_cover(1) == std::vector<std::vector<double>>{{1}});
    CHECK(svg::simplex_lattice(2, 2) == std::vector<std::vector<double>>{{1, 0}, {0.5, 0.5}, {0, 1}});
    CHECK(svg::simplex_lattice(3, 4).size() == 15);
    CHECK(svg::simplex_cover(3).size() == 325);
    for (int k = 1; k <= 12; ++k) {
        const auto points = svg::simplex_cover(k);
        CHECK(points.size() <= 360);
        for (const auto& s : points) {
            double sum = 0;
            for (const double x : s) sum += x;
            CHECK(sum == Approx(1));
        }
    }
    CHECK_THROWS_AS(svg::simplex_lattice(0, 3), hwnas::Error);
}

TEST_CASE("cells of the map fill the triangle once", "[report]") {
    svg::SimplexMap map{
        .title = "t", .description = "d", .primitives = {"a", "b", "c"}, .codes = {"A", "B", "C"}, .points = {}};
    for (const auto& s : svg::simplex_lattice(3, 6)) map.points.push_back({s, {1, 0, 0}});
    const auto drawn = map.str();
    CHECK(xml_problem(drawn).empty());
    const auto begin = drawn.find("d=\"M", drawn.find("class=\"area")) + 3;
    const std::string data = drawn.substr(begin, drawn.find('"', begin) - begin);
    double area = 0, side = map.width - 52;  // shoelace, polygon by polygon
    std::vector<std::array<double, 2>> polygon;
    for (std::size_t at = 0; at < data.size();) {
        if (data[at] == 'Z') {
            double twice = 0;
            for (std::size_t i = 0; i < polygon.size(); ++i) {
                const auto &p = polygon[i], &q = polygon[(i + 1) % polygon.size()];
                twice += p[0] * q[1] - q[0] * p[1];
            }
            area += std::abs(twice) / 2;
            polygon.clear(), ++at;
            continue;
        }
        std::size_t x = 0, y = 0;
        const double px = std::stod(data.substr(at + 1, 20), &x), py = std::stod(data.substr(at + 1 + x, 20), &y);
        polygon.push_back({px, py});
        at += 1 + x + y;
    }
    CHECK(area == Approx(side * side * std::sqrt(3.0) / 4).epsilon(0.002));
}

TEST_CASE("the map is grey where primitives share the lead", "[report]") {
    CHECK(svg::SimplexPoint{{}, {3, 2, 1}}.dominating() == 0);
    CHECK(svg::SimplexPoint{{}, {1, 2, 2}}.dominating() == -1);
    CHECK(svg::SimplexPoint{{}, {0, 0, 0}}.dominating() == -1);
    CHECK(svg::SimplexPoint{}.dominating() == -1);
    svg::SimplexMap map{.title = "t",
                        .description = "d",
                        .primitives = {"a", "b", "c"},
                        .codes = {"A", "B", "C"},
                        .points = {{{1, 0, 0}, {0, 2, 2}}, {{0, 1, 0}, {4, 0, 0}}, {{0, 0, 1}, {4, 0, 0}}}};
    const auto drawn = map.str();
    CHECK(xml_problem(drawn).empty());
    const auto count = [&](const std::string& what) {
        int n = 0;
        for (auto at = drawn.find(what); at != std::string::npos; at = drawn.find(what, at + 1)) ++n;
        return n;
    };
    CHECK(count("class=\"area tied\"") == 1);
    CHECK(count("class=\"area level2 c0\"") == 1);
    CHECK(count("class=\"area") == 2);
}

TEST_CASE("a cell knows its inputs from its edges", "[report]") {
    const auto inputs = [](const char* text) {
        return svg::CellDiagram::inputs(hwnas::Genotype::parse(text).groups[0]);
    };
    CHECK(inputs("c:|a~0|a~1|+|a~0|a~1|a~2|") == 2);
    CHECK(inputs("c:|a~0|+|a~1|") == 1);
    CHECK(inputs("c:|a~2|") == 3);
    const hwnas::Genotype::Group empty{"c", {}};
    CHECK(svg::CellDiagram::inputs(empty) == 1);
}

}  // namespace report_svg_test
