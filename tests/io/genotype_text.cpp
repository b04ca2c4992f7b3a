// SPDX-License-Identifier: MIT
// Genotypes in the forms of others: the text, and that Graphviz and Python read it.
#include <hwnas/io/genotype_text.hpp>
#include <hwnas/space/search_space.hpp>

#include "io/foreign_python.hpp"
#include "support/catch.hpp"

namespace io_genotype_text_test {

using namespace hwnas;
using hwnas_test::error_of;
using hwnas_test::TemporaryDirectory;

namespace {

Genotype tiny() {
    return Genotype::parse(
        "normal:|identity~0|max_pool_3x3~1|+|separable_conv_3x3~0|identity~1|identity~2| "
        "reduction:|identity~0|identity~1|+|average_pool_3x3~0|own~1|max_pool_3x3~2|",
        "separable");
}

Genotype mixed(RowSharing sharing) {
    const auto space = SearchSpace::separable({.image = {8, 8, 1}, .channels = 4, .sharing = sharing});
    std::vector<int> choices;
    for (int row = 0; row < space.architecture().rows(); ++row) choices.push_back(row * 7 % 5 % 3);
    return Genotype::from_choices(space.architecture(), choices);
}

}  // namespace

TEST_CASE("a genotype in NAS-Bench-201's form is its one line, a cell a line", "[io][genotype]") {
    CHECK(io::nasbench201_text(tiny()) ==
          "normal:|identity~0|max_pool_3x3~1|+|separable_conv_3x3~0|identity~1|identity~2|\n"
          "reduction:|identity~0|identity~1|+|average_pool_3x3~0|own~1|max_pool_3x3~2|\n");
    std::string line = io::nasbench201_text(mixed(RowSharing::none));
    std::replace(line.begin(), line.end(), '\n', ' ');
    line.pop_back();
    CHECK(Genotype::parse(line, "separable") == mixed(RowSharing::none));
}

TEST_CASE("a genotype as DARTS writes it, in DARTS' names", "[io][genotype]") {
    CHECK(io::darts_text(tiny()) ==
          "# Edges a node: 2, 3, node after node; DARTS' own networks expect 2.\n"
          "Genotype(normal=[('skip_connect', 0), ('max_pool_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 1), "
          "('skip_connect', 2)], normal_concat=[2, 3], reduce=[('skip_connect', 0), ('skip_connect', 1), "
          "('avg_pool_3x3', 0), ('own', 1), ('max_pool_3x3', 2)], reduce_concat=[2, 3])\n");
    CHECK(error_of([] {
              io::darts_text(mixed(RowSharing::none));
          }).starts_with("darts: a normal and a reduction cell are all it can say, this genotype has "));
    const auto alike = io::darts_text(mixed(RowSharing::all));
    const auto between = [&](const char* begin, const char* end) {
        const auto at = alike.find(begin) + std::string(begin).size();
        return alike.substr(at, alike.find(end) - at);
    };
    CHECK(between("normal=", ", normal_concat") == between("reduce=", ", reduce_concat"));

    const std::string python = hwnas_test::python_with("ast");
    if (python.empty()) SKIP("no Python to read it");
    const TemporaryDirectory directory;
    directory.put("genotype.py", io::darts_text(mixed(RowSharing::kind)));
    const auto ran = hwnas_test::python(directory, python, R"(
import collections, sys
Genotype = collections.namedtuple('Genotype', 'normal normal_concat reduce reduce_concat')
read = eval(open(sys.argv[1] + '/genotype.py').read())
print(len(read.normal), len(read.reduce), read.normal_concat, read.reduce_concat, read.normal[13][1], sorted({op for op, _ in read.normal}))
)");
    CAPTURE(ran.output);
    CHECK(ran.status == 0);
    CHECK(ran.output == "14 14 [2, 3, 4, 5] [2, 3, 4, 5] 4 ['max_pool_3x3', 'sep_conv_3x3', 'skip_connect']\n");
}

TEST_CASE("a genotype as Graphviz reads it", "[io][genotype]") {
    const auto one = Genotype::parse("normal:|identity~0|own~1|");
    CHECK(io::dot_text(one, {.name = "a \"b\"", .notes = {"0.1 ms", "p = 0.5"}}) ==
          "digraph \"a \\\"b\\\"\" {\n  rankdir=LR;\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n"
          "  edge [fontname=\"sans-serif\", fontsize=10];\n  subgraph cluster_0 {\n    label=\"normal\";\n"
          "    c0v0 [label=\"input 0\"];\n    c0v1 [label=\"input 1\"];\n    c0v2 [label=\"2\"];\n"
          "    c0v0 -> c0v2 [label=\"identity\\n0.1 ms\"];\n    c0v1 -> c0v2 [label=\"own\\np = 0.5\"];\n"
          "    c0out [label=\"output\"];\n    c0v2 -> c0out [style=dashed];\n  }\n}\n");
    CHECK(error_of([&] { io::dot_text(one, {.notes = {"one"}}); }) == "dot: 1 notes for 2 edges");
    CHECK(error_of([&] { io::dot_text(Genotype::parse("a:|x~2|")); }) ==
          "dot: edge 2 -> 2 of group \"a\" does not come from an earlier vertex");

    const auto text = io::dot_text(mixed(RowSharing::kind));
    const auto count = [&](const std::string& what) {
        int found = 0;
        for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
        return found;
    };
    CHECK(count("subgraph") == 2);
    CHECK(count(" -> ") == 2 * (14 + 4));
    CHECK(count("{") == count("}"));
    const TemporaryDirectory directory;
    directory.put("cells.dot", text);
    const auto ran = hwnas_test::shell(
        directory, fmt::format("cd '{}' && command -v dot && dot -Tplain cells.dot", directory.path().string()));
    if (ran.output.find("graph ") == std::string::npos && ran.status != 0 && ran.output.empty())
        SKIP("no Graphviz: apt-get install graphviz");
    CAPTURE(ran.output);
    CHECK(ran.status == 0);
    int edges = 0;
    for (auto at = ran.output.find("\nedge "); at != std::string::npos; at = ran.output.find("\nedge ", at + 1))
        ++edges;
    CHECK(edges == 2 * (14 + 4));
}

}  // namespace io_genotype_text_test
