// SPDX-License-Identifier: MIT
// export_network SPACE DIRECTORY: writes the network of the benchmarks inference/SPACE as DIRECTORY/network.onnx, a
// batch of inputs and the logits that hwnas computes from it, raw floats: what a peer has to compute before it is
// timed.
#include "../support.hpp"

#include <hwnas/io/onnx.hpp>
#include <hwnas/supernet/prepared.hpp>

#include <cstdio>

int main(int argc, char** argv) try {
    using namespace hwnas;
    if (argc != 3) {
        fmt::print(stderr, "usage: {} SPACE DIRECTORY\n", argv[0]);
        return 2;
    }
    const auto space = SearchSpace::named(argv[1]);
    const std::filesystem::path directory = argv[2];
    std::filesystem::create_directories(directory);
    const auto device = cpu::device({.threads = 1});
    const Network network{space, benchmarks::mixed_genotype(space), device, seed(42)};
    io::write_onnx(network, directory / "network.onnx");
    const Prepared prepared(network, 64);
    prepared.input().assign(benchmarks::random_values(prepared.input().elements(), 1));
    prepared.run();
    const auto write = [&](const char* name, const Tensor<float>& tensor) {
        const auto values = tensor.to_vector();
        io::write_file_atomic(directory / name, std::string_view(reinterpret_cast<const char*>(values.data()),
                                                                 values.size() * sizeof(float)));
    };
    write("input.f32", prepared.input());  // one channel: NHWC and NCHW have the same bytes
    write("logits.f32", prepared.output());
    return 0;
} catch (const hwnas::Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
}
