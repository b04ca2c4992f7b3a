// SPDX-License-Identifier: MIT
// What the program says to bad input: one line, what, where and the way out; exit code 2 for usage and 1 for failure.
#include "app/program.hpp"

#include <hwnas/cuda.hpp>
#include <hwnas/io/json.hpp>

namespace app_bad_input_test {

namespace {

using hwnas_test::Finished;
using hwnas_test::run;
using hwnas_test::TemporaryDirectory;

/// "2 fashion_mnist: ..." with the directory of the test cut out.
std::string answer(const TemporaryDirectory& directory, const std::vector<std::string>& arguments,
                   std::uint64_t file_limit = 0) {
    const auto finished = run(directory, arguments, file_limit);
    std::string text = fmt::format("{} {}", finished.code, finished.err);
    const std::string prefix = directory.path().string() + "/";
    for (auto at = text.find(prefix); at != std::string::npos; at = text.find(prefix)) text.erase(at, prefix.size());
    return text;
}

/// A tiny search that ends in about a second.
std::vector<std::string> tiny_search(const std::string& data, std::vector<std::string> more = {}) {
    std::vector<std::string> words{"search",    "--data", data,      "--no-verify", "--validation", "20",
                                   "--epochs",  "1",      "--batch", "10",          "--channels",   "4",
                                   "--threads", "1"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
}

}  // namespace

TEST_CASE("usage errors are one line and exit with 2", "[app]") {
    const TemporaryDirectory directory;
    const auto says = [&](const std::vector<std::string>& arguments) { return answer(directory, arguments); };
    CHECK(says({}) ==
          "2 fashion_mnist: no command given (search, best, train, study, evaluate, profile, latency-fit, export, "
          "report, info; "
          "--help says more)\n");
    CHECK(says({"serach"}) == "2 fashion_mnist: unknown command \"serach\", did you mean search?\n");
    CHECK(says({"search", "--epoch", "3"}) ==
          "2 fashion_mnist: search: unknown option \"--epoch\", did you mean --epochs?\n");
    CHECK(says({"search", "--temperature", "0"}) ==
          "2 fashion_mnist: search: unknown option \"--temperature\" (fashion_mnist search --help lists them)\n");
    CHECK(says({"search", "more"}) ==
          "2 fashion_mnist: search: unknown argument \"more\" (fashion_mnist search --help lists them)\n");
    CHECK(says({"search", "--space", "darts"}) ==
          "2 fashion_mnist: --space: \"darts\" is unknown (choose paper, pointwise, separable)\n");
    CHECK(says({"search", "--mode", "soft"}) ==
          "2 fashion_mnist: --mode: \"soft\" is unknown (choose relaxed, straight_through, single_path)\n");
    CHECK(says({"search", "--epochs", "0"}) ==
          "2 fashion_mnist: --epochs: \"0\" is not a whole number from 1 to 10000\n");
    CHECK(says({"search", "--epochs", "1.5"}) ==
          "2 fashion_mnist: --epochs: \"1.5\" is not a whole number from 1 to 10000\n");
    CHECK(says({"search", "--batch", "1"}) ==
          "2 fashion_mnist: --batch: \"1\" is not a whole number from 2 to 10000\n");
    CHECK(says({"search", "--seed", "-1"}) ==
          "2 fashion_mnist: --seed: \"-1\" is not a whole number from 0 to 18000000000000000000\n");
    CHECK(says({"search", "--learning-rate", "nan"}) ==
          "2 fashion_mnist: --learning-rate: \"nan\" is not a number from 1e-08 to 10\n");
    for (const std::string device : {"gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1000"})
        CHECK(says({"search", "--device", device}) ==
              "2 fashion_mnist: --device: \"" + device + "\" is unknown (choose auto, cpu, cuda or cuda:N)\n");
    CHECK(says({"search", "--threads", "9999999999"}) ==
          "2 fashion_mnist: --threads: \"9999999999\" is not a whole number from 0 to 1024\n");
    CHECK(says({"search", "--resume", ".", "--quick"}) ==
          "2 fashion_mnist: --quick does not go with --resume: the run keeps its options\n");
    CHECK(says({"search", "--complexity-weight", "0", "--latency-weight", "0"}) ==
          "2 fashion_mnist: --complexity-weight and --latency-weight are both 0: nothing would tell the architectures "
          "apart\n");
    CHECK(says({"search", "--config", "run/config.json", "--quick"}) ==
          "2 fashion_mnist: --quick does not go with --config: both say how many images and epochs\n");
    CHECK(says({"search", "--", "--epochs", "0"}) ==
          "2 fashion_mnist: \"--\" has no meaning here: there are options only, and none is taken for a file name\n");
    CHECK(says({"search", "--quick=3"}).rfind("2 fashion_mnist: ", 0) == 0);
    CHECK(says({"profile", "--threads", "0"}) ==
          "2 fashion_mnist: --threads: \"0\" is not a whole number from 1 to 1024\n");
    CHECK(
        says({"train"}) ==
        "2 fashion_mnist: train: give --run DIR with --profile A, B or C, or --network FILE, or --arch 'normal:...'\n");
    CHECK(says({"train", "--profile", "A"}) ==
          "2 fashion_mnist: train: --profile needs --run, the directory of a search\n");
    CHECK(says({"evaluate"}) == "2 fashion_mnist: evaluate: --weights FILE is missing, the file that train wrote\n");
    const auto bare = says({"search", "--seed"});
    CHECK(bare.rfind("2 fashion_mnist: ", 0) == 0);
    CHECK(std::count(bare.begin(), bare.end(), '\n') == 1);
}

TEST_CASE("help and info exit with 0", "[app]") {
    const TemporaryDirectory directory;
    const auto help = run(directory, {"search", "--help"});
    CHECK(help.code == 0);
    CHECK(help.err.empty());
    for (const char* option : {"--seed", "--threads", "--epochs", "--batch", "--space", "--channels", "--mode",
                               "--latency", "--data", "--out", "--resume", "--quiet", "--quick"})
        CHECK_THAT(help.out, Catch::Matchers::ContainsSubstring(option));
    CHECK_THAT(help.out, !Catch::Matchers::ContainsSubstring("--no-verify"));
    CHECK(run(directory, {"--help"}).code == 0);
    CHECK(run(directory, {"--version"}).out.rfind("fashion_mnist of hwnas ", 0) == 0);
    const auto info = run(directory, {"info", "--threads", "3", "--data", "nowhere"});
    CHECK(info.code == 0);
    CHECK_THAT(info.out, Catch::Matchers::ContainsSubstring("cpu, 3 threads") &&
                             Catch::Matchers::ContainsSubstring("nowhere: not there"));
    if (hwnas::cuda::device_count() == 0)
        CHECK((info.out.find("no device: this build of hwnas has no CUDA backend\n") != std::string::npos ||
               info.out.find("no device: no CUDA device can be used here (") != std::string::npos));
    CHECK(info.out.find("hwnas::") == std::string::npos);
}

TEST_CASE("missing, truncated and other data are refused before a run directory is made", "[app]") {
    const TemporaryDirectory directory;
    CHECK(answer(directory, {"search", "--data", "nowhere", "--out", "run"}) ==
          "1 fashion_mnist: no Fashion-MNIST at nowhere: apt-get install dataset-fashion-mnist, or --data DIR\n");
    const auto data = hwnas_test::tiny_data(directory, 60, 10);
    CHECK_THAT(answer(directory, {"search", "--data", data, "--out", "run"}),
               Catch::Matchers::ContainsSubstring("this is not Fashion-MNIST"));
    const auto whole = hwnas::io::read_file(directory / "data/train-images-idx3-ubyte");
    std::filesystem::rename(directory / "data/t10k-labels-idx1-ubyte", directory / "labels");
    CHECK(answer(directory, tiny_search(data, {"--out", "run"})) ==
          "1 fashion_mnist: data: t10k-labels-idx1-ubyte is missing, packed or not (reinstall dataset-fashion-mnist or "
          "pass --data DIR)\n");
    std::filesystem::rename(directory / "labels", directory / "data/t10k-labels-idx1-ubyte");
    CHECK(answer(directory, tiny_search(data, {"--out", "run", "--batch", "41"})) ==
          "2 fashion_mnist: --batch 41 is more than the 40 training images\n");
    directory.put("data/train-images-idx3-ubyte", std::string_view(whole).substr(0, 1'000));
    const auto truncated = answer(directory, tiny_search(data, {"--out", "run"}));
    CHECK(truncated.rfind("1 fashion_mnist: data/train-images-idx3-ubyte: ", 0) == 0);
    CHECK_THAT(truncated, Catch::Matchers::ContainsSubstring("truncated"));
    CHECK_FALSE(std::filesystem::exists(directory / "run"));
}

TEST_CASE("an output that cannot be written and bad tables are refused", "[app]") {
    const TemporaryDirectory directory;
    const auto data = hwnas_test::tiny_data(directory, 60, 10);
    directory.put("file", "text");
    CHECK(answer(directory, tiny_search(data, {"--out", "file"})) ==
          "1 fashion_mnist: file: cannot create the directory (Not a directory)\n");
    CHECK(answer(directory, tiny_search(data, {"--out", "/dev/full"})) ==
          "1 fashion_mnist: /dev/full: cannot create the directory (Not a directory)\n");
    // A full disk: no file of more than 300 bytes can be written, so that not even config.json appears.
    CHECK(answer(directory, tiny_search(data, {"--out", "full", "--quiet"}), 300) ==
          "1 fashion_mnist: full/config.json: cannot be written (File too large)\n");
    CHECK(std::distance(std::filesystem::directory_iterator(directory / "full"), {}) == 1);

    CHECK(answer(directory, tiny_search(data, {"--latency", "none.json", "--out", "a"})) ==
          "1 fashion_mnist: none.json: cannot be opened (No such file or directory)\n");
    directory.put("table.json", R"({"schema": "hwnas-latency/1",)");
    CHECK(answer(directory, tiny_search(data, {"--latency", "table.json", "--out", "b"}))
              .rfind("1 fashion_mnist: table.json: not JSON at line 1", 0) == 0);
    const std::string other = HWNAS_SOURCE_DIR "/tests/data/latency_pointwise.json";
    const auto foreign = answer(directory, tiny_search(data, {"--latency", other, "--out", "c"}));
    CHECK(foreign.rfind("1 fashion_mnist: latency table: no row for ", 0) == 0);
    CHECK(std::count(foreign.begin(), foreign.end(), '\n') == 1);
    auto table = hwnas::io::read_json(other);
    table["space"] = "paper";
    hwnas::io::write_json(directory / "paper.json", table);
    CHECK(answer(directory, tiny_search(data, {"--latency", "paper.json", "--out", "d"})) ==
          "1 fashion_mnist: paper.json: holds times of space paper, the search is in pointwise (profile --space "
          "pointwise, or search --space paper)\n");
    // Nothing of this made a directory that would stand in the way of the next try.
    for (const char* name : {"a", "b", "c", "d"}) CHECK_FALSE(std::filesystem::exists(directory / name));
}

TEST_CASE("files that nest without end are refused", "[app]") {
    const TemporaryDirectory directory;
    const auto data = hwnas_test::tiny_data(directory, 60, 10);
    const std::string deep = std::string(200'000, '[') + std::string(200'000, ']');
    for (const auto& [file, key] : {std::pair{"run/config.json", "hwnas-config/1\", \"options"},
                                    {"table.json", "hwnas-latency/1\", \"rows"},
                                    {"run/genotypes/A.json", "hwnas-genotype/1\", \"groups"}}) {
        std::filesystem::create_directories((directory / file).parent_path());
        directory.put(file, fmt::format("{{\"schema\": \"{}\": {}}}", key, deep));
    }
    CHECK(answer(directory, {"search", "--resume", "run"}) ==
          "1 fashion_mnist: run/config.json: is nested more than 64 deep\n");
    CHECK(answer(directory, {"search", "--config", "run/config.json"}) ==
          "1 fashion_mnist: run/config.json: is nested more than 64 deep\n");
    CHECK(answer(directory, tiny_search(data, {"--latency", "table.json"})) ==
          "1 fashion_mnist: table.json: is nested more than 64 deep\n");
    REQUIRE(run(directory, tiny_search(data, {"--out", "whole", "--quiet"})).code == 0);
    std::filesystem::copy_file(directory / "run/genotypes/A.json", directory / "whole/genotypes/A.json",
                               std::filesystem::copy_options::overwrite_existing);
    CHECK(answer(directory, {"train", "--run", "whole", "--profile", "A"}) ==
          "1 fashion_mnist: whole/genotypes/A.json: is nested more than 64 deep\n");
    // A genotype of another space, by its own word.
    auto genotype = hwnas::io::read_json(directory / "whole/genotypes/B.json");
    genotype["space"] = "paper";
    hwnas::io::write_json(directory / "whole/genotypes/B.json", genotype);
    CHECK(answer(directory, {"train", "--run", "whole", "--profile", "B"}) ==
          "1 fashion_mnist: whole/genotypes/B.json: a genotype of space paper, the run searched pointwise\n");
    // Where the weights cannot go is said before they are trained.
    std::filesystem::create_directories(directory / "whole/retrained/C.safetensors");
    CHECK(answer(directory, {"train", "--run", "whole", "--profile", "C", "--batch", "10"}) ==
          "1 fashion_mnist: whole/retrained/C.safetensors: exists and is not a regular file, choose another name\n");
}

TEST_CASE("one process at a time works in a run directory", "[app]") {
    const TemporaryDirectory directory;
    const auto data = hwnas_test::tiny_data(directory, 60, 10);
    REQUIRE(run(directory, tiny_search(data, {"--out", "run", "--quiet"})).code == 0);
    const hwnas::io::DirectoryLock lock(directory / "run");
    CHECK(answer(directory, {"search", "--resume", "run"}) ==
          "1 fashion_mnist: run: another process is at work there; wait for it, or choose another directory\n");
}

TEST_CASE("output that cannot be written is a failure", "[app]") {
    const TemporaryDirectory directory;
    CHECK(std::system(fmt::format("'{}' info >/dev/full 2>/dev/null", HWNAS_PROGRAM).c_str()) == 1 << 8);
    CHECK(std::system(fmt::format("'{}' --help >/dev/full 2>/dev/null", HWNAS_PROGRAM).c_str()) == 1 << 8);
    CHECK(std::system(fmt::format("'{}' info >&- 2>/dev/null", HWNAS_PROGRAM).c_str()) == 1 << 8);
}

TEST_CASE("resuming what is no run, or with other options, is refused", "[app]") {
    const TemporaryDirectory directory;
    const auto data = hwnas_test::tiny_data(directory, 60, 10);
    CHECK(answer(directory, {"search", "--resume", "none"}) ==
          "1 fashion_mnist: none: there is no such run directory; pass --resume the one a search printed\n");

    REQUIRE(run(directory, tiny_search(data, {"--out", "run", "--quiet"})).code == 0);
    CHECK(answer(directory, tiny_search(data, {"--out", "run"})) ==
          "1 fashion_mnist: run: holds a run already; go on with it by --resume run, or choose another --out\n");
    CHECK(answer(directory, {"search", "--resume", "run", "--epochs", "2"}) ==
          "2 fashion_mnist: --epochs is 2 here and 1 in run/config.json: a resumed run keeps its options, start a new "
          "one for others\n");
    CHECK(answer(directory, {"search", "--resume", "run", "--epochs", "1", "--quiet"}) == "0 ");

    const auto checkpoint = hwnas::io::read_file(directory / "run/checkpoint.safetensors");
    const auto resumed = [&] { return answer(directory, {"search", "--resume", "run", "--quiet"}); };
    directory.put("run/checkpoint.safetensors", checkpoint.substr(0, checkpoint.size() / 2));
    CHECK(resumed().rfind("1 fashion_mnist: run/checkpoint.safetensors: ", 0) == 0);
    auto flipped = checkpoint;
    flipped[flipped.size() - 5] = static_cast<char>(flipped[flipped.size() - 5] ^ 4);
    directory.put("run/checkpoint.safetensors", flipped);
    CHECK(resumed() ==
          "1 fashion_mnist: run/checkpoint.safetensors: the content does not match its SHA-256, the file is damaged; "
          "remove it to begin again with fashion_mnist search --resume run, or start a new run\n");
    directory.put("run/checkpoint.safetensors", checkpoint);

    const auto config = hwnas::io::read_file(directory / "run/config.json");
    auto edited = config;
    edited.replace(edited.find("\"learning_rate\": 0.002"), 22, "\"learning_rate\": 0.003");
    directory.put("run/config.json", edited);
    CHECK(resumed() ==
          "1 fashion_mnist: run/checkpoint.safetensors: option learning_rate is 0.002 there, 0.003 in run (go on with "
          "the same options, or start a new run)\n");
    edited = config;
    edited.replace(edited.find("hwnas-config/1"), 14, "hwnas-config/9");
    directory.put("run/config.json", edited);
    CHECK(resumed().rfind("1 fashion_mnist: run/config.json: schema version \"hwnas-config/9\" is unknown", 0) == 0);
    directory.put("run/config.json", config);

    std::filesystem::rename(directory / "run/latency.json", directory / "moved.json");
    CHECK(resumed() ==
          "1 fashion_mnist: run/latency.json: is missing, and a search that has begun never measures again; start a "
          "new run\n");
    std::filesystem::rename(directory / "moved.json", directory / "run/latency.json");
    CHECK(resumed() == "0 ");
}

TEST_CASE("train and evaluate refuse what does not fit", "[app]") {
    const TemporaryDirectory directory;
    const auto data = hwnas_test::tiny_data(directory, 60, 10);
    const std::vector<std::string> common{"--data", data,         "--no-verify", "--validation", "20", "--batch",
                                          "10",     "--channels", "4",           "--epochs",     "1"};
    const auto with = [&](std::vector<std::string> words) {
        words.insert(words.end(), common.begin(), common.end());
        return words;
    };
    CHECK(answer(directory, with({"train", "--run", "none", "--profile", "A"})) ==
          "1 fashion_mnist: none: there is no such run directory; pass --run the one a search printed\n");
    CHECK(answer(directory, with({"train", "--arch", "normal:"})) ==
          "2 fashion_mnist: --arch: \"normal:\" is neither a genotype (normal:|op~from|...| reduction:|...|) nor a "
          "file of "
          "one\n");
    CHECK(answer(directory, with({"train", "--arch", "normal:|swim~0|swim~1|"}))
              .rfind("2 fashion_mnist: --arch: genotype: 1 groups of cells, space pointwise has 2", 0) == 0);
    CHECK(answer(directory, {"evaluate", "--weights", "none"}) ==
          "1 fashion_mnist: none: cannot be opened (No such file or directory)\n");
    directory.put("junk", "not safetensors at all");
    CHECK(answer(directory, {"evaluate", "--weights", "junk"}).rfind("1 fashion_mnist: junk: ", 0) == 0);
    CHECK(answer(directory, {"profile", "--out", "data"}) ==
          "1 fashion_mnist: data: is a directory, give the name of a file\n");
}

}  // namespace app_bad_input_test
