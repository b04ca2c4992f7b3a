// SPDX-License-Identifier: MIT
#include "support/modules.hpp"

#include <hwnas/autodiff/backward.hpp>
#include <hwnas/autodiff/program.hpp>
#include <hwnas/ops/cross_entropy.hpp>
#include <hwnas/supernet/prepared.hpp>
#include <hwnas/supernet/supernet.hpp>

namespace supernet_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

const char* const names[] = {"paper", "pointwise", "separable"};
SpaceOptions tiny() {
    return {.image = {8, 8, 1}, .classes = 3, .channels = 2, .cells = 2, .nodes = 2};
}

/// The most tiles that a chunk of the batch takes, by kernel; windows by their size too, as bodies differ in it.
void count_tiles(const detail::Recorder& step, std::map<std::string, std::int64_t>& most) {
    for (const auto& segment : step.segments())
        for (const auto i : segment.tiled) {
            const auto& call = step.entries()[i].call;
            std::string kernel = call.name;
            const auto add_size = [&](const auto* s) { kernel += fmt::format(" {0}x{0}", s->window.kernel); };
            if (kernel == "conv_backward_weight")
                add_size(static_cast<const contract::ConvBackwardWeight<double>*>(call.payload));
            if (kernel == "depthwise_conv_backward")
                add_size(static_cast<const contract::DepthwiseConvBackward<double>*>(call.payload));
            const std::int64_t images = (segment.images + segment.chunks - 1) / segment.chunks;
            most[kernel] = std::max(most[kernel], (images + segment.at_once - 1) / segment.at_once);
        }
}

}  // namespace

TEST_CASE("supernet: as many parameters as the same network in PyTorch", "[supernet]") {
    const auto device = test_device(1);
    // The "params" of a torch_supernet.py with C = 16 less those of its hypernetwork (9,876).
    CHECK(SuperNet(SearchSpace::paper(), device).state().parameter_count() == 32'666);
    CHECK(SuperNet(SearchSpace::pointwise(), device).state().parameter_count() == 55'066);
    CHECK(SuperNet(SearchSpace::separable(), device).state().parameter_count() == 153'562);
}

TEST_CASE("supernet: gradients of every weight and of gamma", "[supernet]") {
    const auto device = test_device(1);
    for (const char* name : names) {
        INFO(name);
        const auto space = SearchSpace::named(name, tiny());
        const auto& a = space.architecture();
        const BasicSuperNet<double> net(space, device, seed(1));
        const auto x = Variable<double>::leaf(random_tensor<double>({2, 8, 8, 1}, 2, device));
        const auto gamma = Variable<double>::leaf(random_mixture<double>(1, a.rows(), a.k(), 3, device));
        std::vector<Variable<double>> leaves{x, gamma};
        for (const auto& p : net.state().parameters) leaves.push_back(p.variable);
        CHECK(difference_error([&] { return net.forward(x, {gamma}, Phase::train); }, leaves, 12) < 1e-6);
        for (const auto& p : net.state().parameters) p.variable.set_grad({});
        const auto images = Variable<double>::leaf(random_mixture<double>(2, a.rows(), a.k(), 4, device));
        leaves[1] = images;
        x.set_grad({});
        CHECK(difference_error([&] { return net.forward(x, {images}, Phase::train); }, leaves, 6) < 1e-6);
    }
}

// A sum over a chunk that takes several tiles goes on where the tile before it ended (`resume`). That needs images of
// which not even two fit the cache, and more of them than chunks: of 33 one chunk has two.
TEST_CASE("supernet: a step in several tiles a chunk has the gradients of the step call by call", "[supernet]") {
    const auto device = test_device();
    std::map<std::string, std::int64_t> most;
    for (const std::string name : names) {
        INFO(name);
        SpaceOptions options{.image = {28, 28, 1}, .classes = 3, .channels = 16, .cells = 1, .nodes = 2};
        if (name == "separable") options.additional = {primitives::depthwise_conv(5)};  // others could not fuse
        const auto space = SearchSpace::named(name, options);
        const auto& a = space.architecture();
        const auto x = Variable<double>(random_tensor<double>({33, 28, 28, 1}, 2, device));
        std::map<std::string, std::vector<double>> found[2];
        for (const bool tiled : {false, true}) {
            const BasicSuperNet<double> net(space, device, seed(1));
            const auto gamma = Variable<double>::leaf(random_mixture<double>(1, a.rows(), a.k(), 3, device));
            std::shared_ptr<const detail::Recorder> step;
            const auto program =
                Program::record(device,
                                [&] {
                                    step = std::dynamic_pointer_cast<const detail::Recorder>(Recording::active());
                                    const auto y = net.forward(x, {gamma}, Phase::train);
                                    backward(y, random_tensor<double>(y.shape(), 4, device));
                                },
                                {.tiled = tiled});
            program.run();
            if (tiled) count_tiles(*step, most);
            found[tiled] = gradients(net.state());
            found[tiled]["gamma"] = gradient(gamma);
        }
        for (const auto& [parameter, expected] : found[false]) {
            INFO(parameter);
            CHECK(relative_error(found[true].at(parameter), expected) <= 1e-11);
        }
    }
    for (const char* kernel : {"batch_norm_statistics", "batch_norm_gradient_sums", "conv_backward_weight 1x1",
                               "conv_backward_weight 3x3", "depthwise_conv_backward 3x3", "depthwise_conv_backward 5x5",
                               "mixed_source_backward", "weighted_sum_backward"}) {
        INFO(kernel);
        CHECK(most[kernel] >= 2);  // else the comparison above has not seen it go on
    }
}

TEST_CASE("network: inherits by name and equals the supernet at one-hot gamma", "[supernet]") {
    const auto device = test_device();
    for (const char* name : names)
        for (std::uint64_t trial = 0; trial < 3; ++trial) {
            INFO(name << " " << trial);
            const auto space = SearchSpace::named(name, tiny());
            const auto& a = space.architecture();
            const BasicSuperNet<double> supernet(space, device, seed(1));
            std::uint64_t i = 100;
            for (const auto& buffer : supernet.state().buffers)
                buffer.tensor.assign(random_tensor<double>(buffer.tensor.shape(), ++i, device, 0.5, 1.5).to_vector());
            const auto choices = random_choices(a.rows(), a.k(), trial);
            const BasicNetwork<double> network(space, Genotype::from_choices(a, choices), device, seed(99));
            const auto x = random_tensor<double>({3, 8, 8, 1}, 2, device);
            const auto expected =
                supernet.forward(Variable<double>(x), Relaxation<double>::one_hot(choices, a.k(), device), Phase::eval)
                    .value()
                    .to_vector();
            CHECK(relative_error(network.forward(Variable<double>(x), Phase::eval).value().to_vector(), expected) >
                  1e-3);
            network.inherit(supernet.state());
            CHECK(relative_error(network.forward(Variable<double>(x), Phase::eval).value().to_vector(), expected) <
                  1e-12);

            // Folded, recorded and planned it still says the same; and the network it came from is as it was.
            const BasicPrepared<double> prepared(network, 3);
            prepared.input().assign(x.to_vector());
            prepared.run();
            CHECK(relative_error(prepared.output().to_vector(), expected) < 1e-10);
            prepared.run();
            CHECK(relative_error(prepared.output().to_vector(), expected) < 1e-10);
            CHECK(relative_error(network.forward(Variable<double>(x), Phase::eval).value().to_vector(), expected) <
                  1e-12);
        }
}

TEST_CASE("prepared: no batch norm is left, and no ReLU but those of the head and before depthwise filters",
          "[supernet]") {
    const auto device = test_device(1);
    for (const char* name : names) {
        INFO(name);
        const auto space = SearchSpace::named(name);
        std::vector<int> choices;
        for (int row = 0; row < space.architecture().rows(); ++row) choices.push_back(row % 3);
        const auto genotype = Genotype::from_choices(space.architecture(), choices);
        const Prepared prepared(Network(space, genotype, device), 1);
        std::map<std::string, int> calls, rectified;
        for (std::size_t i = 0; i < prepared.program().size(); ++i) {
            ++calls[prepared.program().kernel(i)];
            if (std::string_view(prepared.program().kernel(i)) == "relu_forward")
                ++rectified[prepared.program().label(i).substr(0, prepared.program().label(i).find('/'))];
        }
        for (const auto& [kernel, count] : calls) CHECK(kernel.find("batch_norm") == std::string::npos);
        CHECK(calls["weighted_sum_forward"] == 0);
        for (const auto& [label, count] : rectified) CHECK((label == "head" || std::string_view(name) == "separable"));
        CHECK(rectified["head"] == 4);  // one for each node of the last cell
    }
}

TEST_CASE("supernet: a clone is equal and independent", "[supernet]") {
    const auto device = test_device();
    const auto space = SearchSpace::pointwise(tiny());
    const auto& a = space.architecture();
    const SuperNet net(space, device, seed(1));
    const auto x = Variable<float>(random_tensor<float>({4, 8, 8, 1}, 2, device));
    const Relaxation<float> uniform = Relaxation<float>::constant(
        std::vector<double>(static_cast<std::size_t>(a.rows() * a.k()), 1.0 / a.k()), a.rows(), a.k(), device);
    net.forward(x, uniform, Phase::train);  // moves the running statistics
    const auto copy = net.clone();
    const auto before = copy.forward(x, uniform, Phase::eval).value().to_vector();
    CHECK(net.forward(x, uniform, Phase::eval).value().to_vector() == before);
    for (const auto& p : net.state().parameters) p.variable.value().assign(0.5f);
    for (const auto& b : net.state().buffers) b.tensor.assign(2.0f);
    CHECK(copy.forward(x, uniform, Phase::eval).value().to_vector() == before);
    CHECK(net.forward(x, uniform, Phase::eval).value().to_vector() != before);
    CHECK(copy.seed().value == 1);
    CHECK(copy.space().name() == "pointwise");
    const Network network(space, Genotype::from_choices(a, random_choices(a.rows(), a.k(), 1)), device, seed(1));
    const auto twin = network.clone();
    CHECK(twin.forward(x, Phase::eval).value().to_vector() == network.forward(x, Phase::eval).value().to_vector());
    CHECK(twin.genotype() == network.genotype());
}

TEST_CASE("supernet: the same seed gives networks of different spaces the weights they share", "[supernet]") {
    const auto device = test_device(1);
    auto more = tiny();
    more.additional = {primitives::depthwise_conv(5)};
    const SuperNet a(SearchSpace::pointwise(tiny()), device, seed(1)), b(SearchSpace::pointwise(more), device, seed(1));
    copy_state(b.state(), a.clone().state());  // b has all that a has
    std::map<std::string, std::vector<float>> of_b;
    for (const auto& [name, variable] : b.state().parameters) of_b[name] = variable.value().to_vector();
    for (const auto& [name, variable] : a.state().parameters) CHECK(of_b.at(name) == variable.value().to_vector());
    CHECK(of_b.size() > a.state().parameters.size());
}

TEST_CASE("supernet: inputs of another shape", "[supernet]") {
    const auto device = test_device(1);
    const auto space = SearchSpace::paper(tiny());
    const auto& a = space.architecture();
    const SuperNet supernet(space, device);
    const Network network(space, Genotype::from_choices(a, random_choices(a.rows(), a.k(), 1)), device);
    const Variable<float> x(random_tensor<float>({2, 8, 7, 1}, 1, device));
    CHECK_THROWS_WITH(
        supernet.forward(x, Relaxation<float>::one_hot(random_choices(a.rows(), a.k(), 1), a.k(), device), Phase::eval),
        "supernet: input has shape [2, 8, 7, 1], expected [N, 8, 8, 1]");
    CHECK_THROWS_WITH(network.forward(x, Phase::eval), "network: input has shape [2, 8, 7, 1], expected [N, 8, 8, 1]");
    CHECK_THROWS_WITH(Prepared(network, 0), "prepared: batch 0");
}

}  // namespace supernet_test
