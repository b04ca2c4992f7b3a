// SPDX-License-Identifier: MIT
// What the tests of windowed ops share: awkward windows, and checks of an op against a slow reference in double, on
// every kernel entry, in float and double, at several thread counts, eager and recorded.
#pragma once

#include "support/catch.hpp"
#include "support/guarded_device.hpp"
#include "support/random_tensor.hpp"

#include <hwnas/autodiff/program.hpp>

namespace hwnas::testing {

struct WindowCase {
    Shape x;
    int kernel = 3, stride = 1, padding = -1, dilation = 1;
    std::string str() const {
        return fmt::format("x {}, kernel {}, stride {}, padding {}, dilation {}", x, kernel, stride, padding, dilation);
    }
};
inline std::vector<WindowCase> window_cases() {
    return {{{1, 1, 1, 1}},
            {{2, 5, 4, 3}},
            {{2, 9, 1, 8}},
            {{1, 1, 9, 12}},
            {{2, 2, 2, 17}},
            {{3, 7, 7, 17}},
            {{9, 28, 28, 16}},  // several chunks
            {{2, 28, 28, 10}},  // channels that fill no vectors
            {{2, 14, 14, 30}},
            {{2, 14, 14, 30}, 3, 2},
            {{1, 9, 14, 32}},
            {{1, 3, 15, 64}},
            {{2, 8, 7, 12}, 3, 2},
            {{3, 28, 28, 16}, 3, 2},
            {{11, 29, 30, 16}, 3, 2},  // rows in several pieces, as in the next two
            {{9, 15, 16, 24}, 5},
            {{4, 24, 26, 16}, 7},
            {{1, 6, 15, 32}, 3, 2},
            {{1, 5, 16, 64}, 3, 2},
            {{1, 15, 32, 20}, 3, 2},
            {{1, 2, 2, 16}, 3, 2},
            {{1, 1, 3, 16}, 3, 2},
            {{2, 3, 1, 4}, 3, 2},
            {{1, 7, 9, 8}, 3, 1, 0},
            {{1, 3, 4, 8}, 3, 1, 2},
            {{1, 9, 8, 12}, 3, 1, -1, 2},
            {{1, 9, 7, 3}, 3, 2, -1, 3},
            {{2, 6, 9, 9}, 5},
            {{1, 9, 9, 8}, 5, 2, -1, 2},
            {{2, 9, 8, 5}, 7},
            {{1, 9, 8, 8}, 7, 2},
            {{1, 9, 9, 3}, 7, 1, -1, 2},
            {{13, 20, 21, 20}, 1},
            {{1, 6, 3, 8}, 1, 2},  // places that no window sees
            {{1, 5, 6, 4}, 2, 2, 0},
            {{1, 4, 7, 12}, 2, 1, 1},
            {{1, 8, 8, 1}, 4, 3, 3}};
}

/// f(n, p, q, c, tap, source): every tap inside of every window, row-major; p q and source are flat element numbers.
template <class F>
void for_each_tap(const contract::Window& s, F&& f) {
    for (std::int64_t n = 0; n < s.n; ++n)
        for (std::int64_t p = 0; p < s.oh; ++p)
            for (std::int64_t q = 0; q < s.ow; ++q)
                for (std::int64_t c = 0; c < s.c; ++c)
                    for (int a = 0; a < s.kernel; ++a)
                        for (int b = 0; b < s.kernel; ++b) {
                            const std::int64_t i = p * s.stride - s.padding + a * s.dilation,
                                               j = q * s.stride - s.padding + b * s.dilation;
                            if (i < 0 || i >= s.h || j < 0 || j >= s.w) continue;
                            f(static_cast<std::size_t>(((n * s.oh + p) * s.ow + q) * s.c + c),
                              static_cast<std::size_t>((a * s.kernel + b) * s.c + c),
                              static_cast<std::size_t>(((n * s.h + i) * s.w + j) * s.c + c));
                        }
}

/// A value and the gradients of its inputs.
template <class T>
struct Outcome {
    std::vector<T> y;
    std::vector<std::vector<T>> gradients;
    bool operator==(const Outcome&) const = default;
};
/// dy of every check: the same numbers, rounded to T.
template <class T>
Tensor<T> test_seed(const Shape& shape, const Device& device) {
    return random_tensor<T>(shape, 77, device);
}

template <class T, class F>
Outcome<T> run_op(F&& op, const std::vector<std::vector<double>>& inputs, const std::vector<Shape>& shapes,
                  const Device& device, int uses = 1, bool recorded = false) {
    std::vector<Variable<T>> leaves;
    for (std::size_t i = 0; i < inputs.size(); ++i)
        leaves.push_back(
            Variable<T>::leaf(Tensor<T>::from(std::vector<T>(inputs[i].begin(), inputs[i].end()), shapes[i], device)));
    Variable<T> y;
    const auto step = [&] {
        for (int use = 0; use < uses; ++use) {
            y = op(leaves);
            backward(y, test_seed<T>(y.shape(), device));
        }
    };
    if (recorded) {
        const auto program = Program::record(device, step);
        program.run();
        program.run();
        Outcome<T> outcome{y.value().to_vector(), {}};
        for (const auto& leaf : leaves) outcome.gradients.push_back(leaf.grad().to_vector());
        return outcome;
    }
    step();
    Outcome<T> outcome{y.value().to_vector(), {}};
    for (const auto& leaf : leaves) outcome.gradients.push_back(leaf.grad().to_vector());
    return outcome;
}

/// Everything a kernel has to satisfy at one shape; the seed of backward is test_seed.
template <class F>
void check_op(F&& op, const std::vector<std::vector<double>>& inputs, const std::vector<Shape>& shapes,
              const Outcome<double>& expected) {
    static const auto isas = [] {
        std::vector<std::vector<Device>> all;
        for (const auto isa : test_isas())
            all.push_back(
                {guarded_device(1, isa, Flush::back), guarded_device(2, isa, Flush::front), test_device(5, isa)});
        return all;
    }();
    const auto close = [&](const auto& found, double tolerance) {
        CHECK(relative_error(found.y, expected.y) <= tolerance);
        REQUIRE(found.gradients.size() == expected.gradients.size());
        for (std::size_t i = 0; i < inputs.size(); ++i)
            CHECK(relative_error(found.gradients[i], expected.gradients[i]) <= tolerance);
    };
    for (const auto& devices : isas) {
        const auto in_float = run_op<float>(op, inputs, shapes, devices[0]);
        close(in_float, 1e-5);
        CHECK(run_op<float>(op, inputs, shapes, devices[1]) == in_float);
        CHECK(run_op<float>(op, inputs, shapes, devices[2]) == in_float);
    }
    close(run_op<double>(op, inputs, shapes, isas.back()[0]), 1e-12);
}

/// Two uses of the inputs double the gradients; a recorded step, run twice, gives the eager bits.
template <class F>
void check_uses(F&& op, const std::vector<std::vector<double>>& inputs, const std::vector<Shape>& shapes) {
    const auto device = test_device(2);
    const auto once = run_op<float>(op, inputs, shapes, device), twice = run_op<float>(op, inputs, shapes, device, 2);
    for (std::size_t i = 0; i < inputs.size(); ++i)
        for (std::size_t j = 0; j < inputs[i].size(); ++j) REQUIRE(twice.gradients[i][j] == 2 * once.gradients[i][j]);
    CHECK(run_op<float>(op, inputs, shapes, device, 1, true) == once);
    CHECK(run_op<float>(op, inputs, shapes, device, 2, true) == twice);
}

}  // namespace hwnas::testing
