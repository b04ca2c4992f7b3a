// SPDX-License-Identifier: MIT
#include "ops.hpp"

namespace hwnas::benchmarks {

namespace {

/// An op as a training step has it: one forward pass, one backward pass, their kernels told apart by label.
class Recorded {
public:
    Recorded(const Op& op, bool activations, bool parameters) {
        std::uint64_t seed = 1;
        for (const auto& input : op.inputs) {
            const auto value = random_tensor(input.shape, seed++, device());
            const bool wanted = input.role == Role::activation ? activations : parameters;
            inputs_.push_back(wanted ? Variable<float>::leaf(value) : Variable<float>(value));
            if (wanted && input.role == Role::parameter)
                inputs_.back().set_grad(Tensor<float>::full(input.shape, 0.0f, device()));
        }
        program_ = Program::record(device(),
                                   [&] {
                                       {
                                           const LabelScope label("forward");
                                           output_ = op.apply(inputs_);
                                       }
                                       if (!output_.requires_grad()) return;
                                       const LabelScope label("backward");
                                       backward(output_, random_tensor(output_.shape(), seed, device()));
                                   },
                                   {.tiled = false});
        std::size_t forward = 0;
        while (forward < program_.size() && program_.label(forward).starts_with("forward")) ++forward;
        backward_from_ = forward;
        program_.run();  // the backward pass reads what the forward pass has left
    }
    void run(bool forward_pass, bool backward_pass) const {
        for (std::size_t i = first(forward_pass); i < end(backward_pass); ++i) program_.run_entry(i);
    }
    std::vector<GuardedCall> calls(bool forward_pass, bool backward_pass) const {
        std::vector<GuardedCall> list;
        for (std::size_t i = first(forward_pass); i < end(backward_pass); ++i) list.push_back({program_.call(i), {}});
        return list;
    }

private:
    std::size_t first(bool forward_pass) const { return forward_pass ? 0 : backward_from_; }
    std::size_t end(bool backward_pass) const { return backward_pass ? program_.size() : backward_from_; }
    std::vector<Variable<float>> inputs_;
    Variable<float> output_;  // kept, so that no gradient is given its place
    Program program_;
    std::size_t backward_from_ = 0;
};

}  // namespace

void add_op(const Op& op) {
    const auto name = [&](const std::string& direction) {
        return fmt::format("{}/{}/{}", op.name, direction, op.shape);
    };
    if (on_gpu()) {
        const auto add = [&](const Gradient& g, bool forward_pass) {
            add_graph_benchmark(name(g.name), g.work, [=] {
                const auto recorded = std::make_shared<Recorded>(op, g.activations, g.parameters);
                return Copied{recorded->calls(forward_pass, g.activations || g.parameters), recorded};
            });
        };
        add({"forward", op.forward, false, false}, true);
        for (const auto& gradient : op.backward) add(gradient, gradient.with_forward);
        return;
    }
    add_benchmark(name("forward"), [op](benchmark::State& state) {
        const Recorded recorded(op, false, false);
        measure(state, op.forward, [&] { recorded.run(true, false); });
    });
    for (const auto& gradient : op.backward)
        add_benchmark(name(gradient.name), [op, gradient](benchmark::State& state) {
            const Recorded recorded(op, gradient.activations, gradient.parameters);
            measure(state, gradient.work, [&] { recorded.run(gradient.with_forward, true); });
        });
}

}  // namespace hwnas::benchmarks
