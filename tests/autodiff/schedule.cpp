// SPDX-License-Identifier: MIT
// The order in which a recorded step runs: grouped calls compute what they compute one after the other.
#include <hwnas/autodiff/backward.hpp>
#include <hwnas/autodiff/program.hpp>
#include <hwnas/ops/add.hpp>
#include <hwnas/ops/average_pool.hpp>
#include <hwnas/ops/batch_norm.hpp>
#include <hwnas/ops/concat.hpp>
#include <hwnas/ops/conv.hpp>
#include <hwnas/ops/depthwise_conv.hpp>
#include <hwnas/ops/global_average_pool.hpp>
#include <hwnas/ops/linear.hpp>
#include <hwnas/ops/max_pool.hpp>
#include <hwnas/ops/multiply.hpp>
#include <hwnas/ops/relu.hpp>
#include <hwnas/ops/scale.hpp>
#include <hwnas/ops/sum.hpp>
#include <hwnas/ops/weighted_sum.hpp>

#include "support/catch.hpp"
#include "support/random_tensor.hpp"

namespace autodiff_schedule_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

/// A network of random ops on images [n, 6, 5, 4]; returns its loss and the gradients of everything that is learnt.
struct RandomNet {
    std::uint64_t seed;
    std::int64_t n;

    struct Result {
        Program program;
        std::vector<Tensor<float>> values;
        std::vector<Variable<float>> leaves;  // a program does not own what it reads
    };
    Result record(const Device& device, bool tiled) const {
        const auto x = random_tensor<float>({n, 6, 5, 4}, seed, device);
        std::vector<Variable<float>> leaves{Variable<float>::leaf(x)};
        const auto leaf = [&](const Shape& shape) {
            leaves.push_back(Variable<float>::leaf(random_tensor<float>(shape, seed + leaves.size(), device)));
            return leaves.back();
        };
        std::vector<Variable<float>> filters, matrices, scales, shifts, gates;
        for (int i = 0; i < 12; ++i) {
            filters.push_back(leaf({3, 3, 4})), matrices.push_back(leaf({1, 1, 4, 4}));
            scales.push_back(leaf({4})), shifts.push_back(leaf({4})), gates.push_back(leaf({2}));
        }
        const auto head = leaf({4, 3});
        Result result;
        result.program = Program::record(
            device,
            [&] {
                std::vector<Variable<float>> values{leaves[0]};
                const auto pick = [&](std::uint32_t word) { return values[word % values.size()]; };
                for (std::uint32_t i = 0; i < 12; ++i) {
                    const auto w = random::words_at(random::Key{7, static_cast<std::uint32_t>(seed)}, i, 0);
                    const auto a = pick(w.w[1]), b = pick(w.w[2]);
                    const std::size_t k = i;
                    switch (w.w[0] % 9) {
                        case 0:
                            values.push_back(depthwise_conv(a, filters[k]));
                            break;
                        case 1:
                            values.push_back(conv(a, matrices[k]));
                            break;
                        case 2:
                            values.push_back(batch_norm(a, scales[k], shifts[k], {}, Phase::train, {.epsilon = 0.5}));
                            break;
                        case 3:
                            values.push_back(max_pool(a));
                            break;
                        case 4:
                            values.push_back(weighted_sum<float>({a, b}, gates[k], {0, 1}));
                            break;
                        case 5:
                            values.push_back(relu(a));
                            break;
                        case 6:
                            values.push_back(add(a, b));
                            break;
                        case 7:
                            values.push_back(multiply(a, shifts[k]));
                            break;
                        default:
                            values.push_back(conv(concat<float>({a, b}), leaf({1, 1, 8, 4})));
                            break;
                    }
                }
                auto y = values[1];
                for (std::size_t i = 2; i < values.size(); ++i) y = add(scale(y, 0.5), values[i]);
                const auto logits = linear(global_average_pool(y), head);
                const auto loss = mean(multiply(logits, logits));
                backward(loss);
                result.values = {loss.value(), y.value()};
            },
            {.tiled = tiled});
        for (const auto& l : leaves)
            if (l.grad().defined()) result.values.push_back(l.grad());
        result.leaves = leaves;
        return result;
    }
};

std::vector<std::vector<float>> run(const RandomNet::Result& net) {
    for (int i = 0; i < 2; ++i) {  // gradients of leaves add up: the second run starts where the first ended
        for (std::size_t k = 2; k < net.values.size(); ++k) net.values[k].assign(0.0f);
        net.program.run();
    }
    std::vector<std::vector<float>> values;
    for (const auto& value : net.values) values.push_back(value.to_vector());
    return values;
}

}  // namespace

TEST_CASE("a step runs tile by tile to the values of the recorded order", "[autodiff][schedule]") {
    std::size_t tiled_memory = 0, plain_memory = 0, marked = 0;
    for (std::uint64_t seed = 1; seed <= 25; ++seed)
        for (const std::int64_t n : {2, 9, 70}) {
            INFO("seed " << seed << ", " << n << " images");
            const RandomNet net{seed, n};
            const auto plain = net.record(test_device(2), false), tiled = net.record(test_device(2), true);
            const auto expected = run(plain), found = run(tiled);
            REQUIRE(found.size() == expected.size());
            for (std::size_t i = 0; i < found.size(); ++i) CHECK(relative_error(found[i], expected[i]) < 2e-5);
            const bool same_bits =
                run(net.record(test_device(1), true)) == found && run(net.record(test_device(5), true)) == found;
            CHECK(same_bits);
            if (n == 70) tiled_memory += tiled.program.memory(), plain_memory += plain.program.memory();
            const auto text = tiled.program.print();
            marked += static_cast<std::size_t>(std::count(text.begin(), text.end(), ':')) - 1;
            CHECK(tiled.program.size() == plain.program.size());
        }
    CHECK(tiled_memory < plain_memory * 3 / 2);  // a group needs its tensors at once, but only some of them whole
    CHECK(marked > 2000);
}

TEST_CASE("few images run call by call where they would leave threads idle, to the same bits", "[autodiff][schedule]") {
    const RandomNet net{3, 4};
    const bool same_bits = run(net.record(test_device(8), true)) == run(net.record(test_device(2), true));
    CHECK(same_bits);
    CHECK(net.record(test_device(8), true).program.print().find(" : ") == std::string::npos);
}

TEST_CASE("a tiled program is timed, but not run, entry by entry", "[autodiff][schedule]") {
    const auto net = RandomNet{5, 40}.record(test_device(2), true);
    const Program& tiled = net.program;
    CHECK_THROWS_WITH(tiled.run_entry(0),
                      "program: entry 0 runs together with others; record with ProgramOptions{.tiled = false}");
    std::vector<double> seconds;
    tiled.profile(seconds);
    tiled.profile(seconds);
    CHECK(seconds.size() == tiled.size());
    CHECK(std::all_of(seconds.begin(), seconds.end(), [](double s) { return s > 0; }));
}

TEST_CASE("calls that touch other images of what a group writes stay out of it", "[autodiff][schedule]") {
    const auto device = test_device(3);
    const auto x = random_tensor<float>({64, 300}, 1, device);
    Tensor<float> shifted, sums, doubled;
    const auto record = [&](bool tiled) {
        return Program::record(device,
                               [&] {
                                   const auto y = relu(Variable<float>(x)).value();
                                   // y's images from the second on, read by a call over as many images as there are
                                   shifted = Tensor<float>::empty({64, 300}, device);
                                   submit(device, contract::Fill<float>{shifted.data(), shifted.elements(), 0.0f});
                                   submit(device,
                                          contract::Copy<float>{shifted.data(), y.rows(1, 63).data(), 63 * 300, 0});
                                   doubled = scale(Variable<float>(shifted), 2.0).value();
                                   sums = column_sum(Variable<float>(doubled)).value();
                               },
                               {.tiled = tiled});
    };
    const auto plain = record(false);
    plain.run();
    const auto expected = doubled.to_vector(), expected_sums = sums.to_vector();
    const auto tiled = record(true);
    tiled.run();
    CHECK(doubled.to_vector() == expected);
    CHECK(sums.to_vector() == expected_sums);
}

TEST_CASE("a guard decides for every tile", "[autodiff][schedule]") {
    const auto device = test_device(2);
    const auto flag = Tensor<std::int32_t>::scalar(1, device);
    const auto x = random_tensor<float>({50, 8, 8, 4}, 1, device);
    Tensor<float> y;
    const auto program = Program::record(device, [&] {
        y = Tensor<float>::empty(x.shape(), device);
        submit(device, contract::Fill<float>{y.data(), y.elements(), -1.0f});
        const GuardScope guard({flag.data(), 1});
        const auto pooled = max_pool(Variable<float>(x)).value();
        submit(device, contract::Copy<float>{y.data(), pooled.data(), y.elements(), 0});
    });
    program.run();
    CHECK(y.to_vector() == max_pool(Variable<float>(x)).value().to_vector());
    flag.assign(std::int32_t{0});
    program.run();
    CHECK(y.to_vector() == std::vector<float>(static_cast<std::size_t>(y.elements()), -1.0f));
}

}  // namespace autodiff_schedule_test
