// SPDX-License-Identifier: MIT
// Prepared: a network made ready to run: batch norms folded into convolutions, memory planned, no tape. What latency
// means in this library is the time of this.
#pragma once

#include <hwnas/autodiff/program.hpp>
#include <hwnas/supernet/network.hpp>

namespace hwnas {

/// A network for inference: norms folded, one batch size, memory planned; run() allocates nothing.
template <class T>
class BasicPrepared {
public:
    /// Fixed batch size; keeps its own folded copy of the weights.
    BasicPrepared(const BasicNetwork<T>& network, std::int64_t batch = 1, const ProgramOptions& options = {})
        : network_(network.clone()) {
        require(batch >= 1, "prepared: batch {}", batch);
        network_.fold();
        const auto& image = network_.space().options().image;
        input_ = Tensor<T>::full({batch, image.height, image.width, image.channels}, T(0), network_.device());
        program_ = Program::record(
            network_.device(),
            [&] {
                const NoGrad no_grad;
                output_ = network_.forward(Variable<T>(input_), Phase::eval).value();
            },
            options);
    }
    /// [batch, H, W, C], to be filled before run().
    const Tensor<T>& input() const { return input_; }
    /// Logits [batch, classes] of the last run().
    const Tensor<T>& output() const { return output_; }
    /// From input to output.
    void run() const { program_.run(); }
    /// The recorded pass.
    const Program& program() const { return program_; }

private:
    BasicNetwork<T> network_;
    Tensor<T> input_, output_;
    Program program_;
};

/// In float.
using Prepared = BasicPrepared<float>;

}  // namespace hwnas
