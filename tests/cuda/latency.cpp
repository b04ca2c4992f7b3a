// SPDX-License-Identifier: MIT
// Latency tables and measurements on the device. In emulation the times mean nothing, but every unit has one.
#include "cuda/device_under_test.hpp"
#include "latency/space_table.hpp"

#include <hwnas/latency/profiler.hpp>

namespace cuda_latency_test {

using namespace hwnas;
using namespace hwnas::testing;

TEST_CASE("profile on the device times every unit of a space, 64 images at a time unless told otherwise",
          "[cuda][long]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const char* name : {"pointwise", "separable"}) {
        INFO(name);
        const auto space = SearchSpace::named(
            name, emulated() ? SpaceOptions{.image = {4, 4, 1}, .classes = 3, .channels = 2, .cells = 2, .nodes = 1}
                             : SpaceOptions{});
        ProfileOptions options{.repeats = emulated() ? 1 : 20, .warmup = 1, .seconds = 5, .networks = 1};
        if (emulated()) options.batch = 2;
        const auto table = profile(space, device, options);
        CHECK(table.batch == (emulated() ? 2 : 64));
        CHECK(table.backend == device.name());
        CHECK(table.device == device.backend().description());
        for (const auto& row : table.rows) {
            INFO(row.unit);
            CHECK(row.median >= 0);
            CHECK(row.count > 0);
        }
        const LatencyModel model(space, table);  // complains of a unit that is missing
        std::vector<int> choices(static_cast<std::size_t>(space.architecture().rows()), 0);
        const auto genotype = Genotype::from_choices(space.architecture(), choices);
        const double predicted = model.predict(genotype);
        const auto measured = measure(Network(space, genotype, device),
                                      {.batch = table.batch, .repeats = options.repeats, .warmup = 1, .seconds = 5});
        CHECK(predicted > 0);
        CHECK(measured.median > 0);
        if (!emulated()) CHECK(std::abs(predicted - measured.median) <= 0.25 * measured.median);
    }
}

}  // namespace cuda_latency_test
