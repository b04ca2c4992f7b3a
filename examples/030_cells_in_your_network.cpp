// SPDX-License-Identifier: MIT
// Cells are modules: here two of them, each with a graph of its own, stand side by side in a network that no built-in
// space offers, and the same trainer searches it.
#include "short_run.hpp"

#include <hwnas/hwnas.hpp>

/// Stem, a fine branch at 28 x 28 and a coarse one at 14 x 14, and a head that reads both.
/// The trainer asks for these members and nothing else.
class TwoBranches {
public:
    using value_type = float;

    TwoBranches(const hwnas::Device& device, hwnas::Seed seed)
        : device_(device),
          seed_(seed),
          init_(device, seed),
          stem_(init_.in("stem"), 3, 1, channels),
          // A chain 0 -> 1 -> 2 -> 3 with a shortcut past each node; only the last node leaves the cell.
          fine_(cell(
              "fine",
              {.graph = {.inputs = 1, .nodes = 3, .edges = {{0, 1}, {0, 2}, {1, 2}, {1, 3}, {2, 3}}, .concat = {3}},
               .inputs = {{.channels = channels}},
               .channels = channels,
               .height = 28,
               .width = 28})),
          // Two nodes that read the input alone and one that reads them; all three leave it.
          coarse_(cell("coarse", {.graph = {.inputs = 1, .nodes = 3, .edges = {{0, 1}, {0, 2}, {1, 3}, {2, 3}}},
                                  .inputs = {{.channels = channels, .halvings = 1}},
                                  .channels = 2 * channels,
                                  .height = 14,
                                  .width = 14})),
          head_(init_.in("head"), fine_.out_channels() + coarse_.out_channels(), 10) {}

    hwnas::Variable<float> forward(const hwnas::Variable<float>& x, const hwnas::Relaxation<float>& relaxation,
                                   hwnas::Phase phase) const {
        const auto stem = stem_(x, phase);
        const auto fine = fine_.forward({stem}, relaxation, phase), coarse = coarse_.forward({stem}, relaxation, phase);
        return head_(hwnas::concat<float>(
            {hwnas::global_average_pool(hwnas::relu(fine)), hwnas::global_average_pool(hwnas::relu(coarse))}));
    }
    hwnas::ModuleState<float> state() const {
        hwnas::ModuleState<float> state;
        stem_.collect(state), fine_.collect(state), coarse_.collect(state), head_.collect(state);
        return state;
    }
    TwoBranches clone() const {
        TwoBranches copy(device_, seed_);
        hwnas::copy_state(state(), copy.state());
        return copy;
    }
    const hwnas::Architecture& architecture() const { return architecture_; }
    const hwnas::Tensor<float>& momentum() const { return init_.momentum(); }
    const hwnas::Device& device() const { return device_; }
    hwnas::Seed seed() const { return seed_; }

private:
    static constexpr int channels = 8;

    /// A cell whose edges are the next rows of the architecture.
    hwnas::Cell cell(const std::string& name, hwnas::CellOptions options) {
        options.primitives = {hwnas::primitives::depthwise_conv(3), hwnas::primitives::depthwise_conv(5),
                              hwnas::primitives::identity(), hwnas::primitives::max_pool()};
        options.transform = hwnas::NodeTransform::pointwise;
        options.first_row = architecture_.rows();
        hwnas::Cell cell(options, init_.in(name));
        architecture_.add(name, cell);
        return cell;
    }

    hwnas::Device device_;
    hwnas::Seed seed_;
    hwnas::Initializer<float> init_;
    hwnas::Architecture architecture_{.name = "two branches"};
    hwnas::ConvNorm<float> stem_;
    hwnas::Cell fine_, coarse_;
    hwnas::Linear<float> head_;
};

int main() try {
    const auto data = example::shortened(hwnas::io::fashion_mnist());
    TwoBranches network{hwnas::cpu::device({.threads = 2}), hwnas::seed(7)};
    hwnas::HyperNet hypernet{network.architecture(), network.device(), hwnas::seed(7)};
    hwnas::SingleLevelTrainer trainer{
        std::move(network), std::move(hypernet), std::nullopt, {.epochs = example::epochs(5), .latency_weight = 0}};
    const auto family = trainer.fit(data.train);

    const auto& architecture = family.architecture();
    const auto show = [&](const char* what, const hwnas::Complexity& s) {
        const auto accuracy = family.accuracies(s, data.validation);
        fmt::print("{}: {}\n   mixture {:.1f} %, chosen {:.1f} %, recalibrated {:.1f} %\n", what, family.at(s),
                   100 * accuracy.supernet, 100 * accuracy.derived, 100 * accuracy.recalibrated);
    };
    show("all alike", hwnas::uniform_complexity(architecture.k()));
    show("no 5x5", hwnas::penalised(architecture.k(), architecture.index("depthwise_conv_5x5"), 0.7));
} catch (const hwnas::Error& error) {
    return example::report(error);
}
