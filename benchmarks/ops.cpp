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
    void forward() const { run(0, backward_from_); }
    void backward_only() const { run(backward_from_, program_.size()); }
    std::vector<GuardedCall> calls(bool backward_pass) const {
        std::vector<GuardedCall> list;
        const std::size_t end = backward_pass ? program_.size() : backward_from_;
        for (std::size_t i = backward_pass ? backward_from_ : 0; i < end; ++i) list.push_back({program_.call(i), {}});
        return list;
    }

private:
    void run(std::size_t from, std::size_t to) const {
        for (std::size_t i = from; i < to; ++i) program_.run_entry(i);
    }
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
        const auto add = [&](const std::string& direction, const Work& work, bool activations, bool parameters) {
            add_graph_benchmark(name(direction), work, [=] {
                const auto recorded = std::make_shared<Recorded>(op, activations, parameters);
                return Copied{recorded->calls(activations || parameters), recorded};
            });
        };
        add("forward", op.forward, false, false);
        for (const auto& gradient : op.backward)
            add(gradient.name, gradient.work, gradient.activations, gradient.parameters);
        return;
    }
    add_benchmark(name("forward"), [op](benchmark::State& state) {
        const Recorded recorded(op, false, false);
        measure(state, op.forward, [&] { recorded.forward(); });
    });
    for (const auto& gradient : op.backward)
        add_benchmark(name(gradient.name), [op, gradient](benchmark::State& state) {
            const Recorded recorded(op, gradient.activations, gradient.parameters);
            measure(state, gradient.work, [&] { recorded.backward_only(); });
        });
}

}  // namespace hwnas::benchmarks
