// SPDX-License-Identifier: MIT
// Genotypes as JSON by name, schema "hwnas-genotype/1": groups of cells, their nodes, an edge's primitive and where it
// comes from. Reading also takes the one-line form of Genotype::str(), a line a group or all on one.
#pragma once

#include <hwnas/io/json.hpp>
#include <hwnas/space/genotype.hpp>

namespace hwnas::io {

/// What "schema" says in the JSON of a genotype.
inline constexpr std::string_view genotype_schema = "hwnas-genotype/1";

/// A genotype as JSON: space, groups of cells, their nodes, and the primitive and origin of every edge.
inline Json genotype_to_json(const Genotype& genotype) {
    Json groups = Json::array();
    for (const auto& group : genotype.groups) {
        Json nodes = Json::array();
        for (const auto& node : group.nodes) {
            Json edges = Json::array();
            for (const auto& edge : node) edges.push_back({{"primitive", edge.primitive}, {"from", edge.from}});
            nodes.push_back({{"edges", std::move(edges)}});
        }
        groups.push_back({{"name", group.name}, {"nodes", std::move(nodes)}});
    }
    return {{"schema", genotype_schema}, {"space", genotype.space}, {"groups", std::move(groups)}};
}

/// A genotype from its JSON; `file` opens the Error for an unknown schema, a missing key or a name that no genotype can
/// have. Whether it fits a search space is for Genotype::choices() to say.
inline Genotype genotype_from_json(const Json& json, const std::string& file) {
    check_schema(json, genotype_schema, file);
    const auto array = [](const Json& object, std::string_view key, const std::string& place) {
        auto values = require<Json>(object, key, place);
        if (!values.is_array())
            fail("{}: key \"{}\" has the wrong type ({}, array expected)", place, key, values.type_name());
        if (values.empty()) fail("{}: key \"{}\" is empty", place, key);
        return values;
    };
    // What separates names in the one-line form, and what would break a message's line.
    const auto name = [](const Json& object, std::string_view key, const std::string& place) {
        const auto text = require<std::string>(object, key, place);
        if (text.empty() || text.find_first_of("|~+/: \t\n\"") != std::string::npos || detail::shown(text) != text)
            fail("{}: key \"{}\" is \"{}\", no name (not empty, at most 60 letters, no spaces, none of | ~ + / : \")",
                 place, key, detail::shown(text));
        return text;
    };
    Genotype genotype{.space = require<std::string>(json, "space", file), .groups = {}};
    const Json groups = array(json, "groups", file);
    for (std::size_t g = 0; g < groups.size(); ++g) {
        const std::string group_place = fmt::format("{}: group {}", file, g);
        Genotype::Group group{name(groups[g], "name", group_place), {}};
        for (const auto& other : genotype.groups)
            if (other.name == group.name) fail("{}: the name \"{}\" is taken", group_place, group.name);
        const Json nodes = array(groups[g], "nodes", group_place);
        for (std::size_t n = 0; n < nodes.size(); ++n) {
            const std::string node_place = fmt::format("{}, node {}", group_place, n);
            const Json edges = array(nodes[n], "edges", node_place);
            group.nodes.emplace_back();
            for (std::size_t e = 0; e < edges.size(); ++e) {
                const std::string place = fmt::format("{}, edge {}", node_place, e);
                Genotype::Edge edge{name(edges[e], "primitive", place), require<int>(edges[e], "from", place)};
                if (edge.from < 0 || edge.from > 999)
                    fail("{}: key \"from\" is {}, vertices count from 0 to 999", place, edge.from);
                group.nodes.back().push_back(std::move(edge));
            }
        }
        genotype.groups.push_back(std::move(group));
    }
    return genotype;
}

/// Writes a genotype as JSON, atomically; throws Error naming the path.
inline void write_genotype(const std::filesystem::path& path, const Genotype& genotype) {
    write_json(path, genotype_to_json(genotype));
}

/// A genotype from JSON text, or from the form of Genotype::str() (its space is then empty), whose groups may stand on
/// lines of their own, as nasbench201_text() writes them; `file` opens every Error.
inline Genotype genotype_from_text(std::string_view text, const std::string& file) {
    constexpr std::string_view blank = " \t\r\n";
    auto begin = text.find_first_not_of(blank);
    if (begin == std::string_view::npos) fail("{}: is empty, a genotype is expected", file);
    if (text[begin] == '{') return genotype_from_json(detail::parse_json<Json>(text, file), file);
    std::string line;  // its groups with one blank between them
    while (begin != std::string_view::npos) {
        const auto end = std::min(text.find_first_of(blank, begin), text.size());
        line.append(line.empty() ? "" : " ").append(text.substr(begin, end - begin));
        begin = text.find_first_not_of(blank, end);
    }
    const auto control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
    if (line.find('|') == std::string::npos || std::any_of(line.begin(), line.end(), control))
        fail("{}: neither JSON nor a one-line genotype (normal:|op~from|...|+|...| reduction:|...|)", file);
    if (line[0] == '|')
        fail(
            "{}: a cell without the name of its group, as NAS-Bench-201 has it; here every group is named and "
            "operations "
            "are those of a search space (normal:|identity~0|...|+|...| reduction:|...|)",
            file);
    try {
        return Genotype::parse(line);
    } catch (const Error& error) {  // its message quotes all of the text
        fail("{}: {}", file, detail::shown(error.what()));
    }
}

/// Reads a genotype, JSON or one line; throws Error naming file, place and reason.
inline Genotype read_genotype(const std::filesystem::path& path) {
    return genotype_from_text(read_file(path, 16u << 20), path.string());
}

}  // namespace hwnas::io
