// SPDX-License-Identifier: MIT
// A primitive of your own takes part in a search like any other: it is drawn, timed, penalised and exported by its
// name.
#include "short_run.hpp"

#include <hwnas/hwnas.hpp>

int main() try {
    // A 5x5 depthwise convolution with holes. It has a name, says what it owns at a site, and is a callable on
    // variables, which the library instantiates for float and double.
    const hwnas::Primitive dilated_conv(
        "dilated_conv_5x5",
        [](const hwnas::Site& site) {
            return hwnas::PrimitiveState{.weights = {{"weight", {5, 5, site.channels}, 0.2}}};
        },
        [](const auto& x, const auto& parameters, const hwnas::Site& site, hwnas::Phase) {
            return hwnas::depthwise_conv(x, parameters.weight(0), {.stride = site.stride, .dilation = 2});
        },
        {.convolution = true});  // the nodes it feeds mix their channels
    const auto space = hwnas::SearchSpace::pointwise({.channels = 8, .additional = {dilated_conv}});

    const auto device = hwnas::cpu::device({.threads = 2});
    const auto data = example::shortened(hwnas::io::fashion_mnist());
    const hwnas::LatencyModel latency{space, hwnas::profile(space, device, example::timing())};
    hwnas::SingleLevelTrainer trainer{hwnas::SuperNet{space, device, hwnas::seed(1)},
                                      hwnas::HyperNet{space, device, hwnas::seed(1)},
                                      latency,
                                      {.epochs = example::epochs(5)}};
    const hwnas::Family family = trainer.fit(data.train);

    // Raising the penalty of a primitive drives it out of the architecture.
    const int k = family.architecture().k(), mine = family.architecture().index("dilated_conv_5x5");
    for (const double penalty : {0.0, 0.25, 0.5, 1.0}) {
        const auto genotype = family.at(hwnas::penalised(k, mine, penalty));
        const auto counts = genotype.counts();
        const auto count = counts.find("dilated_conv_5x5");
        fmt::print("penalty {:.2f}: {} of 28 edges, {:.3f} ms   {}\n", penalty,
                   count == counts.end() ? 0 : count->second, latency.predict(genotype), genotype);
    }
} catch (const hwnas::Error& error) {
    return example::report(error);
}
