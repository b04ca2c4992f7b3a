// SPDX-License-Identifier: MIT
// export: every format from every source, and what it says when something is missing.
#include "app/program.hpp"

#include <hwnas/cpu/device.hpp>
#include <hwnas/io/checkpoint.hpp>
#include <hwnas/io/genotype.hpp>
#include <hwnas/train/evaluate.hpp>

namespace app_export_test {

namespace {

namespace io = hwnas::io;
using Catch::Matchers::ContainsSubstring;
using hwnas_test::run;
using hwnas_test::TemporaryDirectory;

const std::string arch =
    "normal:|depthwise_conv_3x3~0|identity~1|+|max_pool_3x3~0|identity~1|identity~2|+|identity~0|identity~1|identity~2|"
    "identity~3|+|identity~0|identity~1|identity~2|identity~3|max_pool_3x3~4| "
    "reduction:|identity~0|identity~1|+|max_pool_3x3~0|identity~1|identity~2|+|identity~0|identity~1|identity~2|"
    "identity~3|+|identity~0|identity~1|identity~2|identity~3|max_pool_3x3~4|";

}  // namespace

TEST_CASE("an architecture goes from one form to another and back", "[app][export]") {
    const TemporaryDirectory directory;
    const auto exported = [&](std::vector<std::string> words) {
        words.insert(words.begin(), "export");
        const auto finished = run(directory, words);
        CHECK(finished.err == "");
        CHECK(finished.code == 0);
        return finished.out;
    };
    CHECK_THAT(exported({"--arch", arch, "--output", "cells.json"}), ContainsSubstring("json       cells.json, "));
    CHECK(io::read_genotype(directory / "cells.json").str() == arch);
    CHECK(io::read_genotype(directory / "cells.json").space == "pointwise");
    exported({"--arch", "cells.json", "--format", "nasbench201", "--output", "cells.txt"});
    auto lines = io::read_file(directory / "cells.txt");
    CHECK(lines.rfind("normal:|depthwise_conv_3x3~0|identity~1|+|", 0) == 0);
    // Its two lines are read as they are, and so is the text itself.
    CHECK(exported({"--arch", "cells.txt", "--format", "nasbench201", "--output", "-"}) == lines);
    CHECK(exported({"--arch", lines, "--format", "nasbench201", "--output", "-"}) == lines);
    std::replace(lines.begin(), lines.end(), '\n', ' ');
    CHECK(lines == arch + " ");
    CHECK_THAT(exported({"--arch", "cells.json", "--format", "darts", "--output", "-"}),
               ContainsSubstring("Genotype(normal=[('depthwise_conv_3x3', 0), ('skip_connect', 1), "));
    exported({"--arch", arch, "--output", "cells.dot"});
    CHECK(io::read_file(directory / "cells.dot").rfind("digraph \"genotype\" {\n", 0) == 0);
    CHECK_THAT(exported({"--arch", arch, "--untrained", "--channels", "4", "--output", "model.onnx"}),
               ContainsSubstring("weights    initial weights, seed 42\n"));
    const auto header = exported({"--arch", arch, "--untrained", "--channels", "4", "--format", "hpp", "--namespace",
                                  "game::eye", "--no-fold", "--output", "-"});
    CHECK_THAT(header, ContainsSubstring("namespace game::eye {") && ContainsSubstring("batch_norm<"));
    exported({"--arch", arch, "--untrained", "--channels", "4", "--output", "model.safetensors"});
    exported({"--network", "model.safetensors", "--output", "again.onnx"});
    CHECK(io::read_file(directory / "again.onnx") == io::read_file(directory / "model.onnx"));
}

TEST_CASE("a searched network is exported with the weights of the search, and then with trained ones",
          "[app][export]") {
    const TemporaryDirectory directory;
    const auto data = hwnas_test::tiny_data(directory, 420, 40);
    REQUIRE(run(directory, {"search", "--data", data, "--no-verify", "--validation", "20", "--batch", "20",
                            "--channels", "4", "--epochs", "6", "--threads", "1", "--out", "run"})
                .code == 0);
    const auto inherited = run(directory, {"export", "--run", "run", "--profile", "A", "--output", "a.safetensors"});
    INFO(inherited.err);
    REQUIRE(inherited.code == 0);
    CHECK_THAT(inherited.out, ContainsSubstring("weights    those of the search, batch norms recalibrated"));
    // Its accuracy is what the search called recalibrated.
    const auto accuracy = [&](const char* file) {
        const auto out = run(directory, {"evaluate", "--weights", file, "--data", data, "--no-verify"}).out;
        const auto at = out.find("accuracy   ");
        return at == std::string::npos ? "none" : out.substr(at + 11, out.find(' ', at + 11) - at - 11);
    };
    const auto family = io::read_json(directory / "run/result.json")["family"];
    REQUIRE(family[0]["name"] == "A");
    CHECK(accuracy("a.safetensors") ==
          fmt::format("{:.2f}", 100 * family[0]["accuracy"]["recalibrated"].get<double>()));

    const auto other = run(directory, {"export", "--run", "run", "--arch", arch, "--output", "other.onnx"});
    INFO(other.err);
    CHECK(other.code == 0);
    // Trained, it is found again by its genotype.
    REQUIRE(run(directory, {"train", "--run", "run", "--arch", arch, "--epochs", "1", "--batch", "20"}).code == 0);
    CHECK_THAT(run(directory, {"export", "--run", "run", "--arch", arch, "--output", "other.onnx"}).out,
               Catch::Matchers::Matches("(.|\n)*weights    run/retrained/arch-[0-9a-f]{8}\\.safetensors\n(.|\n)*"));
    REQUIRE(run(directory, {"train", "--run", "run", "--profile", "A", "--epochs", "1", "--batch", "20"}).code == 0);
    const auto trained = run(directory, {"export", "--run", "run", "--profile", "A", "--output", "a.hpp"});
    CHECK(trained.code == 0);
    CHECK_THAT(trained.out, ContainsSubstring("weights    run/retrained/A.safetensors\n"));
    CHECK_THAT(io::read_file(directory / "a.hpp"), ContainsSubstring("input_height = 8, input_width = 8"));
    CHECK_THAT(
        run(directory, {"export", "--run", "run", "--profile", "A", "--channels", "8", "--output", "a.onnx"}).err,
        ContainsSubstring("run/retrained/A-8.safetensors: is missing; the weights of the search have 4 channels, "
                          "train it with --channels 8 first"));
}

TEST_CASE("export says what is missing", "[app][export]") {
    const TemporaryDirectory directory;
    const auto says = [&](std::vector<std::string> words) {
        words.insert(words.begin(), "export");
        const auto finished = run(directory, words);
        return fmt::format("{} {}", finished.code, finished.err);
    };
    CHECK(says({}) == "2 fashion_mnist: export: --output FILE is missing\n");
    CHECK(says({"--output", "model"}) ==
          "2 fashion_mnist: export: --format is missing, and \"model\" does not say which (.onnx, .safetensors, .hpp, "
          ".json, .dot)\n");
    CHECK(says({"--output", "m.onnx"}) ==
          "2 fashion_mnist: export: give --run DIR with --profile A, B or C, or --network FILE, or --arch "
          "'normal:...'\n");
    CHECK(says({"--output", "m.onnx", "--profile", "A", "--arch", arch}) == says({"--output", "m.onnx"}));
    CHECK(says({"--output", "m.onnx", "--profile", "A"}) ==
          "2 fashion_mnist: export: --profile needs --run, the directory of a search\n");
    CHECK(says({"--output", "m.onnx", "--arch", arch}) ==
          "2 fashion_mnist: export: an architecture has no weights; give --run DIR for those of a search, or "
          "--untrained, or export json, nasbench201, darts or dot\n");
    CHECK(says({"--output", "-", "--format", "onnx", "--arch", arch}) ==
          "2 fashion_mnist: export: onnx is not text, give --output the name of a file\n");
    CHECK(says({"--output", "a.json", "--no-fold", "--arch", arch}) ==
          "2 fashion_mnist: export: --no-fold is for onnx and hpp, json has nothing folded\n");
    CHECK(says({"--output", "a.onnx", "--namespace", "own", "--arch", arch, "--untrained"}) ==
          "2 fashion_mnist: export: --namespace is for hpp, onnx has none\n");
    CHECK(says({"--output", "a.json", "--channels", "4", "--arch", arch}) ==
          "2 fashion_mnist: export: --channels is for networks, json holds the architecture alone\n");
    CHECK(says({"--output", "a.onnx", "--network", "some.safetensors", "--channels", "4"}) ==
          "2 fashion_mnist: export: --channels does not go with --network, whose file says it all\n");
    CHECK(says({"--output", "a.onnx", "--run", "some", "--profile", "A", "--seed", "4"}) ==
          "2 fashion_mnist: export: --seed is for the initial weights of --untrained networks\n");
    CHECK(says({"--output", "a.onnx", "--run", "some", "--profile", "A", "--untrained"}) ==
          "2 fashion_mnist: export: --untrained is for --arch, a profile has the weights of its search or of train\n");
    CHECK(
        says({"--output", "a.json", "--arch", "nothing.json"}) ==
        "2 fashion_mnist: --arch: \"nothing.json\" is neither a genotype (normal:|op~from|...| reduction:|...|) nor a "
        "file of one\n");
    CHECK_THAT(says({"--output", "a.json", "--arch", "normal:|own~0|"}),
               ContainsSubstring("2 fashion_mnist: --arch: genotype: 1 groups of cells, space pointwise has 2\n"));
    CHECK_THAT(says({"--output", "a.json", "--arch", arch, "--space", "separable"}),
               ContainsSubstring(
                   "2 fashion_mnist: --arch: architecture: no primitive \"depthwise_conv_3x3\" in space separable"));
    CHECK_THAT(says({"--output", "a.json", "--run", "nowhere", "--profile", "A"}),
               ContainsSubstring(
                   "1 fashion_mnist: nowhere: there is no such run directory; pass --run the one a search printed\n"));
    CHECK_THAT(says({"--output", "nowhere/a.json", "--arch", arch}),
               ContainsSubstring("1 fashion_mnist: nowhere/a.json: cannot be written"));
    CHECK(says({"--output", "a.png", "--format", "png", "--arch", arch}) ==
          "2 fashion_mnist: --format: \"png\" is unknown (choose onnx, safetensors, hpp, json, nasbench201, darts, "
          "dot)\n");
    CHECK_FALSE(std::filesystem::exists(directory / "a.json"));
}

}  // namespace app_export_test
