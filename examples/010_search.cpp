// SPDX-License-Identifier: MIT
// The whole thing: one search for a family of networks, then the best of them within a budget, trained and exported.
// On the 55,000 images this takes a while; HWNAS_EXAMPLE_FAST=1 shows the same in seconds, on too little data to be any
// good.
#include "short_run.hpp"

#include <hwnas/hwnas.hpp>
#include <hwnas/io/fashion_mnist.hpp>
#include <hwnas/io/onnx.hpp>

int main() try {
    const auto device = hwnas::cpu::device({.threads = 2});  // or hwnas::cuda::device(0): the only line that changes
    const auto data = example::shortened(
        hwnas::io::fashion_mnist({.validation = 5'000}));  // .train 55,000  .validation 5,000  .test 10,000
    const auto space = hwnas::SearchSpace::pointwise(
        {.image = {.height = 28, .width = 28, .channels = 1}, .classes = 10, .channels = 16});
    const hwnas::LatencyTable table =
        hwnas::profile(space, device, example::timing());  // plain data: save it, load another device's

    hwnas::SuperNet supernet{space, device, hwnas::seed(42)};  // a named random stream per object: one seed for all
    hwnas::HyperNet hypernet{space, device, hwnas::seed(42)};
    hwnas::SingleLevelTrainer trainer{
        std::move(supernet), std::move(hypernet), hwnas::LatencyModel{space, table}, {.epochs = example::epochs(20)}};
    hwnas::Family family = trainer.fit(data.train);  // owns all it needs

    const hwnas::Budget budget = example::loosened({.latency_ms = 0.4, .parameters = 30'000});
    hwnas::Choice best = family.best(budget, data.validation);  // or throws InfeasibleBudget, carrying the smallest
    fmt::print("{}\n{:.3f} ms predicted, {:.3f} measured, {} parameters\n", best.genotype, best.predicted_ms,
               *best.measured_ms, best.parameters);
    hwnas::fit(best.network, data.train, {.epochs = example::epochs(30)});
    hwnas::io::write_onnx(best.network, "fashion.onnx");
    fmt::print("{:.1f} % of the test images, fashion.onnx written\n",
               100 * hwnas::evaluate(best.network, data.test).metric);
} catch (const hwnas::InfeasibleBudget& error) {
    fmt::print("{}\nits genotype: {}\n", error.what(), error.smallest);
} catch (const hwnas::Error& error) {
    return example::report(error);
}
