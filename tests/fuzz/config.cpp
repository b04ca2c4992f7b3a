// SPDX-License-Identifier: MIT
// read_config of fashion_mnist: options that were read are those that would be written.
#include "fuzz.hpp"

#include "../../examples/fashion_mnist/run_directory.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    return fuzz::run(data, size, 400, [](std::string_view bytes) {
        app::SearchConfig config;
        app::Surroundings around;
        app::read_config(fuzz::file_of(bytes), config, around);
        fuzz::expect(config.epochs >= 1 && config.batch >= 2 && config.channels >= 1, "an option out of its range");
        const auto json = app::config_json(config);
        fuzz::expect(json["seed"] == config.seed && json["space"] == config.space, "options that do not come back");
    });
}
