// SPDX-License-Identifier: MIT
// What the program says when it refuses: the option or the file by name, what clashes, and a way out that the user can
// type as it stands.
#include "app/program.hpp"

#include <hwnas/cuda.hpp>
#include <hwnas/io/genotype.hpp>

namespace app_messages_test {

namespace {

namespace io = hwnas::io;
namespace fs = std::filesystem;
using Catch::Matchers::ContainsSubstring;
using hwnas_test::Child;
using hwnas_test::run;
using hwnas_test::TemporaryDirectory;

std::string says(const TemporaryDirectory& directory, const std::vector<std::string>& words) {
    const auto finished = run(directory, words);
    CHECK(finished.out.empty());
    return fmt::format("{} {}", finished.code, finished.err);
}

std::vector<std::string> search(const std::string& data, std::vector<std::string> more) {
    std::vector<std::string> words{"search",    "--data",  data,     "--no-verify", "--validation",
                                   "20",        "--batch", "4",      "--channels",  "4",
                                   "--threads", "1",       "--quiet"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
}

}  // namespace

TEST_CASE("commands in help and messages are those the user can type", "[app]") {
    const TemporaryDirectory directory;
    const auto started_as = [&](const std::string& command, const std::string& words) {
        const int status = std::system(fmt::format("cd '{}' && HWNAS_COMMAND='{}' '{}' {} >said 2>&1",
                                                   directory.path().string(), command, HWNAS_PROGRAM, words)
                                           .c_str());
        return fmt::format("{} {}", WEXITSTATUS(status), io::read_file(directory / "said"));
    };
    CHECK_THAT(started_as("./run.sh", "search --help"), ContainsSubstring("Usage: ./run.sh search [OPTIONS]"));
    CHECK(started_as("./run.sh", "info all") ==
          "2 fashion_mnist: info: unknown argument \"all\" (./run.sh info --help lists them)\n");
    CHECK(started_as("my tools/run.sh", "info all") ==
          "2 fashion_mnist: info: unknown argument \"all\" ('my tools/run.sh' info --help lists them)\n");
    CHECK_THAT(run(directory, {"search", "--help"}).out, ContainsSubstring("Usage: fashion_mnist search [OPTIONS]"));
}

TEST_CASE("a device that cannot be had is refused with the options of the program", "[app]") {
    const TemporaryDirectory directory;
    if (hwnas::cuda::device_count() > 0) SKIP("a CUDA device is here");
    const auto data = hwnas_test::tiny_data(directory, 60, 20);
    const auto said = says(directory, search(data, {"--device", "cuda", "--out", "run"}));
    CHECK(
        (said ==
             "1 fashion_mnist: --device cuda: this build of hwnas has no CUDA backend; use --device cpu, or build with "
             "CUDA (docs/cuda.md)\n" ||
         said.rfind("1 fashion_mnist: --device cuda: no CUDA device can be used here (", 0) == 0));
    CHECK(said.find("hwnas::") == std::string::npos);
    CHECK_FALSE(fs::exists(directory / "run"));
}

TEST_CASE("options that would change nothing are refused", "[app]") {
    const TemporaryDirectory directory;
    const auto data = hwnas_test::tiny_data(directory, 60, 20);
    CHECK(says(directory, search(data, {"--pivots", "3", "--out", "run"})) ==
          "2 fashion_mnist: --pivots is for --hyper-form pivots, the form is mlp\n");
    CHECK_FALSE(fs::exists(directory / "run"));
    CHECK(says(directory, search(data, {"--validation", "5", "--out", "run"})) ==
          "2 fashion_mnist: --validation: \"5\" is not a multiple of 10 from 0 to 59990\n");
    directory.put("m.csv", "arch,phone\n");
    CHECK(says(directory, {"latency-fit", "m.csv", "--space", "nasbench201", "--column", "phone", "--train", "5",
                           "--seeds", "3"}) ==
          "2 fashion_mnist: latency-fit: --seeds is for --table, one fit has --seed\n");
    for (const std::string option : {"--plain", "--seed=3", "--column=phone", "--train=5"})
        CHECK(
            says(directory, {"latency-fit", "m.csv", "--space", "nasbench201", "--table", option}) ==
            fmt::format("2 fashion_mnist: latency-fit: {} does not go with --table, which fits every column at its own "
                        "sizes and seeds\n",
                        option.substr(0, option.find('='))));
}

TEST_CASE("an --arch that does not fit is named, text or file", "[app][export]") {
    const TemporaryDirectory directory;
    const std::string line =
        "normal:|identity~0|identity~1|+|identity~0|identity~1|identity~2|+|identity~0|identity~1|identity~2|identity~3"
        "|+|identity~0|identity~1|identity~2|identity~3|identity~4| reduction:|identity~0|identity~1|+|identity~0|"
        "identity~1|identity~2|+|identity~0|identity~1|identity~2|identity~3|+|identity~0|identity~1|identity~2|"
        "identity~3|identity~4|";
    REQUIRE(run(directory, {"export", "--arch", line, "--output", "g.json"}).code == 0);
    const auto good = io::read_json(directory / "g.json");
    const auto of = [&](const std::string& arch, std::vector<std::string> more = {}) {
        more.insert(more.begin(), {"export", "--output", "x.json", "--arch", arch});
        return says(directory, more);
    };
    auto json = good;
    json["space"] = "pointwie";
    io::write_json(directory / "g.json", json);
    CHECK(of("g.json") ==
          "2 fashion_mnist: --arch g.json: space: \"pointwie\" is unknown (paper, pointwise, separable)\n");
    CHECK(of("g.json", {"--space", "paper"}) ==
          "2 fashion_mnist: --arch g.json: a genotype of space pointwie, paper is asked for\n");
    json = good;
    json["groups"][0]["nodes"][0]["edges"][0]["primitive"] = "identitx";
    io::write_json(directory / "g.json", json);
    CHECK(of("g.json") ==
          "2 fashion_mnist: --arch g.json: architecture: no primitive \"identitx\" in space pointwise (it has "
          "depthwise_conv_3x3, identity, max_pool_3x3)\n");
    directory.put("g.json", "{");
    CHECK(of("g.json").rfind("2 fashion_mnist: --arch g.json: not JSON at line 1", 0) == 0);
    auto other = line;
    other.replace(other.find("identity"), 8, "own");
    CHECK(of(other).rfind("2 fashion_mnist: --arch: architecture: no primitive \"own\" in space pointwise", 0) == 0);
    // A cell of NAS-Bench-201 itself.
    const std::string cell =
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|";
    const std::string unnamed =
        "a cell without the name of its group, as NAS-Bench-201 has it; here every group is named and operations are "
        "those of a search space (normal:|identity~0|...|+|...| reduction:|...|)\n";
    CHECK(of(cell) == "2 fashion_mnist: --arch: " + unnamed);
    directory.put("nb.txt", cell + "\n");
    CHECK(of("nb.txt") == "2 fashion_mnist: --arch nb.txt: " + unnamed);
    CHECK_FALSE(fs::exists(directory / "x.json"));
}

TEST_CASE("damaged weights say what writes them again", "[app]") {
    const TemporaryDirectory directory;
    const auto data = hwnas_test::tiny_data(directory, 60, 20);
    REQUIRE(run(directory, search(data, {"--epochs", "1", "--out", "run"})).code == 0);
    REQUIRE(run(directory, {"export", "--run", "run", "--profile", "A", "--output", "a.safetensors"}).code == 0);
    auto bytes = io::read_file(directory / "a.safetensors");
    bytes[bytes.size() - 5] = static_cast<char>(bytes[bytes.size() - 5] ^ 4);
    directory.put("a.safetensors", bytes);
    const std::string said =
        "1 fashion_mnist: a.safetensors: the content does not match its SHA-256, the file is damaged; have `train`, "
        "`best` or `export` write it again, or name another file\n";
    CHECK(says(directory, {"evaluate", "--weights", "a.safetensors"}) == said);
    CHECK(says(directory, {"train", "--network", "a.safetensors"}) == said);
    CHECK(says(directory, {"export", "--network", "a.safetensors", "--output", "a.onnx"}) == said);
    // The checkpoint of a search, asked for by others than search --resume.
    bytes = io::read_file(directory / "run/checkpoint.safetensors");
    directory.put("run/checkpoint.safetensors", bytes.substr(0, bytes.size() - 9));
    for (const auto& words :
         std::vector<std::vector<std::string>>{{"best", "--run", "run"},
                                               {"study", "--run", "run", "--quick"},
                                               {"export", "--run", "run", "--profile", "A", "--output", "a.onnx"}})
        CHECK_THAT(says(directory, words),
                   Catch::Matchers::Matches("1 fashion_mnist: run/checkpoint\\.safetensors: [^\n]*; remove it to begin "
                                            "again with fashion_mnist search --resume run, or start a new run\n"));
}

TEST_CASE("a run that is none, or has not ended, is treated alike by all commands", "[app]") {
    const TemporaryDirectory directory;
    const auto data = hwnas_test::tiny_data(directory, 420, 20);
    const auto commands = [](const std::string& run) {
        return std::vector<std::vector<std::string>>{{"best", "--run", run},
                                                     {"study", "--run", run},
                                                     {"train", "--run", run, "--profile", "A"},
                                                     {"export", "--run", run, "--profile", "A", "--output", "a.json"},
                                                     {"export", "--run", run, "--profile", "A", "--output", "a.onnx"}};
    };
    fs::create_directories(directory / "empty");
    for (const auto& words : commands("nope"))
        CHECK(says(directory, words) ==
              "1 fashion_mnist: nope: there is no such run directory; pass --run the one a search printed\n");
    for (const auto& words : commands("empty"))
        CHECK(says(directory, words) ==
              "1 fashion_mnist: empty: no search has begun there, config.json is missing; pass --run the directory a "
              "search printed\n");
    {
        Child child(directory, search(data, {"--epochs", "1000", "--out", "run"}));
        REQUIRE(hwnas_test::wait_until([&] { return hwnas_test::rows_of(directory / "run/metrics.csv") >= 1; }));
        child.signal(SIGINT);
        CHECK(child.wait().code == 130);
    }
    auto all = commands("run");
    all.push_back({"export", "--run", "run", "--profile", "B", "--output", "-", "--format", "dot"});
    for (const auto& words : all)
        CHECK(says(directory, words) ==
              "1 fashion_mnist: run: its search has not ended; go on with: fashion_mnist search --resume run\n");
    CHECK_FALSE(fs::exists(directory / "a.json"));
}

}  // namespace app_messages_test
