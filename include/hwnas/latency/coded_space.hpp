// SPDX-License-Identifier: MIT
// Spaces whose networks are written as one digit a position, as published latency measurements are: what may cost the
// same, what is known about an option's work, and which of the operations a runtime executes.
#pragma once

#include <hwnas/core/error.hpp>

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace hwnas {

/// Which operations of a network with unused parts a runtime executes. It decides how options add up to a time.
enum class Execution {
    everything,  ///< all of them
    used,        ///< those the output depends on; nothing where the output does not depend on the input
    /// As `used`, by a runtime that folds a product with zero into the convolution before it: where `none` reads a
    /// convolution that nothing else reads, the convolution runs, with zeros for weights.
    folded
};
/// "everything", "used" or "folded".
inline const char* execution_name(Execution execution) {
    return execution == Execution::everything ? "everything" : execution == Execution::used ? "used" : "folded";
}

/// A network written as one option number per position, each from 0.
using Code = std::vector<int>;

/// A space of networks written as codes, as published latency measurements are, with what is known of their work.
struct CodedSpace {
    std::string name;                ///< of the space: "nasbench201", "fbnet"
    int positions = 0, options = 0;  ///< length of a code; options to choose from at each position
    /// Partitions of the positions, coarse to fine: levels[l][position] is a class. An option may cost the same at all
    /// positions of a class.
    std::vector<std::vector<int>> levels = {};
    /// work[position][option]: known quantities (multiplications, bytes), in units of their mean; or nothing.
    std::vector<std::vector<std::vector<double>>> work = {};
    std::vector<Execution> executions = {Execution::everything};  ///< runtimes that CodedLatencyModel::fit() tries

    /// The cell of NAS-Bench-201 (Dong and Yang 2020): six edges 1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2; options none,
    /// skip, 1x1 conv, 3x3 conv, 3x3 average pool.
    static CodedSpace nasbench201();
    /// The space of FBNet (Wu et al. 2019): 22 blocks; options 3x3 with expansion 1, 1 in two groups, 3, 6, the same
    /// with 5x5, skip. Work is that on images of 32 x 32.
    static CodedSpace fbnet();
    /// nasbench201() or fbnet() by name; throws Error for another, listing the known ones.
    static CodedSpace named(std::string_view name) {
        if (name == "nasbench201") return nasbench201();
        if (name == "fbnet") return fbnet();
        fail("coded space: \"{}\" is unknown (nasbench201, fbnet)", name);
    }
    /// Reads a code of one digit per position; throws Error for another length or a digit that is no option.
    Code parse(std::string_view text) const {
        require(static_cast<int>(text.size()) == positions, "{}: \"{}\" has {} digits, {} are expected", name,
                text.substr(0, 60), text.size(), positions);
        Code code;
        for (const char c : text) {
            require(c >= '0' && c < '0' + options, "{}: \"{}\" has '{}' where a digit from 0 to {} is expected", name,
                    text, c >= ' ' && c < 0x7f ? c : '?', options - 1);
            code.push_back(c - '0');
        }
        return code;
    }
    /// Throws Error for a code of another length or with an option that does not exist.
    void check(const Code& code) const {
        require(static_cast<int>(code.size()) == positions, "{}: a network of {} positions, {} are expected", name,
                code.size(), positions);
        for (const int option : code)
            require(option >= 0 && option < options, "{}: option {}, from 0 to {} are possible", name, option,
                    options - 1);
    }
};

namespace detail {

struct Executed {
    Code code;         ///< with `none` for what is not executed
    bool runs = true;  ///< false: the output does not depend on the input, nothing is executed
};

/// What is left of a NAS-Bench-201 cell.
inline Executed nasbench201_executed(const Code& code, Execution execution) {
    if (execution == Execution::everything) return {code, true};
    constexpr int none = 0, skip = 1, pool = 4;
    constexpr std::array<std::array<int, 2>, 6> edges{{{1, 0}, {2, 0}, {2, 1}, {3, 0}, {3, 1}, {3, 2}}};  // {to, from}
    // What a vertex holds: zero, the output of one convolution, or something else.
    enum Kind { zero, convolution, other };
    std::array<Kind, 4> kind{other, zero, zero, zero};
    std::array<bool, 4> from_input{true, false, false, false}, to_output{false, false, false, true};
    std::array<bool, 6> carries{};  // a product with zero that runs as a convolution
    for (int v = 1; v < 4; ++v) {
        int terms = 0;
        for (std::size_t e = 0; e < edges.size(); ++e) {
            if (edges[e][0] != v) continue;
            const auto from = static_cast<std::size_t>(edges[e][1]);
            Kind term = other;
            if (code[e] == none) {
                bool read = false;
                for (std::size_t f = 0; f < edges.size(); ++f)
                    read |= edges[f][1] == static_cast<int>(from) && code[f] != none;
                // Not where the product is also a term of a sum (vertex 2) that is itself multiplied by zero: factored
                // out of both, it multiplies a sum and goes.
                const bool factored = e == 4 && carries[2] && kind[2] == other && code[5] == none;
                carries[e] = execution == Execution::folded && kind[from] == convolution && !read && !factored;
                if (!carries[e]) continue;
                term = convolution;
            } else if (code[e] == skip) {
                if (kind[from] == zero) continue;
                term = kind[from];
            } else if (code[e] != pool) {
                term = convolution;
            }
            const auto at = static_cast<std::size_t>(v);
            from_input[at] = from_input[at] || from_input[from];
            kind[at] = ++terms == 1 ? term : other;
        }
    }
    Executed left{Code(6, none), from_input[3]};
    for (std::size_t e = edges.size(); left.runs && e-- > 0;)
        if (to_output[static_cast<std::size_t>(edges[e][0])] && (code[e] != none || carries[e]))
            to_output[static_cast<std::size_t>(edges[e][1])] = true, left.code[e] = code[e];
    return left;
}

inline Executed executed(const CodedSpace& space, const Code& code, Execution execution) {
    return space.executions.size() > 1 ? nasbench201_executed(code, execution) : Executed{code, true};
}

}  // namespace detail

inline CodedSpace CodedSpace::nasbench201() {
    return {.name = "nasbench201",
            .positions = 6,
            .options = 5,
            .levels = {{0, 0, 0, 0, 0, 0}, {0, 1, 2, 3, 4, 5}},
            .executions = {Execution::everything, Execution::used, Execution::folded}};
}

inline CodedSpace CodedSpace::fbnet() {
    struct Stage {
        int blocks, channels, stride;
    };
    struct Block {
        int kernel, expansion, groups;
    };
    constexpr std::array<Stage, 7> stages{
        {{1, 16, 1}, {4, 24, 1}, {4, 32, 2}, {4, 64, 2}, {4, 112, 1}, {4, 184, 2}, {1, 352, 1}}};
    constexpr std::array<Block, 8> blocks{
        {{3, 1, 1}, {3, 1, 2}, {3, 3, 1}, {3, 6, 1}, {5, 1, 1}, {5, 1, 2}, {5, 3, 1}, {5, 6, 1}}};
    constexpr int quantities = 4;  // multiplications of the 1x1 and of the depthwise convolutions, activations, weights
    CodedSpace space{.name = "fbnet", .positions = 22, .options = 9, .levels = std::vector<std::vector<int>>(3)};
    int size = 32, in = 16;
    for (std::size_t s = 0; s < stages.size(); ++s)
        for (int b = 0; b < stages[s].blocks; ++b) {
            const int stride = b == 0 ? stages[s].stride : 1, out = stages[s].channels, after = size / stride;
            space.levels[0].push_back(0);
            space.levels[1].push_back(static_cast<int>(s));
            space.levels[2].push_back(static_cast<int>(space.work.size()));
            space.work.emplace_back();
            for (const auto& block : blocks) {
                const double before = size * size, behind = after * after, middle = in * block.expansion;
                const double first = in * middle / block.groups, last = middle * out / block.groups;
                space.work.back().push_back({before * first + behind * last,
                                             behind * middle * block.kernel * block.kernel, (before + behind) * middle,
                                             first + last});
            }
            space.work.back().emplace_back(quantities, 0.0);  // skip
            in = out, size = after;
        }
    for (std::size_t q = 0; q < quantities; ++q) {
        double sum = 0;
        for (const auto& position : space.work)
            for (const auto& option : position) sum += option[q] / static_cast<double>(space.positions * space.options);
        for (auto& position : space.work)
            for (auto& option : position) option[q] /= sum;
    }
    return space;
}

}  // namespace hwnas
