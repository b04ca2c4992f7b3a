// SPDX-License-Identifier: MIT
#include "support/modules.hpp"

#include <hwnas/supernet/network.hpp>
#include <hwnas/supernet/supernet.hpp>

namespace space_search_space_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

const char* const names[] = {"paper", "pointwise", "separable"};
Genotype all_of(const SearchSpace& space, const std::string& primitive) {
    const auto& a = space.architecture();
    return Genotype::from_choices(a, std::vector<int>(static_cast<std::size_t>(a.rows()), a.index(primitive)));
}
NetworkSize size_of(const SearchSpace& space, const std::string& primitive) {
    return Network::network_size(space, all_of(space, primitive));
}

}  // namespace

TEST_CASE("space: sizes of the networks that the design names", "[space]") {
    const auto pointwise = SearchSpace::pointwise();
    CHECK(size_of(pointwise, "identity").parameters == 18'554);  // 18.6k to 55.1k parameters, 3.2 to 13.6 MFLOP
    CHECK(size_of(pointwise, "identity").primitive_parameters == 0);
    CHECK(size_of(pointwise, "depthwise_conv_3x3").parameters == 55'066);
    CHECK(std::abs(2e-6 * static_cast<double>(size_of(pointwise, "identity").macs) - 3.2) < 0.1);
    CHECK(std::abs(2e-6 * static_cast<double>(size_of(pointwise, "depthwise_conv_3x3").macs) - 13.6) < 0.1);
    CHECK(size_of(pointwise, "max_pool_3x3").parameters == 18'554);
    const auto paper = SearchSpace::paper();
    CHECK(size_of(paper, "depthwise_conv_3x3").parameters == 32'666);
    CHECK(size_of(paper, "depthwise_conv_3x3").primitive_parameters == 14 * 9 * (16 + 32 + 64));
    const auto separable = SearchSpace::separable();
    CHECK(size_of(separable, "max_pool_3x3").parameters == 18'554);  // 18.6k to 111k
    CHECK(std::abs(static_cast<double>(size_of(separable, "separable_conv_3x3").parameters) - 111'000) < 500);
}

TEST_CASE("space: rows, groups and names", "[space]") {
    for (const char* name : names) {
        const auto space = SearchSpace::named(name);
        CHECK(space.name() == name);
        CHECK(space.architecture().rows() == 28);
        CHECK(space.architecture().k() == 3);
        REQUIRE(space.architecture().groups.size() == 2);
        CHECK(space.architecture().groups[0].name == "normal");
        CHECK(space.architecture().groups[1].name == "reduction");
        CHECK(space.architecture().groups[1].first_row == 14);
        CHECK(space.group_of(2) == 1);
        CHECK(space.with_channels(12).architecture() == space.architecture());
        CHECK(space.with_channels(12).options().channels == 12);
    }
    const auto all = SearchSpace::paper({.sharing = RowSharing::all}),
               none = SearchSpace::paper({.sharing = RowSharing::none});
    CHECK(all.architecture().rows() == 14);
    CHECK(none.architecture().rows() == 42);
    CHECK(none.architecture().groups[2].name == "cell_2");
    CHECK_FALSE(all.architecture() == none.architecture());
    // Parameters of a group are those of all its cells: conv on an edge of the two reduction cells, 32 and 64 channels.
    CHECK(SearchSpace::paper().architecture().groups[1].parameters[0] == std::vector<double>{9 * 96, 0, 0});
    const auto more = SearchSpace::paper({.additional = {primitives::depthwise_conv(7)}});
    CHECK(more.architecture().primitives ==
          std::vector<std::string>{"depthwise_conv_3x3", "identity", "max_pool_3x3", "depthwise_conv_7x7"});
    const auto own =
        SearchSpace::custom("own", {primitives::identity(), primitives::max_pool()}, {.cells = 2, .nodes = 1});
    CHECK(own.architecture().rows() == 4);
    CHECK(own.architecture().name == "own");
}

TEST_CASE("space: impossible options", "[space]") {
    CHECK_THROWS_WITH(SearchSpace::named("sofa"), "space: \"sofa\" is unknown (paper, pointwise, separable)");
    CHECK_THROWS_WITH(SearchSpace::paper({.image = {0, 28, 1}}), "space paper: image 0 x 28 x 1");
    CHECK_THROWS_WITH(SearchSpace::paper({.classes = 0}), "space paper: 0 classes");
    CHECK_THROWS_WITH(SearchSpace::paper({.channels = 0}), "space paper: 0 channels (1 to 4096)");
    CHECK_THROWS_WITH(SearchSpace::paper({.cells = 0}), "space paper: 0 cells (1 to 16)");
    CHECK_THROWS_WITH(SearchSpace::paper({.nodes = 0}), "space paper: 0 nodes (1 to 64)");
    CHECK_THROWS_WITH(SearchSpace::paper({.image = {4, 4, 1}, .cells = 4}),
                      "space paper: an image of 4 x 4 cannot be halved 3 times (use fewer cells)");
    CHECK_THROWS_WITH(SearchSpace::custom("own", {}),
                      "space own: no primitives given; an edge needs at least one to choose from");
    CHECK_THROWS_WITH(
        SearchSpace::paper().architecture().index("sofa"),
        "architecture: no primitive \"sofa\" in space paper (it has depthwise_conv_3x3, identity, max_pool_3x3)");
    const auto device = test_device(1);
    CHECK_THROWS_WITH(SuperNet(SearchSpace::paper({.additional = {primitives::identity()}}), device),
                      "cell: two primitives are named identity");
}

TEST_CASE("space: cells of the user's own make an architecture", "[space]") {
    const auto device = test_device(1);
    Architecture a{.name = "own"};
    const auto cell = [&](int first_row, std::vector<Primitive> primitives) {
        return Cell({.primitives = std::move(primitives),
                     .graph = {.inputs = 1, .nodes = 1, .edges = {{0, 1}}},
                     .inputs = {{.channels = 1}},
                     .channels = 2,
                     .height = 4,
                     .width = 4,
                     .first_row = first_row},
                    Initializer<float>(device, seed(1)));
    };
    CHECK(a.add("one", cell(0, {primitives::depthwise_conv(), primitives::identity()})) == 0);
    CHECK(a.add("two", cell(1, {primitives::depthwise_conv(), primitives::identity()})) == 1);
    CHECK(a.primitives == std::vector<std::string>{"depthwise_conv_3x3", "identity"});
    CHECK(a.groups[1].parameters == std::vector<std::vector<double>>{{18, 0}});
    CHECK_THROWS_WITH(
        a.add("three", cell(1, {primitives::depthwise_conv(), primitives::identity()})),
        "architecture: cell \"three\" starts at row 1, the next free row is 2 (set CellOptions::first_row)");
    CHECK_THROWS_WITH(
        a.add("three", cell(2, {primitives::identity()})),
        "architecture: cell \"three\" has primitives identity, the architecture depthwise_conv_3x3, identity");
}

TEST_CASE("network_size: equals what the built network has", "[space]") {
    const auto device = test_device(1);
    for (const char* name : names)
        for (std::uint64_t trial = 0; trial < 4; ++trial) {
            const auto space = SearchSpace::named(name, {.image = {13, 10, 2},
                                                         .classes = 7,
                                                         .channels = 5 + static_cast<std::int64_t>(trial),
                                                         .cells = 3,
                                                         .nodes = 2 + static_cast<int>(trial % 3),
                                                         .sharing = RowSharing(static_cast<int>(trial % 3)),
                                                         .additional = {primitives::depthwise_conv(5)}});
            const auto genotype =
                Genotype::from_choices(space.architecture(), random_choices(space.architecture().rows(), 4, trial));
            INFO(name << " " << genotype.str());
            const Network network(space, genotype, device, seed(3));
            CHECK(network.size().parameters == network.state().parameter_count());
            std::int64_t on_edges = 0;
            for (const auto& [parameter, variable] : network.state().parameters)
                if (parameter.find("/edge_") != std::string::npos) on_edges += variable.shape().elements();
            CHECK(network.size().primitive_parameters == on_edges);
        }
}

TEST_CASE("genotype: round trips", "[space]") {
    for (const auto sharing : {RowSharing::kind, RowSharing::all, RowSharing::none})
        for (std::uint64_t trial = 0; trial < 5; ++trial) {
            const auto space = SearchSpace::pointwise({.nodes = 1 + static_cast<int>(trial), .sharing = sharing});
            const auto& a = space.architecture();
            const auto choices = random_choices(a.rows(), 3, trial);
            const auto genotype = Genotype::from_choices(a, choices);
            CHECK(genotype.choices(a) == choices);
            CHECK(Genotype::parse(genotype.str(), "pointwise") == genotype);
            int total = 0;
            for (const auto& [primitive, count] : genotype.counts()) {
                CHECK(count == static_cast<int>(std::count(choices.begin(), choices.end(), a.index(primitive))));
                total += count;
            }
            CHECK(total == a.rows());
        }
    const auto space = SearchSpace::paper({.cells = 1, .nodes = 2});
    const auto genotype = Genotype::from_choices(space.architecture(), {0, 1, 2, 1, 0});
    CHECK(fmt::format("{}", genotype) ==
          "normal:|depthwise_conv_3x3~0|identity~1|+|max_pool_3x3~0|identity~1|depthwise_conv_3x3~2|");
}

TEST_CASE("genotype: texts that are none, and genotypes of other spaces", "[space]") {
    const auto parse = [](const std::string& text) { return [text] { Genotype::parse(text); }; };
    const std::string expected = " (expected group:|op~from|...|+|...|)";
    CHECK_THROWS_WITH(parse("")(), "genotype: nothing at character 1 of \"\"" + expected);
    CHECK_THROWS_WITH(parse("normal")(), "genotype: no group name at character 1 of \"normal\"" + expected);
    CHECK_THROWS_WITH(parse("n:x~0|")(), "genotype: no \"|\" at character 3 of \"n:x~0|\"" + expected);
    CHECK_THROWS_WITH(parse("n:|x0|")(), "genotype: no edge at character 4 of \"n:|x0|\"" + expected);
    CHECK_THROWS_WITH(parse("n:|x~|")(), "genotype: no vertex number at character 6 of \"n:|x~|\"" + expected);
    CHECK_THROWS_WITH(parse("n:|x~0")(), "genotype: no \"|\" at character 7 of \"n:|x~0\"" + expected);
    CHECK_THROWS_WITH(parse("n:|x~0|+x~0|")(),
                      "genotype: no \"|\" after \"+\" at character 8 of \"n:|x~0|+x~0|\"" + expected);
    CHECK_THROWS_WITH(parse("n:|x~0| ")(),
                      "genotype: nothing after the blank at character 9 of \"n:|x~0| \"" + expected);
    const std::string whole = "normal:|a~0|b~1|+|c~0|a~1|b~2| reduction:|a~0|";
    for (std::size_t length = 0; length < whole.size(); ++length) {
        std::string outcome;  // cut where a node or a group ends it is a genotype, else refused
        try {
            outcome = Genotype::parse(whole.substr(0, length)).str();
        } catch (const Error& error) {
            outcome = error.what();
        }
        CHECK((outcome == whole.substr(0, length) || outcome.rfind("genotype: ", 0) == 0));
    }
    const Architecture a = SearchSpace::paper({.cells = 1, .nodes = 1}).architecture();
    CHECK_THROWS_WITH(Genotype::from_choices(a, {0}), "genotype: 1 choices for 2 rows");
    CHECK_THROWS_WITH(Genotype::from_choices(a, {0, 3}), "genotype: choice 3 in row 1 is not one of 3 primitives");
    CHECK_THROWS_WITH(Genotype::parse("normal:|identity~0|identity~1| reduction:|identity~0|").choices(a),
                      "genotype: 2 groups of cells, space paper has 1");
    CHECK_THROWS_WITH(Genotype::parse("cell:|identity~0|identity~1|").choices(a),
                      "genotype: group \"cell\" where space paper has \"normal\"");
    CHECK_THROWS_WITH(Genotype::parse("normal:|identity~0|identity~1|+|identity~0|").choices(a),
                      "genotype: 2 nodes in group \"normal\", space paper has 1");
    CHECK_THROWS_WITH(Genotype::parse("normal:|identity~0|identity~2|").choices(a),
                      "genotype: node 2 of group \"normal\" lacks its edge from 1");
    CHECK_THROWS_WITH(Genotype::parse("normal:|identity~0|identity~1|identity~1|").choices(a),
                      "genotype: node 2 of group \"normal\" has 3 edges, space paper has 2");
    CHECK_THROWS_WITH(
        Genotype::parse("normal:|identity~0|sofa~1|").choices(a),
        "architecture: no primitive \"sofa\" in space paper (it has depthwise_conv_3x3, identity, max_pool_3x3)");
}

}  // namespace space_search_space_test
