// SPDX-License-Identifier: MIT
// Genotype: one discrete architecture, a primitive's name on every edge. Its one-line form follows NAS-Bench-201:
// `normal:|op~from|op~from|+|...| reduction:|...`, `+` between nodes, `~` before the vertex an edge comes from.
#pragma once

#include <hwnas/core/random.hpp>
#include <hwnas/space/architecture.hpp>

#include <map>

namespace hwnas {

/// One discrete architecture: the name of a primitive on every edge of every kind of cell. Plain data; stored by name,
/// so that it does not depend on the order of primitives.
struct Genotype {
    /// An edge into a node, and what it chose.
    struct Edge {
        std::string primitive;  ///< name of the chosen primitive
        int from = 0;           ///< the vertex it comes from: cell inputs first, then nodes
        bool operator==(const Edge&) const = default;
    };
    /// The choices of all cells of one kind.
    struct Group {
        std::string name;                      ///< "normal", "reduction"
        std::vector<std::vector<Edge>> nodes;  ///< their edges, node by node
        bool operator==(const Group&) const = default;
    };
    std::string space;          ///< name of the search space it belongs to; empty: not said
    std::vector<Group> groups;  ///< in the order of the architecture's
    bool operator==(const Genotype&) const = default;

    /// The genotype of `choices`, one column number per row of the architecture; throws Error for another length or a
    /// number that is not 0 to k-1.
    static Genotype from_choices(const Architecture& architecture, const std::vector<int>& choices) {
        require(static_cast<int>(choices.size()) == architecture.rows(), "genotype: {} choices for {} rows",
                choices.size(), architecture.rows());
        Genotype genotype{.space = architecture.name, .groups = {}};
        std::size_t row = 0;
        for (const auto& group : architecture.groups) {
            Group out{group.name, std::vector<std::vector<Edge>>(static_cast<std::size_t>(group.graph.nodes))};
            for (const auto& edge : group.graph.edges) {
                const int m = choices[row++];
                require(m >= 0 && m < architecture.k(), "genotype: choice {} in row {} is not one of {} primitives", m,
                        row - 1, architecture.k());
                out.nodes[static_cast<std::size_t>(edge.to - group.graph.inputs)].push_back(
                    {architecture.primitives[static_cast<std::size_t>(m)], edge.from});
            }
            genotype.groups.push_back(std::move(out));
        }
        return genotype;
    }
    /// One column number per row of `architecture`: the inverse of from_choices(). Throws Error where groups, edges or
    /// primitives are not those of the architecture.
    std::vector<int> choices(const Architecture& architecture) const {
        require(groups.size() == architecture.groups.size(), "genotype: {} groups of cells, space {} has {}",
                groups.size(), architecture.name, architecture.groups.size());
        std::vector<int> result;
        for (std::size_t g = 0; g < groups.size(); ++g) {
            const auto& group = architecture.groups[g];
            require(groups[g].name == group.name, "genotype: group \"{}\" where space {} has \"{}\"", groups[g].name,
                    architecture.name, group.name);
            require(static_cast<int>(groups[g].nodes.size()) == group.graph.nodes,
                    "genotype: {} nodes in group \"{}\", space {} has {}", groups[g].nodes.size(), group.name,
                    architecture.name, group.graph.nodes);
            std::vector<std::size_t> next(groups[g].nodes.size(), 0);
            for (const auto& edge : group.graph.edges) {
                const auto node = static_cast<std::size_t>(edge.to - group.graph.inputs);
                const auto& edges = groups[g].nodes[node];
                require(next[node] < edges.size() && edges[next[node]].from == edge.from,
                        "genotype: node {} of group \"{}\" lacks its edge from {}", edge.to, group.name, edge.from);
                result.push_back(architecture.index(edges[next[node]++].primitive));
            }
            for (std::size_t node = 0; node < next.size(); ++node)
                require(next[node] == groups[g].nodes[node].size(),
                        "genotype: node {} of group \"{}\" has {} edges, space {} has {}",
                        static_cast<int>(node) + group.graph.inputs, group.name, groups[g].nodes[node].size(),
                        architecture.name, next[node]);
        }
        return result;
    }
    /// How many edges choose each primitive, by name; primitives that nothing chooses are left out.
    std::map<std::string, int> counts() const {
        std::map<std::string, int> total;
        for (const auto& group : groups)
            for (const auto& node : group.nodes)
                for (const auto& edge : node) ++total[edge.primitive];
        return total;
    }
    /// One line, as NAS-Bench-201 writes cells: `normal:|op~from|op~from|+|...| reduction:|...`, `+` between nodes, `~`
    /// before the vertex an edge comes from.
    std::string str() const {
        std::string text;
        for (const auto& group : groups) {
            text += (text.empty() ? "" : " ") + group.name + ":";
            for (std::size_t n = 0; n < group.nodes.size(); ++n) {
                text += n ? "+|" : "|";
                for (const auto& edge : group.nodes[n]) text += edge.primitive + "~" + std::to_string(edge.from) + "|";
            }
        }
        return text;
    }
    /// Reads the line that str() writes; throws Error with the place of the first character that does not fit.
    static Genotype parse(const std::string& text, std::string space = {});
};

inline Genotype Genotype::parse(const std::string& text, std::string space) {
    Genotype genotype{.space = std::move(space), .groups = {}};
    std::size_t at = 0;
    const auto bad = [&](const char* what) {
        fail("genotype: {} at character {} of \"{}\" (expected group:|op~from|...|+|...|)", what, at + 1, text);
    };
    while (at < text.size()) {
        const auto colon = text.find(':', at);
        if (colon == std::string::npos || colon == at) bad("no group name");
        Group group{text.substr(at, colon - at), {{}}};
        at = colon + 1;
        if (at >= text.size() || text[at] != '|') bad("no \"|\"");
        ++at;
        for (;;) {
            const auto tilde = text.find('~', at);
            if (tilde == std::string::npos || tilde == at) bad("no edge");
            Edge edge{text.substr(at, tilde - at), 0};
            if (edge.primitive.find_first_of("|+: ") != std::string::npos) bad("no edge");
            at = tilde + 1;
            if (at >= text.size() || text[at] < '0' || text[at] > '9') bad("no vertex number");
            while (at < text.size() && text[at] >= '0' && text[at] <= '9' && edge.from < 1000)
                edge.from = edge.from * 10 + (text[at++] - '0');
            if (at >= text.size() || text[at] != '|') bad("no \"|\"");
            ++at;
            group.nodes.back().push_back(std::move(edge));
            if (at >= text.size() || text[at] == ' ') break;
            if (text[at] == '+') {
                if (at + 1 >= text.size() || text[at + 1] != '|') bad("no \"|\" after \"+\"");
                at += 2;
                group.nodes.emplace_back();
            }
        }
        genotype.groups.push_back(std::move(group));
        if (at < text.size()) {
            ++at;
            if (at >= text.size()) bad("nothing after the blank");
        }
    }
    if (genotype.groups.empty()) bad("nothing");
    return genotype;
}

/// Network `number` of a stream of random ones: every row chooses uniformly. The same key and number give the same
/// network.
inline Genotype random_genotype(const Architecture& a, random::Key key, std::uint64_t number) {
    std::vector<int> choices;
    for (int row = 0; row < a.rows(); ++row)
        choices.push_back(static_cast<int>(random::words_at(key, static_cast<std::uint64_t>(row), number).w[0] %
                                           static_cast<unsigned>(a.k())));
    return Genotype::from_choices(a, choices);
}

}  // namespace hwnas

template <>
struct fmt::formatter<hwnas::Genotype> : fmt::formatter<fmt::string_view> {
    auto format(const hwnas::Genotype& genotype, fmt::format_context& context) const {
        return fmt::formatter<fmt::string_view>::format(genotype.str(), context);
    }
};
