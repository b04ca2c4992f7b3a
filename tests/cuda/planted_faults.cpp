// SPDX-License-Identifier: MIT
// What the emulated tests of the kernels would miss: every barrier of every kernel is left out in turn, and every
// kernel gets a byte less of shared memory than it asks for; each time some call has to show it.
#include <hwnas/cpu/adam.hpp>
#include <hwnas/cpu/reduce_chunks.hpp>
#include <hwnas/ops/accuracy.hpp>
#include <hwnas/ops/column_sum.hpp>
#include <hwnas/ops/cross_entropy.hpp>
#include <hwnas/ops/gather_batch.hpp>
#include <hwnas/ops/global_average_pool.hpp>
#include <hwnas/ops/gumbel_softmax.hpp>
#include <hwnas/ops/multiply.hpp>
#include <hwnas/ops/relu_conv_norm.hpp>
#include <hwnas/ops/simplex_sample.hpp>

#include "../../cuda/platform.cuh"
#include "cuda/device_under_test.hpp"
#include "cuda/mixed_cell_calls.hpp"
#include "support/shades.hpp"

#include <sys/wait.h>
#include <unistd.h>
#include <filesystem>
#include <fstream>

namespace cuda_planted_faults_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

using Values = std::vector<std::vector<float>>;
/// Some calls on the emulated device, and what they leave behind.
struct Work {
    std::string name;
    std::function<Values(const Device&)> run;
};

template <class Op>
Work work_of(std::string name, const std::vector<Shape>& shapes, Op op) {
    std::vector<std::vector<double>> inputs;
    for (const auto& shape : shapes) inputs.push_back(random_values<double>(shape.elements(), inputs.size() + 1));
    return {std::move(name), [=](const Device& device) {
                auto outcome = run_op<float>(op, inputs, shapes, device);
                Values all = std::move(outcome.gradients);
                all.push_back(std::move(outcome.y));
                return all;
            }};
}
Work cell_of(const RelaxedCell& cell, CellWay way) {
    return work_of(cell.str(), cell.filled().shapes(), cell.filled().op(way));
}

/// Every kernel with a barrier or with shared memory, at shapes that use all of it.
std::vector<Work> everything() {
    std::vector<Work> all;
    const auto norm = [](const auto& v) {
        using T = typename std::decay_t<decltype(v)>::value_type::value_type;
        return batch_norm(v[0], v[1], v[2], BatchNormState<T>{}, Phase::train);
    };
    const auto gated = [](const auto& v) {
        using T = typename std::decay_t<decltype(v)>::value_type::value_type;
        return relu_conv_norm(v[0], v[1], v[2], v[3], BatchNormState<T>{}, Phase::train, {}, {}, SkipGate<T>{v[4], 0});
    };
    for (const auto& x :
         {Shape{3, 6, 6, 12}, Shape{2, 14, 6, 3}, Shape{2, 28, 6, 2}, Shape{2, 32, 6, 2}, Shape{2, 8, 6, 4}}) {
        all.push_back(cell_of({x}, CellWay::whole));
        all.push_back({"calls of " + RelaxedCell{x}.filled().str(), [x](const Device& device) {
                           auto all_wanted = CellCalls{RelaxedCell{x}.filled(), 1}.backward(device, 0x7Fu, 0, 0);
                           for (auto& values : CellCalls{RelaxedCell{x}.filled(), 1}.backward(device, 0x7Du, 0, 0))
                               all_wanted.push_back(std::move(values));
                           return all_wanted;
                       }});
    }
    all.push_back(cell_of({{3, 6, 5, 12}}, CellWay::by_source));
    all.push_back(cell_of({{3, 6, 5, 3}, 3}, CellWay::by_source));
    all.push_back(cell_of({{3, 9, 5, 12}}, CellWay::by_node));
    all.push_back(cell_of({{3, 6, 5, 3}, 3}, CellWay::by_node));
    all.push_back(cell_of({{1, 15, 40, 12}}, CellWay::by_node));
    all.push_back({"a vertex in one pass, its own gradient not wanted", [](const Device& device) {
                       contract::MixedVertexBackward<float> s{};
                       const Shape x{2, 9, 5, 12};
                       const auto source = random_tensor<float>(x, 1, device), du = random_tensor<float>(x, 2, device),
                                  filters = random_tensor<float>({1, 1, 108}, 3, device),
                                  gamma = random_tensor<float>({1, 1}, 4, device),
                                  partial = random_tensor<float>({1, 1, 109}, 5, device);
                       s.partial = partial.data(), s.du[0] = du.data(), s.x = source.data();
                       s.filters = filters.data(), s.gamma = gamma.data();
                       s.n = 2, s.h = 9, s.w = 5, s.c = 12;
                       s.groups = s.gamma_stride = s.edges = s.chunks = s.count = 1;
                       submit(device, s);
                       return Values{partial.to_vector()};
                   }});
    all.push_back({"the inputs' gradients alone", [](const Device& device) {
                       const auto cell = RelaxedCell{{1, 3, 2, 600}, 1, 2, 2}.filled();
                       std::vector<Variable<float>> v;
                       for (const auto& values : cell.values()) {
                           const auto value = Tensor<float>::from(std::vector<float>(values.begin(), values.end()),
                                                                  cell.shapes()[v.size()], device);
                           v.push_back(v.size() < 2 ? Variable<float>::leaf(value) : Variable<float>(value));
                       }
                       const auto y = cell.apply(v, CellWay::by_source);
                       backward(y, test_seed<float>(y.shape(), device));
                       return Values{v[0].grad().to_vector(), v[1].grad().to_vector()};
                   }});
    for (const int kernel : {3, 4, 5, 7})
        for (const int stride : {1, 2}) {
            for (const std::int64_t c : {8, 3})
                all.push_back(work_of(fmt::format("depthwise_conv {} {} {}", kernel, stride, c),
                                      {{2, 9, 8, c}, {kernel, kernel, c}}, [=](const auto& v) {
                                          return depthwise_conv(v[0], v[1], {.stride = stride, .padding = kernel / 2});
                                      }));
            all.push_back({fmt::format("filter's gradient alone {} {}", kernel, stride), [=](const Device& device) {
                               const Variable<float> x(random_tensor<float>({2, 9, 8, 5}, 1, device));
                               const auto w =
                                   Variable<float>::leaf(random_tensor<float>({kernel, kernel, 5}, 2, device));
                               const auto y = depthwise_conv(x, w, {.stride = stride, .padding = kernel / 2});
                               backward(y, test_seed<float>(y.shape(), device));
                               return Values{w.grad().to_vector()};
                           }});
        }
    for (const int kernel : {3, 5})
        for (const int stride : {1, 2}) {
            auto work = work_of("depthwise_conv by four channels",
                                {{1, 38 * stride, 20 * (3 - stride) * stride, 64}, {kernel, kernel, 64}},
                                [stride](const auto& v) { return depthwise_conv(v[0], v[1], {.stride = stride}); });
            work.run = [run = work.run](const Device&) { return run(*narrow_device_under_test()); };
            all.push_back(std::move(work));
        }
    for (const int kernel : {1, 3})
        for (const std::int64_t in : {3, 5, 8, 20})
            for (const std::int64_t out : {16, 32, 40})
                all.push_back(work_of(fmt::format("conv {} {} {}", kernel, in, out),
                                      {{2, 6, 7, in}, {kernel, kernel, in, out}},
                                      [](const auto& v) { return conv(v[0], v[1]); }));
    for (const std::int64_t c : {17, 64, 65}) {
        all.push_back(work_of(fmt::format("batch_norm {}", c), {{3, 9, 8, c}, {c}, {c}}, norm));
        all.push_back(work_of(fmt::format("relu_conv_norm {}", c), {{3, 5, 4, c}, {1, 1, c, c}, {c}, {c}, {2}}, gated));
        for (const std::int64_t rows : {57, 64, 70}) {
            all.push_back(work_of(fmt::format("column_sum {} {}", rows, c), {{rows, c}},
                                  [](const auto& v) { return column_sum(v[0]); }));
            all.push_back(work_of(fmt::format("multiply {} {}", rows, c), {{rows, c}, {c}},
                                  [](const auto& v) { return multiply(v[0], v[1]); }));
        }
        all.push_back(work_of(fmt::format("global_average_pool {}", c), {{3, 7, 6, c}},
                              [](const auto& v) { return global_average_pool(v[0]); }));
        for (const bool twice : {false, true})  // what stands there twice is summed term by term in one block
            all.push_back(work_of(fmt::format("weighted_sum {} {}", c, twice),
                                  {{3, 5, 4, c}, {3, 5, 4, c}, {3, 5, 4, c}, {3}}, [twice](const auto& v) {
                                      using V = typename std::decay_t<decltype(v)>::value_type;
                                      std::vector<V> xs{v[0], v[1], v[2]};
                                      std::vector<int> columns{0, 1, 2};
                                      if (twice) xs.push_back(v[0]), columns.push_back(1);
                                      return weighted_sum(xs, v[3], columns);
                                  }));
        for (const std::int64_t w : {3, 4}) {  // many blocks, for the card, take four terms at once
            auto work = work_of(
                fmt::format("weighted_sum of four terms {} {}", c, w), {{9, 5, w, c}, {9, 5, w, c}, {9, 5, w, c}, {3}},
                [](const auto& v) { return weighted_sum(std::vector{v[0], v[1], v[2]}, v[3], {0, 1, 2}); });
            all.push_back(work);
            work.run = [run = work.run](const Device&) { return run(*narrow_device_under_test()); };
            all.push_back(std::move(work));
        }
    }
    const auto labels = [](const Device& device) {
        std::vector<std::int32_t> classes;
        for (std::int32_t i = 0; i < 70; ++i) classes.push_back(i % 7);
        return Tensor<std::int32_t>::from(classes, {70}, device);
    };
    all.push_back(work_of("cross_entropy", {{70, 10}},
                          [=](const auto& v) { return cross_entropy(v[0], labels(v[0].device())); }));
    all.push_back({"accuracy", [=](const Device& device) {
                       const Variable<float> logits(random_tensor<float>({70, 10}, 1, device));
                       return Values{accuracy(logits, labels(device)).to_vector()};
                   }});
    all.push_back(work_of("gumbel_softmax", {{5, 3}}, [](const auto& v) {
        using T = typename std::decay_t<decltype(v)>::value_type::value_type;
        const auto& device = v[0].device();
        return gumbel_softmax(v[0], GumbelSoftmaxOptions<T>{.temperature = Tensor<T>::scalar(T(0.5), device),
                                                            .step = Tensor<std::int64_t>::scalar(9, device),
                                                            .key = Seed{42}.stream("planted"),
                                                            .draws = 40})
            .gamma;
    }));
    all.push_back({"reduce_chunks", [](const Device& device) {
                       const auto from = random_tensor<float>({20, 45}, 1, device),
                                  out = Tensor<float>::full({45}, 0.0f, device);
                       submit(device, contract::ReduceChunks<float>{out.data(), from.data(), 45, 20, 0});
                       return Values{out.to_vector()};
                   }});
    all.push_back({"simplex_sample", [](const Device& device) {
                       const auto step = Tensor<std::int64_t>::scalar(3, device);
                       return Values{simplex_sample<float>(600, step, Seed{1}.stream("planted"), device).to_vector()};
                   }});
    for (const std::int64_t side : {7, 8})
        all.push_back({"gather_batch", [side](const Device& device) {
                           const auto data = DeviceDataset::upload(shades(40, 1, 4, side), device);
                           return Values{
                               gather_batch<float>(data, Tensor<std::int64_t>::scalar(0, device),
                                                   {.batch = 8, .shuffle = true, .key = Seed{1}.stream("planted")})
                                   .inputs.value()
                                   .to_vector()};
                       }});
    for (const std::int64_t n : {100, 101})
        all.push_back({"adam", [n](const Device& device) {
                           const Shape shape{n};
                           const auto p = random_tensor<float>(shape, 1, device),
                                      m = random_tensor<float>(shape, 2, device),
                                      v = random_tensor<float>(shape, 3, device, 0.0, 0.1),
                                      g = random_tensor<float>(shape, 4, device),
                                      rate = Tensor<float>::scalar(0.003f, device);
                           const auto step = Tensor<std::int64_t>::scalar(5, device);
                           submit(device, contract::Adam<float>{p.data(), m.data(), v.data(), g.data(), rate.data(),
                                                                step.data(), n, 0.9f, 0.999f, 1e-8f, 0});
                           return Values{p.to_vector(), m.to_vector(), v.to_vector()};
                       }});
    return all;
}

/// Sets one of the emulator's pointers for a scope.
template <class T>
class Scope {
public:
    Scope(T*& where, T* value) : where_(where) { where_ = value; }
    ~Scope() { where_ = nullptr; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

private:
    T*& where_;
};
struct Ran {
    Work work;
    Values values;
    emulator::Seen seen;
};
std::vector<Ran> ran(const Device& device) {
    std::vector<Ran> all;
    for (auto& work : everything()) {
        all.push_back({std::move(work), {}, {}});
        const Scope scope(emulator::seen, &all.back().seen);
        all.back().values = all.back().work.run(device);
    }
    return all;
}
/// What a process of its own, which a sanitizer may end, writes to standard error when a work runs under a fault: what
/// the sanitizer says or, as `shown`, that values depend on the order of threads or are others than without the fault.
constexpr std::string_view shown = "the values show it";
std::string errors_of(const Ran& ran, const emulator::Fault& fault, const Device& device) {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]), close(ends[1]);
        bool differs = false;
        try {
            const Scope scope(emulator::fault, &fault);
            const auto values = ran.work.run(device);
            for (std::size_t i = 0; i < values.size(); ++i)
                differs = differs || !(relative_error(values[i], ran.values[i]) <= 1e-5);
        } catch (const std::exception&) {
            differs = true;
        }
        const bool said = !differs || write(STDERR_FILENO, shown.data(), shown.size()) > 0;
        _exit(said ? 0 : 1);
    }
    close(ends[1]);
    std::string text;
    char buffer[4096];
    for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<std::size_t>(n));
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    return text;
}

}  // namespace

TEST_CASE("planted faults: every barrier in the kernels' sources is needed, and missed where it is left out",
          "[emulated]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    std::set<std::string> barriers;
    for (const auto& file : std::filesystem::directory_iterator(HWNAS_SOURCE_DIR "/cuda")) {
        std::ifstream in(file.path());
        std::string line;
        for (int number = 1; std::getline(in, line); ++number)
            if (line.find("__syncthreads()") != std::string::npos)
                barriers.insert(fmt::format("{}:{}", file.path().filename().string(), number));
    }
    CHECK(barriers.size() > 30);
    const auto works = ran(device);
    for (const auto& barrier : barriers) {
        INFO("without the barrier at " << barrier);
        const auto users = std::count_if(works.begin(), works.end(),
                                         [&](const Ran& work) { return work.seen.barriers.count(barrier) > 0; });
        CHECK(users > 0);
        CHECK(std::any_of(works.begin(), works.end(), [&](const Ran& work) {
            return work.seen.barriers.count(barrier) > 0 && !errors_of(work, {.barrier = barrier}, device).empty();
        }));
    }
}

TEST_CASE("planted faults: shared memory a byte too small is found in every kernel", "[emulated]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    const auto works = ran(device);
    std::map<std::string, std::vector<const Ran*>> users;
    for (const auto& work : works)
        for (const auto& kernel : work.seen.kernels) users[kernel].push_back(&work);
    CHECK(users.size() == 82);  // all there are: what "emulated:compute capability 7.5, every kernel" counts
    for (const auto& [kernel, all] : users) {
        INFO("shared memory of " << emulator::readable(kernel));
        CHECK(std::any_of(all.begin(), all.end(), [&](const Ran* work) {
            return errors_of(*work, {.kernel = kernel}, device).find("heap-buffer-overflow") != std::string::npos;
        }));
    }
}

}  // namespace cuda_planted_faults_test
