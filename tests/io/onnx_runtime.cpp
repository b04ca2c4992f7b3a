// SPDX-License-Identifier: MIT
// ONNX export against the others: onnx.checker accepts the file, and ONNX Runtime computes the same logits.
#include <hwnas/ops/linear.hpp>
#include <hwnas/ops/multiply.hpp>
#include <hwnas/ops/scale.hpp>
#include <hwnas/ops/softmax.hpp>

#include <cstdlib>

#include "io/onnx_networks.hpp"
#include "io/temporary_directory.hpp"
#include "support/catch.hpp"

using hwnas_test::TemporaryDirectory;
using namespace hwnas_test::onnx;
namespace io = hwnas::io;

namespace {

/// A Python with onnx and onnxruntime, or nothing: $HWNAS_ONNX_PYTHON, a virtual environment "onnx" in the build
/// directory, python3.
std::string python_with_onnx() {
    std::vector<std::string> candidates{"../onnx/bin/python", "onnx/bin/python",
                                        HWNAS_SOURCE_DIR "/build/onnx/bin/python", "python3"};
    if (const char* given = std::getenv("HWNAS_ONNX_PYTHON")) candidates.insert(candidates.begin(), given);
    for (const auto& python : candidates)
        if (std::system(("'" + python + "' -c 'import numpy, onnx, onnxruntime' >/dev/null 2>&1").c_str()) == 0)
            return python;
    return "";
}

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
    const std::string python = python_with_onnx();
    if (python.empty())
        SKIP(
            "no Python with onnx and onnxruntime: python3 -m venv build/onnx && build/onnx/bin/pip install onnx "
            "onnxruntime");
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
    const std::string output = (directory / "output").string();
    const int status = std::system(fmt::format("'{}' '{}' '{}' >'{}' 2>&1", python, (directory / "check.py").string(),
                                               directory.path().string(), output)
                                       .c_str());
    const std::string text = io::read_file(output);
    CAPTURE(text);
    CHECK(status == 0);
    CHECK(std::count(text.begin(), text.end(), '\n') == networks);
}
