// SPDX-License-Identifier: MIT
// Models of NAS-Bench-201 and FBNet fitted to made-up devices whose costs are known.
#include <hwnas/latency/coded_model.hpp>

#include "support/catch.hpp"

namespace latency_coded_model_test {

using namespace hwnas;
using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;

namespace {

/// Standard normal, by Box and Muller.
double noise(const random::Words& words) {
    const double u = (words.w[0] + 0.5) / 4294967296.0, v = words.w[1] / 4294967296.0;
    return std::sqrt(-2 * std::log(u)) * std::cos(6.283185307179586 * v);
}

/// Random networks on a device: base + costs of what it executes, a relative error, and one in `wrong` times too slow.
CodedSamples measured(const CodedSpace& space, std::size_t n, Execution execution, double deviation,
                      std::uint32_t wrong = 0) {
    const std::array<double, 9> costs{0.2, 0.1, 2, 3, 0.5, 2.5, 2.2, 4, 0};
    CodedSamples samples;
    const auto key = seed(3).stream("samples");
    for (std::size_t i = 0; i < n; ++i) {
        Code code;
        for (int at = 0; at < space.positions; ++at)
            code.push_back(static_cast<int>(random::words_at(key, i, static_cast<std::uint64_t>(at)).w[0] %
                                            static_cast<unsigned>(space.options)));
        const auto left = detail::executed(space, code, execution);
        double ms = 5;
        for (std::size_t at = 0; at < left.code.size(); ++at)
            ms += costs[static_cast<std::size_t>(left.code[at])] * (1 + 0.02 * static_cast<double>(at));
        const auto words = random::words_at(key, i, 1'000);
        ms *= 1 + deviation * noise(words);
        if (wrong > 0 && words.w[2] % wrong == 0) ms *= 2;
        samples.codes.push_back(std::move(code)), samples.ms.push_back(left.runs ? ms : 0.01);
    }
    return samples;
}

CodedSamples part(const CodedSamples& samples, std::size_t begin, std::size_t end) {
    std::vector<std::size_t> which(end - begin);
    std::iota(which.begin(), which.end(), begin);
    return samples.pick(which);
}

}  // namespace

TEST_CASE("codes are read, and refused", "[latency]") {
    const auto space = CodedSpace::nasbench201();
    CHECK(space.parse("421211") == Code{4, 2, 1, 2, 1, 1});
    CHECK_THROWS_WITH(space.parse("42121"), "nasbench201: \"42121\" has 5 digits, 6 are expected");
    CHECK_THROWS_WITH(space.parse("421x11"), "nasbench201: \"421x11\" has 'x' where a digit from 0 to 4 is expected");
    CHECK_THROWS_WITH(CodedSpace::named("darts"), "coded space: \"darts\" is unknown (nasbench201, fbnet)");
    const auto fbnet = CodedSpace::fbnet();
    CHECK(fbnet.work.size() == 22);
    CHECK(fbnet.levels[1].back() == 6);
    for (const auto& position : fbnet.work) {
        REQUIRE(position.size() == 9);
        CHECK(position[8] == std::vector<double>(4, 0.0));
        CHECK(position[3][0] > position[2][0]);
        CHECK(position[4][1] > position[0][1]);
    }
}

TEST_CASE("what is left of a cell", "[latency]") {
    const auto left = [](const char* code, Execution execution) {
        const auto found = detail::nasbench201_executed(CodedSpace::nasbench201().parse(code), execution);
        std::string text;
        for (const int option : found.code) text += static_cast<char>('0' + option);
        return found.runs ? text : "stopped";
    };
    using enum Execution;
    CHECK(left("300000", everything) == "300000");
    // Vertex 1 and 2 lead nowhere; the output is a plain convolution of the input.
    CHECK(left("332300", used) == "000300");
    CHECK(left("333333", used) == "333333");
    // The output reads vertex 1, which nothing reaches.
    CHECK(left("000030", used) == "stopped");
    CHECK(left("330000", used) == "stopped");
    // An operation on zeros is still executed where something else reaches the output.
    CHECK(left("000330", used) == "000330");
    // A folding runtime runs a convolution whose only readers are products with zero ...
    CHECK(left("300000", folded) == "300000");
    CHECK(left("400000", folded) == "stopped");
    CHECK(left("300100", folded) == "300100");
    // ... through skips, but not if something else reads it, nor a sum.
    CHECK(left("301000", folded) == "301000");
    CHECK(left("402000", folded) == "402000");
    CHECK(left("310010", folded) == left("310010", used));
    CHECK(left("043000", folded) == "stopped");
    CHECK(left("330000", folded) == "stopped");
    CHECK(left("330200", folded) == "000200");
    CHECK(left("330002", folded) == "330002");
}

TEST_CASE("few samples are enough where operations cost the same everywhere", "[latency]") {
    const auto space = CodedSpace::nasbench201();
    const auto all = measured(space, 1'000, Execution::everything, 0.03);
    const auto test = part(all, 300, 1'000);
    const auto hierarchical = CodedLatencyModel::fit(space, part(all, 0, 30));
    CHECK(hierarchical.execution() == Execution::everything);
    CHECK(hierarchical.execution_errors().size() == 3);
    CHECK(hierarchical.samples() == 30);
    CHECK(hierarchical.strengths().size() == 2);
    CHECK(hierarchical.validate(test).mape < 0.035);
    // One cost a position and option has more to find than 30 samples can tell.
    CodedSpace flat = space;
    flat.levels = {flat.levels.back()};
    const auto plain =
        CodedLatencyModel::fit(flat, part(all, 0, 30), {.degrees_of_freedom = 0, .execution = Execution::everything});
    CHECK(plain.execution_errors().empty());
    CHECK(hierarchical.validate(test).mape < 0.75 * plain.validate(test).mape);
    // Without errors the costs are found, and equal networks predicted equal.
    const auto exact = measured(space, 400, Execution::everything, 0);
    const auto model = CodedLatencyModel::fit(space, part(exact, 0, 200));
    CHECK(model.validate(part(exact, 200, 400)).mape < 1e-4);
}

TEST_CASE("what a runtime executes is found", "[latency]") {
    const auto space = CodedSpace::nasbench201();
    for (const auto execution : space.executions) {
        CAPTURE(execution_name(execution));
        const auto all = measured(space, 1'000, execution, 0.02);
        const auto model = CodedLatencyModel::fit(space, part(all, 0, 200));
        CHECK(model.execution() == execution);
        CHECK(model.validate(part(all, 200, 1'000)).spearman > 0.98);
        if (execution != Execution::everything) CHECK_THAT(model.predict(space.parse("000000")), WithinRel(0.01, 1e-6));
    }
}

TEST_CASE("measurements gone wrong count for little", "[latency]") {
    const auto space = CodedSpace::nasbench201();
    const auto clean = measured(space, 600, Execution::everything, 0.01);
    const auto dirty = measured(space, 600, Execution::everything, 0.01, 10);
    const auto test = part(clean, 100, 600);
    const auto robust = CodedLatencyModel::fit(space, part(dirty, 0, 100));
    const auto normal = CodedLatencyModel::fit(space, part(dirty, 0, 100), {.degrees_of_freedom = 0});
    CHECK(robust.validate(test).mape < 0.02);
    CHECK(robust.validate(test).mape < 0.5 * normal.validate(test).mape);
}

TEST_CASE("FBNet: known work stands in for measurements", "[latency]") {
    const auto space = CodedSpace::fbnet();
    const auto price = [&](const Code& code) {
        double ms = 3;
        for (std::size_t at = 0; at < code.size(); ++at)
            ms += 0.5 * space.work[at][static_cast<std::size_t>(code[at])][0] + 0.2 * (code[at] != 8);
        return ms;
    };
    auto all = measured(space, 400, Execution::everything, 0);
    for (std::size_t i = 0; i < all.size(); ++i) all.ms[i] = price(all.codes[i]);
    CodedSpace without = space;
    without.work.clear();
    const auto test = part(all, 100, 400);
    const double mape = CodedLatencyModel::fit(space, part(all, 0, 30)).validate(test).mape;
    CHECK(mape < 0.01);
    CHECK(mape < 0.3 * CodedLatencyModel::fit(without, part(all, 0, 30)).validate(test).mape);
}

TEST_CASE("fits refuse what is no sample, and bear dull ones", "[latency]") {
    const auto space = CodedSpace::nasbench201();
    CHECK_THROWS_WITH(CodedLatencyModel::fit(space, {}), "latency fit: 0 networks with 0 times, at least 3 are needed");
    const Code code{0, 1, 2, 3, 4, 0};
    CHECK_THROWS_WITH(CodedLatencyModel::fit(space, {{code, code, code}, {1, 2, -1}}),
                      "latency fit: sample 2 took -1 ms; above 0 is expected, leave out what was not measured");
    CHECK_THROWS_WITH(CodedLatencyModel::fit(space, {{code, code, {0, 1}}, {1, 2, 3}}),
                      "nasbench201: a network of 2 positions, 6 are expected");
    CHECK_THROWS_WITH(CodedLatencyModel::fit(space, {{code, code, {0, 1, 2, 3, 4, 5}}, {1, 2, 3}}),
                      "nasbench201: option 5, from 0 to 4 are possible");
    CHECK(CodedLatencyModel::fit(space, {{code, code, code}, {2, 2, 2}}).predict(code) == 2);
    CHECK(CodedLatencyModel::fit(space, {{Code(6, 0), Code(6, 0), Code(6, 0)}, {2, 2, 2}}).predict(Code(6, 0)) == 2);
    const auto order = random_order(100, seed(1));
    CHECK(order != random_order(100, seed(2)));
    CHECK(order == random_order(100, seed(1)));
    auto sorted = order;
    std::sort(sorted.begin(), sorted.end());
    CHECK(sorted.front() == 0);
    CHECK(std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end());
    CHECK(sorted.back() == 99);
}

}  // namespace latency_coded_model_test
