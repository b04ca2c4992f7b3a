// SPDX-License-Identifier: MIT
#include <hwnas/autodiff/gradcheck.hpp>
#include <hwnas/autodiff/program.hpp>
#include <hwnas/ops/scale.hpp>
#include <hwnas/ops/weighted_norm_sum.hpp>

#include "support/catch.hpp"
#include "support/random_tensor.hpp"

namespace ops_weighted_norm_sum_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

constexpr std::int64_t channels = 5;
const Shape shape{3, 4, 2, channels};

template <class T>
struct Inputs {
    std::vector<Variable<T>> x, scale, shift;
    Variable<T> weights;
    std::vector<Variable<T>> all() const {
        auto list = x;
        list.insert(list.end(), scale.begin(), scale.end());
        list.insert(list.end(), shift.begin(), shift.end());
        list.push_back(weights);
        return list;
    }
};
/// Four values; the second has no norm, the third one without scale and shift, the fourth no weight.
template <class T>
Inputs<T> inputs_on(const Device& device, std::int64_t draws) {
    const auto leaf = [&](const Shape& s, std::uint64_t number) {
        return Variable<T>::leaf(random_tensor<T>(s, number, device));
    };
    Inputs<T> inputs;
    for (std::uint64_t j = 0; j < 4; ++j) {
        inputs.x.push_back(leaf(shape, j));
        inputs.scale.push_back(leaf({channels}, 10 + j)), inputs.shift.push_back(leaf({channels}, 20 + j));
    }
    std::vector<T> weights;
    for (std::int64_t g = 0; g < draws; ++g)
        for (const double w : {0.5, 0.0, -1.5, 0.25}) weights.push_back(static_cast<T>(w + 0.1 * double(g) * (w != 0)));
    inputs.weights = Variable<T>::leaf(Tensor<T>::from(weights, {draws, 4}, device));
    return inputs;
}
const std::vector<int> columns{2, 0, 3, 1};  // the last of the row is one of a pending norm

template <class T>
std::vector<Normalized<T>> terms_of(const Inputs<T>& in, Phase phase = Phase::train,
                                    const BatchNormState<T>& state = {}) {
    return {{in.x[0], in.scale[0], in.shift[0], state, phase},
            in.x[1],
            {in.x[2], {}, {}, state, phase},
            {in.x[3], in.scale[3], in.shift[3], state, phase}};
}
template <class T>
Variable<T> one_by_one(const Inputs<T>& in, Phase phase = Phase::train, const BatchNormState<T>& state = {}) {
    std::vector<Variable<T>> built;
    for (const auto& term : terms_of(in, phase, state)) built.push_back(term.value());
    return weighted_sum(built, in.weights, columns);
}
template <class T>
std::vector<std::vector<T>> results(const Inputs<T>& in, const Variable<T>& y) {
    for (const auto& leaf : in.all()) leaf.set_grad({});
    backward(y, random_tensor<T>(y.shape(), 99, y.device()));
    std::vector<std::vector<T>> found{y.value().to_vector()};
    for (const auto& leaf : in.all())
        found.push_back(leaf.grad().defined() ? leaf.grad().to_vector() : std::vector<T>{});
    return found;
}
template <class T>
int calls(const Device& device, const std::string& kernel, const std::function<Variable<T>()>& f) {
    const auto program = Program::record(device, [&] { backward(f(), random_tensor<T>(shape, 99, device)); });
    int count = 0;
    for (std::size_t i = 0; i < program.size(); ++i) count += program.kernel(i) == kernel;
    return count;
}

}  // namespace

TEST_CASE("weighted_norm_sum equals norms first, sum after", "[ops]") {
    for (const auto isa : test_isas())
        for (const std::int64_t draws : {1, 3}) {
            INFO(cpu::isa_name(isa) << ", " << draws << " draws");
            const auto device = test_device(2, isa);
            const auto in = inputs_on<double>(device, draws);
            const auto expected = results(in, one_by_one(in));
            const auto found = results(in, weighted_norm_sum(terms_of(in), in.weights, columns));
            REQUIRE(found.size() == expected.size());
            for (std::size_t i = 0; i < found.size(); ++i) {
                INFO("result " << i);
                REQUIRE(found[i].size() == expected[i].size());
                for (std::size_t j = 0; j < found[i].size(); ++j)
                    REQUIRE(found[i][j] == Approx(expected[i][j]).epsilon(1e-10).margin(1e-12));
            }
            const auto single = inputs_on<float>(device, draws);
            const auto a = results(single, one_by_one(single));
            const auto b = results(single, weighted_norm_sum(terms_of(single), single.weights, columns));
            for (std::size_t i = 0; i < a.size(); ++i) CHECK(relative_error(b[i], a[i]) < 1e-5);
        }
}

TEST_CASE("weighted_norm_sum without weights adds", "[ops]") {
    const auto device = test_device();
    const auto in = inputs_on<double>(device, 1);
    const auto terms = [&](int which) {  // both plain values, one of them, none
        auto all = terms_of(in);
        if (which == 0) all.push_back(in.x[3]);
        if (which == 2) all.erase(all.begin() + 1);
        return all;
    };
    for (const int which : {0, 1, 2}) {
        INFO("case " << which);
        std::vector<Variable<double>> built;
        for (const auto& term : terms(which)) built.push_back(term.value());
        const auto before = in.x[1].value().to_vector();
        const auto expected = results(in, add(built));
        const auto found =
            results(in, weighted_norm_sum(terms(which), Variable<double>(), std::vector<int>(built.size(), 0)));
        for (std::size_t i = 0; i < found.size(); ++i) {
            REQUIRE(found[i].size() == expected[i].size());
            for (std::size_t j = 0; j < found[i].size(); ++j)
                REQUIRE(found[i][j] == Approx(expected[i][j]).epsilon(1e-10).margin(1e-12));
        }
        CHECK(in.x[1].value().to_vector() == before);  // a value that others use is not added to
    }
}

TEST_CASE("weighted_norm_sum in eval mode uses running statistics", "[ops]") {
    const auto device = test_device();
    const auto in = inputs_on<double>(device, 1);
    const BatchNormState<double> state{
        random_tensor<double>({channels}, 50, device), Tensor<double>::full({channels}, 0.7, device), {}};
    const auto expected = results(in, one_by_one(in, Phase::eval, state));
    const auto found = results(in, weighted_norm_sum(terms_of(in, Phase::eval, state), in.weights, columns));
    for (std::size_t i = 0; i < found.size(); ++i)
        for (std::size_t j = 0; j < found[i].size(); ++j)
            REQUIRE(found[i][j] == Approx(expected[i][j]).epsilon(1e-10).margin(1e-12));
}

TEST_CASE("weighted_norm_sum gradients agree with finite differences", "[ops][gradcheck]") {
    const auto device = test_device();
    const auto in = inputs_on<double>(device, 1);
    std::vector<Tensor<double>> points;
    for (const auto& leaf : in.all()) points.push_back(leaf.value());
    const auto result = gradcheck(
        [](const auto& v) {
            const Inputs<double> at{
                {v[0], v[1], v[2], v[3]}, {v[4], v[5], v[6], v[7]}, {v[8], v[9], v[10], v[11]}, v[12]};
            // The parameters that no term has must have a gradient too.
            return weighted_norm_sum(terms_of(at), v[12], columns) +
                   scale(at.scale[1] + at.shift[1] + at.scale[2] + at.shift[2], 0.1);
        },
        points);
    INFO(result.message);
    CHECK(result.passed);
}

TEST_CASE("weighted_norm_sum builds no result of a norm", "[ops]") {
    const auto device = test_device();
    const auto in = inputs_on<float>(device, 1);
    const auto fused = [&] { return weighted_norm_sum(terms_of(in), in.weights, columns); };
    CHECK(calls<float>(device, "weighted_sum_backward", fused) == 1);
    CHECK(calls<float>(device, "batch_norm_apply", fused) == 3);
    const auto bytes = [&](const std::function<Variable<float>()>& f) {
        return Program::record(device, [&] { backward(f(), random_tensor<float>(shape, 99, device)); },
                               {.tiled = false})
            .memory();
    };
    CHECK(bytes(fused) < bytes([&] { return one_by_one(in); }));
}

TEST_CASE("weighted_norm_sum names what does not fit", "[ops]") {
    const auto device = test_device();
    const auto in = inputs_on<float>(device, 1);
    const auto terms = terms_of(in);
    using Catch::Contains;
    CHECK_THROWS_WITH(weighted_norm_sum<float>({}, in.weights, {}), Contains("no inputs"));
    CHECK_THROWS_WITH(weighted_norm_sum(terms, in.weights, {0, 1}), Contains("2 columns for 4 inputs"));
    CHECK_THROWS_WITH(weighted_norm_sum(terms, in.weights, {0, 1, 2, 4}), Contains("column 4"));
    const Normalized<float> other(Variable<float>(random_tensor<float>({3, 4, 3, channels}, 1, device)), {}, {}, {},
                                  Phase::train);
    CHECK_THROWS_WITH(weighted_norm_sum<float>({terms_of(in)[0], other}, in.weights, {0, 1}), Contains("[3, 4, 3, 5]"));
    const auto once = terms_of(in);
    once[0].value();
    CHECK_THROWS_WITH(once[0].value(), Contains("once"));
    CHECK_THROWS_WITH(weighted_norm_sum(once, in.weights, columns), Contains("once"));
    once[1].value(), once[1].value();  // nothing is pending
}

}  // namespace ops_weighted_norm_sum_test
