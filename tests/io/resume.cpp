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

TEST_CASE("every checkpoint that a trainer offers goes on to the same bits", "[io][checkpoint][resume]") {
    const TemporaryDirectory directory;
    const auto data = hwnas::testing::shades(60, 7, 10);  // 5 steps an epoch
    const auto tiny = [](hwnas::TrainerOptions options) {
        options.epochs = 2, options.batch = 12, options.latency_weight = 0;
        return hwnas::testing::tiny_trainer(hwnas::testing::smallest_space(), hwnas::cpu::device({.threads = 1}),
                                            std::move(options));
    };
    int saved = 0;
    std::vector<std::int64_t> places;
    const auto save = [&](const auto& state, const hwnas::TrainingProgress& progress) {
        io::save_checkpoint(directory / std::to_string(++saved), state);
        places.push_back(progress.epoch * progress.steps + progress.step);
    };
    auto whole = tiny({.on_checkpoint = save, .checkpoint_every = std::chrono::nanoseconds(1)});
    whole.fit(data);
    REQUIRE(places == std::vector<std::int64_t>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
    const auto expected = bits(whole.state());
    for (int k = 1; k <= 10; ++k) {
        CAPTURE(k);
        auto rest = tiny({});
        rest.begin(data);
        io::load_checkpoint(directory / std::to_string(k), rest.state());
        REQUIRE(rest.steps_done() == k);
        rest.fit();
        CHECK(bits(rest.state()) == expected);
    }

    // By time only where that has passed; always at the end of an epoch and where it is stopped.
    places.clear();
    tiny({.on_checkpoint = save, .checkpoint_every = std::chrono::hours(1)}).fit(data);
    tiny({.on_checkpoint = save, .checkpoint_every = {}}).fit(data);
    tiny({.on_step = [](const auto& progress) { return progress.step < 3; }, .on_checkpoint = save}).fit(data);
    CHECK(places == std::vector<std::int64_t>{5, 10, 5, 10, 3});
    CHECK_THROWS_WITH(tiny({.checkpoint_every = std::chrono::seconds(-2)}).fit(data),
                      "trainer: checkpoint_every -2 s is negative; 0 saves at the end of epochs only");
    // A state that is lost is not saved over a good one.
    places.clear();
    auto broken = tiny({.on_checkpoint = save, .checkpoint_every = std::chrono::nanoseconds(1)});
    broken.supernet().state().parameters[0].variable.value().assign(std::nanf(""));
    CHECK_THROWS_AS(broken.fit(data), hwnas::Error);
    CHECK(places.empty());
}

TEST_CASE("every checkpoint that fit() offers goes on to the same bits", "[io][checkpoint][resume]") {
    const TemporaryDirectory directory;
    const auto data = hwnas::testing::shades(60, 7);
    const auto space = hwnas::testing::smallest_space();
    const auto fresh = [&](std::uint64_t seed) {
        const std::vector<int> choices{0, 1, 2, 0, 1};
        return hwnas::Network(space, hwnas::Genotype::from_choices(space.architecture(), choices),
                              hwnas::cpu::device({.threads = 1}), hwnas::seed(seed));
    };
    const auto values = [](const hwnas::Network& network) {
        std::vector<NamedTensor> all;
        for (const auto& p : network.state().parameters) all.push_back({p.name, p.variable.value()});
        for (const auto& b : network.state().buffers) all.push_back({b.name, b.tensor});
        return bits(all);
    };
    hwnas::FitOptions options{.epochs = 2,
                              .batch = 12,
                              .warmup = 1,
                              .augment = {.shift = 1, .flip = true, .erase = 0.5},
                              .average = 0.9,
                              .seed = hwnas::seed(5)};
    const auto plain = options;
    std::vector<std::int64_t> places;
    options.on_checkpoint = [&](const auto& state, const hwnas::TrainingProgress& progress) {
        places.push_back(progress.epoch * progress.steps + progress.step);
        io::save_checkpoint(directory / std::to_string(places.back()), state);
    };
    options.checkpoint_every = std::chrono::nanoseconds(1);
    const auto whole = fresh(1);
    const auto result = hwnas::fit(whole, data, options);
    REQUIRE(places == std::vector<std::int64_t>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
    for (int k = 1; k <= 10; ++k) {
        CAPTURE(k);
        auto rest = plain;
        rest.on_begin = [&](const auto& state) { io::load_checkpoint(directory / std::to_string(k), state); };
        const auto network = fresh(2);  // whatever its weights were
        const auto again = hwnas::fit(network, data, rest);
        CHECK(values(network) == values(whole));
        CHECK(again.finished);
        CHECK(again.loss == result.loss);
        CHECK(again.metric == result.metric);
    }
    auto shorter = plain;
    shorter.epochs = 1;
    shorter.on_begin = [&](const auto& state) { io::load_checkpoint(directory / "10", state); };
    CHECK_THROWS_WITH(hwnas::fit(fresh(1), data, shorter),
                      "fit: the state is that of step 10, this training has 5 steps");
    auto broken = options;
    broken.on_begin = [](const auto& state) { std::get<hwnas::Tensor<float>>(state[0].tensor).assign(std::nanf("")); };
    places.clear();
    CHECK_THROWS_AS(hwnas::fit(fresh(1), data, broken), hwnas::Error);
    CHECK(places.empty());
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
