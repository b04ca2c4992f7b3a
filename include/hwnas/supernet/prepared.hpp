// SPDX-License-Identifier: MIT
// Prepared: a network made ready to run: batch norms folded into convolutions, memory planned, no tape. What latency
// means in this library is the time of this.
#pragma once

#include <hwnas/autodiff/program.hpp>
#include <hwnas/supernet/network.hpp>

namespace hwnas {

/// A network for inference: norms folded, one batch size, memory planned; run() allocates nothing. For single small
/// images a device of one thread is best: threads share calls of five microseconds or more, of which there are few.
template <class T>
class BasicPrepared {
public:
    /// Records the pass for images [batch, H, W, C]; keeps a folded copy of the weights, so that later training of
    /// `network` does not reach it. Throws Error for a batch below 1.
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
    /// Where the images of the next run() go: assign to this tensor of shape [batch, H, W, C].
    const Tensor<T>& input() const { return input_; }
    /// Logits [batch, classes] of the last run().
    const Tensor<T>& output() const { return output_; }
    /// Runs the network on input(); nothing is allocated.
    void run() const { program_.run(); }
    /// The recorded pass, for its memory plan and its list of kernels.
    const Program& program() const { return program_; }

private:
    BasicNetwork<T> network_;
    Tensor<T> input_, output_;
    Program program_;
};

/// The prepared network in float: what latencies are measured on.
using Prepared = BasicPrepared<float>;

}  // namespace hwnas
