// SPDX-License-Identifier: MIT
// Benchmarks of one op: <op>/<direction>/<shape>. The op is recorded with its gradient, as a training step records it,
// and the kernels of one direction are timed. Files ops_*.cpp list the ops.
#pragma once

#include "support.hpp"

namespace hwnas::benchmarks {

/// What an input is to the op: data that flows through, or a parameter, whose gradient is added to a buffer as Adam's.
enum class Role { activation, parameter };
struct Input {
    Shape shape;
    Role role = Role::activation;
};

/// One backward direction: which gradients, and what they cost.
struct Gradient {
    std::string name = "backward";
    Work work = {};
    bool activations = true, parameters = true;
    bool with_forward = false;  ///< time both passes: the backward pass overwrites what the forward pass has left
};

struct Op {
    std::string name, shape;  ///< shape: as the benchmark is named
    std::vector<Input> inputs = {};
    std::function<Variable<float>(const std::vector<Variable<float>>&)> apply;
    Work forward = {};
    std::vector<Gradient> backward = {};
};

/// Registers <name>/forward/<shape> and one benchmark a backward direction.
void add_op(const Op& op);

inline constexpr double f32 = sizeof(float);

/// An activation [n, h, w, c] of the benchmarks.
struct Extent {
    std::int64_t n, h, c;
    Shape shape() const { return {n, h, h, c}; }
    double elements() const { return static_cast<double>(shape().elements()); }
    std::string str() const { return fmt::format("n{}_{}x{}x{}", n, h, h, c); }
};
/// The nodes of the cells at 16 channels, in a batch larger than a core's caches and in one that fits them, and a
/// width that is no multiple of a vector.
inline std::vector<Extent> extents() {
    std::vector<Extent> all;
    if (on_gpu())  // the cells, and shapes of networks for larger images
        return {{256, 28, 16},  {256, 14, 32},  {256, 7, 64},   {128, 112, 32},
                {128, 56, 144}, {128, 28, 192}, {128, 14, 384}, {128, 7, 960}};
    for (const std::int64_t n : {128, 2})
        for (const Extent& e : {Extent{n, 28, 16}, Extent{n, 14, 32}, Extent{n, 7, 64}, Extent{n, 28, 12}})
            all.push_back(e);
    return all;
}

}  // namespace hwnas::benchmarks
