// SPDX-License-Identifier: MIT
#include "train/counting_device.hpp"
#include "train/tiny.hpp"

#include <hwnas/io/json.hpp>
#include <hwnas/io/latency_table.hpp>

#include <cstdlib>
#include <cstring>
#include <fstream>

namespace train_trainer_test {

using namespace hwnas;
using namespace hwnas::testing;
using Catch::Matchers::ContainsSubstring;

namespace {

LatencyTable stored_table() {
    return io::read_latency_table(HWNAS_SOURCE_DIR "/tests/data/latency_pointwise_tiny.json");
}

/// {loss, task loss, complexity, latency in ms} of every step, out of the running means.
std::vector<double> trace_of(TrainerOptions options, const Device& device) {
    std::vector<double> trace, before(5, 0.0);
    options.on_step = [&](const TrainingProgress& progress) {
        auto sums = progress.metrics();
        for (double& x : sums) x *= static_cast<double>(progress.step);
        if (progress.step == 1) before.assign(5, 0.0);
        for (const std::size_t i : {0u, 2u, 3u, 4u}) trace.push_back(sums[i] - before[i]);
        before = sums;
        return true;
    };
    tiny_trainer(tiny_space(), device, std::move(options), stored_table()).fit(shades(128, 1, 10));
    return trace;
}
/// All that training changes, as bytes.
std::vector<std::pair<std::string, std::string>> bytes_of(const std::vector<NamedTensor>& state) {
    std::vector<std::pair<std::string, std::string>> result;
    for (const auto& [name, tensor] : state)
        std::visit(
            [&](const auto& t) {
                const auto values = t.to_vector();
                result.emplace_back(
                    name, std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof values[0]));
            },
            tensor);
    return result;
}
void check_same(const std::vector<std::pair<std::string, std::string>>& a,
                const std::vector<std::pair<std::string, std::string>>& b) {
    REQUIRE(a.size() == b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
        INFO(a[i].first);
        CHECK(a[i].first == b[i].first);
        CHECK((a[i].second == b[i].second));
    }
}

}  // namespace

TEST_CASE("trainer: the trace of a tiny search is the stored one", "[train]") {
    // HWNAS_WRITE_TRACES=1 writes the file anew; do so only when the method itself has changed.
    const std::string path = HWNAS_SOURCE_DIR "/tests/data/trace_tiny.json";
    nlohmann::json written;
    for (const auto mode : modes) {
        INFO(search_mode_name(mode));
        const TrainerOptions options{.epochs = 3,
                                     .batch = 32,
                                     .mode = mode,
                                     .learning_rate = 2e-3,
                                     .hyper_learning_rate = 3e-3,
                                     .hyper_warmup = 0.25,
                                     .complexity_weight = 1,
                                     .complexity_curvature = 0.5,
                                     .latency_weight = 0.5,
                                     .logit_penalty = 0.01,
                                     .label_smoothing = 0.1};
        const auto trace = trace_of(options, test_device(1));
        REQUIRE(trace.size() == 4 * 12);
        written[search_mode_name(mode)] = trace;
        if (std::getenv("HWNAS_WRITE_TRACES")) continue;
        const auto stored = io::read_json(path)[search_mode_name(mode)].get<std::vector<double>>();
        REQUIRE(stored.size() == trace.size());
        for (const auto isa : {cpu::best_isa(), cpu::Isa::portable}) {
            INFO(cpu::isa_name(isa));
            const auto found = trace_of(options, test_device(1, isa));
            for (std::size_t i = 0; i < trace.size(); ++i) {
                INFO("step " << i / 4 << ", number " << i % 4);
                CHECK(std::abs(found[i] - stored[i]) <= 1e-4 * std::abs(stored[i]));
            }
        }
    }
    if (std::getenv("HWNAS_WRITE_TRACES")) std::ofstream(path) << written.dump() << "\n";
}

TEST_CASE("trainer: spaces with other primitives train to the same bits at 1, 2 and 5 threads", "[train]") {
    const auto data = shades(96, 1, 10);
    const SpaceOptions options{.image = {8, 8, 1}, .classes = 10, .channels = 4};
    for (const auto& space : {SearchSpace::paper(options), SearchSpace::separable(options)}) {
        INFO(space.name());
        const auto train = [&](int threads) {
            auto trainer = tiny_trainer(space, test_device(threads), {.epochs = 2, .batch = 32}, made_up_table(space));
            trainer.fit(data);
            CHECK(trainer.steps_done() == 6);
            return bytes_of(trainer.state());
        };
        const auto one = train(1);
        check_same(train(2), one);
        check_same(train(5), one);
    }
}

TEST_CASE("trainer: the same bits at 1, 2 and 5 threads, and after a stop", "[train]") {
    const auto data = shades(96, 1, 10);
    for (const auto mode : modes)
        for (const bool per_image : {false, true}) {
            if (per_image && mode == SearchMode::single_path) continue;
            INFO(search_mode_name(mode) << (per_image ? ", a draw per image" : ""));
            TrainerOptions options{
                .epochs = 2, .batch = 32, .mode = mode, .draw_per_image = per_image, .weight_decay = 1e-3};
            const auto train = [&](int threads) {
                auto trainer = tiny_trainer(tiny_space(), test_device(threads), options, stored_table());
                trainer.fit(data);
                CHECK(trainer.finished());
                return bytes_of(trainer.state());
            };
            const auto one = train(1);
            check_same(train(2), one);
            check_same(train(5), one);

            // Stopped inside the second epoch, carried over by state(), gone on with.
            options.on_step = [](const TrainingProgress& progress) { return progress.epoch == 0 || progress.step < 2; };
            auto first = tiny_trainer(tiny_space(), test_device(2), options, stored_table());
            first.fit(data);
            CHECK(first.steps_done() == 5);
            CHECK_FALSE(first.finished());
            options.on_step = {};
            auto second = tiny_trainer(tiny_space(), test_device(1), options, stored_table());
            second.begin(data);
            const auto from = first.state(), to = second.state();
            for (std::size_t i = 0; i < from.size(); ++i)
                std::visit(
                    [&](const auto& t) { std::get<std::decay_t<decltype(t)>>(to[i].tensor).assign(t.to_vector()); },
                    from[i].tensor);
            second.fit();
            check_same(bytes_of(second.state()), one);
        }
}

TEST_CASE("trainer: one run for every latency weight", "[train]") {
    const auto data = shades(96, 1, 10);
    const auto conditioned = [&](int threads, TrainerOptions options, HyperNetForm form = HyperNetForm::mlp) {
        const auto device = test_device(threads);
        return SingleLevelTrainer<SuperNet>(
            SuperNet(tiny_space(), device, seed(42)),
            HyperNet(tiny_space(), device, seed(42), {.form = form, .hidden = 32, .latency_weight = true}),
            LatencyModel(tiny_space(), stored_table()), std::move(options));
    };
    TrainerOptions options{.epochs = 2, .batch = 32, .latency_weight = 2};
    for (const auto form : {HyperNetForm::mlp, HyperNetForm::pivots}) {
        options.on_step = {};
        auto whole = conditioned(1, options, form);
        whole.fit(data);
        const auto one = bytes_of(whole.state());
        for (const int threads : {2, 5}) {
            auto other = conditioned(threads, options, form);
            other.fit(data);
            check_same(bytes_of(other.state()), one);
        }
        options.on_step = [](const TrainingProgress& progress) { return progress.epoch == 0 || progress.step < 2; };
        auto first = conditioned(2, options, form);
        first.fit(data);
        options.on_step = {};
        auto second = conditioned(1, options, form);
        second.begin(data);
        const auto from = first.state(), to = second.state();
        for (std::size_t i = 0; i < from.size(); ++i)
            std::visit([&](const auto& t) { std::get<std::decay_t<decltype(t)>>(to[i].tensor).assign(t.to_vector()); },
                       from[i].tensor);
        second.fit();
        check_same(bytes_of(second.state()), one);
    }

    // Nothing but latency in the loss: the larger its weight, the faster the network, in one run.
    auto trainer = conditioned(1, {.epochs = 40,
                                   .batch = 32,
                                   .hyper_learning_rate = 2e-2,
                                   .hyper_warmup = 0,
                                   .complexity_weight = 1,
                                   .complexity_curvature = 1,
                                   .latency_weight = 3,
                                   .task = no_task()});
    const auto family = trainer.fit(shades(128, 1, 10));
    CHECK(family.conditioned_on_latency());
    CHECK(family.largest_latency_weight() == 3);
    const auto s = uniform_complexity(3);
    const auto expected = [&](double kappa) {
        const auto gamma = family.mixture(s, kappa);
        const auto rows = static_cast<std::int64_t>(family.architecture().rows());
        return family.latency()
            ->expected(Variable<float>(Tensor<float>::from(std::vector<float>(gamma.begin(), gamma.end()), {1, rows, 3},
                                                           family.supernet().device())))
            .value()
            .item();
    };
    CHECK(expected(1.5) < 0.99 * expected(0));
    CHECK(expected(3) < 0.99 * expected(1.5));
    CHECK(family.latency()->predict(family.at(s, 3)) <= family.latency()->predict(family.at(s, 0)));
    CHECK(family.at(s) == family.at(s, 1.5));
    CHECK_THROWS_WITH(family.at(s, 3.5), "family: latency weight 3.5 is outside 0 to 3, what the search drew");
    std::set<double> weights;
    for (const auto& member : family.sweep({.samples = 200, .points = 10})) {
        weights.insert(member.latency_weight.value());
        CHECK(family.at(member.complexity, member.latency_weight) == member.genotype);
    }
    CHECK(weights.size() >= 3);
    CHECK_THROWS_WITH(conditioned(1, {.latency_weight = 0}),
                      "trainer: the hypernetwork is conditioned on the latency "
                      "weight, of which latency_weight 0 leaves nothing");
}

TEST_CASE("trainer: a search of `pointwise` at batch 256 takes less than 800 MB", "[train]") {
    const auto space = SearchSpace::pointwise({.image = {28, 28, 1}, .classes = 10, .channels = 16});
    for (const int threads : {1, 2}) {
        auto trainer = tiny_trainer(space, test_device(threads), {.batch = 256, .latency_weight = 0});
        trainer.begin(shades(256, 1, 10, 28));
        CHECK(trainer.program().memory() < 700e6);  // parameters, data and the program itself are a few MB
        CHECK(trainer.program().memory() > 100e6);  // of a whole step, that is
    }
}

TEST_CASE("trainer: a step of full size has the same bits at 1, 2 and 5 threads", "[train]") {
    // Here most kernels work in several pieces at once, as they do not in the tiny searches; races would show.
    const auto space =
        SearchSpace::pointwise({.image = {28, 28, 1}, .classes = 10, .channels = 16, .cells = 2, .nodes = 2});
    Dataset data = shades(16, 1, 10, 28);
    const auto train = [&](int threads) {
        auto trainer = tiny_trainer(space, test_device(threads), {.epochs = 2, .batch = 16, .latency_weight = 0});
        trainer.fit(data);
        return bytes_of(trainer.state());
    };
    const auto one = train(1);
    check_same(train(2), one);
    check_same(train(5), one);
}

TEST_CASE("trainer and fit: a device that is not the CPU is read at the end of an epoch and where asked", "[train]") {
    const std::int64_t steps = 120;
    const auto counting = std::make_shared<CountingBackend>();
    const auto space = smallest_space();
    const auto data = shades(steps * 2, 1);
    std::vector<int> reads;  // since the step before
    bool ask = false;
    const auto on_step = [&](const TrainingProgress& progress) {
        if (ask && progress.step == 7) CHECK(std::isfinite(progress.metrics()[0]));
        reads.push_back(std::exchange(counting->reads, 0));
        return true;
    };
    const auto check = [&](auto&& train) {
        for (const bool asked : {false, true}) {
            ask = asked;
            reads.clear();
            train(Device(counting));
            REQUIRE(reads.size() == 2 * steps);
            reads[0] = 0;  // the state that the training begins with
            for (std::int64_t i = 0; i < 2 * steps; ++i) {
                INFO("step " << i);
                CHECK(reads[static_cast<std::size_t>(i)] == (i % steps == steps - 1 || (asked && i % steps == 6)));
            }
        }
    };
    check([&](const Device& device) {
        tiny_trainer(space, device, {.epochs = 2, .batch = 2, .latency_weight = 0, .on_step = on_step}).fit(data);
    });
    const auto network_on = [&](const Device& device) {
        return Network(space, Genotype::from_choices(space.architecture(), {0, 1, 2, 0, 1}), device, seed(1));
    };
    check([&](const Device& device) { fit(network_on(device), data, {.epochs = 2, .batch = 2, .on_step = on_step}); });

    // A loss that is lost stops the CPU at step 100, and the other at the end of its epoch.
    for (const bool on_cpu : {true, false}) {
        const Device device = on_cpu ? test_device(1) : Device(counting);
        for (const bool search : {true, false}) {
            int seen = 0;
            const auto count = [&](const TrainingProgress&) { return ++seen > 0; };
            if (search) {
                auto trainer =
                    tiny_trainer(space, device, {.epochs = 1, .batch = 2, .latency_weight = 0, .on_step = count});
                trainer.supernet().state().parameters[0].variable.value().assign(std::nanf(""));
                CHECK_THROWS_WITH(trainer.fit(data), ContainsSubstring("not finite in epoch 1"));
            } else {
                const auto network = network_on(device);
                network.state().parameters[0].variable.value().assign(std::nanf(""));
                CHECK_THROWS_WITH(fit(network, data, {.epochs = 1, .batch = 2, .on_step = count}),
                                  ContainsSubstring("not finite in epoch 1"));
            }
            CHECK(seen == (on_cpu ? 99 : steps - 1));
        }
    }
}

TEST_CASE("trainer: options that cannot work", "[train]") {
    const auto device = test_device(1);
    const auto space = smallest_space();
    const auto data = shades(40, 1);
    const auto make = [&](TrainerOptions options) { return tiny_trainer(space, device, std::move(options)); };
    const TrainerOptions plain{.epochs = 1, .batch = 8, .latency_weight = 0};
    const auto with = [&](auto&& change) {
        auto options = plain;
        change(options);
        return options;
    };
    CHECK_THROWS_WITH(make(with([](auto& o) { o.temperature_end = 0; })),
                      "trainer: temperature from 1 to 0 reaches 0; Gumbel-Softmax needs it above 0");
    CHECK_THROWS_WITH(make(with([](auto& o) { o.temperature_start = -1; })),
                      "trainer: temperature from -1 to 0.2 reaches 0; Gumbel-Softmax needs it above 0");
    CHECK_THROWS_WITH(make(with([](auto& o) { o.hyper_learning_rate = 0; })),
                      "trainer: hyper_learning_rate 0 is not above 0");
    CHECK_THROWS_WITH(make(with([](auto& o) { o.complexity_weight = -1, o.logit_penalty = 0.01; })),
                      "trainer: complexity_weight -1, latency_weight 0 and logit_penalty 0.01 must not be negative");
    CHECK_THROWS_WITH(make(with([](auto& o) { o.hyper_warmup = 1; })),
                      "trainer: hyper_warmup 1 is not in 0 to 1 (1 excluded)");
    CHECK_THROWS_WITH(make(with([](auto& o) { o.complexity_curvature = 1.5; })),
                      "trainer: complexity_curvature 1.5 is not in 0 to 1");
    CHECK_THROWS_WITH(make(with([](auto& o) { o.latency_weight = 0.1; })),
                      "trainer: latency_weight 0.1 needs a LatencyModel");
    CHECK_THROWS_WITH(make(with([](auto& o) { o.complexity_cost = ComplexityCost::latency; })),
                      "complexity cost: latency needs a LatencyModel");
    CHECK_THROWS_WITH(make(with([](auto& o) { o.mode = SearchMode::single_path, o.draw_per_image = true; })),
                      "trainer: single_path draws once a batch, not per image");
    CHECK_THROWS_WITH(make(with([](auto& o) { o.epochs = 0; })).fit(data), "trainer: 0 epochs; at least 1 is needed");
    CHECK_THROWS_WITH(make(with([](auto& o) { o.batch = 1; })).fit(data),
                      "trainer: batch 1; batch norm needs at least 2");
    CHECK_THROWS_WITH(make(with([](auto& o) { o.batch = 41; })).fit(data),
                      "trainer: batch 41 is larger than the 40 training examples");
    CHECK_THROWS_WITH(make(with([](auto& o) { o.learning_rate = 0; })).fit(data),
                      "trainer: learning rate 0 is not above 0");
    CHECK_THROWS_WITH(make(plain).fit(), "trainer: fit() without data; call begin(train) first, or fit(train)");
    CHECK_THROWS_WITH(make(plain).family(), "trainer: family() before fit()");
    CHECK_THROWS_WITH(SingleLevelTrainer(SuperNet(space, device), HyperNet(4, 3, device), std::nullopt, plain),
                      "trainer: the supernet has 5 rows of 3 primitives, the hypernetwork 4 of 3");
    CHECK_THROWS_WITH(make(plain).fit(dataset_from_tensors(std::vector<float>(10 * 81), std::vector<std::int32_t>(10),
                                                           {.image = {9, 9, 1}, .classes = 4})),
                      "supernet: input has shape [8, 9, 9, 1], expected [N, 8, 8, 1]");
    CHECK_THROWS_WITH(make(with([](auto& o) {
                          o.task = no_task(), o.task.loss = [](const auto& outputs, const auto&) { return outputs; };
                      })).fit(data),
                      "trainer: the task loss has shape [8, 4], expected one element");
    auto poisoned = make(plain);
    poisoned.supernet().state().parameters[0].variable.value().assign(std::nanf(""));
    CHECK_THROWS_WITH(poisoned.fit(data),
                      "trainer: the loss is not finite in epoch 1 (learning rate 0.002 too high, or values that are "
                      "not finite in the data)");
}

}  // namespace train_trainer_test
