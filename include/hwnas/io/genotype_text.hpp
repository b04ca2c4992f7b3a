// SPDX-License-Identifier: MIT
// Genotypes in the forms of others: NAS-Bench-201's cell strings, DARTS' Python text, Graphviz DOT. For reading back
// there are JSON and the one-line form (io/genotype.hpp).
#pragma once

#include <hwnas/space/genotype.hpp>

#include <set>

namespace hwnas::io {

/// The cells of a genotype in the notation of NAS-Bench-201, `|op~from|op~from|+|...|`: a line a group, its name in
/// front, "normal:|...|\n". Names of operations stay those of the search space (identity, not skip_connect).
/// read_genotype() takes it; the lines joined by blanks are Genotype::str().
inline std::string nasbench201_text(const Genotype& genotype) {
    std::string text;
    for (const auto& group : genotype.groups) text += Genotype{.space = {}, .groups = {group}}.str() + "\n";
    return text;
}

namespace detail {

/// A primitive's name in DARTS where it has one there, else ours.
inline std::string darts_name(const std::string& primitive) {
    if (primitive == "identity") return "skip_connect";
    if (primitive.starts_with("separable_conv_")) return "sep_conv_" + primitive.substr(15);
    if (primitive.starts_with("average_pool_")) return "avg_pool_" + primitive.substr(13);
    return primitive;
}

inline std::string quoted(const std::string& text) {
    std::string result = "\"";
    for (const char c : text) result += c == '"' || c == '\\' ? std::string{'\\', c} : std::string{c};
    return result + "\"";
}

}  // namespace detail

/// The Python text that DARTS keeps in genotypes.py: Genotype(normal=[('op', from), ...], normal_concat=[2, ...],
/// reduce=..., reduce_concat=...). Every edge is listed, node after node, while DARTS' own networks take two a node; a
/// comment says how many there are. Throws where cells are neither normal nor reduction cells (RowSharing::none).
inline std::string darts_text(const Genotype& genotype) {
    const Genotype::Group *normal = nullptr, *reduction = nullptr;
    for (const auto& group : genotype.groups)
        if (group.name == "normal")
            normal = &group;
        else if (group.name == "reduction")
            reduction = &group;
    if (genotype.groups.size() == 1) normal = reduction = &genotype.groups[0];  // all cells alike
    if (!normal || (!reduction && genotype.groups.size() > 1) || genotype.groups.size() > 2) {
        std::vector<std::string> names;
        for (const auto& group : genotype.groups) names.push_back(group.name);
        fail("darts: a normal and a reduction cell are all it can say, this genotype has {}; use JSON",
             fmt::join(names, ", "));
    }
    std::set<std::size_t> counts;
    const auto cell = [&](const Genotype::Group& group) {
        std::string edges, concat;
        for (std::size_t n = 0; n < group.nodes.size(); ++n) {
            counts.insert(group.nodes[n].size());
            for (const auto& edge : group.nodes[n])
                edges += fmt::format("{}('{}', {})", edges.empty() ? "" : ", ", detail::darts_name(edge.primitive),
                                     edge.from);
            concat += fmt::format("{}{}", n ? ", " : "", n + 2);
        }
        return std::pair{edges, concat};
    };
    const auto [normal_edges, normal_concat] = cell(*normal);
    const auto [reduction_edges, reduction_concat] = cell(*reduction);
    return fmt::format("# Edges a node: {}, node after node; DARTS' own networks expect 2.\n",
                       fmt::join(counts, ", ")) +
           fmt::format("Genotype(normal=[{}], normal_concat=[{}], reduce=[{}], reduce_concat=[{}])\n", normal_edges,
                       normal_concat, reduction_edges, reduction_concat);
}

/// What dot_text() draws beside the genotype.
struct DotOptions {
    std::string name = "genotype";  ///< of the graph in the DOT file
    int inputs = 2;                 ///< vertices of a cell before its nodes
    /// A further line on the edges: one text a row of the architecture, in its order; empty: none. Probabilities,
    /// milliseconds.
    std::vector<std::string> notes = {};
};

/// Graphviz text, a cluster a group: `dot -Tsvg` draws it. Vertices are numbered as in the genotype. Throws where the
/// notes are not as many as the edges.
inline std::string dot_text(const Genotype& genotype, const DotOptions& options = {}) {
    std::size_t edges = 0, row = 0;
    for (const auto& group : genotype.groups)
        for (const auto& node : group.nodes) edges += node.size();
    hwnas::require(options.notes.empty() || options.notes.size() == edges, "dot: {} notes for {} edges",
                   options.notes.size(), edges);
    hwnas::require(options.inputs >= 1, "dot: {} inputs of a cell, at least one is needed", options.inputs);
    std::string text = fmt::format(
        "digraph {} {{\n  rankdir=LR;\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n"
        "  edge [fontname=\"sans-serif\", fontsize=10];\n",
        detail::quoted(options.name));
    for (std::size_t g = 0; g < genotype.groups.size(); ++g) {
        const auto& group = genotype.groups[g];
        const auto vertex = [&](int v) { return fmt::format("c{}v{}", g, v); };
        text += fmt::format("  subgraph cluster_{} {{\n    label={};\n", g, detail::quoted(group.name));
        for (int v = 0; v < options.inputs; ++v) text += fmt::format("    {} [label=\"input {}\"];\n", vertex(v), v);
        for (std::size_t n = 0; n < group.nodes.size(); ++n) {
            const int to = options.inputs + static_cast<int>(n);
            text += fmt::format("    {} [label=\"{}\"];\n", vertex(to), to);
            for (const auto& edge : group.nodes[n]) {
                hwnas::require(edge.from < to,
                               "dot: edge {} -> {} of group \"{}\" does not come from an earlier vertex", edge.from, to,
                               group.name);
                std::string label = edge.primitive;
                if (!options.notes.empty()) label += "\n" + options.notes[row];
                ++row;
                std::string line = detail::quoted(label);
                for (auto at = line.find('\n'); at != std::string::npos; at = line.find('\n'))
                    line.replace(at, 1, "\\n");
                text += fmt::format("    {} -> {} [label={}];\n", vertex(edge.from), vertex(to), line);
            }
        }
        text += fmt::format("    c{}out [label=\"output\"];\n", g);
        for (std::size_t n = 0; n < group.nodes.size(); ++n)
            text += fmt::format("    {} -> c{}out [style=dashed];\n", vertex(options.inputs + static_cast<int>(n)), g);
        text += "  }\n";
    }
    return text + "}\n";
}

}  // namespace hwnas::io
