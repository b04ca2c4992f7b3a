// SPDX-License-Identifier: MIT
// ONNX export against the others: onnx.checker accepts the file, and ONNX Runtime computes the same logits.
#include <hwnas/ops/linear.hpp>
#include <hwnas/ops/multiply.hpp>
#include <hwnas/ops/scale.hpp>
#include <hwnas/ops/softmax.hpp>

#include <hwnas/io/checkpoint.hpp>
#include <hwnas/io/fashion_mnist.hpp>
#include <hwnas/train/fit.hpp>

#include "io/foreign_python.hpp"
#include "io/onnx_networks.hpp"
#include "io/real_images.hpp"
#include "io/temporary_directory.hpp"
#include "support/catch.hpp"

namespace io_onnx_runtime_test {

using hwnas_test::TemporaryDirectory;
using namespace hwnas_test::onnx;
namespace io = hwnas::io;

namespace {

constexpr const char* script = R"(
import os, sys, numpy, onnx, onnxruntime
os.chdir(sys.argv[1])
for line in open('list'):
    name, h, w, c = line.split()
    onnx.checker.check_model(onnx.load(name + '.onnx'), full_check=True)
    x = numpy.fromfile(name + '.images', numpy.float32).reshape(-1, int(h), int(w), int(c)).transpose(0, 3, 1, 2).copy()
    y = numpy.fromfile(name + '.logits', numpy.float32).reshape(len(x), -1)
    session = onnxruntime.InferenceSession(name + '.onnx', providers=['CPUExecutionProvider'])
    for batch in (1, 7, 64):
        for i in range(0, len(x), batch):
            ours, theirs = y[i:i + batch], session.run(['logits'], {'input': x[i:i + batch]})[0]
            assert theirs.shape == ours.shape, (name, theirs.shape, ours.shape)
            assert numpy.abs(theirs - ours).max() <= 1e-5 * numpy.abs(y).max(), (name, numpy.abs(theirs - ours).max())
    print('agrees', name)
)";

}  // namespace

TEST_CASE("onnx.checker accepts the file and ONNX Runtime computes the same logits", "[io][onnx]") {
    const std::string python = hwnas_test::python_with("numpy, onnx, onnxruntime");
    if (python.empty()) SKIP(hwnas_test::no_foreign_python);
    const TemporaryDirectory directory;
    directory.put("check.py", script);
    std::string list;
    int networks = 0;
    const auto add_network = [&](const std::string& name, const Network& network) {
        const auto& image = network.space().options().image;
        const std::int64_t batch = 64;
        const auto images = uniform(batch * image.height * image.width * image.channels, 3, -2, 2);
        const auto logits = prepared_logits(network, images, batch);
        io::write_onnx(network, directory / (name + ".onnx"));
        io::write_file_atomic(directory / (name + ".images"), io::as_chars(std::span<const float>(images)));
        io::write_file_atomic(directory / (name + ".logits"), io::as_chars(std::span<const float>(logits)));
        list += fmt::format("{} {} {} {}\n", name, image.height, image.width, image.channels);
        ++networks;
    };
    for (const std::string name : {"paper", "pointwise", "separable"})
        for (const int choice : {0, 1, 2, -1})
            add_network(name + std::to_string(choice),
                        network_of(SearchSpace::named(name, choice < 0 ? SpaceOptions{.channels = 8} : small), choice));
    add_network(
        "own",
        network_with(
            [](const auto& x, const auto& p) {
                const auto n = x.shape()[0];
                const auto hidden =
                    linear(relu(reshape(average_pool(x, {.count_padding = true}), {n, 120})), p.weight(0));
                const auto back = reshape(linear(softmax(hidden), p.weight(1)), x.shape());
                return add(multiply(max_pool(x, {.dilation = 2}), constant(x, {6, 4})),
                           average_pool(scale(back, 0.5), {.dilation = 2, .count_padding = true}));
            },
            [](const Site&) { return PrimitiveState{.weights = {{"a", {120, 5}, 0.1}, {"b", {5, 120}, 0.3}}}; }));
    directory.put("list", list);
    const auto ran = hwnas_test::python(directory, python, script);
    CAPTURE(ran.output);
    CHECK(ran.status == 0);
    CHECK(std::count(ran.output.begin(), ran.output.end(), '\n') == networks);
}

TEST_CASE("ONNX Runtime agrees on real images with networks of every space, folded or not, at any batch",
          "[io][onnx]") {
    const std::string python = hwnas_test::python_with("numpy, onnx, onnxruntime");
    if (python.empty()) SKIP(hwnas_test::no_foreign_python);
    const auto images = hwnas_test::real_images(1'000);
    if (images.empty()) SKIP("no Fashion-MNIST: apt-get install dataset-fashion-mnist");
    const TemporaryDirectory directory;
    io::write_file_atomic(directory / "images", io::as_chars(std::span<const float>(images)));
    for (const std::string name : {"paper", "pointwise", "separable"}) {
        const auto network = hwnas_test::trained_network(name);
        const auto logits = prepared_logits(network, images, 1'000);
        io::write_file_atomic(directory / (name + ".logits"), io::as_chars(std::span<const float>(logits)));
        io::write_onnx(network, directory / (name + ".folded.onnx"));
        io::write_onnx(network, directory / (name + ".whole.onnx"), {.fold = false});
    }
    const auto ran = hwnas_test::python(directory, python, R"(
import os, sys, numpy, onnx, onnxruntime
os.chdir(sys.argv[1])
x = numpy.fromfile('images', numpy.float32).reshape(-1, 1, 28, 28)
for name in ('paper', 'pointwise', 'separable'):
    y = numpy.fromfile(name + '.logits', numpy.float32).reshape(1000, 10)
    assert len(set(y.argmax(1))) > 3, name + ' says the same of all images'
    for form in ('folded', 'whole'):
        model = onnx.load(f'{name}.{form}.onnx')
        onnx.checker.check_model(model, full_check=True)
        norms = sum(node.op_type == 'BatchNormalization' for node in model.graph.node)
        session = onnxruntime.InferenceSession(f'{name}.{form}.onnx', providers=['CPUExecutionProvider'])
        assert session.get_inputs()[0].shape == ['N', 1, 28, 28], session.get_inputs()[0].shape
        for batch, count in ((1, 100), (7, 1000), (1000, 1000)):
            theirs = numpy.concatenate([session.run(None, {'input': x[i:i + batch]})[0] for i in range(0, count, batch)])
            worst = numpy.abs(theirs - y[:len(theirs)]).max()
            assert worst <= 1e-4, (name, form, batch, worst)
            assert (theirs.argmax(1) == y[:len(theirs)].argmax(1)).all(), (name, form, batch)
        print(name, form, 'norms' if norms else 'no norms')
)");
    CAPTURE(ran.output);
    CHECK(ran.status == 0);
    CHECK(ran.output ==
          "paper folded no norms\npaper whole norms\npointwise folded no norms\npointwise whole norms\n"
          "separable folded no norms\nseparable whole norms\n");
}

TEST_CASE("a network composed by hand exports from the function that runs it", "[io][onnx]") {
    const auto device = cpu::device({.threads = 1});
    const Initializer<float> init(device, seed(3));
    const ConvNorm<float> stem(init.in("stem"), 3, 2, 4);
    const Linear<float> head(init.in("head"), 4, 3);
    const ImageShape image{.height = 6, .width = 5, .channels = 2};
    const auto whole = [&](const Variable<float>& x) { return head(global_average_pool(relu(stem(x, Phase::eval)))); };
    const auto per_pixel = [&](const Variable<float>& x) { return relu(stem(x, Phase::eval)); };
    const auto model = hwnas_test::onnx::read(io::onnx_bytes(device, image, whole, {.name = "own"}));
    CHECK(model.name == "own");
    CHECK(model.count("BatchNormalization") == 1);
    const auto images = uniform(3 * 6 * 5 * 2, 3, -2, 2);
    const auto x = Variable<float>(Tensor<float>::from(images, {3, 6, 5, 2}, device));
    CHECK(difference(hwnas_test::onnx::run(model, images, {3, 6, 5, 2}).values, whole(x).value().to_vector()) < 2e-6);
    const auto maps = hwnas_test::onnx::read(io::onnx_bytes(device, image, per_pixel));
    CHECK(maps.outputs[0].dims == std::vector<std::string>{"N", "4", "6", "5"});
    const auto untouched = hwnas_test::onnx::read(io::onnx_bytes(device, image, [](const auto& in) { return in; }));
    CHECK(untouched.count("Identity") == 1);
    CHECK(hwnas_test::error_of([&] {
              io::onnx_bytes(device, image, [&](const auto& in) { return reshape(whole(in), {6}); });
          }) == "onnx: 2 images give an output of shape [6], [N, C] or [N, H, W, C] is expected");
}

TEST_CASE("the reference library reads a saved network's weights by their names", "[io][safetensors]") {
    const std::string python = hwnas_test::python_with("numpy, safetensors.numpy");
    if (python.empty()) SKIP(hwnas_test::no_foreign_python);
    const TemporaryDirectory directory;
    std::string expected;
    for (const std::string name : {"paper", "pointwise", "separable"}) {
        const auto network = network_of(SearchSpace::named(name, small), -1);
        io::save_network(directory / (name + ".safetensors"), network);
        const auto add = [&](const std::string& tensor, const Tensor<float>& value) {
            io::write_file_atomic(directory / "raw", io::as_chars(std::span<const float>(value.to_vector())));
            expected += fmt::format("{} {} {} {}\n", name, tensor, fmt::join(io::detail::extents(value.shape()), "x"),
                                    io::sha256(io::read_file(directory / "raw")));
        };
        for (const auto& parameter : network.state().parameters) add(parameter.name, parameter.variable.value());
        for (const auto& buffer : network.state().buffers) add(buffer.name, buffer.tensor);
    }
    const auto ran = hwnas_test::python(directory, python, R"(
import hashlib, os, sys
from safetensors import safe_open
os.chdir(sys.argv[1])
for name in ('paper', 'pointwise', 'separable'):
    with safe_open(name + '.safetensors', framework='numpy') as file:
        assert file.metadata()['schema'] == 'hwnas-network/1'
        assert file.metadata()['genotype'].startswith('normal:|')
        for key in file.keys():
            value = file.get_tensor(key)
            print(name, key, 'x'.join(map(str, value.shape)), hashlib.sha256(value.tobytes()).hexdigest())
)");
    const auto sorted = [](const std::string& text) {
        std::vector<std::string> lines;
        for (std::size_t at = 0; at < text.size(); at = text.find('\n', at) + 1)
            lines.push_back(text.substr(at, text.find('\n', at) - at));
        std::sort(lines.begin(), lines.end());
        return lines;
    };
    CAPTURE(ran.output);
    CHECK(ran.status == 0);
    CHECK(sorted(ran.output) == sorted(expected));
    CHECK(ran.output.find("pointwise cell_0/edge_0/depthwise_conv_3x3/weight 3x3x4 ") != std::string::npos);
}

}  // namespace io_onnx_runtime_test
