// SPDX-License-Identifier: MIT
// What a user loses when a search or a training is killed, interrupted, or finds no room: the work since the last
// checkpoint, and nothing else. What goes on afterwards ends with the bytes of a run that was never stopped.
#include "app/program.hpp"

#include <hwnas/core/random.hpp>
#include <hwnas/io/checkpoint.hpp>

#include <sys/stat.h>

namespace app_resume_test {

namespace {

namespace io = hwnas::io;
namespace fs = std::filesystem;
using hwnas_test::Child;
using hwnas_test::files_of;
using hwnas_test::run;
using hwnas_test::TemporaryDirectory;

constexpr long steps_an_epoch = 200, epochs = 15;

std::vector<std::string> search(const std::string& data, std::vector<std::string> more) {
    std::vector<std::string> words{"search",   "--data",  data,        "--no-verify", "--validation",
                                   "20",       "--batch", "4",         "--channels",  "4",
                                   "--epochs", "6",       "--threads", "1",           "--quiet"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
}

/// The step a checkpoint stands at, 0 where there is none; throws for one that cannot be read.
long step_of(const fs::path& checkpoint) {
    return fs::exists(checkpoint) ? std::stol(io::checkpoint_metadata(checkpoint).at("step")) : 0;
}

/// Changes with every new checkpoint.
std::pair<ino_t, long> version_of(const fs::path& file) {
    struct stat status{};
    if (::stat(file.c_str(), &status) != 0) return {};
    return {status.st_ino, status.st_mtim.tv_nsec};
}

void check_same(const std::map<std::string, std::string>& found, const std::map<std::string, std::string>& expected) {
    for (const auto& [name, text] : expected) {
        CAPTURE(name);
        REQUIRE(found.contains(name));
        CHECK((found.at(name) == text));
    }
    CHECK(found.size() == expected.size());
}

/// A script run as root of a name space of its own, in `directory`: what it mounts is gone with it.
hwnas_test::Finished privileged(const TemporaryDirectory& directory, const std::string& script) {
    directory.put("script", script);
    const std::string command = fmt::format(
        "cd '{}' && HWNAS_COMMAND=fashion_mnist unshare --mount --map-root-user "
        "sh ./script >stdout 2>stderr",
        directory.path().string());
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, io::read_file(directory / "stdout"),
            io::read_file(directory / "stderr")};
}
bool can_mount(const TemporaryDirectory& directory) {
    fs::create_directories(directory / "mounted");
    return privileged(directory, "mount -t tmpfs -o size=64k tmpfs mounted").code == 0;
}

}  // namespace

TEST_CASE("a search killed 20 times, at random moments, ends with the bytes of one that was not", "[app][resume]") {
    const TemporaryDirectory directory;
    const auto data = hwnas_test::tiny_data(directory, 820, 40);
    const std::vector<std::string> often{"--checkpoint-every", "0.01s", "--epochs", std::to_string(epochs)};
    const auto with = [&](std::vector<std::string> words) {
        words.insert(words.end(), often.begin(), often.end());
        return words;
    };
    const auto whole = run(directory, search(data, with({"--out", "whole"})));
    INFO(whole.err);
    REQUIRE(whole.code == 0);
    const auto expected = files_of(directory / "whole");
    REQUIRE(expected.size() == 9);

    const fs::path parts = directory / "parts", checkpoint = parts / "checkpoint.safetensors";
    const auto start = with(search(data, {"--out", "parts", "--latency", "whole/latency.json"}));
    const std::vector<std::string> go_on{"search", "--resume", "parts", "--quiet"};
    const auto key = hwnas::Seed{20}.stream("kills");
    long reached = 0;
    int within_an_epoch = 0, kills = 0;
    const auto pause = [&](std::uint64_t at, std::uint32_t most_ms) {
        std::this_thread::sleep_for(
            std::chrono::microseconds(hwnas::random::words_at(key, at, 0).w[0] % (1'000 * most_ms)));
    };
    for (std::uint64_t k = 0; kills < 20 && k < 40; ++k) {
        CAPTURE(k, reached);
        const auto before = version_of(checkpoint);
        Child child(directory, fs::exists(parts / "config.json") ? go_on : start);
        // Every other time in the middle of training, else wherever it is: reading data, making the directory, ...
        const bool training = k % 2 == 1;
        if (training) {
            hwnas_test::wait_until([&] { return version_of(checkpoint) != before || child.ended(); });
            pause(k, 25);
        } else {
            pause(k, 150);
        }
        kills += !child.ended();
        child.signal(SIGKILL);
        const auto session = child.wait();
        REQUIRE((session.code == -SIGKILL || session.code == 0));

        // Nothing there is half written, and nothing that was saved is lost.
        if (!fs::exists(parts)) continue;
        for (const auto& entry : fs::recursive_directory_iterator(parts)) {
            const auto name = entry.path().filename().string();
            if (!entry.is_regular_file() || name.starts_with(".")) continue;
            CAPTURE(name);
            if (name.ends_with(".json")) CHECK_NOTHROW(io::read_json(entry.path()));
        }
        long now = -1;
        REQUIRE_NOTHROW(now = step_of(checkpoint));
        CHECK(now >= reached);
        const long rows = hwnas_test::rows_of(parts / "metrics.csv");
        CHECK((rows == now / steps_an_epoch || rows == now / steps_an_epoch + 1));
        if (training && reached > 0)
            CHECK_THAT(session.out, Catch::Matchers::ContainsSubstring(fmt::format(
                                        "resumed    after {} epoch{} and {} steps\n", reached / steps_an_epoch,
                                        reached / steps_an_epoch == 1 ? "" : "s", reached % steps_an_epoch)));
        within_an_epoch += now % steps_an_epoch != 0;
        reached = now;
    }
    CHECK(kills == 20);
    CHECK(within_an_epoch >= 3);
    CHECK(reached > 0);
    CHECK(reached <= steps_an_epoch * epochs);
    const auto last = run(directory, go_on);
    INFO(last.err);
    REQUIRE(last.code == 0);
    check_same(files_of(parts), expected);

    // And while a search that has ended is evaluated again.
    for (std::uint64_t k = 100; k < 104; ++k) {
        Child child(directory, go_on);
        pause(k, 120);
        child.signal(SIGKILL);
        child.wait();
        CHECK(step_of(checkpoint) == steps_an_epoch * epochs);
    }
    REQUIRE(run(directory, go_on).code == 0);
    check_same(files_of(parts), expected);
}

TEST_CASE("a search that finds no room says how to go on, and its last checkpoint stays", "[app][resume]") {
    const TemporaryDirectory directory;
    const auto data = hwnas_test::tiny_data(directory, 820, 40);
    REQUIRE(run(directory, search(data, {"--out", "whole"})).code == 0);
    const auto from_whole = [&](std::vector<std::string> more) {
        more.insert(more.end(), {"--latency", "whole/latency.json"});
        return search(data, more);
    };
    const std::string rest = "; once that is mended, go on with: fashion_mnist search --resume run\n";
    // No file may have more than 100 kB: everything fits but the checkpoint.
    const auto first = run(directory, from_whole({"--out", "run"}), 100'000);
    CHECK(first.code == 1);
    CHECK(first.err == "fashion_mnist: run/checkpoint.safetensors: cannot be written (File too large)" + rest);
    CHECK_FALSE(fs::exists(directory / "run/checkpoint.safetensors"));

    {
        Child child(directory, {"search", "--resume", "run", "--quiet"});
        REQUIRE(hwnas_test::wait_until([&] { return fs::exists(directory / "run/checkpoint.safetensors"); }));
        child.signal(SIGHUP);  // a terminal that is closed
        const auto stopped = child.wait();
        CHECK(stopped.code == 130);
        CHECK_THAT(stopped.err, Catch::Matchers::ContainsSubstring(
                                    ", checkpoint saved; go on with: fashion_mnist search --resume run\n"));
    }
    const auto saved = io::read_file(directory / "run/checkpoint.safetensors");
    const auto second = run(directory, {"search", "--resume", "run", "--quiet"}, 100'000);
    CHECK(second.code == 1);
    CHECK(second.err ==
          "fashion_mnist: run/checkpoint.safetensors: cannot be written (File too large), the previous content is "
          "unchanged" +
              rest);
    CHECK((io::read_file(directory / "run/checkpoint.safetensors") == saved));

    REQUIRE(run(directory, {"search", "--resume", "run", "--quiet"}).code == 0);
    check_same(files_of(directory / "run"), files_of(directory / "whole"));
}

TEST_CASE("full and read-only file systems: one line, and the last checkpoint stays", "[app][resume]") {
    const TemporaryDirectory directory;
    if (!can_mount(directory)) SKIP("nothing can be mounted here, even in a name space of its own");
    const auto data = hwnas_test::tiny_data(directory, 820, 40);
    {
        Child child(directory, search(data, {"--out", "run"}));
        REQUIRE(hwnas_test::wait_until([&] { return fs::exists(directory / "run/checkpoint.safetensors"); }));
        child.signal(SIGINT);
        REQUIRE(child.wait().code == 130);
    }
    const auto saved = io::read_file(directory / "run/checkpoint.safetensors");
    const auto script = [&](const std::string& mount) {
        return fmt::format(
            "set -e\n{}\nset +e\n{} search --resume run --quiet >/dev/null; code=$?\n"
            "cmp run/checkpoint.safetensors saved || code=9\nexit $code\n",
            mount, HWNAS_PROGRAM);
    };
    fs::copy_file(directory / "run/checkpoint.safetensors", directory / "saved");
    const std::string rest =
        ", the previous content is unchanged; once that is mended, go on with: fashion_mnist search --resume run\n";
    const auto full = privileged(directory, script("mount -t tmpfs -o size=400k tmpfs mounted\ncp -r run/. mounted\n"
                                                   "mount --bind mounted run"));
    CHECK(full.code == 1);
    CHECK(full.err == "fashion_mnist: run/checkpoint.safetensors: cannot be written (No space left on device)" + rest);
    const auto read_only = privileged(directory, script("mount --bind run run\nmount -o remount,ro,bind run"));
    CHECK(read_only.code == 1);
    CHECK(read_only.err == "fashion_mnist: run/metrics.csv: cannot be written (Read-only file system)" + rest);
    CHECK((io::read_file(directory / "run/checkpoint.safetensors") == saved));
    // A new run there is refused before anything is measured or trained.
    const auto fresh =
        privileged(directory, fmt::format("mount --bind mounted mounted && mount -o remount,ro,bind mounted || exit 9\n"
                                          "exec {} search --data data --no-verify --validation 20 --out mounted/run",
                                          HWNAS_PROGRAM));
    CHECK(fresh.code == 1);
    CHECK(fresh.err == "fashion_mnist: mounted/run: cannot create the directory (Read-only file system)\n");
}

TEST_CASE("checkpoints of others are refused and left as they are", "[app][resume]") {
    const TemporaryDirectory directory;
    const auto data = hwnas_test::tiny_data(directory, 60, 20);
    const auto short_search = [&](const std::string& out, const std::string& channels) {
        return run(directory, {"search", "--data", data, "--no-verify", "--validation", "20", "--batch", "4",
                               "--epochs", "1", "--quiet", "--channels", channels, "--out", out})
            .code;
    };
    REQUIRE(short_search("run", "4") == 0);
    REQUIRE(short_search("wide", "8") == 0);
    const auto refused = [&](const std::string& content) {
        directory.put("run/checkpoint.safetensors", content);
        const auto finished = run(directory, {"search", "--resume", "run", "--quiet"});
        CHECK(finished.code == 1);
        CHECK((io::read_file(directory / "run/checkpoint.safetensors") == content));
        return finished.err;
    };
    const std::string file = "fashion_mnist: run/checkpoint.safetensors: ";
    CHECK(refused(io::read_file(directory / "wide/checkpoint.safetensors")) ==
          file + "option channels is 8 there, 4 in run (go on with the same options, or start a new run)\n");
    io::save_checkpoint(directory / "foreign", {});
    CHECK(refused(io::read_file(directory / "foreign")) ==
          file +
              "has no config in its metadata, this program did not write it; remove it to begin again with "
              "fashion_mnist search --resume run, or start a new run\n");
    CHECK(refused("").rfind(file, 0) == 0);
    CHECK(refused(std::string(1'000, 'x')).rfind(file, 0) == 0);

    // A latency table that was changed, and a checkpoint that was lost.
    REQUIRE(short_search("other", "4") == 0);
    const auto table = io::read_file(directory / "other/latency.json");
    directory.put("other/latency.json", table + "\n");
    const auto changed = run(directory, {"search", "--resume", "other", "--quiet"});
    CHECK(changed.code == 1);
    CHECK(changed.err ==
          "fashion_mnist: other/latency.json: is not the latency table that this search began with, whose SHA-256 "
          "other/checkpoint.safetensors keeps; put that table back, or start a new run with --latency "
          "other/latency.json\n");
    directory.put("other/latency.json", table);
    const auto before = files_of(directory / "other");
    fs::remove(directory / "other/checkpoint.safetensors");
    const auto again = run(directory, {"search", "--resume", "other", "--quiet"});
    CHECK(again.code == 0);
    CHECK(again.err ==
          "fashion_mnist: other/checkpoint.safetensors: is missing, so that the search begins again from its first "
          "step\n");
    check_same(files_of(directory / "other"), before);

    fs::create_directories(directory / "empty");
    const auto empty = run(directory, {"search", "--resume", "empty"});
    CHECK(empty.err ==
          "fashion_mnist: empty: no search has begun there, config.json is missing; begin one with --out empty\n");
}

TEST_CASE("a training that is stopped and killed goes on to the same weights", "[app][resume]") {
    const TemporaryDirectory directory;
    const auto data = hwnas_test::tiny_data(directory, 420, 20);  // 40 steps an epoch
    const std::string arch =
        "normal:|identity~0|depthwise_conv_3x3~1|+|max_pool_3x3~0|identity~1|depthwise_conv_3x3~2|+|identity~0|"
        "identity~1|max_pool_3x3~2|depthwise_conv_3x3~3|+|identity~0|identity~1|identity~2|depthwise_conv_3x3~3|"
        "max_pool_3x3~4| reduction:|identity~0|depthwise_conv_3x3~1|+|max_pool_3x3~0|identity~1|depthwise_conv_3x3~2|+|"
        "identity~0|identity~1|max_pool_3x3~2|depthwise_conv_3x3~3|+|identity~0|identity~1|identity~2|"
        "depthwise_conv_3x3~3|max_pool_3x3~4|";
    const std::string name = "arch-fb0aeef4",
                      stopped_file = "parts/" + name + ".checkpoint.safetensors";  // of that text
    const auto train = [&](const std::string& out, std::vector<std::string> more = {}) {
        std::vector<std::string> words{
            "train",     "--arch",       arch,        "--data",  data, "--no-verify", "--quiet", "--out",
            out,         "--validation", "20",        "--batch", "10", "--seed",      "7",       "--channels",
            "4",         "--epochs",     "30",        "--shift", "1",  "--flip",      "--erase", "0.3",
            "--average", "0.99",         "--threads", "1"};
        words.insert(words.end(), more.begin(), more.end());
        return words;
    };
    const auto whole = run(directory, train("whole"));
    INFO(whole.err);
    REQUIRE(whole.code == 0);
    CHECK_FALSE(fs::exists(directory / ("whole/" + name + ".checkpoint.safetensors")));

    const fs::path checkpoint = directory / stopped_file;
    const std::vector<std::string> go_on{"train", "--resume", stopped_file, "--quiet"};
    {
        Child child(directory, train("parts", {"--checkpoint-every", "0.01s"}));
        REQUIRE(hwnas_test::wait_until([&] { return fs::exists(checkpoint) || child.ended(); }));
        child.signal(SIGINT);
        const auto stopped = child.wait();
        CHECK(stopped.code == 130);
        CHECK(stopped.err == "fashion_mnist: interrupted, checkpoint saved; go on with: fashion_mnist train --resume " +
                                 stopped_file + "\n");
        CHECK_FALSE(fs::exists(directory / ("parts/" + name + ".safetensors")));
    }
    const auto again = run(directory, train("parts"));
    CHECK(again.code == 1);
    CHECK(again.err ==
          fmt::format("fashion_mnist: {0}: a training was stopped there; go on with: fashion_mnist train --resume {0} "
                      "(or remove the file, to begin again)\n",
                      stopped_file));
    for (int k = 0; k < 5; ++k) {
        const auto before = version_of(checkpoint);
        Child child(directory, go_on);
        hwnas_test::wait_until([&] { return version_of(checkpoint) != before || child.ended(); });
        child.signal(SIGKILL);
        REQUIRE(child.wait().code == -SIGKILL);
        REQUIRE_NOTHROW(io::checkpoint_metadata(checkpoint));
    }
    const auto saved = io::read_file(checkpoint);
    const auto full = run(directory, go_on, 20'000);
    CHECK(full.err ==
          fmt::format("fashion_mnist: {0}: cannot be written (File too large), the previous content is unchanged; once "
                      "that is mended, go on with: fashion_mnist train --resume {0}\n",
                      stopped_file));
    CHECK((io::read_file(checkpoint) == saved));

    const auto says = [&](std::vector<std::string> words) {
        const auto finished = run(directory, words);
        return fmt::format("{} {}", finished.code, finished.err);
    };
    CHECK(says({"train", "--resume", stopped_file, "--epochs", "3"}) ==
          "2 fashion_mnist: train: --epochs does not go with --resume: a training keeps its options\n");
    fs::copy_file(checkpoint, directory / "moved");
    CHECK(says({"train", "--resume", "moved"}) ==
          "1 fashion_mnist: moved: was " + name +
              ".checkpoint.safetensors when it was written; give it that name again\n");
    io::save_checkpoint(directory / "foreign", {});
    CHECK(says({"train", "--resume", "foreign"}) ==
          "1 fashion_mnist: foreign: is no checkpoint of `train` (search --resume takes the directory of a search)\n");
    {
        const TemporaryDirectory other;
        CHECK(says({"train", "--resume", stopped_file, "--data", hwnas_test::tiny_data(other, 120, 20)}) ==
              "1 fashion_mnist: " + stopped_file +
                  ": a training on 400 images, there are 100 now (pass the same --data)\n");
    }

    const auto last = run(directory, {"train", "--resume", "parts", "--quiet"});  // the one in that directory
    INFO(last.err);
    REQUIRE(last.code == 0);
    CHECK((io::read_file(directory / ("parts/" + name + ".safetensors")) ==
           io::read_file(directory / ("whole/" + name + ".safetensors"))));
    auto found = io::read_json(directory / ("parts/" + name + ".json")),
         expected = io::read_json(directory / ("whole/" + name + ".json"));
    found.erase("latency_ms"), expected.erase("latency_ms");
    CHECK(found == expected);
    CHECK_FALSE(fs::exists(checkpoint));
    CHECK(std::distance(fs::directory_iterator(directory / "parts"), {}) == 2);
    CHECK(says({"train", "--resume", "parts"}) ==
          "1 fashion_mnist: parts: holds no stopped training, give the path of a file NAME.checkpoint.safetensors\n");
    for (const char* other : {"a", "b"})
        io::write_file_atomic(directory / fmt::format("parts/{}.checkpoint.safetensors", other), std::string_view());
    CHECK(says({"train", "--resume", "parts"}) ==
          "1 fashion_mnist: parts: holds several stopped trainings: parts/a.checkpoint.safetensors, "
          "parts/b.checkpoint.safetensors, give the path of a file NAME.checkpoint.safetensors\n");
}

}  // namespace app_resume_test
