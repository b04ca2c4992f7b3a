// SPDX-License-Identifier: MIT
// ONNX export: the file is what the specification says, and read back by an interpreter of our own it computes what the
// prepared network computes.
#include <hwnas/ops/linear.hpp>
#include <hwnas/ops/multiply.hpp>
#include <hwnas/ops/scale.hpp>
#include <hwnas/ops/softmax.hpp>

#include "io/onnx_networks.hpp"
#include "io/temporary_directory.hpp"
#include "support/catch.hpp"

namespace io_onnx_test {

using hwnas_test::error_of;
using hwnas_test::TemporaryDirectory;
using namespace hwnas_test::onnx;
namespace io = hwnas::io;
namespace onnx = hwnas_test::onnx;

TEST_CASE("an ONNX file says what it is and holds the network node by node", "[io][onnx]") {
    const auto space = SearchSpace::pointwise(
        {.image = {.height = 9, .width = 7, .channels = 2}, .classes = 3, .channels = 4, .cells = 2, .nodes = 2});
    const auto network = network_of(space, 0);
    const auto model = onnx::read(io::onnx_bytes(network, {.name = "fashion"}));
    CHECK(model.ir == 8);
    CHECK(model.opset == 13);
    CHECK(model.name == "fashion");
    CHECK(model.producer == "hwnas");
    CHECK(model.producer_version == version);
    CHECK(model.metadata.at("genotype") == network.genotype().str());
    CHECK(model.metadata.at("space") == "pointwise");
    REQUIRE(model.inputs.size() == 1);
    CHECK(model.inputs[0].name == "input");
    CHECK(model.inputs[0].dims == std::vector<std::string>{"N", "2", "9", "7"});
    REQUIRE(model.outputs.size() == 1);
    CHECK(model.outputs[0].name == "logits");
    CHECK(model.outputs[0].dims == std::vector<std::string>{"N", "3"});

    // Stem; per cell 2 inputs, 5 edges, 2 node transforms; head. Nodes are halved and averaged one by one, then joined.
    CHECK(model.count("Conv") == 1 + 2 * (2 + 5 + 2));
    CHECK(model.count("Relu") == 2 * (2 + 2) + 2);
    CHECK(model.count("AveragePool") == 3);
    CHECK(model.count("Add") == 2 * (1 + 2));  // a node of two edges, and one of three
    CHECK(model.count("Sum") == 0);
    CHECK(model.count("Concat") == 2);
    CHECK(model.count("GlobalAveragePool") == 2);
    CHECK(model.count("Flatten") == 1);
    CHECK(model.count("Gemm") == 1);
    CHECK(model.nodes.size() == 19 + 10 + 3 + 6 + 2 + 4);

    const auto& stem = model.node("stem/Conv");
    CHECK(stem.inputs == std::vector<std::string>{"input", "stem/Conv/weight", "stem/Conv/bias"});
    CHECK(model.initializers.at("stem/Conv/weight").dims == std::vector<std::int64_t>{4, 2, 3, 3});
    CHECK(model.initializers.at("stem/Conv/bias").dims == std::vector<std::int64_t>{4});
    const auto& depthwise = model.node("cell_1/node_0/Conv");
    CHECK(depthwise.integers.at("group") == std::vector<std::int64_t>{8});
    CHECK(depthwise.integers.at("pads") == std::vector<std::int64_t>{1, 1, 1, 1});
    CHECK(depthwise.integers.at("strides") == std::vector<std::int64_t>{1, 1});
    CHECK(depthwise.integers.at("dilations") == std::vector<std::int64_t>{1, 1});
    CHECK(depthwise.inputs[1] == "cell_1/node_0/Conv/weight");
    CHECK(model.initializers.at(depthwise.inputs[1]).dims == std::vector<std::int64_t>{8, 1, 3, 3});
    CHECK(model.node("cell_1/node_0/Conv_1").outputs == std::vector<std::string>{"cell_1/node_0/Conv_1"});
    CHECK(model.initializers.at("head/Gemm/weight").dims == std::vector<std::int64_t>{16, 3});
    CHECK(model.node("head/Gemm").outputs == std::vector<std::string>{"logits"});

    // Layout: [K, K, C] -> [C, 1, K, K], element by element.
    for (const auto& parameter : network.state().parameters)
        if (parameter.name == "cell_1/edge_0/depthwise_conv_3x3/weight") {
            const auto ours = parameter.variable.value().to_vector();
            const auto& theirs = model.initializers.at(depthwise.inputs[1]).values;
            REQUIRE(ours.size() == 72);
            for (std::size_t tap = 0; tap < 9; ++tap)
                for (std::size_t c = 0; c < 8; ++c) REQUIRE(theirs[c * 9 + tap] == ours[tap * 8 + c]);
        }
    std::int64_t elements = 0;
    for (const auto& [name, array] : model.initializers) elements += onnx::product(array.dims);
    std::int64_t scales = 0;  // a folded batch norm keeps its shift only
    for (const auto& parameter : network.state().parameters)
        if (parameter.name.ends_with("norm/scale")) scales += parameter.variable.shape().elements();
    CHECK(scales == 4 + 4 * (2 + 2) + 8 * (2 + 2));
    CHECK(elements == network.size().parameters - scales);
    CHECK(io::onnx_bytes(network) == io::onnx_bytes(network));
}

TEST_CASE("write_onnx writes onnx_bytes and leaves nothing else", "[io][onnx]") {
    const TemporaryDirectory directory;
    const auto network = network_of(SearchSpace::paper(small), 2);
    io::write_onnx(network, directory / "model.onnx");
    CHECK(io::read_file(directory / "model.onnx") == io::onnx_bytes(network));
    CHECK(directory.entries() == 1);
    CHECK(error_of(directory, [&] {
              io::write_onnx(network, directory / "none" / "model.onnx");
          }).starts_with("none/model.onnx: "));
}

TEST_CASE("the exported graph computes what the prepared network computes", "[io][onnx]") {
    for (const std::string name : {"paper", "pointwise", "separable"})
        for (const int choice : {0, 1, 2, -1, -2})
            for (const std::int64_t batch : {1, 2, 7}) {
                const auto network = network_of(SearchSpace::named(name, small), choice);
                CAPTURE(name, choice, batch);
                CHECK(interpreted_difference(network, batch) < 2e-6);
            }
}

TEST_CASE("a user's primitive exports if its ops do", "[io][onnx]") {
    const auto agrees = [](const Network& network, const std::vector<std::string>& ops) {
        const auto model = onnx::read(io::onnx_bytes(network));
        for (const auto& op : ops) {
            CAPTURE(op);
            CHECK(model.count(op) >= 1);
        }
        for (const std::int64_t batch : {1, 2, 3}) CHECK(interpreted_difference(network, batch) < 2e-6);
    };
    SECTION("constants that repeat over images, rows, pixels") {
        for (const Shape& shape : {Shape{4}, Shape{6, 4}, Shape{5, 6, 4}}) {
            CAPTURE(shape.str());
            agrees(network_with([shape](const auto& x, const auto&) { return add(x, constant(x, shape)); }), {"Add"});
            agrees(network_with([shape](const auto& x, const auto&) {
                       return subtract(multiply(x, constant(x, shape)), constant(x, shape, 8));
                   }),
                   {"Mul", "Add"});
        }
        agrees(network_with([](const auto& x, const auto&) {
                   using T = typename std::decay_t<decltype(x)>::value_type;
                   return subtract(Variable<T>(Tensor<T>::full(x.shape(), T(0.5), x.device())), x);
               }),
               {"Add", "Mul"});
    }
    SECTION("two values") {
        agrees(network_with([](const auto& x, const auto&) { return multiply(x, subtract(relu(x), scale(x, 0.25))); }),
               {"Mul", "Add", "Relu"});
    }
    SECTION("softmax over channels") {
        agrees(network_with([](const auto& x, const auto&) { return softmax(x); }), {"Softmax"});
    }
    SECTION("windows of every kind") {
        agrees(
            network_with(
                [](const auto& x, const auto& p) { return depthwise_conv(x, p.weight(0), {.dilation = 2}); },
                [](const Site& site) { return PrimitiveState{.weights = {{"weight", {3, 3, site.channels}, 0.3}}}; }),
            {"Conv"});
        agrees(
            network_with([](const auto& x, const auto& p) { return conv(x, p.weight(0), {.dilation = 2}); },
                         [](const Site& site) {
                             return PrimitiveState{.weights = {{"weight", {3, 3, site.channels, site.channels}, 0.3}}};
                         }),
            {"Conv"});
        agrees(network_with([](const auto& x, const auto&) { return max_pool(x, {.kernel = 3, .dilation = 2}); }),
               {"MaxPool"});
        agrees(network_with([](const auto& x, const auto&) { return average_pool(x, {.kernel = 3}); }),
               {"AveragePool"});
        agrees(network_with(
                   [](const auto& x, const auto&) { return average_pool(x, {.kernel = 3, .count_padding = true}); }),
               {"AveragePool"});
        agrees(network_with([](const auto& x, const auto&) {
                   return average_pool(x, {.kernel = 3, .dilation = 2, .count_padding = true});
               }),
               {"Conv"});
    }
    SECTION("a window whose extents need padding on one side only") {
        agrees(network_with([](const auto& x, const auto&) {
                   using T = typename std::decay_t<decltype(x)>::value_type;
                   const auto y = Tensor<T>::empty(x.shape(), x.device());  // 2 x 2, one pixel of padding behind
                   const contract::Window window{.n = x.shape()[0],
                                                 .h = 5,
                                                 .w = 6,
                                                 .c = 4,
                                                 .oh = 5,
                                                 .ow = 6,
                                                 .kernel = 2,
                                                 .stride = 1,
                                                 .padding = 0,
                                                 .dilation = 1};
                   submit(x.device(), contract::AveragePoolForward<T>{y.data(), x.value().data(), window, 0});
                   return Variable<T>(y);
               }),
               {"AveragePool"});
    }
    SECTION("weights that are not 1, weights that are 0, more terms than one call takes") {
        agrees(network_with([](const auto& x, const auto&) {
                   std::vector<std::decay_t<decltype(x)>> terms{x, relu(x), scale(x, -2.0)};
                   std::vector<int> columns{0, 1, 2};
                   for (int i = 0; i < 17; ++i) terms.push_back(scale(relu(x), 0.1 * i)), columns.push_back(i % 2);
                   const auto weights = uniform(3, 4, 0.5, 1.5);
                   using T = typename std::decay_t<decltype(x)>::value_type;
                   return weighted_sum(
                       terms, Variable<T>(Tensor<T>::from({T(weights[0]), T(1), T(0)}, Shape{3}, x.device())), columns);
               }),
               {"Mul", "Add"});
        agrees(network_with([](const auto& x, const auto&) {
                   using T = typename std::decay_t<decltype(x)>::value_type;
                   std::vector<Variable<T>> terms(20, x);
                   std::vector<int> columns(20, 0);
                   columns[19] = 1;  // the first call makes a constant 0
                   return weighted_sum(terms, Variable<T>(Tensor<T>::from({T(0), T(3)}, Shape{2}, x.device())),
                                       columns);
               }),
               {"Mul"});
    }
    SECTION("linear on pixels, on whole images and back") {
        agrees(
            network_with(
                [](const auto& x, const auto& p) {
                    const auto n = x.shape()[0];
                    const auto pixels = linear(reshape(x, Shape{n * 30, 4}), p.weight(0));
                    const auto hidden = linear(relu(reshape(pixels, Shape{n, 120})), p.weight(1));
                    return reshape(
                        linear(concat<typename std::decay_t<decltype(x)>::value_type>({hidden, global_average_pool(x)}),
                               p.weight(2), constant(x, {120})),
                        x.shape());
                },
                [](const Site&) {
                    return PrimitiveState{.weights = {{"a", {4, 4}, 0.5}, {"b", {120, 5}, 0.1}, {"c", {9, 120}, 0.3}}};
                }),
            {"Transpose", "Reshape", "Gemm", "Concat"});
    }
    SECTION("other extents of the same image") {
        agrees(network_with([](const auto& x, const auto&) {
                   const auto n = x.shape()[0];
                   return reshape(max_pool(reshape(x, Shape{n, 10, 6, 2})), x.shape());
               }),
               {"Transpose", "Reshape", "MaxPool"});
    }
    SECTION("what is computed from parameters alone becomes a constant") {
        agrees(network_with(
                   [](const auto& x, const auto& p) { return multiply(x, column_sum(softmax(p.weight(0)))); },
                   [](const Site& site) { return PrimitiveState{.weights = {{"weight", {3, site.channels}, 1.0}}}; }),
               {"Mul"});
    }
    SECTION("the first image of a constant") {
        agrees(network_with([](const auto& x, const auto&) {
                   return add(x, reshape(std::decay_t<decltype(x)>(softmax(constant(x, x.shape())).value().rows(0, 1)),
                                         {5, 6, 4}));
               }),
               {"Add"});
    }
    SECTION("batch norm behind anything") {
        agrees(network_with([](const auto& x,
                               const auto& p) { return p.norms[0](p.norms[1](relu(x), Phase::eval), Phase::eval); },
                            [](const Site&) { return PrimitiveState{.norms = {{"affine", true}, {"plain", false}}}; }),
               {"BatchNormalization"});
    }
}

TEST_CASE("what ONNX cannot say is refused with kernel and label", "[io][onnx]") {
    const auto message = [](auto apply) {
        std::string text = error_of([&] { io::onnx_bytes(network_with(apply)); });
        const std::string label = " (label cell_0/node_0/own)";
        CHECK(text.ends_with(label));
        return text.substr(0, text.size() - std::min(text.size(), label.size()));
    };
    const auto image = [](const auto& x, std::int64_t i) { return std::decay_t<decltype(x)>(x.value().rows(i, 1)); };
    CHECK(message([](const auto& x, const auto&) { return add(x, column_sum(x)); }) ==
          "onnx: kernel column_sum has no ONNX form");
    CHECK(message([](const auto& x, const auto&) {
              const auto y = Tensor<double>::full({4}, 1.0, x.device());
              submit(x.device(), contract::ReluForward<double>{y.data(), y.data(), 4});
              return x;
          }) == "onnx: kernel relu_forward computes in double, the model is float");
    CHECK(message([image](const auto& x, const auto&) { return relu(image(x, 1)); }) ==
          "onnx: kernel relu_forward reads part of another value, which has no ONNX form");
    CHECK(message([image](const auto& x, const auto&) { return relu(image(x, 0)); }) ==
          "onnx: kernel relu_forward reads 120 of 240 elements of a value, which has no ONNX form");
    CHECK(message([image](const auto& x, const auto&) { return add(x, reshape(image(x, 0), {5, 6, 4})); }) ==
          "onnx: kernel add repeats a value of 120 elements, which has no ONNX form");
    CHECK(message([image](const auto& x, const auto&) {
              return add(constant(x, x.shape()), reshape(image(x, 0), {5, 6, 4}));
          }) == "onnx: kernel add repeats a value over a constant, which has no ONNX form");
    CHECK(message([](const auto& x, const auto&) { return add(constant(x, x.shape()), x); }) ==
          "onnx: kernel add takes a constant that differs between images, which has no ONNX form");
    CHECK(message([](const auto& x, const auto&) { return scale(x, constant(x, {x.shape()[0]})); }) ==
          "onnx: kernel weighted_sum_forward takes weights that differ between images, which has no ONNX form");
    CHECK(message([](const auto& x, const auto&) {
              return scale(x, reshape(linear(global_average_pool(x), constant(x, {4, 1})), {x.shape()[0]}));
          }) == "onnx: kernel weighted_sum_forward takes a weight that depends on the input, which has no ONNX form");
    CHECK(message([](const auto& x, const auto&) {
              const auto unused = concat<typename std::decay_t<decltype(x)>::value_type>({x, constant(x, x.shape())});
              return x;
          }) == "onnx: kernel concat_forward reads a constant where ONNX needs a value that depends on the input");
    CHECK(message([](const auto& x, const auto&) {
              const auto pairs = reshape(x, {x.shape().elements() / 8, 8});
              const auto unused = concat<typename std::decay_t<decltype(x)>::value_type>({pairs, pairs});
              return x;
          }) ==
          "onnx: kernel concat_forward joins 5 x 6 x 4 elements an image as 30 rows of 8, which has no ONNX form");
    CHECK(message([](const auto& x, const auto&) { return max_pool(x, {.kernel = 2, .padding = 2, .dilation = 4}); }) ==
          "onnx: kernel max_pool_forward pads by 2 a window of 2, ONNX pools pad by less than the window");
    CHECK(message([](const auto& x, const auto&) { return average_pool(x, {.kernel = 3, .dilation = 2}); }) ==
          "onnx: kernel average_pool_forward averages a dilated window without its padding, which set 13 cannot; use "
          "count_padding");
    CHECK(message([](const auto& x, const auto&) {
              return reshape(max_pool(reshape(x, {1, x.shape()[0] * 5, 6, 4})), x.shape());
          }) == "onnx: kernel max_pool_forward reads 2 images as 1, which has no ONNX form");
    CHECK(message([](const auto& x, const auto&) {
              const auto unused = global_average_pool(reshape(x, {1, x.shape()[0] * 5, 6, 4}));
              return x;
          }) == "onnx: kernel global_average_pool_forward reads 2 images as 1, which has no ONNX form");
    CHECK(message([](const auto& x, const auto&) {
              return max_pool(
                  std::decay_t<decltype(x)>(x.value().reshape({2 * x.shape()[0], 5, 3, 4}).rows(0, x.shape()[0])));
          }) == "onnx: kernel max_pool_forward reads 5 x 6 x 4 elements an image as 5 x 3 x 4, which has no ONNX form");
    CHECK(
        message([](const auto& x, const auto&) {
            using T = typename std::decay_t<decltype(x)>::value_type;
            const auto y = Tensor<T>::empty({x.shape()[0], 2, 6, 4}, x.device());  // two rows of five
            const contract::Window window{.n = x.shape()[0],
                                          .h = 5,
                                          .w = 6,
                                          .c = 4,
                                          .oh = 2,
                                          .ow = 6,
                                          .kernel = 1,
                                          .stride = 1,
                                          .padding = 0,
                                          .dilation = 1};
            submit(x.device(), contract::AveragePoolForward<T>{y.data(), x.value().data(), window, 0});
            return Variable<T>(y);
        }) ==
        "onnx: kernel average_pool_forward makes 2 outputs of 5 elements and leaves some out, which has no ONNX form");
    CHECK(message([](const auto& x, const auto&) {
              return reshape(softmax(reshape(x, {x.shape().elements() / 8, 8})), x.shape());
          }) == "onnx: kernel softmax_forward reads 4 channels as 8, which has no ONNX form");
    CHECK(message([](const auto& x, const auto&) {
              using T = typename std::decay_t<decltype(x)>::value_type;
              const auto one = Tensor<T>::full({8}, T(1), x.device());
              return reshape(batch_norm(reshape(x, {x.shape().elements() / 8, 8}), Variable<T>(), Variable<T>(),
                                        BatchNormState<T>{one, one, {}}, Phase::eval),
                             x.shape());
          }) == "onnx: kernel batch_norm_apply reads 4 channels as 8, which has no ONNX form");
    CHECK(message([](const auto& x, const auto&) {
              return reshape(add(reshape(x, {x.shape().elements() / 8, 8}), constant(x, {8})), x.shape());
          }) == "onnx: kernel add repeats a constant of 8 elements over 5 x 6 x 4, which has no ONNX form");
    CHECK(error_of([] { io::onnx_bytes(network_of(SearchSpace::paper(small), 0), {.name = ""}); }) ==
          "onnx: the name of the graph is empty, ONNX asks for one");
}

}  // namespace io_onnx_test
