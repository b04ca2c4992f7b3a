// SPDX-License-Identifier: MIT
// The call by itself, with every flag, factor and offset, then sums of nodes as the op builds them.
#include <hwnas/ops/add.hpp>
#include <hwnas/ops/max_pool.hpp>
#include <hwnas/ops/node_sum.hpp>
#include <hwnas/ops/scale.hpp>

#include "cuda/device_under_test.hpp"

namespace cuda_node_sum_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

/// One term: what f is, whether there is an offset, and what the filter holds.
struct Term {
    enum Kind { plain, factor, window, centre, zero } kind = plain;
    bool offset = false;
    bool filter() const { return kind == window || kind == centre || kind == zero; }
};
/// Terms of every kind in turn, `count` of them; every third has an offset.
std::vector<Term> all_kinds(int count) {
    std::vector<Term> terms;
    for (int j = 0; j < count; ++j) terms.push_back({static_cast<Term::Kind>((j * 3 + 2) % 5), j % 3 == 1});
    return terms;
}
/// A call; `skipped` elements lie before every array.
struct Sum {
    Shape x;
    std::vector<Term> terms;
    bool reversed = false, accumulate = false, rectify = false;
    std::int64_t skipped = 0;
    std::string str() const {
        return fmt::format("{}, {} terms, reversed {}, accumulate {}, rectify {}", x, terms.size(), reversed,
                           accumulate, rectify);
    }
    /// A term's values: random floats, the same ones on every device and in every precision.
    std::vector<float> filter(std::size_t j) const {
        auto f = random_values<float>(9 * x[3], 100 + j);
        const auto c = static_cast<std::size_t>(x[3]);
        for (std::size_t i = 0; i < f.size(); ++i)
            if (terms[j].kind == Term::zero || (terms[j].kind == Term::centre && i / c != 4)) f[i] = 0;
        return f;
    }
    std::vector<float> source(std::size_t j) const { return random_values<float>(x.elements(), 200 + j); }

    template <class T, class Values>
    std::vector<T> run(const Device& device, const Values& values_of) const {
        const auto upload = [&](const std::vector<float>& values) {
            std::vector<T> all(static_cast<std::size_t>(skipped), T(0));
            all.insert(all.end(), values.begin(), values.end());
            return Tensor<T>::from(all, {static_cast<std::int64_t>(all.size())}, device);
        };
        std::vector<Tensor<T>> held;
        const auto keep = [&](const std::vector<float>& values) {
            held.push_back(upload(values));
            return held.back().data() + skipped;
        };
        contract::NodeSum<T> s{};
        const auto y = upload(random_values<float>(x.elements(), 1));
        s.y = y.data() + skipped;
        s.n = x[0], s.h = x[1], s.w = x[2], s.c = x[3];
        s.count = static_cast<std::int32_t>(terms.size());
        s.reversed = reversed, s.accumulate = accumulate, s.rectify = rectify;
        for (std::size_t j = 0; j < terms.size(); ++j) {
            s.x[j] = keep(values_of(j));
            if (terms[j].filter()) s.f[j] = keep(filter(j)), s.windows |= 1u << j;
            if (terms[j].kind == Term::factor) s.f[j] = keep(random_values<float>(x[3], 300 + j));
            if (terms[j].offset) s.offset[j] = keep(random_values<float>(x[3], 400 + j));
        }
        submit(device, s);
        const auto all = y.to_vector();
        return {all.begin() + static_cast<std::ptrdiff_t>(skipped), all.end()};
    }
    void check(const Device& device) const {
        INFO(str());
        const auto values = [&](std::size_t j) { return source(j); };
        CHECK(relative_error(run<float>(device, values), run<double>(test_device(), values)) <= 5e-7);
    }
};

/// Sources v[0], v[1], then filters. The first node has both, the first twice; the second has the first node twice, its
/// pool, a source, and the filters that are left.
struct Graph {
    bool rectify;
    template <class T>
    Variable<T> operator()(const std::vector<Variable<T>>& v) const {
        const NodeSource<T> x0(v[0]), x1(v[1]);
        const auto first = node_sum<T>({{x0, v[2]}, {x1}, {x0, v[3]}}, rectify);
        const NodeSource<T> from_first(first), pooled(max_pool(first));
        std::vector<NodeTerm<T>> terms{{from_first, v[4]}, {pooled}, {x0}, {from_first}};
        for (std::size_t i = 5; i < v.size(); ++i) terms.push_back({x1, v[i]});
        return add(node_sum(terms, rectify), scale(first, 0.5));
    }
};
void check_graph(const Device& device, const Shape& x, int filters = 4) {
    std::vector<std::vector<double>> inputs{random_values<double>(x.elements(), 1),
                                            random_values<double>(x.elements(), 2)};
    std::vector<Shape> shapes{x, x};
    for (int i = 0; i < filters; ++i) {
        inputs.push_back(random_values<double>(9 * x[3], 10 + static_cast<std::uint64_t>(i)));
        shapes.push_back({3, 3, x[3]});
    }
    for (const bool rectify : {false, true}) {
        INFO(fmt::format("{}, {} filters, rectify {}", x, filters, rectify));
        check_on_device(device, Graph{rectify}, inputs, shapes, 3e-6);
    }
}

/// A frozen norm, a convolution whose norm is in its filter but for the offset, and a plain value, rectified.
template <class T>
std::vector<T> sum_of_norms(const Shape& shape, const Device& device) {
    const auto tensor = [&](const Shape& s, std::uint64_t seed) {
        const auto values = random_values<float>(s.elements(), seed);
        return Tensor<T>::from(std::vector<T>(values.begin(), values.end()), s, device);
    };
    const Shape channels{shape[3]};
    const NodeSource<T> x(Variable<T>(tensor(shape, 1))), y(Variable<T>(tensor(shape, 2)));
    const Variable<T> filter(tensor({3, 3, shape[3]}, 3));
    const NoGrad no_grad;
    const std::vector<NodeTerm<T>> terms{
        {x, {}, tensor(channels, 4), tensor(channels, 5)}, {y, filter, {}, tensor(channels, 6)}, {y}};
    return node_sum(terms, true).value().to_vector();
}

}  // namespace

TEST_CASE("node_sum on the device: the call at awkward shapes, terms of every kind", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    std::vector<Shape> shapes{{1, 1, 1, 1},   {2, 2, 2, 3},   {3, 5, 4, 8},   {2, 7, 7, 17},
                              {1, 13, 3, 34}, {2, 6, 15, 4},  {1, 1, 9, 6},   {2, 40, 1, 5},
                              {1, 9, 2, 65},  {1, 5, 3, 130}, {140, 2, 3, 2}, {1, 3, 2, 600}};
    if (!emulated())
        for (const std::int64_t n : {1, 64, 256})
            for (const Shape& x :
                 {Shape{n, 28, 28, 16}, Shape{n, 14, 14, 32}, Shape{n, 7, 7, 64}, Shape{n, 33, 31, 13}})
                shapes.push_back(x);
    int turn = 0;
    for (const Shape& x : shapes) {
        Sum{x, all_kinds(5), turn % 2 == 1, turn % 3 == 1, turn % 4 > 1}.check(device);
        ++turn;
    }
}

TEST_CASE("node_sum on the device: every flag, 1 to 16 terms", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const std::int64_t c : {3, 6})
        for (int flags = 0; flags < 8; ++flags)
            for (const int count : {1, 7, 16})
                Sum{{2, 6, 5, c}, all_kinds(count), (flags & 1) != 0, (flags & 2) != 0, (flags & 4) != 0}.check(device);
    for (const Term::Kind kind : {Term::plain, Term::factor, Term::window, Term::centre, Term::zero})
        for (const bool offset : {false, true})
            for (const bool accumulate : {false, true}) {
                INFO("all terms of kind " << kind << ", offset " << offset);
                Sum{{2, 5, 3, 10}, std::vector<Term>(16, Term{kind, offset}), true, accumulate}.check(device);
            }
}

TEST_CASE("node_sum on the device takes arrays that are not aligned", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    Sum sum{{2, 6, 7, 4}, all_kinds(5), false, true, true};
    sum.skipped = 1;
    sum.check(device);
}

TEST_CASE("node_sum on the device: NaN and infinity go where they go on the CPU", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const std::int64_t c : {3, 8})
        for (int flags = 0; flags < 8; ++flags) {
            const Sum sum{{2, 9, 8, c}, all_kinds(5), (flags & 1) != 0, (flags & 2) != 0, (flags & 4) != 0};
            INFO(sum.str());
            // A few places each, so that most of the sum stays finite.
            const auto specials = [&](std::size_t j) {
                auto values = sum.source(j);
                const float special[] = {not_a_number, std::numeric_limits<float>::infinity(),
                                         -std::numeric_limits<float>::infinity()};
                for (std::size_t i = 0; i < 3; ++i) values[(37 * (i + 1) + 101 * j) % values.size()] = special[i];
                return values;
            };
            const auto found = sum.run<float>(device, specials), expected = sum.run<float>(test_device(), specials);
            std::size_t finite = 0, wrong = 0;
            for (std::size_t i = 0; i < found.size(); ++i) {
                const float x = found[i], y = expected[i];
                finite += std::isfinite(y);
                wrong += std::isfinite(y) ? !(std::abs(x - y) <= 4e-6f) : std::isnan(y) ? !std::isnan(x) : x != y;
            }
            CHECK(wrong == 0);
            CHECK(finite > found.size() / 2);
            CHECK(finite < found.size());
        }
}

TEST_CASE("node_sum on the device: rectified NaN stays, a filter of zeros reads nothing", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const std::int64_t c : {3, 16}) {
        INFO(c << " channels");
        const auto all_nan = [&](std::size_t) {
            return std::vector<float>(static_cast<std::size_t>(9 * c), not_a_number);
        };
        const Shape x{1, 3, 3, c};
        for (const Term::Kind kind : {Term::plain, Term::factor, Term::centre, Term::window})
            for (const float y : Sum{x, {{kind}}, false, false, true}.run<float>(device, all_nan)) CHECK(std::isnan(y));
        const Sum zeros{x, {{Term::zero}, {Term::zero, true}}};
        const auto offset = random_values<float>(c, 401);
        std::size_t i = 0;
        for (const float y : zeros.run<float>(device, all_nan)) CHECK(y == offset[i++ % offset.size()]);
        // Of a filter that is its centre alone every place reads itself alone.
        const auto one_nan = [&](std::size_t) {
            std::vector<float> values(static_cast<std::size_t>(9 * c), 1.0f);
            std::fill_n(values.begin() + static_cast<std::ptrdiff_t>(4 * c), c, not_a_number);
            return values;
        };
        const Sum centre{x, {{Term::centre}}};
        const auto f = centre.filter(0);
        i = 0;
        for (const float y : centre.run<float>(device, one_nan)) {
            const std::size_t pixel = i / static_cast<std::size_t>(c), channel = i % static_cast<std::size_t>(c);
            if (pixel == 4)
                CHECK(std::isnan(y));
            else
                CHECK(y == f[4 * static_cast<std::size_t>(c) + channel]);
            ++i;
        }
    }
}

TEST_CASE("node_sum on the device and its gradients agree with the CPU", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const Shape& x : {Shape{2, 2, 2, 1}, Shape{3, 5, 4, 3}, Shape{2, 7, 7, 12}, Shape{2, 1, 5, 4},
                           Shape{2, 5, 1, 4}, Shape{2, 9, 6, 17}, Shape{1, 4, 3, 130}})
        check_graph(device, x);
    check_graph(device, {2, 6, 5, 8}, 20);  // more terms than a call takes
    if (emulated()) return;
    for (const Shape& x : {Shape{128, 28, 28, 16}, Shape{128, 14, 14, 32}, Shape{300, 7, 7, 64}})
        check_graph(device, x);
}

TEST_CASE("node_sum on the device: frozen norms as factors and offsets", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const Shape& x : {Shape{2, 4, 5, 3}, Shape{2, 7, 7, 16}}) {
        INFO(x.str());
        CHECK(relative_error(sum_of_norms<float>(x, device), sum_of_norms<double>(x, test_device())) <= 5e-7);
    }
}

}  // namespace cuda_node_sum_test
