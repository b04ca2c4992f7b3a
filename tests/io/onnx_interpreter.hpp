// SPDX-License-Identifier: MIT
// A slow interpreter of the ONNX operators that hwnas writes, from the ONNX specification; it shares nothing with the
// exporter. Values are NCHW, sums are in double.
#pragma once

#include "io/onnx_reader.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <vector>

namespace hwnas_test::onnx {

inline std::size_t at(i64 i) {
    return static_cast<std::size_t>(i);
}

/// Visits every output place and every tap inside the input: f(output index, input index, tap index).
template <class Place, class Tap, class Done>
Array windows(const Node& node, const Array& x, const std::vector<i64>& kernel, i64 channels, Place&& place, Tap&& tap,
              Done&& done) {
    const auto strides = node.list("strides", {1, 1}), pads = node.list("pads", {0, 0, 0, 0}),
               dilations = node.list("dilations", {1, 1});
    const auto extent = [&](std::size_t axis) {
        return (x.dims.at(2 + axis) + pads[axis] + pads[2 + axis] - (kernel[axis] - 1) * dilations[axis] - 1) /
                   strides[axis] +
               1;
    };
    Array y{{x.dims[0], channels, extent(0), extent(1)}, {}, {}};
    for (i64 n = 0; n < y.dims[0]; ++n)
        for (i64 c = 0; c < channels; ++c)
            for (i64 p = 0; p < y.dims[2]; ++p)
                for (i64 q = 0; q < y.dims[3]; ++q) {
                    place(n, c);
                    for (i64 a = 0; a < kernel[0]; ++a)
                        for (i64 b = 0; b < kernel[1]; ++b) {
                            const i64 i = p * strides[0] - pads[0] + a * dilations[0],
                                      j = q * strides[1] - pads[1] + b * dilations[1];
                            if (i >= 0 && i < x.dims[2] && j >= 0 && j < x.dims[3])
                                tap(n, c, i * x.dims[3] + j, a * kernel[1] + b);
                        }
                    y.values.push_back(static_cast<float>(done(c)));
                }
    return y;
}
inline Array conv(const Node& node, const std::vector<Array>& in) {
    const Array &x = in[0], &w = in[1];
    const i64 group = node.list("group", {1})[0], per_group = w.dims[1], pixels = x.dims[2] * x.dims[3],
              taps = w.dims[2] * w.dims[3];
    if (x.dims.size() != 4 || w.dims.size() != 4 || per_group * group != x.dims[1]) bad("Conv shapes");
    double sum = 0;
    return windows(
        node, x, {w.dims[2], w.dims[3]}, w.dims[0], [&](i64, i64) { sum = 0; },
        [&](i64 n, i64 o, i64 pixel, i64 t) {
            const i64 first = o / (w.dims[0] / group) * per_group;
            for (i64 i = 0; i < per_group; ++i)
                sum += static_cast<double>(x.values[at((n * x.dims[1] + first + i) * pixels + pixel)]) *
                       static_cast<double>(w.values[at((o * per_group + i) * taps + t)]);
        },
        [&](i64 o) { return sum + (in.size() > 2 ? static_cast<double>(in[2].values.at(at(o))) : 0.0); });
}
inline Array pool(const Node& node, const Array& x) {
    const auto kernel = node.list("kernel_shape", {});
    const bool max = node.op == "MaxPool", all = node.list("count_include_pad", {0})[0] != 0;
    double sum = 0, largest = 0;
    i64 inside = 0;
    return windows(
        node, x, kernel, x.dims.at(1),
        [&](i64, i64) { sum = 0, inside = 0, largest = -std::numeric_limits<double>::infinity(); },
        [&](i64 n, i64 c, i64 pixel, i64) {
            const auto value = static_cast<double>(x.values[at((n * x.dims[1] + c) * x.dims[2] * x.dims[3] + pixel)]);
            sum += value, ++inside, largest = std::max(largest, value);
        },
        [&](i64) { return max ? largest : sum / static_cast<double>(all ? kernel[0] * kernel[1] : inside); });
}
/// NumPy's broadcasting.
template <class F>
Array elementwise(const Array& a, const Array& b, F&& f) {
    const std::size_t rank = std::max(a.dims.size(), b.dims.size());
    const auto extent = [&](const Array& x, std::size_t i) {
        return i + x.dims.size() < rank ? 1 : x.dims[i + x.dims.size() - rank];
    };
    Array y;
    for (std::size_t i = 0; i < rank; ++i) {
        if (extent(a, i) != extent(b, i) && extent(a, i) != 1 && extent(b, i) != 1) bad("shapes do not broadcast");
        y.dims.push_back(std::max(extent(a, i), extent(b, i)));
    }
    for (i64 index = 0; index < product(y.dims); ++index) {
        i64 rest = index, ia = 0, ib = 0, step_a = 1, step_b = 1;
        for (std::size_t i = rank; i-- > 0;) {
            const i64 k = rest % y.dims[i];
            rest /= y.dims[i];
            if (extent(a, i) > 1) ia += k * step_a;
            if (extent(b, i) > 1) ib += k * step_b;
            step_a *= extent(a, i), step_b *= extent(b, i);
        }
        y.values.push_back(f(a.values[at(ia)], b.values[at(ib)]));
    }
    return y;
}
inline Array transpose(const Array& x, const std::vector<i64>& order) {
    Array y;
    for (const i64 axis : order) y.dims.push_back(x.dims.at(at(axis)));
    std::vector<i64> step(x.dims.size(), 1);
    for (std::size_t i = x.dims.size() - 1; i-- > 0;) step[i] = step[i + 1] * x.dims[i + 1];
    for (i64 index = 0; index < product(y.dims); ++index) {
        i64 rest = index, from = 0;
        for (std::size_t i = y.dims.size(); i-- > 0;) from += rest % y.dims[i] * step[at(order[i])], rest /= y.dims[i];
        y.values.push_back(x.values[at(from)]);
    }
    return y;
}
inline Array concat(const std::vector<Array>& in) {
    Array y = in[0];
    y.values.clear();
    y.dims[1] = 0;
    for (const auto& x : in) y.dims[1] += x.dims.at(1);
    for (i64 n = 0; n < y.dims[0]; ++n)
        for (const auto& x : in) {
            const i64 image = product(x.dims) / x.dims[0];
            y.values.insert(y.values.end(), x.values.begin() + n * image, x.values.begin() + (n + 1) * image);
        }
    return y;
}

inline Array evaluate(const Node& node, const std::vector<Array>& in) {
    const std::string& op = node.op;
    Array y = in.at(0);
    const auto channel = [&](i64 i) { return at(i / (y.dim(2) * y.dim(3)) % y.dim(1)); };
    if (op == "Conv") return conv(node, in);
    if (op == "MaxPool" || op == "AveragePool") return pool(node, y);
    if (op == "Concat") return concat(in);
    if (op == "Transpose") return transpose(y, node.list("perm", {}));
    if (op == "Mul") return elementwise(y, in.at(1), [](float a, float b) { return a * b; });
    if (op == "Add" || op == "Sum") {
        for (std::size_t i = 1; i < in.size(); ++i) y = elementwise(y, in[i], [](float a, float b) { return a + b; });
    } else if (op == "Relu") {
        for (auto& v : y.values) v = std::max(v, 0.0f);
    } else if (op == "Flatten") {
        y.dims = {y.dims[0], product(y.dims) / y.dims[0]};
    } else if (op == "Reshape") {
        const auto before = y.dims;
        y.dims = in.at(1).integers;
        for (std::size_t i = 0; i < y.dims.size(); ++i)
            if (y.dims[i] == 0) y.dims[i] = before.at(i);
        if (product(y.dims) != product(before)) bad("Reshape");
    } else if (op == "GlobalAveragePool") {
        const i64 pixels = y.dims[2] * y.dims[3];
        Array mean{{y.dims[0], y.dims[1], 1, 1}, {}, {}};
        for (i64 i = 0; i < y.dims[0] * y.dims[1]; ++i)
            mean.values.push_back(static_cast<float>(
                std::accumulate(y.values.begin() + i * pixels, y.values.begin() + (i + 1) * pixels, 0.0) /
                static_cast<double>(pixels)));
        return mean;
    } else if (op == "BatchNormalization") {
        for (i64 i = 0; i < product(y.dims); ++i) {
            const auto c = channel(i);
            y.values[at(i)] = in.at(1).values.at(c) * (y.values[at(i)] - in.at(3).values.at(c)) /
                                  std::sqrt(in.at(4).values.at(c) + node.reals.at("epsilon")) +
                              in.at(2).values.at(c);
        }
    } else if (op == "Softmax") {
        if (node.list("axis", {-1})[0] != 1) bad("Softmax axis");
        const Array x = y;
        const i64 pixels = y.dim(2) * y.dim(3), c = y.dims[1];
        for (i64 n = 0; n < y.dims[0]; ++n)
            for (i64 p = 0; p < pixels; ++p) {
                double sum = 0;
                for (i64 j = 0; j < c; ++j)
                    sum += std::exp(static_cast<double>(x.values[at((n * c + j) * pixels + p)]));
                for (i64 j = 0; j < c; ++j)
                    y.values[at((n * c + j) * pixels + p)] =
                        static_cast<float>(std::exp(static_cast<double>(x.values[at((n * c + j) * pixels + p)])) / sum);
            }
    } else if (op == "Gemm") {
        const Array& w = in.at(1);
        Array z{{y.dims.at(0), w.dims.at(1)}, {}, {}};
        if (y.dims.size() != 2 || w.dims[0] != y.dims[1]) bad("Gemm shapes");
        for (i64 n = 0; n < z.dims[0]; ++n)
            for (i64 o = 0; o < z.dims[1]; ++o) {
                double sum = in.size() > 2 ? static_cast<double>(in[2].values.at(at(o))) : 0;
                for (i64 i = 0; i < w.dims[0]; ++i)
                    sum += static_cast<double>(y.values[at(n * w.dims[0] + i)]) *
                           static_cast<double>(w.values[at(i * w.dims[1] + o)]);
                z.values.push_back(static_cast<float>(sum));
            }
        return z;
    } else {
        bad("operator " + op);
    }
    return y;
}

/// The model's output for NHWC images.
inline Array run(const Model& model, const std::vector<float>& images, const std::vector<i64>& nhwc) {
    std::map<std::string, Array> values = model.initializers;
    values["input"] = transpose({nhwc, images, {}}, {0, 3, 1, 2});
    for (const auto& node : model.nodes) {
        std::vector<Array> in;
        for (const auto& name : node.inputs) {
            if (!values.contains(name)) bad(node.name + " reads " + name + " before it is written");
            in.push_back(values.at(name));
        }
        if (node.outputs.size() != 1 || !values.emplace(node.outputs[0], evaluate(node, in)).second)
            bad("output of " + node.name);
    }
    return values.at("logits");
}

}  // namespace hwnas_test::onnx
