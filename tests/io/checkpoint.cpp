// SPDX-License-Identifier: MIT
// Checkpoints and saved networks: the same bits back, and every kind of damage refused before anything is assigned.
#include <hwnas/io/checkpoint.hpp>

#include <limits>

#include "io/temporary_directory.hpp"
#include "support/catch.hpp"

namespace io_checkpoint_test {

namespace {

namespace io = hwnas::io;
using hwnas::NamedTensor;
using hwnas::Tensor;
using hwnas_test::error_of;
using hwnas_test::TemporaryDirectory;

const hwnas::Device& device() {
    static const auto made = hwnas::cpu::device({.threads = 1});
    return made;
}

std::vector<NamedTensor> state(float value) {
    return {{"w", Tensor<float>::full({2, 3}, value, device())},
            {"sums", Tensor<double>::full({5}, static_cast<double>(value) / 3, device())},
            {"step", Tensor<std::int64_t>::scalar(static_cast<std::int64_t>(value), device())}};
}

std::vector<float> floats(const std::vector<NamedTensor>& all) {
    return std::get<Tensor<float>>(all[0].tensor).to_vector();
}

/// True while every value is what state(value) made it.
bool untouched(const std::vector<NamedTensor>& all, float value) {
    return floats(all) == floats(state(value)) &&
           std::get<Tensor<double>>(all[1].tensor).to_vector() ==
               std::vector<double>(5, static_cast<double>(value) / 3) &&
           std::get<Tensor<std::int64_t>>(all[2].tensor).item() == static_cast<std::int64_t>(value);
}

hwnas::SearchSpace tiny(std::int64_t channels = 4) {
    return hwnas::SearchSpace::pointwise({.image = {.height = 8, .width = 8, .channels = 1},
                                          .classes = 3,
                                          .channels = channels,
                                          .cells = 2,
                                          .nodes = 2});
}

hwnas::Network network(const hwnas::SearchSpace& space, std::uint64_t seed) {
    std::vector<int> choices(static_cast<std::size_t>(space.architecture().rows()));
    for (std::size_t i = 0; i < choices.size(); ++i) choices[i] = static_cast<int>(i % 3);
    return {space, hwnas::Genotype::from_choices(space.architecture(), choices), device(), hwnas::seed(seed)};
}

std::vector<float> weights(const hwnas::Network& net) {
    std::vector<float> all;
    for (const auto& p : net.state().parameters) {
        const auto values = p.variable.value().to_vector();
        all.insert(all.end(), values.begin(), values.end());
    }
    for (const auto& b : net.state().buffers) {
        const auto values = b.tensor.to_vector();
        all.insert(all.end(), values.begin(), values.end());
    }
    return all;
}

}  // namespace

TEST_CASE("a checkpoint gives the same bits back, with its text, and has the same bytes twice", "[io][checkpoint]") {
    const TemporaryDirectory directory;
    const auto saved = state(7);
    const std::vector<float> odd{
        -0.0f, std::numeric_limits<float>::denorm_min(), std::numeric_limits<float>::infinity(), 0.1f, -3, 1e30f};
    std::get<Tensor<float>>(saved[0].tensor).assign(odd);
    io::save_checkpoint(directory / "a", saved, {{"epoch", "3"}, {"config", "{\"x\": 1}"}});
    io::save_checkpoint(directory / "b", saved, {{"epoch", "3"}, {"config", "{\"x\": 1}"}});
    CHECK(io::read_file(directory / "a") == io::read_file(directory / "b"));

    const auto loaded = state(1);
    const auto text = io::load_checkpoint(directory / "a", loaded);
    CHECK(text.at("schema") == "hwnas-checkpoint/1");
    CHECK(text.at("epoch") == "3");
    CHECK(text.at("config") == "{\"x\": 1}");
    CHECK(text == io::checkpoint_metadata(directory / "a"));
    const auto back = floats(loaded);
    CHECK(std::memcmp(back.data(), odd.data(), sizeof(float) * odd.size()) == 0);
    CHECK(std::get<Tensor<double>>(loaded[1].tensor).to_vector() == std::vector<double>(5, 7.0 / 3));
    CHECK(std::get<Tensor<std::int64_t>>(loaded[2].tensor).item() == 7);
    CHECK(directory.entries() == 2);
}

TEST_CASE("a checkpoint cut off or with one bit changed, wherever, is refused and nothing is assigned",
          "[io][checkpoint]") {
    const TemporaryDirectory directory;
    io::save_checkpoint(directory / "a", state(7), {{"epoch", "3"}});
    const std::string whole = io::read_file(directory / "a");
    const auto target = state(1);
    std::size_t accepted = 0, multi_line = 0;
    const auto attempt = [&](const std::string& content) {
        directory.put("b", content);
        const std::string message = error_of(directory, [&] { io::load_checkpoint(directory / "b", target); });
        accepted += message == "no error" || message.rfind("b: ", 0) != 0;
        multi_line += message.find('\n') != std::string::npos;
    };
    for (std::size_t length = 0; length < whole.size(); ++length) attempt(whole.substr(0, length));
    for (std::size_t at = 0; at < whole.size(); ++at) {
        std::string changed = whole;
        changed[at] = static_cast<char>(changed[at] ^ (1 << (at % 8)));
        attempt(changed);
    }
    attempt(whole + "x");
    CHECK(accepted == 0);
    CHECK(multi_line == 0);
    CHECK(untouched(target, 1));

    std::string changed = whole;
    changed.back() = static_cast<char>(changed.back() ^ 1);
    directory.put("b", changed);
    CHECK(error_of(directory, [&] { io::load_checkpoint(directory / "b", target); }) ==
          "b: the content does not match its SHA-256, the file is damaged");
}

TEST_CASE("foreign checkpoints are refused with file and tensor, and nothing is assigned", "[io][checkpoint]") {
    const TemporaryDirectory directory;
    io::save_checkpoint(directory / "a", state(7));
    const auto refused = [&](const std::vector<NamedTensor>& target) {
        return error_of(directory, [&] { io::load_checkpoint(directory / "a", target); });
    };

    auto missing = state(1);
    missing.push_back({"bias", Tensor<float>::full({1}, 1, device())});
    CHECK(refused(missing) == "a: no tensor \"bias\" among its 3, this is the checkpoint of another network");
    CHECK(untouched(missing, 1));

    auto fewer = state(1);
    fewer.erase(fewer.begin() + 1);
    CHECK(refused(fewer) == "a: tensor \"sums\" has no place here, this is the checkpoint of another network");
    CHECK(floats(fewer) == floats(state(1)));

    auto shape = state(1);
    shape[2].tensor = Tensor<std::int64_t>::full({1}, 1, device());
    CHECK(refused(shape) == "a: tensor \"step\" is I64 [], I64 [1] is needed (the checkpoint of another network)");
    CHECK(floats(shape) == floats(state(1)));

    auto dtype = state(1);
    dtype[1].tensor = Tensor<float>::full({5}, 1, device());
    CHECK(refused(dtype) == "a: tensor \"sums\" is F64 [5], F32 [5] is needed (the checkpoint of another network)");
    CHECK(floats(dtype) == floats(state(1)));
}

TEST_CASE("other safetensors files are no checkpoints", "[io][checkpoint]") {
    const TemporaryDirectory directory;
    const auto refused = [&] { return error_of(directory, [&] { io::load_checkpoint(directory / "a", state(1)); }); };
    CHECK(refused() == "a: cannot be opened (No such file or directory)");
    io::SafeTensors content;
    content.tensors.push_back(io::safe_tensor<float>("w", {1}, std::vector<float>{1}));
    io::write_safetensors(directory / "a", content);
    CHECK(refused() == "a: no schema in its metadata, this is no checkpoint of hwnas");
    content.metadata["schema"] = "hwnas-checkpoint/2";
    io::write_safetensors(directory / "a", content);
    CHECK(refused() ==
          "a: schema \"hwnas-checkpoint/2\" where \"hwnas-checkpoint/1\" is expected, this is no checkpoint that this "
          "library reads");
    io::save_network(directory / "a", network(tiny(), 1));
    CHECK(refused() ==
          "a: schema \"hwnas-network/1\" where \"hwnas-checkpoint/1\" is expected, this is no checkpoint that this "
          "library reads");
}

TEST_CASE("options that differ are named with both values", "[io][checkpoint]") {
    const io::Json options{{"epochs", 20}, {"mode", "relaxed"}};
    CHECK(error_of([&] { io::check_same_options("c", R"({"mode": "relaxed", "epochs": 20})", options, "run"); }) ==
          "no error");
    CHECK(error_of([&] { io::check_same_options("c", R"({"mode": "relaxed", "epochs": 5})", options, "run"); }) ==
          "c: option epochs is 5 there, 20 in run (go on with the same options, or start a new run)");
    CHECK(error_of([&] { io::check_same_options("c", R"({"epochs": 20})", options, "run"); }) ==
          "c: option mode is \"relaxed\" in run, unknown there (start a new run)");
    CHECK(error_of([&] {
              io::check_same_options("c", "{", options, "run");
          }).rfind("c: config: not JSON at line 1", 0) == 0);
}

TEST_CASE("a network is saved and loaded with its genotype, space and statistics", "[io][checkpoint]") {
    const TemporaryDirectory directory;
    const auto saved = network(tiny(), 1);
    saved.state().buffers[0].tensor.assign(0.25f);
    io::save_network(directory / "a", saved, {{"name", "A"}});
    const auto loaded = io::load_network(directory / "a", device());
    CHECK(loaded.genotype() == saved.genotype());
    CHECK(loaded.space().options().channels == 4);
    CHECK(loaded.space().options().cells == 2);
    CHECK(weights(loaded) == weights(saved));
    CHECK(weights(loaded) != weights(network(tiny(), 2)));
    CHECK(weights(io::load_network(directory / "a", tiny(), device())) == weights(saved));
    CHECK(error_of(directory, [&] { io::load_network(directory / "a", tiny(8), device()); }) ==
          "a: option channels is 4 there, 8 in the space given (go on with the same options, or start a new run)");
}

TEST_CASE("a network of a space that is not built in needs that space", "[io][checkpoint]") {
    const TemporaryDirectory directory;
    const hwnas::SpaceOptions options{.image = {8, 8, 1}, .classes = 3, .channels = 4, .cells = 2, .nodes = 2};
    const auto custom = hwnas::SearchSpace::custom(
        "mine", {hwnas::primitives::identity(), hwnas::primitives::depthwise_conv(), hwnas::primitives::max_pool()},
        options);
    const auto saved = network(custom, 1);
    io::save_network(directory / "a", saved);
    CHECK(error_of(directory, [&] { io::load_network(directory / "a", device()); }) ==
          "a: space \"mine\" is not built in, load the network with the space it was made from");
    CHECK(weights(io::load_network(directory / "a", custom, device())) == weights(saved));
    auto more = options;
    more.additional = {hwnas::primitives::depthwise_conv(5)};
    io::save_network(directory / "a", network(hwnas::SearchSpace::pointwise(more), 1));
    CHECK(error_of(directory, [&] {
              io::load_network(directory / "a", device());
          }).rfind("a: space pointwise with the primitives ", 0) == 0);
}

}  // namespace io_checkpoint_test
