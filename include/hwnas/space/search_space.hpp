// SPDX-License-Identifier: MIT
// SearchSpace: plain data from which relaxed and discrete networks are built: stem, cells of doubling width at halving
// resolution, head. The three built-in spaces differ in primitives, node transform and where resolution drops.
#pragma once

#include <hwnas/space/cell.hpp>
#include <hwnas/space/genotype.hpp>

namespace hwnas {

/// Extents of the images a network takes: inputs are [N, height, width, channels].
struct ImageShape {
    /// Height and width in pixels, and numbers a pixel; by default those of Fashion-MNIST.
    std::int64_t height = 28, width = 28, channels = 1;
};
/// Which cells choose alike: share rows of logits and one draw of gamma.
enum class RowSharing {
    kind,  ///< normal cells one set, reduction cells another (default; 28 rows for 4 nodes)
    all,   ///< every cell the same set
    none   ///< each cell its own
};
/// Size of the networks of a space. A SearchSpace throws Error beyond 1 to 16 cells, 1 to 64 nodes, 1 to 4096 channels.
struct SpaceOptions {
    ImageShape image = {};                   ///< extents and channels of its inputs
    std::int64_t classes = 10;               ///< outputs of the network: logits [N, classes]
    std::int64_t channels = 16;              ///< C: channels inside the first cell; they double at every reduction
    int cells = 3;                           ///< the first keeps the resolution, each other one halves it
    int nodes = 4;                           ///< of every cell; the output of a cell has nodes x channels channels
    RowSharing sharing = RowSharing::kind;   ///< which cells choose alike
    std::vector<Primitive> additional = {};  ///< the user's own primitives, after those of the space
};

/// What can be searched: primitives, cells, and the network around them. Plain data; networks are built from it.
class SearchSpace {
public:
    /// The text of the paper: bare depthwise convolution 3x3, max pool 3x3 and identity, nothing between nodes.
    static SearchSpace paper(const SpaceOptions& options = {}) {
        return {"paper",
                options,
                {primitives::depthwise_conv(), primitives::identity(), primitives::max_pool()},
                NodeTransform::none,
                Reduction::average_pool};
    }
    /// The primitives of paper(), and a node that something convolves into mixes channels (ReLU - 1x1 convolution -
    /// batch norm): NodeTransform::pointwise. The space to start with.
    static SearchSpace pointwise(const SpaceOptions& options = {}) {
        return {"pointwise",
                options,
                {primitives::depthwise_conv(), primitives::identity(), primitives::max_pool()},
                NodeTransform::pointwise,
                Reduction::average_pool};
    }
    /// DARTS-like: separable convolution, max pool - batch norm, identity or factorized reduce; resolution drops on the
    /// edges from the cell inputs.
    static SearchSpace separable(const SpaceOptions& options = {}) {
        return {"separable",
                options,
                {primitives::separable_conv(), primitives::identity_or_reduce(), primitives::max_pool_norm()},
                NodeTransform::none,
                Reduction::factorized};
    }
    /// A space of the user's primitives on bare edges, with or without the node transform. Throws Error where there are
    /// none or more than 64, and for options that do not fit together.
    static SearchSpace custom(std::string name, std::vector<Primitive> primitives, const SpaceOptions& options = {},
                              NodeTransform transform = NodeTransform::none) {
        return {std::move(name), options, std::move(primitives), transform, Reduction::average_pool};
    }
    /// paper(), pointwise() or separable() by name; throws Error for another name.
    static SearchSpace named(const std::string& name, const SpaceOptions& options = {}) {
        if (name == "paper") return paper(options);
        if (name == "pointwise") return pointwise(options);
        if (name == "separable") return separable(options);
        fail("space: \"{}\" is unknown (paper, pointwise, separable)", name);
    }

    /// Name of the space: "pointwise", or the one given to custom().
    const std::string& name() const { return name_; }
    /// The options it was built with.
    const SpaceOptions& options() const { return options_; }
    /// What every edge chooses from, the user's additional ones last; their order is that of S and of gamma.
    const std::vector<Primitive>& primitives() const { return primitives_; }
    /// The rows of choices of its networks: what a HyperNet is built for.
    const Architecture& architecture() const { return architecture_; }
    /// What a node does with the sum of its edges.
    NodeTransform transform() const { return transform_; }
    /// Cells of its networks.
    int cells() const { return options_.cells; }
    /// Number of the group in architecture() whose rows cell `cell` (from 0) draws from.
    int group_of(int cell) const {
        return options_.sharing == RowSharing::all    ? 0
               : options_.sharing == RowSharing::none ? cell
                                                      : std::min(cell, 1);
    }
    /// How cell `cell` (from 0) is built: relaxed, or discrete where a genotype is given.
    CellOptions cell_options(int cell, const Genotype* genotype = nullptr) const {
        CellOptions result{.primitives = primitives_,
                           .graph = CellGraph::dense(options_.nodes, 2),
                           .transform = transform_,
                           .reduction = reduction_};
        const auto channels_of = [&](int i) {
            return i < 0 ? options_.channels : (options_.channels << i) * options_.nodes;
        };
        const auto level_of = [](int i) { return std::max(i, 0); };
        const bool factorized = reduction_ == Reduction::factorized;
        // Average pooling brings inputs to the nodes' resolution; factorized cells halve on the edges from the inputs.
        const int input_level = factorized ? std::max(cell - 1, 0) : cell;
        result.inputs = {{channels_of(cell - 2), input_level - level_of(cell - 2)},
                         {channels_of(cell - 1), input_level - level_of(cell - 1)}};
        result.channels = options_.channels << cell;
        result.stride = factorized && cell > 0 ? 2 : 1;
        result.height = options_.image.height;
        result.width = options_.image.width;
        for (int i = 0; i < input_level; ++i)
            result.height = halved(result.height), result.width = halved(result.width);
        const auto group =
            static_cast<std::size_t>(group_of(cell));  // while build() runs, not there yet for the cell that opens it
        result.first_row =
            group < architecture_.groups.size() ? architecture_.groups[group].first_row : architecture_.rows();
        if (genotype) {
            const auto all = genotype->choices(architecture_);
            result.choices = std::vector<int>(
                all.begin() + result.first_row,
                all.begin() + result.first_row + static_cast<std::ptrdiff_t>(result.graph.edges.size()));
        }
        return result;
    }
    /// The same space with another C: genotypes fit both, weights do not.
    SearchSpace with_channels(std::int64_t channels) const {
        SearchSpace other = *this;
        other.options_.channels = channels;
        other.build();
        return other;
    }

private:
    SearchSpace(std::string name, SpaceOptions options, std::vector<Primitive> primitives, NodeTransform transform,
                Reduction reduction)
        : name_(std::move(name)),
          options_(std::move(options)),
          primitives_(std::move(primitives)),
          transform_(transform),
          reduction_(reduction) {
        for (const auto& primitive : options_.additional) primitives_.push_back(primitive);
        build();
    }
    void build() {
        const auto& image = options_.image;
        require(image.height >= 1 && image.width >= 1 && image.channels >= 1, "space {}: image {} x {} x {}", name_,
                image.height, image.width, image.channels);
        require(options_.classes >= 1, "space {}: {} classes", name_, options_.classes);
        require(options_.channels >= 1 && options_.channels <= 4096, "space {}: {} channels (1 to 4096)", name_,
                options_.channels);
        require(options_.cells >= 1 && options_.cells <= 16, "space {}: {} cells (1 to 16)", name_, options_.cells);
        require(options_.nodes >= 1 && options_.nodes <= 64, "space {}: {} nodes (1 to 64)", name_, options_.nodes);
        require(primitives_.size() <= 64, "space {}: {} primitives (1 to 64)", name_, primitives_.size());
        require(!primitives_.empty(), "space {}: no primitives given; an edge needs at least one to choose from",
                name_);
        auto height = image.height, width = image.width;
        for (int i = 1; i < options_.cells; ++i) {
            require(height >= 2 && width >= 2,
                    "space {}: an image of {} x {} cannot be halved {} times (use fewer cells)", name_, image.height,
                    image.width, options_.cells - 1);
            height = halved(height), width = halved(width);
        }
        architecture_ = Architecture{.name = name_, .primitives = {}, .groups = {}};
        for (const auto& primitive : primitives_) architecture_.primitives.push_back(primitive.name());
        for (int cell = 0; cell < options_.cells; ++cell) {
            const int group = group_of(cell);
            // A cell on a null device would do, but its table needs only sites: build it from options alone.
            const CellOptions cell_options_now = cell_options(cell);
            const auto table = parameter_table(cell_options_now);
            if (group == static_cast<int>(architecture_.groups.size())) {
                const std::string group_name = options_.sharing == RowSharing::none  ? fmt::format("cell_{}", cell)
                                               : options_.sharing == RowSharing::all ? "cell"
                                               : cell == 0                           ? "normal"
                                                                                     : "reduction";
                architecture_.add(group_name, cell_options_now.graph, table);
            } else {
                auto& total = architecture_.groups[static_cast<std::size_t>(group)].parameters;
                for (std::size_t e = 0; e < table.size(); ++e)
                    for (std::size_t m = 0; m < table[e].size(); ++m) total[e][m] += table[e][m];
            }
        }
    }
    static std::vector<std::vector<double>> parameter_table(const CellOptions& cell) {
        std::vector<std::vector<double>> table;
        for (const auto& edge : cell.graph.edges) {
            const bool input = edge.from < cell.graph.inputs;
            const Site site = input ? Site{cell.channels, cell.height, cell.width, cell.stride}
                                    : Site{cell.channels, (cell.height + cell.stride - 1) / cell.stride,
                                           (cell.width + cell.stride - 1) / cell.stride, 1};
            table.emplace_back();
            for (const auto& primitive : cell.primitives)
                table.back().push_back(static_cast<double>(parameter_count(primitive.state(site), site)));
        }
        return table;
    }
    /// 2x2 average pooling drops an odd last pixel; strided edges and factorized reduce round up.
    std::int64_t halved(std::int64_t extent) const {
        return reduction_ == Reduction::factorized ? (extent + 1) / 2 : extent / 2;
    }

    std::string name_;
    SpaceOptions options_;
    std::vector<Primitive> primitives_;
    NodeTransform transform_ = NodeTransform::none;
    Reduction reduction_ = Reduction::average_pool;
    Architecture architecture_;
};

}  // namespace hwnas
