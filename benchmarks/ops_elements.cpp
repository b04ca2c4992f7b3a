// SPDX-License-Identifier: MIT
// Ops element by element or over channels. X: elements of the input (of one operand, where there are several), Y: of
// the output, M: operands. Bytes count every array once.
//                            bytes          operations
//   batch_norm forward       12 X           10 X     x is read for the statistics and once more for y
//     backward               20 X           10 X     dy and x twice, dx
//   relu                     8 X / 12 X     X        forward / backward
//   add                      12 X / 16 X    X / 0    both gradients are copies of dy
//   multiply                 12 X / 20 X    X / 2 X
//   scale                    8 X / 8 X      X
//   weighted_sum             4 (M + 1) X / 4 (2 M + 1) X    2 M X / 3 M X
//   weighted_norm_sum        4 (2 M + 1) X / 4 (3 M + 2) X    12 M X      each x as in batch_norm, dy twice for all
//   concat                   8 Y / 8 Y      0
//   sum, column_sum          4 X / 4 X      X / 0
//   global_average_pool      4 (X + Y)      X
#include "ops.hpp"

namespace hwnas::benchmarks {

namespace {

void add_batch_norm(const Extent& x) {
    const double in = x.elements();
    add_op({.name = "batch_norm",
            .shape = x.str(),
            .inputs = {{x.shape()}, {{x.c}, Role::parameter}, {{x.c}, Role::parameter}},
            .apply = [](const auto& v) { return batch_norm(v[0], v[1], v[2], BatchNormState<float>{}, Phase::train); },
            .forward = {12 * in, 10 * in},
            .backward = {{.work = {20 * in, 10 * in}}}});
}

void add_weighted_sum(const Extent& x, int operands) {
    const double in = x.elements(), m = operands;
    std::vector<Input> inputs(static_cast<std::size_t>(operands), {x.shape()});
    inputs.push_back({{operands}, Role::parameter});
    add_op({.name = "weighted_sum",
            .shape = fmt::format("{}_of{}", x.str(), operands),
            .inputs = inputs,
            .apply =
                [](const auto& v) {
                    std::vector<int> columns(v.size() - 1);
                    std::iota(columns.begin(), columns.end(), 0);
                    return weighted_sum<float>({v.begin(), v.end() - 1}, v.back(), columns);
                },
            .forward = {f32 * (m + 1) * in, 2 * m * in},
            .backward = {{.work = {f32 * (2 * m + 1) * in, 3 * m * in}}}});
}

void add_weighted_norm_sum(const Extent& x, int operands) {
    const double in = x.elements(), m = operands;
    const auto count = static_cast<std::size_t>(operands);
    std::vector<Input> inputs(count, {x.shape()});
    inputs.insert(inputs.end(), 2 * count, {{x.c}, Role::parameter});
    inputs.push_back({{operands}});
    add_op({.name = "weighted_norm_sum",
            .shape = fmt::format("{}_of{}", x.str(), operands),
            .inputs = inputs,
            .apply =
                [count](const auto& v) {
                    std::vector<Normalized<float>> terms;
                    for (std::size_t j = 0; j < count; ++j)
                        terms.emplace_back(v[j], v[count + j], v[2 * count + j], BatchNormState<float>{}, Phase::train);
                    std::vector<int> columns(count);
                    std::iota(columns.begin(), columns.end(), 0);
                    return weighted_norm_sum(terms, v.back(), columns);
                },
            .forward = {f32 * (2 * m + 1) * in, 12 * m * in},
            .backward = {{.work = {f32 * (3 * m + 2) * in, 12 * m * in}}}});
}

void add_concat(const Extent& x, int operands) {
    const double out = x.elements() * operands;
    add_op({.name = "concat",
            .shape = fmt::format("{}_of{}", x.str(), operands),
            .inputs = std::vector<Input>(static_cast<std::size_t>(operands), {x.shape()}),
            .apply = [](const auto& v) { return concat(v); },
            .forward = {8 * out},
            .backward = {{.work = {8 * out}}}});
}

void add_elementwise(const Extent& x) {
    const double in = x.elements();
    const Input input{x.shape()};
    const auto add = [&](const char* name, std::vector<Input> inputs, auto apply, Work forward, Work backward) {
        add_op({name, x.str(), std::move(inputs), apply, forward, {{.work = backward}}});
    };
    add("relu", {input}, [](const auto& v) { return relu(v[0]); }, {8 * in, in}, {12 * in, in});
    add("add", {input, input}, [](const auto& v) { return v[0] + v[1]; }, {12 * in, in}, {16 * in});
    add("multiply", {input, input}, [](const auto& v) { return v[0] * v[1]; }, {12 * in, in}, {20 * in, 2 * in});
    add("scale", {input}, [](const auto& v) { return scale(v[0], 0.5); }, {8 * in, in}, {8 * in, in});
    add("sum", {input}, [](const auto& v) { return sum(v[0]); }, {4 * in, in}, {4 * in});
    add("column_sum", {input}, [](const auto& v) { return column_sum(v[0]); }, {4 * in, in}, {4 * in});
    // a bias: its gradient is the sum of dy over all rows
    add("add_bias", {input, {{x.c}, Role::parameter}}, [](const auto& v) { return v[0] + v[1]; }, {8 * in, in},
        {12 * in, in});
}

void add_global_average_pool(const Extent& x) {
    const Work work{f32 * (x.elements() + static_cast<double>(x.n * x.c)), x.elements()};
    add_op({.name = "global_average_pool",
            .shape = x.str(),
            .inputs = {{x.shape()}},
            .apply = [](const auto& v) { return global_average_pool(v[0]); },
            .forward = work,
            .backward = {{.work = work}}});
}

[[maybe_unused]] const bool ops_elements_added = [] {
    for (const auto& x : extents()) {
        add_batch_norm(x);
        add_elementwise(x);
        add_weighted_sum(x, 3);
        add_weighted_norm_sum(x, 2);  // a separable convolution and a pool
        add_concat(x, 4);
    }
    for (const std::int64_t n : on_gpu() ? std::vector<std::int64_t>{256} : std::vector<std::int64_t>{128, 2}) {
        add_weighted_sum({n, 28, 16}, 15);  // five edges of three primitives
        add_global_average_pool({n, 7, 256});
    }
    return true;
}();

}  // namespace

}  // namespace hwnas::benchmarks
