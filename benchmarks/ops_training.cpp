// SPDX-License-Identifier: MIT
// What a training step has besides windows and elements: head and loss, the draw of an architecture, data, Adam; and a
// relaxed cell as a whole. Bytes count every array once; X: elements of the input, W: of the weights, P: parameters.
//                            bytes              operations
//   linear forward           4 (X + Y + W)      2 X outputs
//     backward               4 (2 X + Y + 2 W)  4 X outputs
//   softmax, cross_entropy   8 X / 12 X, 8 X / 8 X    an exponential or logarithm counts as one: 4 X
//   mean_squared_error       8 X / 16 X         3 X
//   gumbel_softmax           8 X / 12 X         -
//   gather_batch             5 X                2 X     bytes in, floats out
//   adam/step                28 P               12 P    values and two moments read and written, gradients read
//   adam/zero_grad           4 P                -
//   merged_filters           4 (W + F) / 4 (2 W + F)    2 F / 4 F      F = elements of the filters, one set a draw
//   mixed_cell forward       4 (A + 4) n        2 * 9 * 14 n + 2 * 2 C n     A = 2 inputs of n elements, 4 nodes of n
//     forward_backward       4 * 3 (2 + 4) n    three times that   all nodes kept on chip: 18 arrays of n in all
//   mixed_cell, mixed_node _nodes forward   4 (2 + 3 * 4) n    the nodes and their concatenation, on a GPU
//     forward_backward       4 (3 * 2 + 7 * 4) n    in one call each way, or node by node (_nodes_by_source: by source)
#include "ops.hpp"

namespace hwnas::benchmarks {

namespace {

void add_linear(std::int64_t n, std::int64_t in, std::int64_t out) {
    const double x = static_cast<double>(n * in), y = static_cast<double>(n * out), w = static_cast<double>(in * out);
    const double flops = 2 * x * static_cast<double>(out);
    add_op({.name = "linear",
            .shape = fmt::format("{}x{}_to{}", n, in, out),
            .inputs = {{{n, in}}, {{in, out}, Role::parameter}, {{out}, Role::parameter}},
            .apply = [](const auto& v) { return linear(v[0], v[1], v[2]); },
            .forward = {f32 * (x + y + w), flops},
            .backward = {{.work = {f32 * (2 * x + y + 2 * w), 2 * flops}}}});
}

void add_losses(std::int64_t n, std::int64_t classes) {
    const double x = static_cast<double>(n * classes);
    const auto shape = fmt::format("{}x{}", n, classes);
    const Input logits{{n, classes}};
    add_op({"softmax",
            shape,
            {logits},
            [](const auto& v) { return softmax(v[0]); },
            {8 * x, 4 * x},
            {{.work = {12 * x, 4 * x}}}});
    std::vector<std::int32_t> classes_of(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < classes_of.size(); ++i)
        classes_of[i] = static_cast<std::int32_t>(i) % static_cast<std::int32_t>(classes);
    const auto labels = [=] { return Tensor<std::int32_t>::from(classes_of, {n}, device()); };
    add_op({.name = "cross_entropy",
            .shape = shape,
            .inputs = {logits},
            .apply = [labels](const auto& v) { return cross_entropy(v[0], labels()); },
            .forward = {8 * x, 4 * x},
            .backward = {{.work = {8 * x, 3 * x}}}});
    add_op({.name = "accuracy",
            .shape = shape,
            .inputs = {logits},
            .apply = [labels](const auto& v) { return Variable<float>(accuracy(v[0], labels())); },
            .forward = {4 * x}});
    add_op({"mean_squared_error",
            shape,
            {logits, logits},
            [](const auto& v) { return mean_squared_error(v[0], v[1]); },
            {8 * x, 3 * x},
            {{.work = {16 * x, 3 * x}}}});
}

void add_draws(std::int64_t rows, std::int64_t k) {
    const double x = static_cast<double>(rows * k);
    const auto step = [] { return Tensor<std::int64_t>::scalar(3, device()); };
    const auto key = Seed{1}.stream("draw");
    add_op({.name = "gumbel_softmax",
            .shape = fmt::format("{}x{}", rows, k),
            .inputs = {{{rows, k}}},
            .apply =
                [=](const auto& v) {
                    return gumbel_softmax(
                               v[0],
                               GumbelSoftmaxOptions<float>{
                                   .temperature = Tensor<float>::scalar(0.5f, device()), .step = step(), .key = key})
                        .gamma;
                },
            .forward = {8 * x},
            .backward = {{.work = {12 * x}}}});
    add_op({.name = "node_gate",
            .shape = fmt::format("{}x{}", rows, k),
            .inputs = {{{1, rows, k}}},
            .apply =
                [=](const auto& v) {
                    const auto first = Tensor<std::int32_t>::from({0, 2, 5, 9, 14}, {5}, device());
                    return node_gate(v[0], first, 1).weights;
                },
            .forward = {8 * x},
            .backward = {{.work = {12 * x}}}});
    add_op({.name = "simplex_sample", .shape = fmt::format("{}", k), .apply = [=](const auto&) {
                return Variable<float>(simplex_sample<float>(k, step(), key, device()));
            }});
    add_op({.name = "schedule", .shape = "1", .apply = [=](const auto&) {
                const auto out = Tensor<float>::empty({}, device());
                schedule(out, step(), {.start = 1, .end = 0.1, .total = 100, .cosine = true});
                return Variable<float>(out);
            }});
}

void add_gather_batch(std::int64_t n) {
    const auto x = static_cast<double>(n * 28 * 28);
    add_op({.name = "gather_batch",
            .shape = fmt::format("n{}_28x28x1", n),
            .apply =
                [n](const auto&) {
                    static const auto data = DeviceDataset::upload(random_images(), device());
                    return gather_batch<float>(data, Tensor<std::int64_t>::scalar(0, device()),
                                               {.batch = n, .shuffle = true, .key = Seed{1}.stream("order")})
                        .inputs;
                },
            .forward = {5 * x, 2 * x}});
}

void add_augment(std::int64_t n) {
    const double elements = static_cast<double>(n) * 28 * 28;
    add_op({.name = "augment",
            .shape = fmt::format("n{}_28x28x1", n),
            .apply =
                [=](const auto&) {
                    const auto x = Tensor<float>::full({n, 28, 28, 1}, 0.5f, device());
                    return augment(Variable<float>(x), Tensor<std::int64_t>::scalar(0, device()),
                                   Seed{1}.stream("augment"), {.shift = 2, .flip = true, .erase = 0.5});
                },
            .forward = {2 * f32 * elements, 0}});
}
void add_adam(std::int64_t parameters) {
    const double p = static_cast<double>(parameters);
    const auto adam = [parameters] {
        const auto value = Variable<float>::leaf(random_tensor({parameters}, 1, device()));
        const Adam<float> made({{"parameters", value}});
        value.grad().assign(random_values(parameters, 2));
        return made;
    };
    const auto add = [&](const std::string& name, const Work& work, const std::function<Program()>& record) {
        if (on_gpu()) return add_graph_benchmark(name, work, [record] { return copied(record()); });
        add_benchmark(name, [=](benchmark::State& state) {
            const auto program = record();
            measure(state, work, [&] { program.run(); });
        });
    };
    add(fmt::format("adam/step/{}", parameters), {28 * p, 12 * p}, [adam] {
        const auto optimizer = adam();
        const auto rate = Tensor<float>::scalar(1e-6f, device());
        const auto step = Tensor<std::int64_t>::scalar(3, device());
        return Program::record(device(), [&] { optimizer.step(rate, step); });
    });
    add(fmt::format("adam/zero_grad/{}", parameters), {f32 * p}, [adam] {
        const auto optimizer = adam();
        return Program::record(device(), [&] { optimizer.zero_grad(); });
    });
}

/// The filters of a cell's 14 edges from convolution and identity, for one draw of gamma or one an image.
void add_merged_filters(std::int64_t draws, std::int64_t channels) {
    constexpr int edges = 14;
    const double w = static_cast<double>(edges * 9 * channels), filters = static_cast<double>(draws) * w;
    std::vector<Input> inputs(edges, {{3, 3, channels}, Role::parameter});
    inputs.push_back({{draws, edges * 3}});
    add_op({.name = "merged_filters",
            .shape = fmt::format("{}x{}_of{}", edges, channels, draws),
            .inputs = inputs,
            .apply =
                [channels](const auto& v) {
                    std::vector<FilterTerm<float>> terms;
                    for (int e = 0; e < edges; ++e)
                        terms.push_back({e, 3 * e, v[static_cast<std::size_t>(e)]}),
                            terms.push_back({e, 3 * e + 1, {}});
                    return merged_filters(terms, v.back(), edges, channels);
                },
            .forward = {f32 * (w + filters), 2 * filters},
            .backward = {{.work = {f32 * (2 * w + filters), 4 * filters}}}});
}

/// A cell of the space `paper` on two inputs of its own extents, mixed evenly. Its backward pass reuses the memory of
/// what it has passed, so that it cannot run twice on one forward pass: both are timed together.
void add_mixed_cell(const Extent& x, bool fused) {
    const double n = x.elements(), inputs = 2, nodes = 4, edges = 14;
    const double flops = 18 * edges * n + 2 * inputs * static_cast<double>(x.c) * n;
    const auto record = [=](bool gradients) {
        const Initializer<float> init(device(), Seed{1}, Tensor<float>::scalar(0.1f, device()));
        const BasicCell<float> cell({.primitives = SearchSpace::paper().primitives(),
                                     .inputs = {{x.c, 0}, {x.c, 0}},
                                     .channels = x.c,
                                     .height = x.h,
                                     .width = x.h,
                                     .fused = fused},
                                    init);
        ModuleState<float> parameters;
        cell.collect(parameters);
        for (const auto& p : parameters.parameters)
            p.variable.set_grad(Tensor<float>::full(p.variable.shape(), 0.0f, device()));
        const auto gamma = Variable<float>::leaf(Tensor<float>::full({1, 14, 3}, 1.0f / 3, device()));
        const std::vector<Variable<float>> leaves{Variable<float>::leaf(random_tensor(x.shape(), 1, device())),
                                                  Variable<float>::leaf(random_tensor(x.shape(), 2, device()))};
        const auto dy = random_tensor({x.n, x.h, x.h, 4 * x.c}, 3, device());
        return Program::record(device(), [&] {
            const auto y = cell.forward(leaves, Relaxation<float>{gamma}, Phase::train);
            if (gradients) backward(y, dy);
        });
    };
    const std::string shape = x.str() + (fused ? "" : "_op_by_op");
    const auto add = [&](const std::string& direction, bool gradients, const Work& work) {
        const auto name = "mixed_cell/" + direction + "/" + shape;
        if (on_gpu()) return add_graph_benchmark(name, work, [=] { return copied(record(gradients)); });
        add_benchmark(name, [=](benchmark::State& state) {
            const auto program = record(gradients);
            measure(state, work, [&] { program.run(); });
        });
    };
    add("forward", false, {f32 * (inputs + nodes) * n, flops});
    add("forward_backward", true, {f32 * 3 * (inputs + nodes) * n, 3 * flops});
}

/// The nodes of such a cell alone, in one call each way or in a schedule of MixedNodes, by default the device's.
void add_cell_nodes(const Extent& x, bool whole, std::optional<MixedSchedule> schedule = {}) {
    constexpr int inputs = 2, nodes = 4, edges = 14;
    const double n = x.elements(), flops = 18 * edges * n;
    std::vector<Input> operands{{x.shape()}, {x.shape()}, {{1, 3 * edges}}};
    operands.resize(operands.size() + edges, {{3, 3, x.c}, Role::parameter});
    add_op({.name = whole ? "mixed_cell" : "mixed_node",
            .shape = x.str() + (schedule ? "_nodes_by_source" : "_nodes"),
            .inputs = operands,
            .apply =
                [whole, schedule, c = x.c](const auto& v) {
                    const auto graph = CellGraph::dense(nodes, inputs);
                    std::vector<FilterTerm<float>> terms;
                    std::vector<MixedEdge> mixed;
                    for (int e = 0; e < edges; ++e) {
                        const auto j = static_cast<std::size_t>(e);
                        terms.push_back({e, 3 * e, v[3 + j]}), terms.push_back({e, 3 * e + 1, {}});
                        mixed.push_back({graph.edges[j].from, graph.edges[j].to, 3 * e + 2});
                    }
                    const auto filters = merged_filters(terms, v[2], edges, c);
                    if (whole) return concat(mixed_cell<float>(mixed, {v[0], v[1]}, nodes, filters, v[2]));
                    MixedNodes<float> sums(mixed, filters, v[2], schedule);
                    sums.push(0, v[0]), sums.push(1, v[1]);
                    std::vector<Variable<float>> all;
                    for (int k = 0; k < nodes; ++k) {
                        all.push_back(sums.sum(inputs + k));
                        if (k + 1 < nodes) sums.push(inputs + k, all.back());
                    }
                    return concat(all);
                },
            .forward = {f32 * (inputs + 3 * nodes) * n, flops},
            .backward = {{.name = "forward_backward",
                          .work = {f32 * (3 * inputs + 7 * nodes) * n, 3 * flops},
                          .with_forward = true}}});
}

[[maybe_unused]] const bool ops_training_added = [] {
    add_linear(128, 256, 10);  // the head
    add_linear(1, 64, 84);     // the hypernetwork's last layer
    add_losses(128, 10);
    add_draws(28, 3);
    add_gather_batch(128);
    add_augment(128);
    add_adam(55'066);  // the supernet `pointwise`
    add_adam(4'000'000);
    for (const std::int64_t channels : {16, 32, 64}) add_merged_filters(1, channels);
    add_merged_filters(128, 16);
    for (const std::int64_t n : on_gpu() ? std::vector<std::int64_t>{256} : std::vector<std::int64_t>{128, 2})
        for (const Extent& x : {Extent{n, 28, 16}, Extent{n, 14, 32}, Extent{n, 7, 64}, Extent{n, 28, 12}}) {
            add_mixed_cell(x, true);
            if (!on_gpu()) continue;
            add_cell_nodes(x, true), add_cell_nodes(x, false), add_cell_nodes(x, false, MixedSchedule::by_source);
        }
    add_mixed_cell({on_gpu() ? 256 : 128, 28, 16}, false);
    return true;
}();

}  // namespace

}  // namespace hwnas::benchmarks
