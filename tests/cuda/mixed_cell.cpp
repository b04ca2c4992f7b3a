// SPDX-License-Identifier: MIT
#include <hwnas/space/search_space.hpp>

#include "cuda/device_under_test.hpp"
#include "cuda/mixed_cell_calls.hpp"

namespace cuda_mixed_cell_test {

using namespace hwnas;
using namespace hwnas::testing;

TEST_CASE("mixed_cell on the device and its gradients agree with the CPU", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    auto cells = relaxed_cells();
    if (!emulated())
        for (const Shape& x : {Shape{64, 28, 28, 16}, Shape{260, 14, 14, 32}, Shape{64, 7, 7, 64},
                               Shape{16, 32, 32, 24}, Shape{16, 16, 16, 130}, Shape{5, 31, 25, 9}})
            for (const std::int64_t draws : {std::int64_t{1}, x[0]})
                if (draws < 100) cells.push_back(RelaxedCell{x, draws}.filled());
    std::erase_if(cells, [&](const RelaxedCell& cell) { return !cell.fits(device); });
    CHECK(cells.size() >= 10);
    for (const auto& cell : cells) {
        INFO(cell.str());
        check_on_device(device, cell.op(CellWay::whole), cell.values(), cell.shapes(), 1e-5);
    }
}

TEST_CASE("mixed_cell on the device: every length of a thread's strip", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    const auto agrees = [&](const RelaxedCell& cell) {
        INFO(cell.str());
        if (!cell.fits(device)) return;
        const auto inputs = cell.values();
        const auto found = run_op<float>(cell.op(CellWay::whole), inputs, cell.shapes(), device);
        const auto expected = run_op<double>(cell.op(CellWay::by_source), inputs, cell.shapes(), test_device());
        CHECK(relative_error(found.y, expected.y) <= 5e-6);
        for (std::size_t i = 0; i < inputs.size(); ++i)
            CHECK(relative_error(found.gradients[i], expected.gradients[i]) <= 5e-6);
    };
    for (const std::int64_t h : {2, 6, 7, 8, 9, 14, 15, 16, 17, 23, 28, 30, 32})
        for (const std::int64_t w : {2, 5}) agrees(RelaxedCell{{1, h, w, 2}, 1, 2, 2}.filled());
    for (const Shape& x :
         {Shape{1, 28, 28, 4}, Shape{1, 32, 32, 3}, Shape{1, 14, 14, 16}, Shape{1, 7, 7, 32}, Shape{1, 27, 32, 4}})
        agrees(RelaxedCell{x, 1, 2, 2}.filled());
}

TEST_CASE("mixed_cell: two blocks or more find room on a multiprocessor for every cell of `paper`", "[cell_blocks]") {
    // Bytes of a multiprocessor and of them for a block: Table "Technical Specifications per Compute Capability"; each
    // block takes one KB more than it asks for.
    struct Card {
        const char* name;
        std::int64_t kilobytes, a_block;
        std::vector<std::int64_t> blocks;  // at 28 x 28 x 16, 14 x 14 x 32, 7 x 7 x 64; 0: vertex by vertex
    };
    for (const Card& card : {Card{"9.0", 228, 227, {2, 3, 4}}, Card{"8.0", 164, 163, {1, 2, 2}},
                             Card{"8.6", 100, 99, {1, 1, 1}}, Card{"7.5", 64, 64, {0, 1, 1}}}) {
        INFO(card.name);
        std::vector<std::int64_t> blocks;
        for (const auto& [h, c] : {std::pair<std::int64_t, std::int64_t>{28, 16}, {14, 32}, {7, 64}}) {
            const auto bytes = contract::cell_bytes(h, h, c, 14);
            blocks.push_back(
                bytes > card.a_block * 1024 ? 0 : std::max<std::int64_t>(1, card.kilobytes * 1024 / (bytes + 1024)));
        }
        CHECK(blocks == card.blocks);
    }
    // A row of channels is a whole sector of 32 bytes but at 28 x 28, where twice as many would not find room.
    CHECK(contract::cell_channels(28, 28, 16) == 4);
    CHECK(contract::cell_channels(14, 14, 32) == 8);
    CHECK(contract::cell_channels(7, 7, 64) == 16);
    CHECK(contract::cell_channels(32, 32, 16) == 4);
}

TEST_CASE("mixed_cell on the device: what is wanted, added to what is there", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    const CellCalls calls[] = {{RelaxedCell{{5, 6, 5, 9}}.filled(), 2},
                               {RelaxedCell{{3, 4, 9, 3}, 3, 1, 3}.filled(), 3},
                               {RelaxedCell{{2, 5, 3, 40}, 1, 2, 2}.filled(), 2}};
    for (const auto& some : calls)
        for (const unsigned wanted : {0x7Fu, 0x7Bu, 0x7Du, 0x7Eu, 0x78u, 0x0Fu, 0x47u, 0x07u})
            for (const std::uint32_t add : {0u, 2u, 3u}) {
                INFO(some.cell.str() << ", wanted " << wanted << ", accumulate " << add);
                const auto found = some.backward(device, wanted, add, add != 0),
                           expected = some.backward(test_device(), wanted, add, add != 0);
                REQUIRE(found.size() == expected.size());
                for (std::size_t i = 0; i < found.size(); ++i) {
                    INFO("tensor " << i);
                    CHECK(relative_error(found[i], expected[i]) <= 2e-6);
                }
            }
}

TEST_CASE("mixed_cell on the device: ties go to the first pixel, NaN and infinity where they are seen", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    const auto cell = RelaxedCell{{1, 9, 8, 3}, 1, 2, 2}.filled();
    const auto shapes = cell.shapes();
    const auto outcome = [&](const Device& where, float value, float bad) {
        std::vector<Variable<float>> leaves;
        std::uint64_t seed = 0;
        for (const auto& shape : shapes) {
            const bool input = ++seed <= 2;
            auto values = input ? std::vector<float>(static_cast<std::size_t>(shape.elements()), value)
                                : random_values<float>(shape.elements(), seed, 0.1, 0.5);
            if (input) values[(4 * 8 + 5) * 3 + 1] = bad;
            leaves.push_back(Variable<float>::leaf(Tensor<float>::from(values, shape, where)));
        }
        const auto y = cell.apply(leaves, CellWay::whole);
        backward(y, test_seed<float>(y.shape(), where));
        return std::make_pair(y.value().to_vector(), leaves[0].grad().to_vector());
    };
    const auto tied = outcome(device, 0.5f, 0.5f), tied_expected = outcome(test_device(), 0.5f, 0.5f);
    CHECK(relative_error(tied.first, tied_expected.first) <= 2e-6);
    CHECK(relative_error(tied.second, tied_expected.second) <= 2e-6);
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        const auto found = outcome(device, 0.5f, bad), expected = outcome(test_device(), 0.5f, bad);
        REQUIRE(found.first.size() == expected.first.size());
        std::size_t finite = 0;
        for (std::size_t i = 0; i < found.first.size(); ++i) {
            REQUIRE(std::isfinite(found.first[i]) == std::isfinite(expected.first[i]));
            finite += std::isfinite(found.first[i]);
        }
        CHECK(finite > 0);
        CHECK(finite < found.first.size());
    }
}

TEST_CASE("mixed_cell on the device: cells of `paper` are computed so, larger ones node by node or by source",
          "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    const auto calls = [&](std::int64_t extent, std::int64_t channels, const char* name) {
        const Initializer<float> init(device, Seed{1});
        const auto space = SearchSpace::paper();
        const BasicCell<float> cell({.primitives = space.primitives(),
                                     .inputs = {{channels, 0}, {channels, 0}},
                                     .channels = channels,
                                     .height = extent,
                                     .width = extent},
                                    init);
        const auto gamma = Variable<float>::leaf(Tensor<float>::full({1, 14, 3}, 1.0f / 3, device));
        const Shape shape{1, extent, extent, channels};
        const std::vector<Variable<float>> inputs{Variable<float>::leaf(random_tensor<float>(shape, 1, device)),
                                                  Variable<float>::leaf(random_tensor<float>(shape, 2, device))};
        const auto program = Program::record(device, [&] {
            const auto y = cell.forward(inputs, Relaxation<float>{gamma}, Phase::train);
            backward(y, test_seed<float>(y.shape(), device));
        });
        int count = 0;
        for (std::size_t i = 0; i < program.size(); ++i) count += std::string_view(program.kernel(i)) == name;
        return count;
    };
    CHECK(calls(8, 3, "mixed_cell_forward") == 1);
    CHECK(calls(8, 3, "mixed_cell_backward") == 1);
    CHECK(calls(8, 3, "mixed_source_forward") + calls(8, 3, "mixed_node_forward") == 0);
    CHECK(calls(33, 3, "mixed_cell_forward") == 0);
    const bool bands = mixed_schedule(device, {1, 33, 33, 3}) == MixedSchedule::by_node;
    CHECK(calls(33, 3, "mixed_node_forward") == (bands ? 4 : 0));
    CHECK(calls(33, 3, "mixed_vertex_backward") == (bands ? 5 : 0));
    CHECK(calls(33, 3, "mixed_source_forward") == (bands ? 0 : 5));
    CHECK(calls(33, 57, "mixed_source_forward") == 5);  // bands would not have eight columns
}

TEST_CASE("mixed_cell on the device: NaN and infinity where the CPU has them, gradients too", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    const auto cell = RelaxedCell{{2, 9, 8, 3}, 1, 2, 2}.filled();
    std::vector<std::vector<float>> inputs;
    for (const auto& values : cell.values()) inputs.emplace_back(values.begin(), values.end());
    const auto dy = random_values<float>(2 * cell.x.elements(), 4);
    const auto inner = std::size_t{(4 * 8 + 5) * 3 + 1}, corner = std::size_t{2};
    for (const float bad : no_numbers)
        for (const std::size_t at : {inner, corner}) {
            INFO(bad << " at " << at);
            auto changed = inputs;
            changed[0][at] = bad;
            // Of gradients of filters and of gamma holds what mixed_node.cpp says.
            check_specials(device, cell.op(CellWay::whole), changed, cell.shapes(), dy,
                           {.strict = at == inner ? inputs.size() : 2});
            check_specials(device, cell.op(CellWay::whole), inputs, cell.shapes(), with_one(dy, 2 * at, bad),
                           {.strict = 2});
        }
}

}  // namespace cuda_mixed_cell_test
