// SPDX-License-Identifier: MIT
// The C++ model: every compiler at hand compiles it alone without a warning, and it computes what the network computes.
#include <hwnas/io/cpp_header.hpp>
#include <hwnas/ops/linear.hpp>
#include <hwnas/ops/multiply.hpp>
#include <hwnas/ops/scale.hpp>
#include <hwnas/ops/softmax.hpp>

#include "io/foreign_python.hpp"
#include "io/onnx_networks.hpp"
#include "io/real_images.hpp"
#include "support/catch.hpp"

namespace io_cpp_header_test {

using hwnas_test::error_of;
using hwnas_test::shell;
using hwnas_test::TemporaryDirectory;
using namespace hwnas_test::onnx;
namespace io = hwnas::io;

namespace {

constexpr const char* warnings = "-std=c++17 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Werror";

/// Those that are installed.
std::vector<std::string> compilers(const TemporaryDirectory& directory) {
    std::vector<std::string> found;
    for (const std::string name : {"g++", "clang++-19", "clang++"})
        if (shell(directory, "command -v " + name).status == 0 && (name != "clang++" || found.size() < 2))
            found.push_back(name);
    return found;
}

/// The values that a file of floats holds.
std::vector<float> floats(const std::filesystem::path& file) {
    const auto bytes = io::read_file(file);
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
    return values;
}

/// A program that runs models named after their name spaces on the floats of "NAME.images" and writes "NAME.logits".
std::string program(const std::vector<std::string>& names) {
    std::string text;
    for (const auto& name : names) text += "#include \"" + name + ".hpp\"\n";
    text += "#include <cstdio>\nint main() {\n";
    for (const auto& name : names)
        text += fmt::format(
            "    {{\n        using namespace {0};\n"
            "        std::FILE *in = std::fopen(\"{0}.images\", \"rb\"), *out = std::fopen(\"{0}.logits\", \"wb\");\n"
            "        if (!in || !out) return 1;\n"
            "        static float x[input_size], y[output_size], own[buffer_size], again[output_size];\n"
            "        for (int n = 0; std::fread(x, sizeof x, 1, in) == 1; ++n) {{\n"
            "            infer(x, y);\n            std::fwrite(y, sizeof y, 1, out);\n"
            "            if (n > 9) continue;\n            infer(x, again, own);\n"
            "            for (int i = 0; i < output_size; ++i) if (y[i] != again[i]) return 2;\n"
            "            if (output_size > 1 && y[{0}_best(x)] < y[0]) return 3;\n        }}\n"
            "        std::fclose(in);\n        std::fclose(out);\n    }}\n",
            name);
    std::string helpers;
    for (const auto& name : names)
        helpers += fmt::format("static int {0}_best(const float* x) {{ return {1}; }}\n", name, name + "::classify(x)");
    return text.substr(0, text.find("int main")) + helpers + text.substr(text.find("int main")) + "}\n";
}

struct Case {
    std::string name;
    std::vector<float> images, logits;
};

/// Compiles all models into one program with every compiler, runs it and compares.
void check(const TemporaryDirectory& directory, const std::vector<Case>& cases, double tolerance) {
    std::vector<std::string> names;
    for (const auto& one : cases) {
        names.push_back(one.name);
        io::write_file_atomic(directory / (one.name + ".images"), io::as_chars(std::span<const float>(one.images)));
    }
    directory.put("main.cpp", program(names));
    const auto found = compilers(directory);
    REQUIRE(!found.empty());
    std::vector<Case> compared = cases;
    for (const auto& compiler : found) {
        const auto ran = shell(directory, fmt::format("cd '{}' && {} -O1 {} main.cpp -o program && ./program",
                                                      directory.path().string(), compiler, warnings));
        CAPTURE(compiler, ran.output);
        REQUIRE(ran.status == 0);
        CHECK(ran.output.empty());
        for (const auto& one : compared) {
            CAPTURE(one.name);
            const auto theirs = floats(directory / (one.name + ".logits"));
            REQUIRE(theirs.size() == one.logits.size());
            double worst = 0, largest = 1;
            for (std::size_t i = 0; i < theirs.size(); ++i) {
                worst = std::max(worst, std::abs(static_cast<double>(theirs[i]) - static_cast<double>(one.logits[i])));
                largest = std::max(largest, std::abs(static_cast<double>(one.logits[i])));
            }
            CHECK(worst <= tolerance * largest);
            if (one.logits.size() == 10'000)
                for (std::size_t i = 0; i < theirs.size(); i += 10) {
                    const auto top = [&](const std::vector<float>& all) {
                        const auto row = all.begin() + static_cast<std::ptrdiff_t>(i);
                        return std::max_element(row, row + 10) - row;
                    };
                    REQUIRE(top(theirs) == top(one.logits));
                }
        }
        // The second compiler has half the work: compiling takes most of the time.
        std::erase_if(compared, [](const Case& one) { return one.name.ends_with("_whole"); });
        names.clear();
        for (const auto& one : compared) names.push_back(one.name);
        directory.put("main.cpp", program(names));
    }
}

}  // namespace

TEST_CASE("a C++ model computes what its network computes, on real images", "[io][cpp_header]") {
    const auto images = hwnas_test::real_images(1'000);
    if (images.empty()) SKIP("no Fashion-MNIST: apt-get install dataset-fashion-mnist");
    const TemporaryDirectory directory;
    std::vector<Case> cases;
    for (const std::string name : {"paper", "pointwise", "separable"}) {
        const auto network = hwnas_test::trained_network(name);
        const auto logits = prepared_logits(network, images, 1'000);
        io::write_cpp_header(network, directory / (name + ".hpp"), {.name_space = name, .mean = 0.286f, .std = 0.353f});
        io::write_cpp_header(network, directory / (name + "_whole.hpp"),
                             {.name_space = name + "_whole", .fold = false});
        cases.push_back({name, images, logits});
        cases.push_back({name + "_whole", images, logits});
    }
    check(directory, cases, 1e-4);

    // Two files of one program, no library behind them but mathematics and memory.
    directory.put("one.cpp",
                  "#include \"pointwise.hpp\"\nint one(const float* x) { return pointwise::classify(x); }\n");
    directory.put("two.cpp",
                  "#include \"pointwise.hpp\"\nint one(const float*);\nint main() {\n"
                  "    static float x[pointwise::input_size];\n"
                  "    for (float& value : x) value = pointwise::pixel(7);\n"
                  "    return one(x) == pointwise::classify(x) ? 0 : 1;\n}\n");
    for (const auto& compiler : compilers(directory)) {
        const auto ran =
            shell(directory,
                  fmt::format("cd '{}' && {} -O1 {} -fno-exceptions -fno-rtti -c one.cpp two.cpp && nm -u one.o && "
                              "{} one.o two.o -o two && ./two",
                              directory.path().string(), compiler, warnings, compiler));
        CAPTURE(compiler, ran.output);
        CHECK(ran.status == 0);
        for (const char* heap : {"malloc", "_Zna", "_Znw", "__cxa", "_ZSt"})
            CHECK(ran.output.find(heap) == std::string::npos);
    }
}

TEST_CASE("a C++ model says what it holds, weights exact to the bit and memory planned", "[io][cpp_header]") {
    const auto network = network_of(SearchSpace::pointwise(small), -1);
    const auto text = io::cpp_header(network, {.name_space = "deep::model", .fold = false, .mean = 0.5f, .std = 0.25f});
    CHECK(text == io::cpp_header(network, {.name_space = "deep::model", .fold = false, .mean = 0.5f, .std = 0.25f}));
    const auto contains = [&](const std::string& part) {
        CAPTURE(part);
        CHECK(text.find(part) != std::string::npos);
    };
    contains("#pragma once\n");
    contains("namespace deep::model {");
    contains("input_height = 9, input_width = 7, input_channels = 2;");
    contains("input_size = 126, output_size = 3;");
    contains("// Space pointwise: " + network.genotype().str());
    contains("conv<Window<9, 7, 2, 9, 7, 3, 1, 1, 1>, 4, false>(input, weights::stem_weight, nullptr, stem_conv);");
    contains(
        "constexpr float pixel(unsigned char byte) {\n    return (static_cast<float>(byte) / 255.0f - 0x1p-1f) * "
        "4.0f;");
    CHECK(text.find("softmax") == std::string::npos);  // only what it calls
    CHECK(text.find("#include <cmath>") == std::string::npos);

    // Every literal read back has the bits of the weight.
    const auto begin = text.find("stem_weight[72] = {") + 19, end = text.find('}', begin);
    const std::string list = text.substr(begin, end - begin);
    std::vector<float> read;
    for (const char* at = list.c_str(); *at;) {
        char* after = nullptr;
        const float value = std::strtof(at, &after);
        if (after == at) {
            ++at;
            continue;
        }
        read.push_back(value);
        at = after;
    }
    const auto state = network.state();
    REQUIRE(state.parameters[0].name == "stem/weight");
    CHECK(read == state.parameters[0].variable.value().to_vector());

    // Values that do not live at the same time share memory.
    const auto number = [&](const std::string& name) {
        const auto at = text.find(name + " = ");
        return std::stoll(text.substr(at + name.size() + 3));
    };
    CHECK(number("buffer_size") * 4 <= static_cast<long long>(Prepared(network, 1).program().memory()));
    CHECK(text.find("// in place") != std::string::npos);
}

TEST_CASE("a C++ model of a network composed by hand", "[io][cpp_header]") {
    const TemporaryDirectory directory;
    const auto device = cpu::device({.threads = 1});
    const Initializer<float> init(device, seed(3));
    const ConvNorm<float> stem(init.in("stem"), 3, 3, 4);
    const Linear<float> head(init.in("head"), 8, 3);
    const auto weights = Variable<float>(Tensor<float>::from({0.5f, 1.0f, 0.0f, -2.0f}, Shape{4}, device));
    const auto filter = Variable<float>(Tensor<float>::from(uniform(36, 8, -1, 1), {3, 3, 4}, device));
    using V = Variable<float>;
    const std::vector<std::pair<std::string, std::function<V(const V&)>>> networks{
        {"windows",
         [&](const V& in) {
             const V x = relu(stem(in, Phase::eval));
             const std::vector<V> terms{x, max_pool(x, {.dilation = 2}), relu(x), depthwise_conv(x, filter)};
             const V sum = weighted_sum(terms, weights, {0, 1, 2, 3});
             const V pooled = average_pool(sum, {.kernel = 3, .count_padding = true});
             const V mean = average_pool(pooled, {.kernel = 3, .stride = 2});
             return head(concat<float>({global_average_pool(mean), global_average_pool(pooled)}));
         }},
        {"elements",
         [&](const V& in) {
             const V x = stem(in, Phase::eval);
             const V y = multiply(subtract(x, constant(x, {4})), constant(x, {6, 4}, 2));
             const V z = add(multiply(y, x), scale(x, -0.25));
             return softmax(add(z, constant(x, {5, 6, 4}, 5)));
         }},
        {"untouched", [&](const V& in) { return in; }},
        {"one_output",
         [&](const V& in) {
             return linear(reshape(in, {1, 90}), V(Tensor<float>::from(uniform(90, 4, -1, 1), {90, 1}, in.device())));
         }},
        {"read_twice",  // the output is read again while it is made, and what is no longer needed is overwritten
         [&](const V& in) {
             V x = relu(stem(in, Phase::eval));
             for (int i = 0; i < 5; ++i) x = add(std::vector<V>{x, scale(relu(x), 0.5), max_pool(x)});
             return x;
         }},
    };
    std::vector<Case> cases;
    const auto images = uniform(7 * 90, 3, -2, 2);
    for (const auto& [name, forward] : networks) {
        io::write_cpp_header(device, {.height = 5, .width = 6, .channels = 3}, forward, directory / (name + ".hpp"),
                             {.name_space = name});
        std::vector<float> expected;
        for (std::int64_t i = 0; i < 7; ++i) {
            const std::vector<float> one(images.begin() + i * 90, images.begin() + (i + 1) * 90);
            const auto y = forward(V(Tensor<float>::from(one, {1, 5, 6, 3}, device))).value().to_vector();
            expected.insert(expected.end(), y.begin(), y.end());
        }
        cases.push_back({name, images, expected});
    }
    const auto one = io::read_file(directory / "one_output.hpp");
    CHECK(one.find("classify") == std::string::npos);
    directory.put("one_output.hpp", one + "namespace one_output { inline int classify(const float*) { return 0; } }\n");
    check(directory, cases, 2e-5);
}

TEST_CASE("what no C++ model can be is refused with kernel and label", "[io][cpp_header]") {
    const auto network = network_of(SearchSpace::paper(small), 0);
    for (const std::string name :
         {"", "1st", "a b", "a:b", "::a", "a::", "int", "_a", "a__b", "std", "a::class", "co_await", "main", "linux"})
        CHECK(error_of([&] { io::cpp_header(network, {.name_space = name}); }) ==
              "cpp_header: \"" + name +
                  "\" cannot name a namespace (letters, digits and _, :: between, no reserved word)");
    CHECK(error_of([&] { io::cpp_header(network, {.std = -1}); }) ==
          "cpp_header: bytes with mean 0 and std -1, std must be positive");
    const auto device = cpu::device({.threads = 1});
    const auto message = [&](const auto& forward) {
        return error_of([&] { io::cpp_header(device, {.height = 5, .width = 6, .channels = 4}, forward); });
    };
    using V = Variable<float>;
    CHECK(message([](const V& x) { return add(x, column_sum(x)); }) ==
          "cpp_header: kernel column_sum has no C++ form (label )");
    CHECK(
        message([](const V& x) { return V(Tensor<float>::full({2}, 1.0f, x.device())); }) ==
        "cpp_header: kernel output reads a constant where C++ needs a value that depends on the input (label output)");
    CHECK(message([](const V& x) { return reshape(max_pool(reshape(x, {5, 1, 6, 4})), {1, 5, 6, 4}); }) ==
          "cpp_header: kernel max_pool_forward reads one image as 5, which has no C++ form (label )");
    CHECK(message([](const V& x) { return multiply(x, V(Tensor<float>::full({4}, HUGE_VALF, x.device()))); }) ==
          "cpp_header: kernel multiply has the constant inf, which no network can use (label )");
    CHECK(message(
              [](const V& x) { return scale(x, reshape(linear(global_average_pool(x), constant(x, {4, 1})), {1})); }) ==
          "cpp_header: kernel weighted_sum_forward takes a weight that depends on the input, which has no C++ form "
          "(label )");
    const TemporaryDirectory directory;
    CHECK(error_of(directory, [&] {
              io::write_cpp_header(network, directory / "none" / "model.hpp");
          }).starts_with("none/model.hpp: "));
}

}  // namespace io_cpp_header_test
