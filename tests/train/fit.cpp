// SPDX-License-Identifier: MIT
#include "support/modules.hpp"
#include "support/shades.hpp"

#include <hwnas/train/fit.hpp>

namespace train_fit_test {

using namespace hwnas;
using namespace hwnas::testing;
using Catch::Matchers::ContainsSubstring;

namespace {

Network fresh(const Device& device, std::int64_t outputs = 4) {
    const auto space =
        SearchSpace::pointwise({.image = {8, 8, 1}, .classes = outputs, .channels = 4, .cells = 2, .nodes = 2});
    const auto& a = space.architecture();
    return {space, Genotype::from_choices(a, random_choices(a.rows(), a.k(), 2)), device, seed(3)};
}

}  // namespace

TEST_CASE("fit: learns a separable set", "[train]") {
    const auto device = test_device(1);
    const auto network = fresh(device);
    const auto train = shades(512, 1), test = shades(200, 2);
    CHECK(evaluate(network, test).metric < 0.6);
    int steps = 0;
    const auto result =
        fit(network, train, {.epochs = 6, .batch = 32, .on_step = [&](const TrainingProgress& progress) {
                                 ++steps;
                                 CHECK(progress.steps == 16);
                                 CHECK(progress.epochs == 6);
                                 CHECK(progress.metrics().size() == 2);
                                 return true;
                             }});
    CHECK(steps == 96);
    CHECK(result.finished);
    CHECK(result.metric > 0.97);
    CHECK(evaluate(network, test).metric > 0.97);
    // The same seed, the same bits, at any number of threads.
    const auto bits = [&](int threads) {
        const auto other = fresh(test_device(threads));
        fit(other, train, {.epochs = 1, .batch = 64});
        std::vector<std::vector<float>> values;
        for (const auto& p : other.state().parameters) values.push_back(p.variable.value().to_vector());
        return values;
    };
    const auto one = bits(1);
    CHECK(bits(2) == one);
    CHECK(bits(5) == one);
}

TEST_CASE("fit: stops when asked, and tells bad options and losses", "[train]") {
    const auto device = test_device(1);
    const auto network = fresh(device);
    auto train = shades(64, 1);
    int steps = 0;
    CHECK_FALSE(
        fit(network, train, {.epochs = 3, .batch = 16, .on_step = [&](const TrainingProgress&) { return ++steps < 5; }})
            .finished);
    CHECK(steps == 5);
    CHECK_THROWS_WITH(fit(network, train, {.epochs = 0}), "fit: 0 epochs; at least 1 is needed");
    CHECK_THROWS_WITH(fit(network, train, {.batch = 1}), "fit: batch 1; batch norm needs at least 2");
    CHECK_THROWS_WITH(fit(network, train, {.batch = 65}), "fit: batch 65 is larger than the 64 training examples");
    CHECK_THROWS_WITH(fit(network, train, {.learning_rate = 0}), "fit: learning rate 0 is not above 0");
    CHECK_THROWS_WITH(fit(network, train, {.batch = 16, .label_smoothing = 1.0}),
                      "cross_entropy: label smoothing 1 is not in [0, 1)");
    network.state().parameters[0].variable.value().assign(std::nanf(""));
    CHECK_THROWS_WITH(fit(network, train, {.epochs = 2, .batch = 16, .learning_rate = 0.5}),
                      "fit: the loss is not finite in epoch 1 (learning rate 0.5 too high, or values that are not "
                      "finite in the data)");
}

TEST_CASE("fit: every part of the recipe, deterministic at any number of threads", "[train]") {
    const auto train = shades(256, 1), test = shades(200, 2);
    const FitOptions plain{.epochs = 12, .batch = 32, .label_smoothing = 0};
    const auto bits = [&](int threads, const FitOptions& options) {
        const auto network = fresh(test_device(threads));
        CHECK(fit(network, train, options).finished);
        std::vector<float> values;
        for (const auto& p : network.state().parameters)
            for (const float x : p.variable.value().to_vector()) values.push_back(x);
        for (const auto& b : network.state().buffers)
            for (const float x : b.tensor.to_vector()) values.push_back(x);
        return std::pair(values, evaluate(network, test).metric);
    };
    const auto with = [&](auto change) {
        auto options = plain;
        change(options);
        return options;
    };
    const auto before = bits(1, plain);
    CHECK(before.second > 0.9);
    for (const auto& options :
         {with([](auto& o) { o.augment.shift = 1; }), with([](auto& o) { o.augment.flip = true; }),
          with([](auto& o) { o.augment.erase = 0.5; }), with([](auto& o) { o.warmup = 0.5; }),
          with([](auto& o) { o.label_smoothing = 0.1; }), with([](auto& o) { o.average = 0.9; })}) {
        const auto one = bits(1, options);
        CHECK((one.first != before.first));
        CHECK(one.second > 0.7);  // it learns: by chance 0.25
        CHECK((bits(2, options).first == one.first));
        CHECK((bits(5, options).first == one.first));
    }
    const auto all = with([](auto& o) { o.augment = {.shift = 1, .flip = true, .erase = 0.3}, o.average = 0.9; });
    CHECK((bits(2, all).first == bits(1, all).first));
    CHECK((bits(1, with([&](auto& o) { o = all, o.seed = seed(2); })).first != bits(1, all).first));

    const auto network = fresh(test_device(1));
    CHECK_THROWS_WITH(fit(network, train, {.average = 1}), "fit: average 1 is not in 0 to 1 (1 excluded)");
    CHECK_THROWS_WITH(fit(network, train, {.epochs = 3, .warmup = 3}), "fit: 3 epochs of warm-up are not in 0 to 3");
    CHECK_THROWS_WITH(fit(network, train, {.epochs = 3, .batch = 32, .augment = {.shift = 8}}),
                      "augment: a shift of up to 8 pixels in images of 8 x 8");
}

TEST_CASE("fit: the average of the weights is what it says", "[train]") {
    // The weights after every step, averaged on the host.
    const auto train = shades(96, 1);
    const double decay = 0.8;
    const auto device = test_device(1);
    const auto averaged = fresh(device), followed = fresh(device);
    fit(averaged, train, {.epochs = 2, .batch = 32, .average = decay});
    std::vector<double> sum;
    double weight = 0;
    fit(followed, train, {.epochs = 2, .batch = 32, .on_step = [&](const TrainingProgress&) {
                              std::size_t i = 0;
                              for (const auto& p : followed.state().parameters)
                                  for (const float x : p.variable.value().to_vector()) {
                                      if (i == sum.size()) sum.push_back(0);
                                      sum[i] = decay * sum[i] + (1 - decay) * static_cast<double>(x), ++i;
                                  }
                              weight = decay * weight + (1 - decay);
                              return true;
                          }});
    std::size_t i = 0;
    double worst = 0;
    for (const auto& p : averaged.state().parameters)
        for (const float x : p.variable.value().to_vector())
            worst = std::max(worst, std::abs(static_cast<double>(x) - sum[i++] / weight));
    CHECK(i == sum.size());
    CHECK(worst < 1e-5);
    // Its batch norms have statistics of its own: recalibrating changes nothing.
    const auto found = evaluate(averaged, train).loss;
    recalibrate(averaged, train);
    CHECK(evaluate(averaged, train).loss == found);
}

TEST_CASE("task: a loss is enough, and its mean is then what is reported", "[train]") {
    const auto device = test_device(1);
    const auto network = fresh(device, 1);
    auto data = shades(96, 1);
    const Task only_loss{.loss = [](const auto& outputs, const auto& batch) {
        return mean_squared_error(outputs,
                                  Variable<float>(Tensor<float>::full(outputs.shape(), 0.25f, batch.inputs.device())));
    }};
    const auto result = fit(network, data, {.epochs = 2, .batch = 32, .task = only_loss});
    CHECK(result.metric == result.loss);
    const auto evaluation = evaluate(network, data, only_loss);
    CHECK(evaluation.metric == evaluation.loss);
    CHECK_FALSE(only_loss.checked("test").higher_is_better);
    CHECK(only_loss.checked("test").metric_name == "loss");
    CHECK_THROWS_WITH(evaluate(network, data, Task{}), "evaluate: the task has no loss");
}

TEST_CASE("fit and recalibrate refuse a folded network", "[train]") {
    const auto device = test_device(1);
    auto network = fresh(device);
    const auto data = shades(64, 1);
    const auto before = evaluate(network, data);
    network.fold();
    const char* says =
        "network: its batch norms are folded, it can only be evaluated; clone() it before fold() to train";
    CHECK_THROWS_WITH(fit(network, data, {.epochs = 1, .batch = 32}), says);
    CHECK_THROWS_WITH(recalibrate(network, data), says);
    CHECK_THROWS_WITH(
        network.clone().forward(Variable<float>(Tensor<float>::full({2, 8, 8, 1}, 0, device)), Phase::train), says);
    CHECK_THROWS_WITH(network.inherit(fresh(device).state()), "network: its batch norms are folded, it cannot inherit");
    CHECK(std::abs(evaluate(network, data).loss - before.loss) <= 1e-5 * before.loss);
}

TEST_CASE("task: regression on float targets", "[train]") {
    const auto device = test_device(1);
    const auto network = fresh(device, 2);
    const auto make = [](std::int64_t count, std::uint64_t seed) {  // two bits of the shade, -1 or 1
        auto data = shades(count, seed);
        std::vector<float> targets;
        for (const auto label : data.labels)
            targets.push_back(label / 2 ? 1.0f : -1.0f), targets.push_back(label % 2 ? 1.0f : -1.0f);
        return dataset_from_tensors(data.values, targets, {.name = "bits", .image = {8, 8, 1}});
    };
    const auto train = make(512, 1), test = make(128, 2);
    const auto task = regression<float>();
    CHECK_FALSE(task.higher_is_better);
    CHECK(task.metric_name == "squared error");
    const auto before = evaluate(network, test, task);
    CHECK(before.loss == before.metric);
    CHECK(before.metric > 0.5);
    fit(network, train, {.epochs = 8, .batch = 32, .task = task});
    CHECK(evaluate(network, test, task).metric < 0.1);
    CHECK_THROWS_WITH(evaluate(network, shades(8, 1), task),
                      ContainsSubstring("mean_squared_error: target has no value"));
    CHECK_THROWS_WITH(evaluate(network, test), ContainsSubstring("cross_entropy: labels have no value"));
}

TEST_CASE("adam: parameters move into one block and all handles follow", "[train]") {
    const auto device = test_device(1);
    const Initializer<float> init(device, seed(1));
    const auto a = init.normal("a", {3, 5}, 1), b = init.normal("b", {17}, 1), c = init.constant("c", {}, 2);
    const auto handle = a.variable;
    const auto values = a.variable.value().to_vector();
    const float* const before = a.variable.value().data();
    const Adam<float> adam({a, b, c});
    CHECK(a.variable.value().data() != before);
    CHECK(handle.value().data() == a.variable.value().data());
    CHECK(handle.value().to_vector() == values);
    CHECK(c.variable.value().item() == 2.0f);
    CHECK(b.variable.value().data() - a.variable.value().data() == 16);  // 15 elements and one of padding
    adam.zero_grad();
    backward(add(add(sum(multiply(handle, handle)), sum(b.variable)), c.variable));
    const auto rate = Tensor<float>::scalar(0.1f, device);
    const auto step = Tensor<std::int64_t>::scalar(0, device);
    adam.step(rate, step);
    // The first step of Adam is the learning rate against the sign of the gradient.
    const auto moved = a.variable.value().to_vector();
    for (std::size_t i = 0; i < moved.size(); ++i)
        CHECK(std::abs(moved[i] - (values[i] - (values[i] > 0 ? 0.1f : -0.1f))) < 1e-4f);
    CHECK(std::abs(c.variable.value().item() - 1.9f) < 1e-5f);
    std::vector<NamedTensor> state;
    adam.collect(state, "net");
    REQUIRE(state.size() == 9);
    CHECK(state[1].name == "net/adam_m/a");
    CHECK(state[2].name == "net/adam_v/a");
    CHECK(std::get<Tensor<float>>(state[0].tensor).to_vector() == moved);
    CHECK(std::get<Tensor<float>>(state[1].tensor).shape() == Shape{3, 5});
    CHECK_THROWS_WITH(Adam<float>({a, a}), "adam: two parameters are named \"a\"");
    CHECK_THROWS_WITH(Adam<float>(std::vector<Parameter<float>>{}), "adam: no parameters given");
}

}  // namespace train_fit_test
