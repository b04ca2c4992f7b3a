// SPDX-License-Identifier: MIT
// Genotypes as JSON and as one line: both come back, and a damaged file is refused by name, place and reason.
#include <hwnas/io/genotype.hpp>
#include <hwnas/io/genotype_text.hpp>
#include <hwnas/space/search_space.hpp>

#include <functional>

#include "io/temporary_directory.hpp"
#include "support/catch.hpp"

namespace io_genotype_test {

using namespace hwnas;
using hwnas_test::error_of;
using hwnas_test::TemporaryDirectory;
using io::Json;

namespace {

Genotype some(const SearchSpace& space) {
    const auto& a = space.architecture();
    std::vector<int> choices;
    for (int row = 0; row < a.rows(); ++row) choices.push_back(row * 7 % 5 % a.k());
    return Genotype::from_choices(a, choices);
}

}  // namespace

TEST_CASE("a genotype comes back from JSON and from its one line", "[io][genotype]") {
    const TemporaryDirectory directory;
    for (const char* name : {"paper", "pointwise", "separable"})
        for (const auto sharing : {RowSharing::kind, RowSharing::all, RowSharing::none}) {
            const auto space = SearchSpace::named(name, {.image = {8, 8, 1}, .channels = 4, .sharing = sharing});
            const auto genotype = some(space);
            io::write_genotype(directory / "g.json", genotype);
            CHECK(io::read_genotype(directory / "g.json") == genotype);
            CHECK(io::read_genotype(directory / "g.json").choices(space.architecture()) ==
                  genotype.choices(space.architecture()));
            auto line = io::read_genotype(directory.put("g.txt", "\n  " + genotype.str() + "\r\n"));
            CHECK(line.space.empty());
            line.space = name;
            CHECK(line == genotype);
            // A line a group, blank lines and all.
            auto lines = io::read_genotype(directory.put("nb.txt", "\n" + io::nasbench201_text(genotype) + "\n \r\n"));
            lines.space = name;
            CHECK(lines == genotype);
        }
    const auto json =
        io::genotype_to_json(some(SearchSpace::pointwise({.image = {8, 8, 1}, .channels = 4, .cells = 1, .nodes = 1})));
    CHECK(json.dump() ==
          "{\"schema\":\"hwnas-genotype/"
          "1\",\"space\":\"pointwise\",\"groups\":[{\"name\":\"normal\",\"nodes\":[{\"edges\":["
          "{\"primitive\":\"depthwise_conv_3x3\",\"from\":0},{\"primitive\":\"max_pool_3x3\",\"from\":1}]}]}]}");
}

TEST_CASE("a genotype file that says something else is refused with its place", "[io][genotype]") {
    const TemporaryDirectory directory;
    const Json good =
        io::genotype_to_json(some(SearchSpace::pointwise({.image = {8, 8, 1}, .channels = 4, .cells = 2, .nodes = 2})));
    const auto read = [&](const std::string& text) { return error_of([&] { io::genotype_from_text(text, "g"); }); };
    const auto message = [&](const std::function<void(Json&)>& change) {
        Json json = good;
        change(json);
        return read(json.dump());
    };
    CHECK(message([](Json&) {}) == "no error");
    CHECK(message([](Json& j) { j["schema"] = "hwnas-genotype/2"; }) ==
          "g: schema version \"hwnas-genotype/2\" is unknown, this library reads \"hwnas-genotype/1\" (write the file "
          "again, or use its version)");
    CHECK(message([](Json& j) { j.erase("space"); }) == "g: key \"space\" is missing");
    CHECK(message([](Json& j) { j["groups"] = 3; }) == "g: key \"groups\" has the wrong type (number, array expected)");
    CHECK(message([](Json& j) { j["groups"] = Json::array(); }) == "g: key \"groups\" is empty");
    CHECK(message([](Json& j) { j["groups"][1]["name"] = "normal"; }) == "g: group 1: the name \"normal\" is taken");
    CHECK(message([](Json& j) { j["groups"][1].erase("nodes"); }) == "g: group 1: key \"nodes\" is missing");
    CHECK(message([](Json& j) { j["groups"][0]["nodes"][1]["edges"] = Json::array(); }) ==
          "g: group 0, node 1: key \"edges\" is empty");
    CHECK(message([](Json& j) { j["groups"][0]["nodes"][1]["edges"][2]["from"] = -1; }) ==
          "g: group 0, node 1, edge 2: key \"from\" is -1, vertices count from 0 to 999");
    CHECK(message([](Json& j) { j["groups"][0]["nodes"][1]["edges"][2]["from"] = 1.5; }) ==
          "g: group 0, node 1, edge 2: key \"from\" has the wrong type (number, integer expected)");
    CHECK(message([](Json& j) { j["groups"][0]["nodes"][1]["edges"][2]["primitive"] = "a|b"; }) ==
          "g: group 0, node 1, edge 2: key \"primitive\" is \"a|b\", no name (not empty, at most 60 letters, no "
          "spaces, none of | ~ + / : \")");
    CHECK(read("") == "g: is empty, a genotype is expected");
    CHECK(read(" \n ") == "g: is empty, a genotype is expected");
    CHECK(read("hello") == "g: neither JSON nor a one-line genotype (normal:|op~from|...|+|...| reduction:|...|)");
    CHECK(read("normal:|a~0|\areduction:|a~0|") ==
          "g: neither JSON nor a one-line genotype (normal:|op~from|...|+|...| reduction:|...|)");
    CHECK(read("|nor_conv_3x3~0|+|skip_connect~0|none~1|\n") ==
          "g: a cell without the name of its group, as NAS-Bench-201 has it; here every group is named and operations "
          "are those of a search space (normal:|identity~0|...|+|...| reduction:|...|)");
    CHECK(read("normal:|a~x|") == "g: genotype: no vertex number at character 11 of \"normal:|a~x|\"...");
    CHECK(read("{\"schema\": ") ==
          "g: not JSON at line 1, column 12 (byte 12): while parsing value - unexpected end of input; expected '[', "
          "'{', or a literal");
    CHECK(error_of(directory, [&] { io::read_genotype(directory.put("g", "hello")); }) == read("hello"));
    CHECK(error_of(directory, [&] { io::read_genotype(directory / "none"); }) ==
          "none: cannot be opened (No such file or directory)");
    // A genotype of another space is read, and refused by the space.
    const auto other = io::read_genotype(directory.put("g", good.dump()));
    CHECK_THROWS_WITH(
        other.choices(
            SearchSpace::separable({.image = {8, 8, 1}, .channels = 4, .cells = 2, .nodes = 2}).architecture()),
        "architecture: no primitive \"depthwise_conv_3x3\" in space separable (it has separable_conv_3x3, identity, "
        "max_pool_3x3)");
}

TEST_CASE("a genotype file cut or changed at any byte never does worse than an Error", "[io][genotype]") {
    const auto genotype = some(SearchSpace::pointwise({.image = {8, 8, 1}, .channels = 4, .cells = 2, .nodes = 2}));
    const std::string json = io::genotype_to_json(genotype).dump(), line = genotype.str();
    for (std::size_t length = 0; length < json.size(); ++length)
        REQUIRE_THROWS_AS(io::genotype_from_text(json.substr(0, length), "g"), Error);
    const auto attempt = [&](const std::string& text) {
        try {
            io::genotype_from_text(text, "g");
        } catch (const Error& error) {
            REQUIRE(std::string(error.what()).find('\n') == std::string::npos);
            REQUIRE(std::string(error.what()).size() < 400);
        }
    };
    for (std::size_t length = 0; length < line.size(); ++length) attempt(line.substr(0, length));
    for (const std::string& text : {json, line})
        for (std::size_t at = 0; at < text.size(); ++at)
            for (const char c : {'\0', '"', '|', '9', '~', '\x80'}) {
                std::string changed = text;
                changed[at] = c;
                attempt(changed);
            }
    attempt("normal:|" + std::string(1'000'000, 'x'));
}

}  // namespace io_genotype_test
