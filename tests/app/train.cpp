// SPDX-License-Identifier: MIT
// train: what it has trained is not written over, every architecture has a name of its own, and what cannot be trained
// is refused before a line is printed.
#include "app/program.hpp"

#include <hwnas/io/genotype.hpp>

namespace app_train_test {

namespace {

namespace io = hwnas::io;
namespace fs = std::filesystem;
using Catch::Matchers::ContainsSubstring;
using hwnas_test::Child;
using hwnas_test::run;
using hwnas_test::TemporaryDirectory;

const std::string edges =
    "|+|identity~0|identity~1|identity~2|+|identity~0|identity~1|identity~2|identity~3|+|identity~0|identity~1|"
    "identity~2|identity~3|identity~4|";
/// Two architectures that differ on one edge.
std::string arch(bool pool) {
    return "normal:|identity~0|identity~1" + edges + " reduction:|" + (pool ? "max_pool_3x3" : "identity") +
           "~0|identity~1" + edges;
}

/// Exit code and error; what was printed before an error of the command line is an error of its own.
std::string says(const TemporaryDirectory& directory, const std::vector<std::string>& words) {
    const auto finished = run(directory, words);
    if (finished.code != 0) CHECK(finished.out.empty());
    return fmt::format("{} {}", finished.code, finished.err);
}

std::vector<std::string> train(const std::string& data, std::vector<std::string> more) {
    std::vector<std::string> words{"train",      "--data",  data,     "--no-verify", "--validation",
                                   "20",         "--batch", "10",     "--threads",   "1",
                                   "--channels", "4",       "--quiet"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
}

}  // namespace

TEST_CASE("a training that has ended is not written over", "[app]") {
    const TemporaryDirectory directory;
    const auto data = hwnas_test::tiny_data(directory, 220, 20);
    const auto one = train(data, {"--out", "t", "--epochs", "1", "--arch", arch(false)});
    CHECK(says(directory, one) == "0 ");
    const auto other = train(data, {"--out", "t", "--epochs", "1", "--arch", arch(true)});
    CHECK(says(directory, other) == "0 ");
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(directory / "t"))
        if (entry.path().extension() == ".json") names.push_back(entry.path().stem().string());
    REQUIRE(names.size() == 2);
    for (const auto& name : names) {
        CHECK_THAT(name, Catch::Matchers::Matches("arch-[0-9a-f]{8}"));
        CHECK(io::read_json(directory / ("t/" + name + ".json"))["name"] == name);
    }
    const std::string name =
        io::read_json(directory / ("t/" + names[0] + ".json"))["genotype"] == arch(false) ? names[0] : names[1];
    const fs::path weights = directory / ("t/" + name + ".safetensors"), summary = directory / ("t/" + name + ".json");
    const auto before = io::read_file(weights);
    CHECK(
        says(directory, one) ==
        fmt::format("1 fashion_mnist: t/{0}.safetensors, t/{0}.json: are there from a training that has ended; choose "
                    "another directory with --out DIR, or remove them\n",
                    name));
    fs::remove(summary);
    CHECK(says(directory, one) ==
          fmt::format("1 fashion_mnist: t/{}.safetensors: is there from a training that has ended; choose another "
                      "directory with --out DIR, or remove it\n",
                      name));
    CHECK((io::read_file(weights) == before));
    // A file of the architecture gives the same name; --network that of its file.
    directory.put("cells.txt", arch(false));
    CHECK_THAT(says(directory, train(data, {"--out", "t", "--epochs", "1", "--arch", "cells.txt"})),
               ContainsSubstring(name + ".safetensors: is there"));
    fs::copy_file(weights, directory / "any.safetensors");
    const auto network = train(data, {"--out", "t", "--epochs", "1", "--network", "any.safetensors"});
    CHECK(says(directory, network) == "0 ");
    CHECK_THAT(says(directory, network), ContainsSubstring("t/any.safetensors, t/any.json: are there"));
    fs::remove(weights);
    CHECK(says(directory, one) == "0 ");
}

TEST_CASE("a training killed at its very end is taken up over its own files", "[app][resume]") {
    const TemporaryDirectory directory;
    const auto data = hwnas_test::tiny_data(directory, 220, 20);
    directory.put("cells.txt", arch(true));
    fs::path checkpoint;
    {
        Child child(directory, train(data, {"--out", "t", "--epochs", "60", "--arch", "cells.txt", "--checkpoint-every",
                                            "0.01s"}));
        REQUIRE(hwnas_test::wait_until([&] {
            if (fs::exists(directory / "t"))
                for (const auto& entry : fs::directory_iterator(directory / "t"))
                    if (entry.path().filename().string().rfind("arch-", 0) == 0) checkpoint = entry.path();
            return !checkpoint.empty() || child.ended();
        }));
        child.signal(SIGKILL);
        child.wait();
    }
    REQUIRE(checkpoint.string().ends_with(".checkpoint.safetensors"));
    const std::string file = "t/" + checkpoint.filename().string(), name = checkpoint.stem().stem().string();
    for (const char* end : {".json", ".safetensors"}) directory.put("t/" + name + end, "");
    const auto saved = io::read_file(checkpoint);
    auto damaged = saved;
    damaged[damaged.size() - 5] = static_cast<char>(damaged[damaged.size() - 5] ^ 4);
    io::write_file_atomic(checkpoint, damaged);
    CHECK(says(directory, {"train", "--resume", file}) ==
          "1 fashion_mnist: " + file +
              ": the content does not match its SHA-256, the file is damaged; remove it, and begin again without "
              "--resume\n");
    io::write_file_atomic(checkpoint, saved);
    CHECK(says(directory, {"train", "--resume", file, "--quiet"}) == "0 ");
    CHECK(io::read_json(directory / ("t/" + name + ".json"))["genotype"] == arch(true));
    CHECK_FALSE(fs::exists(checkpoint));
}

TEST_CASE("what cannot be trained is refused before a line is printed", "[app]") {
    const TemporaryDirectory directory;
    const auto data = hwnas_test::tiny_data(directory, 60, 20);
    const auto with = [&](std::vector<std::string> more) {
        more.insert(more.end(), {"--arch", arch(true), "--out", "t"});
        return says(directory, train(data, more));
    };
    CHECK(with({"--batch", "1000"}) == "2 fashion_mnist: --batch 1000 is more than the 40 training images\n");
    CHECK(with({"--batch", "30", "--images", "20"}) ==
          "2 fashion_mnist: --batch 30 is more than the 20 training images\n");
    CHECK(with({"--epochs", "3", "--warmup", "3"}) ==
          "2 fashion_mnist: train: --warmup 3 is not less than --epochs 3\n");
    CHECK(with({"--validation", "5"}) ==
          "2 fashion_mnist: --validation: \"5\" is not a multiple of 10 from 0 to 59990\n");
    CHECK(with({"--seed", "-1"}) ==
          "2 fashion_mnist: --seed: \"-1\" is not a whole number from 0 to 18000000000000000000\n");
    CHECK_FALSE(fs::exists(directory / "t"));
}

}  // namespace app_train_test
