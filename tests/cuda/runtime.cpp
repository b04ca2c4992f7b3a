// SPDX-License-Identifier: MIT
// The CUDA device on a runtime that only writes down what is asked of it: what a step is captured as, what happens when
// any one of the calls fails, which device is the current one.
#include "../../cuda/dispatch.hpp"
#include "../../cuda/stream.hpp"

#include <hwnas/cuda.hpp>

#include <hwnas/hwnas.hpp>

#include <thread>

#include "cuda/made_up_runtime.hpp"
#include "support/catch.hpp"

using namespace hwnas;
using hwnas::testing::Clean;
using hwnas::testing::message_of;

namespace {

/// A call made by hand: how many kernels it launches, one after the other, with how much shared memory.
struct Made {
    int kernels = 1;
    std::size_t shared = 0;
    std::int64_t blocks = 2;
    std::function<void()> meanwhile = {};
};
constexpr int made_by_hand = 100'000;
const char first_kernel = 0, second_kernel = 0;

GuardedCall call(const Made& made, std::vector<std::uint32_t> after = {}) {
    return {{.payload = &made, .index = made_by_hand, .name = "made by hand"}, {}, std::move(after)};
}
/// Calls of a real step: two kernels where the number is odd.
template <int kernels>
void launch_real(const cuda::Stream& stream, const void* call) {
    for (int i = 0; i < kernels; ++i) cuda::launch_kernel(stream, i ? &second_kernel : &first_kernel, call, 1, 32, 0);
}
void launch_made(const cuda::Stream& stream, const void* call) {
    const auto& made = *static_cast<const Made*>(call);
    if (made.meanwhile) made.meanwhile();
    for (int i = 0; i < made.kernels; ++i)
        cuda::launch_kernel(stream, i ? &second_kernel : &first_kernel, call, made.blocks, 64, made.shared);
}

/// The one graph that was launched.
const std::vector<std::unique_ptr<fake_cuda::Node>>& launched() {
    REQUIRE(fake_cuda::state().launched.size() == 1);
    return fake_cuda::state().launched[0].first->nodes;
}
/// For every node, all that have ended before it begins.
std::map<const fake_cuda::Node*, std::set<const fake_cuda::Node*>> ended_before(
    const std::vector<std::unique_ptr<fake_cuda::Node>>& nodes) {
    std::map<const fake_cuda::Node*, std::set<const fake_cuda::Node*>> ended;
    for (const auto& node : nodes)
        for (const auto* before : node->after) {
            ended[node.get()].insert(before);
            ended[node.get()].insert(ended[before].begin(), ended[before].end());
        }
    return ended;
}

}  // namespace

namespace hwnas::cuda {

Launcher launcher(int index) {
    return index == made_by_hand ? &launch_made : index % 2 ? &launch_real<2> : &launch_real<1>;
}
const void* any_kernel() {
    return &first_kernel;
}

}  // namespace hwnas::cuda

TEST_CASE("cuda runtime: a call of a captured step waits for the last kernels of what it has to wait for, and no other",
          "[runtime]") {
    const Clean clean;
    const auto device = cuda::device(0);
    const Made one{}, two{.kernels = 2}, three{.kernels = 3}, none{.kernels = 0};
    const std::vector<GuardedCall> calls{call(two),       call(one),      call(three, {0, 1}),
                                         call(none, {2}), call(one, {3}), call(one, {1})};
    const auto replay = device.backend().prepare(calls);
    replay->run();
    std::vector<std::vector<std::size_t>> after;
    std::map<const fake_cuda::Node*, std::size_t> number;
    for (const auto& node : launched()) {
        after.emplace_back();
        for (const auto* before : node->after) after.back().push_back(number.at(before));
        std::sort(after.back().begin(), after.back().end());
        number[node.get()] = number.size();
    }
    // 0: nodes 0, 1; 1: node 2; 2: nodes 3 to 5; 3: no node, so that 4 waits for what 3 waits for; 4: 6; 5: 7
    CHECK(after == std::vector<std::vector<std::size_t>>{{}, {0}, {}, {1, 2}, {3}, {4}, {5}, {2}});
    CHECK(fake_cuda::state().misuse.empty());
    CHECK(fake_cuda::state().eager == 0);
}
TEST_CASE("cuda runtime: two calls of a real step that use the same memory are in their order, the others side by side",
          "[runtime]") {
    const Clean clean;
    fake_cuda::state().cards[0].memory = 1'000'000'000;
    const auto device = cuda::device(0);
    const auto space = SearchSpace::paper({.image = {16, 16, 1}, .channels = 4, .cells = 2});
    const auto& architecture = space.architecture();
    std::vector<int> choices;
    for (int row = 0; row < architecture.rows(); ++row) choices.push_back(row % architecture.k());
    const Network network{space, Genotype::from_choices(architecture, choices), device, Seed{1}};
    const auto x = Tensor<float>::full({2, 16, 16, 1}, 0.5f, device);
    const auto program = Program::record(device, [&] {
        const auto y = network.forward(Variable<float>(x), Phase::train);
        backward(y, Tensor<float>::full(y.shape(), 1.0f, device));
    });
    program.run();
    std::map<const void*, std::vector<const fake_cuda::Node*>> nodes;  // by call
    for (const auto& node : launched()) nodes[node->argument].push_back(node.get());
    auto ended = ended_before(launched());
    const auto pointer = [&](std::size_t i, int p) {
        const void* value;
        std::memcpy(&value, static_cast<const std::byte*>(program.call(i).payload) + 8 * p, sizeof value);
        return value;
    };
    std::size_t ordered = 0, free = 0;
    for (std::size_t i = 0; i < program.size(); ++i)
        for (std::size_t j = 0; j < i; ++j) {
            const auto &early = program.call(j), &late = program.call(i);
            bool clash = false;
            for (int p = 0; p < early.pointers; ++p)
                for (int q = 0; q < late.pointers; ++q)
                    clash |= pointer(j, p) && pointer(j, p) == pointer(i, q) && (p < early.writes || q < late.writes);
            const bool in_order = ended[nodes.at(late.payload).front()].contains(nodes.at(early.payload).back());
            if (clash) CHECK(in_order);
            ++(in_order ? ordered : free);
        }
    CHECK(ordered > 0);
    CHECK(free > 0);
}
TEST_CASE("cuda runtime: gradients that lie in one block of Adam's do not wait for each other, views that share do",
          "[runtime]") {
    const Clean clean;
    const auto device = cuda::device(0);
    const auto leaf = [&] { return Variable<float>::leaf(Tensor<float>::full({100}, 1.0f, device)); };
    const auto first = leaf(), second = leaf(), third = leaf();
    const Adam<float> adam({{"first", first}, {"second", second}, {"third", third}});
    const auto source = Tensor<float>::full({100}, 1.0f, device);
    const auto rate = Tensor<float>::scalar(0.1f, device);
    const auto step = Tensor<std::int64_t>::scalar(1, device);
    const auto block = Tensor<float>::full({8, 16}, 0.0f, device), other = Tensor<float>::full({8, 16}, 0.0f, device);
    const auto copy = [&](const Tensor<float>& to, const Tensor<float>& from) {
        submit(device, contract::Copy<float>{to.data(), from.data(), std::min(to.elements(), from.elements()), 0});
    };
    const auto program = Program::record(device, [&] {
        copy(second.grad(), source);               // 0
        copy(third.grad(), source);                // 1
        copy(block.rows(2, 3), other);             // 2: rows 2 to 4
        copy(block.rows(5, 1), other);             // 3: another row
        copy(other.rows(0, 1), block.rows(4, 1));  // 4: reads a row that 2 writes
        copy(source, block);                       // 5: reads all rows
        adam.step(rate, step);                     // from 6 on: all gradients
    });
    program.run();
    auto ended = ended_before(launched());
    std::map<const void*, std::vector<const fake_cuda::Node*>> nodes;
    for (const auto& node : launched()) nodes[node->argument].push_back(node.get());
    const auto waits = [&](std::size_t late, std::size_t early) {
        return ended[nodes.at(program.call(late).payload).front()].contains(
            nodes.at(program.call(early).payload).back());
    };
    CHECK_FALSE(waits(1, 0));
    CHECK_FALSE(waits(3, 2));
    CHECK(waits(4, 2));
    CHECK(waits(5, 2));
    CHECK(waits(5, 3));
    CHECK(waits(5, 0));  // which still reads what it writes
    bool adam_found = false;
    for (std::size_t i = 6; i < program.size(); ++i)
        if (program.kernel(i) == std::string("adam")) adam_found = waits(i, 0) && waits(i, 1);
    CHECK(adam_found);
}
TEST_CASE("cuda runtime: a warm step of a search or a training launches its graph, an epoch clears and reads its sums",
          "[runtime]") {
    const Clean clean;
    fake_cuda::state().cards[0].memory = 1'000'000'000;
    const auto device = cuda::device(0);
    const auto space = SearchSpace::pointwise({.image = {8, 8, 1}, .classes = 4, .channels = 4, .cells = 2});
    const auto data = dataset_from_tensors(std::vector<std::uint8_t>(40 * 64, 7), std::vector<std::int32_t>(40, 1),
                                           {.name = "grey", .image = {8, 8, 1}, .classes = 4});
    std::vector<std::vector<std::string>> steps;
    const auto on_step = [&](const TrainingProgress&) {
        auto& calls = fake_cuda::state().calls;
        std::erase(calls, "cudaGetDevice");
        steps.push_back(std::exchange(calls, {}));
        return true;
    };
    const auto check_steps = [&](std::size_t epochs) {
        REQUIRE(steps.size() == epochs * 5);
        for (std::size_t i = 1; i < steps.size(); ++i) {  // the first one records
            INFO("step " << i);
            std::vector<std::string> expected{"cudaGraphLaunch"};
            const auto copy = {"cudaMemcpyAsync", "cudaStreamSynchronize"};
            if (i % 5 == 0) expected.insert(expected.begin(), copy.begin(), copy.end());  // an epoch clears its sums
            if (i % 5 == 4) expected.insert(expected.end(), copy.begin(), copy.end());    // and reads them
            CHECK(steps[i] == expected);
        }
        steps.clear();
    };
    SingleLevelTrainer<SuperNet>(SuperNet(space, device, seed(1)), HyperNet(space, device, seed(1)), std::nullopt,
                                 {.epochs = 2, .batch = 8, .latency_weight = 0, .on_step = on_step})
        .fit(data);
    check_steps(2);
    const auto& architecture = space.architecture();
    const Network network{
        space, Genotype::from_choices(architecture, std::vector<int>(static_cast<std::size_t>(architecture.rows()), 0)),
        device, seed(1)};
    fit(network, data, {.epochs = 2, .batch = 8, .on_step = on_step});
    check_steps(2);
}
TEST_CASE("cuda runtime: a kernel's limit of shared memory is raised and never lowered", "[runtime]") {
    const Clean clean;
    const auto device = cuda::device(0);
    const Made large{.shared = 150'000}, small{.shared = 60'000}, tiny{.shared = 1'000};
    const auto limit = [] { return fake_cuda::state().shared_limits[&first_kernel]; };
    const auto replay = device.backend().prepare({call(large)});
    CHECK(limit() == 150'000);
    device.backend().run(call(small).call, {});
    device.backend().run(call(tiny).call, {});
    CHECK(limit() == 150'000);
    replay->run();  // fails in the runtime where the limit has been lowered
    const Made larger{.shared = 200'000};
    device.backend().run(call(larger).call, {});
    CHECK(limit() == 200'000);
}
TEST_CASE("cuda runtime: what another thread runs while a step is captured is not recorded", "[runtime]") {
    const Clean clean;
    const auto device = cuda::device(0);
    const Made one{};
    const Made meanwhile{.meanwhile = [&] { std::thread([&] { device.backend().run(call(one).call, {}); }).join(); }};
    const auto replay = device.backend().prepare({call(meanwhile)});
    replay->run();
    CHECK(launched().size() == 1);
    CHECK(launched()[0]->argument == &meanwhile);
    CHECK(fake_cuda::state().eager == 1);
    CHECK(fake_cuda::state().misuse.empty());
}
TEST_CASE("cuda runtime: whichever call fails, nothing is left behind, no error sticks and the current device is back",
          "[runtime]") {
    const Made one{}, large{.kernels = 2, .shared = 100'000};
    const auto everything = [&] {
        const auto device = cuda::device(1);
        const auto x = Tensor<float>::from({1.0f, 2.0f}, {2}, device);
        const auto values = x.to_vector();
        CHECK(values == std::vector<float>{1.0f, 2.0f});
        device.backend().run(call(one).call, {});
        const auto replay = device.backend().prepare({call(one), call(large, {0})});
        replay->run();
        device.backend().synchronize();
        const auto description = device.backend().description();
        CHECK(description.starts_with("cuda:1, Fake GPU"));
    };
    std::set<std::string> failed;
    for (int n = 0;; ++n) {
        const Clean clean;
        auto& state = fake_cuda::state();
        state.cards.resize(2);
        state.fail_at = n;
        const auto message = message_of(everything);
        INFO("call " << n << ", " << state.failed << ": " << message);
        CHECK(state.alive() == 0);
        CHECK(fake_cuda::last_error() == cudaSuccess);
        // Where the device cannot be chosen, memory is still given back, from another.
        if (state.failed != "cudaSetDevice" && state.failed != "cudaGetDevice") {
            CHECK(state.misuse.empty());
            CHECK(fake_cuda::current_device() == 0);
        }
        if (state.failed.empty()) {
            CHECK(message.empty());
            CHECK(n > 30);
            break;
        }
        failed.insert(state.failed);
        // What only tidies up, and versions for people, may fail in silence.
        const bool tidies = state.failed.ends_with("Destroy") || state.failed == "cudaFreeAsync" ||
                            state.failed.ends_with("GetVersion") || state.failed == "cudaStreamSynchronize" ||
                            state.failed == "cudaSetDevice" || state.failed == "cudaGetDevice";
        if (!tidies) CHECK_FALSE(message.empty());
    }
    for (const auto* name : {"cudaGraphInstantiate", "cudaGraphUpload", "cudaGraphLaunch", "cudaStreamBeginCapture",
                             "cudaStreamEndCapture", "cudaLaunchKernel", "cudaMallocAsync", "cudaMemcpyAsync"})
        CHECK(failed.contains(name));
}
TEST_CASE("cuda runtime: a call that throws while it is captured leaves no graph behind", "[runtime]") {
    const Clean clean;
    const auto device = cuda::device(0);
    const Made throws{.meanwhile = [] { fail("thrown by the call"); }}, one{};
    const auto before = fake_cuda::state().alive();
    CHECK(message_of([&] { device.backend().prepare({call(one), call(throws, {0})}); }) == "thrown by the call");
    CHECK(fake_cuda::state().alive() == before);
    // What invalidates a capture gives no graph: nothing must be taken apart.
    const Made invalidates{.meanwhile = [] {
        fake_cuda::state().fail_at = 0;
        fail("thrown by the call");
    }};
    CHECK(message_of([&] { device.backend().prepare({call(one), call(invalidates)}); }) == "thrown by the call");
    CHECK(fake_cuda::state().failed == "cudaStreamEndCapture");
    CHECK(fake_cuda::last_error() == cudaSuccess);
    CHECK(fake_cuda::state().alive() == before);
    device.backend().prepare({call(one)})->run();
    CHECK(fake_cuda::state().misuse.empty());
}
TEST_CASE("cuda runtime: the caller's current device is the same before and after everything", "[runtime]") {
    const Clean clean;
    fake_cuda::state().cards.resize(3);
    fake_cuda::current_device() = 2;
    const Made one{};
    std::unique_ptr<Replay> replay;
    {
        const auto device = cuda::device(1);
        CHECK(fake_cuda::current_device() == 2);
        const auto x = Tensor<float>::full({4}, 1.0f, device);
        replay = device.backend().prepare({call(one)});
        replay->run();
        CHECK(fake_cuda::state().launched[0].first->device == 1);
        replay.reset();
        CHECK(fake_cuda::current_device() == 2);
    }
    CHECK(fake_cuda::current_device() == 2);
    CHECK(fake_cuda::state().alive() == 0);
    CHECK(fake_cuda::state().misuse.empty());
}
TEST_CASE("cuda runtime: a kernel may be loaded while a step is captured", "[runtime]") {
    const Clean clean;
    const auto device = cuda::device(0);
    const Made two{.kernels = 2};
    CHECK(fake_cuda::state().loaded.empty());
    device.backend().prepare({call(two)})->run();
    CHECK(fake_cuda::state().loaded.size() == 2);
}
TEST_CASE("cuda runtime: a grid of more blocks than there may be is refused", "[runtime]") {
    const Clean clean;
    const auto device = cuda::device(0);
    const Made most{.blocks = 0x7FFF'FFFF}, beyond{.blocks = 0x8000'0000}, far{.blocks = 0x1'0000'0002};
    CHECK(message_of([&] { device.backend().run(call(most).call, {}); }) == "");
    CHECK(message_of([&] { device.backend().run(call(beyond).call, {}); }) ==
          "cuda:0: 2147483648 blocks of threads for one kernel, a grid has at most 2147483647; use a smaller batch or "
          "fewer channels");
    CHECK(message_of([&] { device.backend().prepare({call(far)}); }).starts_with("cuda:0: 4294967298 blocks"));
    CHECK(fake_cuda::state().eager == 1);
}
TEST_CASE("cuda runtime: the device's pool keeps memory, and a program waits and goes before its memory and the device",
          "[runtime]") {
    const Clean clean;
    {
        const auto x = [] {
            const auto device = cuda::device(0);
            CHECK(fake_cuda::state().pools[0].kept == ~std::uint64_t{0});
            return Tensor<float>::full({4}, 1.0f, device);
        }();
        const auto program = Program::record(x.device(), [&] { relu(Variable<float>(x)); });
        program.run();
        fake_cuda::state().calls.clear();
    }
    auto calls = fake_cuda::state().calls;
    std::erase(calls, "cudaGetDevice");
    CHECK(std::count(calls.begin(), calls.end(), "cudaGraphExecDestroy") == 1);
    const auto at = [&](const char* name) { return std::find(calls.begin(), calls.end(), name) - calls.begin(); };
    CHECK(at("cudaStreamSynchronize") < at("cudaGraphExecDestroy"));
    REQUIRE_FALSE(calls.empty());
    CHECK(calls.back() == "cudaStreamDestroy");
    CHECK(fake_cuda::state().alive() == 0);
    CHECK(fake_cuda::state().misuse.empty());
}
