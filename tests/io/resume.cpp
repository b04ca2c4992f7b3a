// SPDX-License-Identifier: MIT
// A search that is stopped, saved, and taken up by another trainer on another number of threads gives the same bits as
// one that was never stopped: weights, moments, statistics, counters, and the family.
#include <hwnas/io/checkpoint.hpp>
#include <hwnas/io/latency_table.hpp>

#include "io/temporary_directory.hpp"
#include "train/tiny.hpp"

namespace io_resume_test {

namespace {

namespace io = hwnas::io;
using hwnas::NamedTensor;
using hwnas::SearchMode;
using hwnas_test::TemporaryDirectory;

using Trainer = hwnas::SingleLevelTrainer<hwnas::SuperNet>;

Trainer trainer(SearchMode mode, int threads, std::function<bool(const hwnas::TrainingProgress&)> on_step = {}) {
    static const auto table = io::read_latency_table(HWNAS_SOURCE_DIR "/tests/data/latency_pointwise_tiny.json");
    return hwnas::testing::tiny_trainer(hwnas::testing::tiny_space(), hwnas::cpu::device({.threads = threads}),
                                        {.epochs = 2, .batch = 12, .mode = mode, .on_step = std::move(on_step)}, table);
}

/// All values as bytes, by name.
std::map<std::string, std::string> bits(const std::vector<NamedTensor>& state) {
    std::map<std::string, std::string> result;
    for (const auto& [name, any] : state)
        result[name] = std::visit(
            [](const auto& tensor) {
                const auto v = tensor.to_vector();
                return std::string(io::as_chars(std::span(v)));
            },
            any);
    return result;
}

}  // namespace

TEST_CASE("a search resumed from a checkpoint is the uninterrupted search, bit for bit", "[io][checkpoint][resume]") {
    const auto mode = GENERATE(SearchMode::relaxed, SearchMode::straight_through, SearchMode::single_path);
    CAPTURE(hwnas::search_mode_name(mode));
    const TemporaryDirectory directory;
    const auto data = hwnas::testing::shades(60, 7, 10);  // 5 steps an epoch

    auto whole = trainer(mode, 1);
    const auto whole_family = whole.fit(data);
    REQUIRE(whole.finished());

    {  // stopped inside the first epoch ...
        auto first = trainer(mode, 2, [](const auto& progress) { return progress.step != 3; });
        first.fit(data);
        REQUIRE(first.steps_done() == 3);
        io::save_checkpoint(directory / "c", first.state());
    }
    {  // ... and again at the end of it
        auto second = trainer(mode, 1, [](const auto& progress) { return progress.step != 5; });
        second.begin(data);
        io::load_checkpoint(directory / "c", second.state());
        REQUIRE(second.steps_done() == 3);
        second.fit();
        REQUIRE(second.steps_done() == 5);
        io::save_checkpoint(directory / "c", second.state());
    }
    auto third = trainer(mode, 2);
    third.begin(data);
    io::load_checkpoint(directory / "c", third.state());
    const auto family = third.fit();
    REQUIRE(third.finished());

    CHECK(bits(third.state()) == bits(whole.state()));
    for (const auto& s : {hwnas::uniform_complexity(3), hwnas::penalised(3, 0, 0.7), hwnas::penalised(3, 2, 0.7)}) {
        CHECK(family.hypernet().logits(s) == whole_family.hypernet().logits(s));
        const auto a = family.accuracies(s, data), b = whole_family.accuracies(s, data);
        CHECK(a.supernet == b.supernet);
        CHECK(a.derived == b.derived);
        CHECK(a.recalibrated == b.recalibrated);
    }
    io::save_checkpoint(directory / "x", whole.state());
    io::save_checkpoint(directory / "y", third.state());
    CHECK(io::read_file(directory / "x") == io::read_file(directory / "y"));
}

TEST_CASE("the checkpoint of another width, form or mode of network is refused", "[io][checkpoint][resume]") {
    const TemporaryDirectory directory;
    io::save_checkpoint(directory / "c", trainer(SearchMode::relaxed, 1).state());
    const auto space = hwnas::testing::tiny_space().with_channels(8);
    const auto wider = hwnas::testing::tiny_trainer(space, hwnas::cpu::device({.threads = 1}), {.latency_weight = 0});
    CHECK(hwnas_test::error_of(directory, [&] { io::load_checkpoint(directory / "c", wider.state()); }) ==
          "c: tensor \"supernet/stem/weight\" is F32 [3, 3, 1, 4], F32 [3, 3, 1, 8] is needed (the checkpoint of "
          "another network)");
    const auto smaller = hwnas::testing::tiny_trainer(hwnas::testing::smallest_space(),
                                                      hwnas::cpu::device({.threads = 1}), {.latency_weight = 0});
    const auto before = bits(smaller.state());
    CHECK_THROWS_AS(io::load_checkpoint(directory / "c", smaller.state()), hwnas::Error);
    CHECK(bits(smaller.state()) == before);
}

}  // namespace io_resume_test
