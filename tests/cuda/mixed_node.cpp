// SPDX-License-Identifier: MIT
// The calls by themselves, on random tensors, with everything that ops leave out; then nodes as ops build them.
#include <hwnas/ops/depthwise_conv.hpp>
#include <hwnas/ops/max_pool.hpp>
#include <hwnas/ops/mixed_node.hpp>
#include <hwnas/ops/scale.hpp>

#include "cuda/device_under_test.hpp"
#include "cuda/mixed_node_calls.hpp"

namespace cuda_mixed_node_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

constexpr MixedSchedule schedules[] = {MixedSchedule::by_source, MixedSchedule::by_node};

/// Rows of one band and of several, of several bands a block, of tiles; with and without whole packs of channels. What
/// a block of the device has room for.
std::vector<Pass> passes(const Device& device) {
    std::vector<Pass> all;
    const std::vector<Feed> feeds{
        {{1, 2, 2, 1}, 1, 1},         {{2, 2, 2, 3}, 1, 2, 2, 1},   {{3, 5, 4, 8}, 1, 3, 2},
        {{3, 7, 7, 16}, 3, 4, 3, 1},  {{2, 15, 3, 17}, 2, 5, 2, 1}, {{2, 8, 15, 4}, 1, 6, 1, 1},
        {{1, 9, 60, 12}, 1, 5},       {{3, 3, 2, 128}, 1, 4, 2, 1}, {{1, 2, 130, 5}, 1, 3, 1, 1},
        {{11, 9, 5, 4}, 1, 16, 4},    {{6, 5, 5, 5}, 6, 3, 6, 1},   {{1, 8, 41, 16}, 1, 2, 1, 0},
        {{300, 2, 2, 2}, 1, 2, 7, 1}, {{1, 28, 28, 16}, 1, 4},      {{2, 14, 14, 32}, 1, 2, 1}};
    for (const auto& feed : feeds) all.push_back({feed});
    if (!emulated())
        for (const std::int64_t n : {64, 128, 256, 300})
            for (const Shape& x :
                 {Shape{n, 28, 28, 16}, Shape{n, 14, 14, 32}, Shape{n, 7, 7, 64}, Shape{n, 32, 32, 16}})
                all.push_back({{x, 1, 4, std::min<std::int64_t>(n, 256), 1}}), all.push_back({{x, n, 3, n}});
    std::erase_if(all,
                  [&](const Pass& pass) { return contract::band_bytes(pass.x[3]) > device.backend().shared_bytes(); });
    return all;
}
void check_equal(const Tensors& found, const Tensors& expected) {
    REQUIRE(found.size() == expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
        INFO("tensor " << i);
        CHECK(relative_error(found[i], expected[i]) < 2e-6);
    }
}

/// Two vertices feed two nodes, the first node feeds the second: five edges of convolution, identity and pool.
/// v: x0, x1, gamma [G, 15], five filters.
struct Graph {
    MixedSchedule schedule = MixedSchedule::by_source;
    template <class T>
    Variable<T> operator()(const std::vector<Variable<T>>& v) const {
        const int from[] = {0, 1, 0, 1, 2}, to[] = {2, 2, 3, 3, 3};
        std::vector<FilterTerm<T>> terms;
        for (int e = 0; e < 5; ++e)
            terms.push_back({e, 3 * e, v[3 + static_cast<std::size_t>(e)]}), terms.push_back({e, 3 * e + 1, {}});
        std::vector<MixedEdge> edges;
        for (int e = 0; e < 5; ++e) edges.push_back({from[e], to[e], 3 * e + 2});
        MixedNodes<T> mixed(edges, merged_filters(terms, v[2], 5, v[0].shape()[3]), v[2], schedule);
        mixed.push(0, v[0]), mixed.push(1, v[1]);
        const auto first = mixed.sum(2);
        mixed.push(2, first);
        return add(mixed.sum(3), scale(first, 0.5));
    }
};

}  // namespace

TEST_CASE("mixed_node on the device: what a vertex gives to its nodes", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    std::vector<Feed> cases{{{1, 1, 1, 1}, 1, 1},          {{2, 2, 2, 3}, 1, 2, 1, 2},    {{3, 5, 4, 8}, 1, 3, 1, 5},
                            {{3, 7, 7, 16}, 3, 4, 1, 9},   {{2, 13, 3, 17}, 2, 5, 1, 21}, {{2, 6, 15, 4}, 1, 6, 1, 63},
                            {{1, 5, 3, 130}, 1, 4, 1, 4},  {{1, 3, 2, 600}, 1, 2, 1, 0},  {{2, 40, 1, 5}, 1, 4, 1, 14},
                            {{1, 2, 130, 3}, 1, 4, 1, 15}, {{11, 9, 5, 4}, 1, 16, 1, 7},  {{6, 5, 5, 5}, 6, 3, 1, 2}};
    if (!emulated())
        for (const std::int64_t n : {64, 128, 256})
            for (const Shape& x : {Shape{n, 28, 28, 16}, Shape{n, 14, 14, 32}, Shape{n, 7, 7, 64}})
                cases.push_back({x, 1, 4, 1, 5}), cases.push_back({x, n, 3, 1, 2});
    for (const auto& c : cases) {
        INFO(c.str());
        check_equal(c.forward(device), c.forward(test_device()));
    }
}

TEST_CASE("mixed_node on the device: what a vertex gets back", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    std::vector<Feed> cases{{{1, 2, 2, 1}, 1, 1},          {{2, 2, 2, 3}, 1, 2, 2, 1},   {{3, 5, 4, 8}, 1, 3, 2},
                            {{3, 7, 7, 16}, 3, 4, 3, 1},   {{2, 13, 3, 17}, 2, 5, 2},    {{2, 6, 15, 4}, 1, 6, 1, 1},
                            {{1, 5, 3, 130}, 1, 4, 1, 1},  {{1, 3, 2, 600}, 1, 2, 1, 0}, {{2, 40, 2, 5}, 1, 4, 2},
                            {{1, 2, 130, 3}, 1, 4, 1, 15}, {{11, 9, 5, 4}, 1, 16, 4, 1}, {{6, 5, 5, 5}, 6, 3, 6, 1},
                            {{7, 4, 30, 12}, 1, 1, 3},     {{3, 4, 30, 12}, 1, 4, 1, 1}};
    if (!emulated())
        for (const std::int64_t n : {64, 128, 256, 300})
            for (const Shape& x : {Shape{n, 28, 28, 16}, Shape{n, 14, 14, 32}, Shape{n, 7, 7, 64}})
                cases.push_back({x, 1, 4, std::min<std::int64_t>(n, 256), 5}), cases.push_back({x, n, 3, n});
    for (const auto& c : cases) {
        INFO(c.str());
        check_equal(c.backward(device), c.backward(test_device()));
    }
    // The second has more channels than a block takes at a time.
    for (const Feed& some : {Feed{{3, 5, 4, 8}, 1, 3, 2}, Feed{{1, 3, 2, 600}, 1, 2}})
        for (unsigned wanted = 0; wanted < 8; ++wanted)
            for (const std::int32_t resume : {0, 1}) {
                INFO(some.str() << ", wanted " << wanted << ", resume " << resume);
                check_equal(some.backward(device, wanted, resume), some.backward(test_device(), wanted, resume));
            }
}

TEST_CASE("mixed_node on the device: a node in one pass", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const auto& pass : passes(device)) {
        REQUIRE(contract::fits_bands(pass.x[2], pass.x[3]));
        for (const std::uint32_t taps : {0u, 0xAAAAu, 0xFFFFu}) {
            INFO(pass.str() << ", taps " << taps);
            const auto found = pass.node(device, taps), expected = pass.node(test_device(), taps);
            check_equal(found, expected);
            for (std::size_t i = 1; i < found.size(); ++i) CHECK(found[i] == expected[i]);
        }
    }
}

TEST_CASE("mixed_node on the device: a vertex in one pass", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const auto& pass : passes(device)) {
        INFO(pass.str());
        check_equal(pass.vertex(device), pass.vertex(test_device()));
    }
    for (const Pass& some :
         {Pass{{{3, 9, 4, 8}, 1, 3, 2}}, Pass{{{1, 9, 60, 12}, 1, 6}}, Pass{{{2, 5, 3, 5}, 1, 2, 2, 1}}})
        for (const unsigned wanted : {0u, 1u, 4u, 5u})
            for (const std::int32_t resume : {0, 1}) {
                INFO(some.str() << ", wanted " << wanted << ", resume " << resume);
                check_equal(some.vertex(device, wanted, resume), some.vertex(test_device(), wanted, resume));
            }
}

TEST_CASE("mixed_node on the device: to a vertex that feeds no node nothing comes back", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const std::int32_t accumulate : {0, 1})
        for (const auto& on : {device, test_device()}) {
            const auto dx = Tensor<float>::full({2, 3, 2, 4}, 5.0f, on);
            contract::MixedVertexBackward<float> s{};
            s.dx = dx.data(), s.x = dx.data();
            s.n = 2, s.h = 3, s.w = 2, s.c = 4, s.groups = s.chunks = 1, s.accumulate = accumulate;
            submit(on, s);
            CHECK(dx.to_vector() == std::vector<float>(48, accumulate ? 5.0f : 0.0f));
        }
}

TEST_CASE("mixed_node: two blocks of a pass find room on a multiprocessor of compute capability 9.0", "[cell_blocks]") {
    for (const auto& [w, c] : {std::pair<std::int64_t, std::int64_t>{28, 16}, {14, 32}, {7, 64}}) {
        CHECK(contract::fits_bands(w, c));
        CHECK(2 * (contract::band_bytes(c) + 1024) <= 228 * 1024);
    }
    CHECK(contract::band_columns(32, 16) == 28);
    CHECK(!contract::fits_bands(28, 64));  // neighbours would be a third of the threads
    CHECK(mixed_schedule(test_device(), {2, 28, 28, 16}) == MixedSchedule::by_source);
}

TEST_CASE("mixed_node on the device: sums over chunks, edges that share a gate", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    struct Case {
        std::int64_t c, groups, chunks;
        std::vector<std::int32_t> edge, column;
        std::int32_t products = 1;
    };
    const std::vector<Case> cases{{1, 1, 1, {0}, {2}},
                                  {16, 1, 37, {3, 0, 1}, {2, -1, 0}, 4},
                                  {17, 1, 256, {1, 2, 0, 3}, {4, 1, 4, 4}},
                                  {5, 40, 40, {1, 0, 2}, {4, 4, -1}, 2}};
    for (const auto& [c, groups, chunks, edge, column, products] : cases)
        for (const bool filters : {true, false}) {
            INFO(c << " channels, " << groups << " draws, " << chunks << " chunks");
            const auto on = [&](const Device& where) {
                const auto count = static_cast<std::int64_t>(edge.size());
                const auto dfilters = random_tensor<float>({groups, 4, 9 * c}, 1, where),
                           dgamma = random_tensor<float>({groups, 6}, 2, where),
                           partial = random_tensor<float>({chunks, count, 9 * c + products}, 3, where);
                contract::MixedSourceReduce<float> s{};
                s.dfilters = filters ? dfilters.data() : nullptr, s.dgamma = dgamma.data(), s.partial = partial.data();
                s.c = c, s.groups = groups, s.gamma_stride = 6, s.edges = 4, s.chunks = chunks;
                s.count = static_cast<std::int32_t>(count), s.products = products;
                std::copy(edge.begin(), edge.end(), s.edge), std::copy(column.begin(), column.end(), s.column);
                submit(where, s);
                return Tensors{dfilters.to_vector(), dgamma.to_vector()};
            };
            check_equal(on(device), on(test_device(1)));
        }
}

TEST_CASE("merged_filters on the device agrees with the CPU", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    const std::pair<std::int64_t, std::int64_t> cases[] = {{1, 1}, {3, 16}, {40, 5}, {1, 130}};
    for (const auto& [groups, channels] : cases) {
        const std::int64_t c = channels;
        INFO(groups << " draws, " << c << " channels");
        // v: gamma, then filters; 20 terms, more than a call takes, of which every third is an identity.
        const auto merge = [c](const auto& v) {
            using T = typename std::decay_t<decltype(v)>::value_type::value_type;
            std::vector<FilterTerm<T>> terms;
            for (int j = 0; j < 20; ++j) {
                terms.push_back({j % 7, j, {}});
                if (j % 3 != 0) terms.back().w = v[static_cast<std::size_t>(1 + (j - 1) / 3 * 2 + (j - 1) % 3)];
            }
            return merged_filters<T>(terms, v[0], 8, c);
        };
        std::vector<std::vector<double>> inputs{random_values<double>(groups * 20, 1)};
        std::vector<Shape> shapes{{groups, 20}};
        for (std::uint64_t j = 0; j < 13; ++j)
            inputs.push_back(random_values<double>(9 * c, 2 + j)), shapes.push_back({3, 3, c});
        for (std::size_t i = 5; i < inputs[0].size(); i += 4) inputs[0][i] = 0;
        check_on_device(device, merge, inputs, shapes, 3e-6);
    }
}

TEST_CASE("merged_filters on the device: terms that share a filter or a gate", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    const auto merge = [](const auto& v) {
        using T = typename std::decay_t<decltype(v)>::value_type::value_type;
        return merged_filters<T>({{0, 0, v[1]}, {1, 1, v[2]}, {0, 1, v[1]}, {1, 0, {}}, {2, 0, v[2]}}, v[0], 3, 12);
    };
    const std::vector<std::vector<double>> inputs{random_values<double>(4, 1), random_values<double>(108, 2),
                                                  random_values<double>(108, 3)};
    const std::vector<Shape> shapes{{2, 2}, {3, 3, 12}, {3, 3, 12}};
    const auto found = run_op<float>(merge, inputs, shapes, device);
    const auto expected = run_op<double>(merge, inputs, shapes, test_device(1));
    CHECK(relative_error(found.y, expected.y) < 3e-6);
    for (std::size_t i = 0; i < inputs.size(); ++i)
        CHECK(relative_error(found.gradients[i], expected.gradients[i]) < 3e-6);
}

TEST_CASE("mixed_node on the device: an edge that does nothing is not touched by NaN", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const std::uint32_t accumulate : {0u, 1u}) {
        contract::MixedSourceForward<float> s{};
        const Shape shape{1, 4, 4, 8};
        const auto x = Tensor<float>::full(shape, NAN, device), u = Tensor<float>::full(shape, 3, device),
                   filters = Tensor<float>::full({1, 1, 72}, 0, device), gamma = Tensor<float>::full({1, 1}, 0, device);
        s.n = 1, s.h = s.w = 4, s.c = 8, s.groups = s.gamma_stride = s.edges = 1, s.count = 1;
        s.x = s.pooled = x.data(), s.filters = filters.data(), s.gamma = gamma.data(), s.u[0] = u.data();
        s.accumulate = accumulate;
        submit(device, s);
        CHECK(u.to_vector() == std::vector<float>(128, accumulate ? 3.0f : 0.0f));
    }
}

TEST_CASE("mixed_node on the device: a pass of a node leaves out what does nothing", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const std::int32_t accumulate : {0, 1}) {
        contract::MixedNodeForward<float> s{};
        const Shape shape{1, 4, 4, 8};
        const auto x = Tensor<float>::full(shape, NAN, device), u = Tensor<float>::full(shape, 3, device),
                   filters = Tensor<float>::full({1, 1, 72}, 0, device), gamma = Tensor<float>::full({1, 1}, 0, device);
        s.n = 1, s.h = s.w = 4, s.c = 8, s.groups = s.gamma_stride = s.edges = 1, s.count = 1;
        s.u = u.data(), s.x[0] = x.data(), s.filters = filters.data(), s.gamma = gamma.data();
        s.accumulate = accumulate;
        submit(device, s);
        CHECK(u.to_vector() == std::vector<float>(128, accumulate ? 3.0f : 0.0f));
    }
}

TEST_CASE("mixed_node on the device: edges side by side, none of which has a pool", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    // v: x, gamma, two filters; the vertex feeds node 1 twice, then node 2.
    auto schedule = MixedSchedule::by_source;
    const auto nodes = [&](const auto& v) {
        using T = typename std::decay_t<decltype(v)>::value_type::value_type;
        const auto filters = merged_filters<T>({{0, 0, v[2]}, {1, 1, v[3]}, {2, 2, {}}}, v[1], 3, 5);
        MixedNodes<T> mixed({{0, 1, -1}, {0, 1, -1}, {0, 2, -1}}, filters, v[1], schedule);
        mixed.push(0, v[0]);
        const auto first = mixed.sum(1);
        return add(first, mixed.sum(2));
    };
    for (const std::int64_t groups : {1, 3})
        for (const auto which : schedules) {
            schedule = which;
            check_on_device(device, nodes,
                            {random_values<double>(3 * 7 * 6 * 5, 1), random_values<double>(groups * 3, 2),
                             random_values<double>(45, 3), random_values<double>(45, 4)},
                            {{3, 7, 6, 5}, {groups, 3}, {3, 3, 5}, {3, 3, 5}});
        }
}

TEST_CASE("mixed_node on the device and its gradients agree with the CPU", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    struct Case {
        Shape x;
        std::int64_t groups;
    };
    std::vector<Case> cases{
        {{2, 2, 2, 1}, 1}, {{3, 5, 4, 3}, 1}, {{2, 7, 7, 12}, 1}, {{3, 8, 9, 8}, 3}, {{2, 9, 6, 17}, 2}};
    if (!emulated()) cases.push_back({{128, 28, 28, 16}, 1}), cases.push_back({{128, 14, 14, 32}, 128});
    for (const auto& [x, groups] : cases) {
        INFO(fmt::format("{}, {} draws", x, groups));
        std::vector<std::vector<double>> inputs{random_values<double>(x.elements(), 1),
                                                random_values<double>(x.elements(), 2),
                                                random_values<double>(groups * 15, 3, 0, 1)};
        std::vector<Shape> shapes{x, x, {groups, 15}};
        for (std::uint64_t e = 0; e < 5; ++e) {
            inputs.push_back(random_values<double>(9 * x[3], 10 + e));
            shapes.push_back({3, 3, x[3]});
        }
        for (const auto schedule : schedules) check_on_device(device, Graph{schedule}, inputs, shapes, 1e-5);
    }
}

TEST_CASE("mixed_node on the device: NaN and infinity where the CPU has them", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const Shape& x : {Shape{2, 9, 8, 3}, Shape{1, 7, 9, 8}})
        for (const std::int64_t groups : {std::int64_t{1}, x[0]}) {
            std::vector<std::vector<float>> inputs{random_values<float>(x.elements(), 1),
                                                   random_values<float>(x.elements(), 2),
                                                   random_values<float>(groups * 15, 3, 0.1, 1.0)};
            std::vector<Shape> shapes{x, x, {groups, 15}};
            for (std::uint64_t e = 0; e < 5; ++e) {
                inputs.push_back(random_values<float>(9 * x[3], 10 + e));
                shapes.push_back({3, 3, x[3]});
            }
            const auto dy = random_values<float>(x.elements(), 4);
            const auto inner = static_cast<std::size_t>((4 * x[2] + 5) * x[3] + 1), corner = std::size_t{2};
            for (const float bad : no_numbers)
                for (const auto& [at, schedule] : {std::pair{inner, schedules[0]},
                                                   {corner, schedules[0]},
                                                   {inner, schedules[1]},
                                                   {corner, schedules[1]}}) {
                    INFO((schedule == MixedSchedule::by_node ? "by node, " : "by source, ")
                         << x.str() << ", " << groups << " draws, " << bad << " at " << at);
                    auto changed = inputs;
                    changed[0][at] = bad;
                    // Kernels multiply by zeros around an image and around a thread's rows: gradients of filters and of
                    // gamma may be NaN where the CPU has an infinity and, at a border, a number.
                    check_specials(device, Graph{schedule}, changed, shapes, dy,
                                   {.strict = at == inner ? shapes.size() : 2});
                    check_specials(device, Graph{schedule}, inputs, shapes, with_one(dy, at, bad), {.strict = 2});
                }
        }
}

}  // namespace cuda_mixed_node_test
