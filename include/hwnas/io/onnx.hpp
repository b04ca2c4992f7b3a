// SPDX-License-Identifier: MIT
// ONNX export: a recorded forward pass, kernel by kernel, as operators of set 13, so that what users compose of the
// library's ops exports too. The library orders elements NHWC, ONNX NCHW: values keep their meaning, weights are
// permuted, reshapes in between transpose.
#pragma once

#include <hwnas/io/file.hpp>
#include <hwnas/io/forward_pass.hpp>
#include <hwnas/io/onnx_graph.hpp>
#include <hwnas/version.hpp>

namespace hwnas::io {

/// How an ONNX model is written.
struct OnnxOptions {
    std::string name = "hwnas";  ///< of the graph in the model
    bool fold = true;  ///< batch norms behind convolutions go into their weights; false: nodes of their own, with the
                       ///< statistics and parameters they have
};

namespace detail {

/// Translates one pass. Recorded with two images, so that what belongs to an image and what to the batch can be told
/// apart.
class OnnxExporter : public OnnxGraph, public Translator<OnnxExporter, OnnxGraph::Value> {
public:
    using OnnxGraph::i64, OnnxGraph::i32;
    static constexpr i64 batch = 2;
    static constexpr const char* format = "ONNX";

    OnnxExporter(ForwardPass forward, const OnnxOptions& options) : Translator(std::move(forward)) {
        hwnas::require(!options.name.empty(), "onnx: the name of the graph is empty, ONNX asks for one");
        model_.name = options.name;
        model_.producer_version = version;
        if (const auto& network = pass().network)
            model_.metadata = {{"space", network->space().name()}, {"genotype", network->genotype().str()}};
    }
    OnnxModel model() && {
        const Shape &in = pass().input.shape(), &out = pass().output.shape();
        model_.inputs = {{"input", {0, in[3], in[1], in[2]}}};
        write(pass().input.data(), Value{"input", in[1], in[2], in[3]});
        translate_calls();
        enter("output", "output");
        hwnas::require((out.rank() == 2 || out.rank() == 4) && out[0] == batch,
                       "onnx: {} images give an output of shape {}, [N, C] or [N, H, W, C] is expected", batch, out);
        model_.outputs = {
            {"logits", out.rank() == 2 ? std::vector<i64>{0, out[1]} : std::vector<i64>{0, out[3], out[1], out[2]}}};
        Value last = value(pass().output.data());
        last = out.rank() == 2 ? flat(last) : image(rearranged(last, out[1], out[2], out[3]));
        name_output(last.name == "input" ? emit("Identity", {last.name}) : last.name);
        return std::move(model_);
    }
    using OnnxGraph::enter, OnnxGraph::refuse;

    /// What a batch norm froze to, that the node may show what it had.
    void note(const contract::BatchNormFreeze<float>& s) {
        const auto given = [&](const float* address, float otherwise) {
            return address ? constant(address, s.c) : std::vector<float>(static_cast<std::size_t>(s.c), otherwise);
        };
        frozen_.insert_or_assign(s.gain, Frozen{given(s.scale, 1), given(s.var, 1), s.epsilon});
    }

private:
    friend class Translator<OnnxExporter, OnnxGraph::Value>;
    struct Frozen {
        std::vector<float> scale, variance;
        float epsilon;
    };

    void write(const float* address, Value value) {
        const i64 bytes = batch * value.elements() * i64{sizeof(float)};
        Translator::write(address, bytes, std::move(value));
    }

    // --- what kernels read -----------------------------------------------------------------------------------------
    /// x as the windowed kernel reads it.
    Value windowed(const Value& x, const contract::Window& window) {
        if (window.n != batch) refuse(fmt::format("reads {} images as {}, which has no ONNX form", batch, window.n));
        return image(rearranged(x, window.h, window.w, window.c));
    }
    void require_elements(const Value& x, i64 n) const {
        if (n != batch * x.elements())
            refuse(fmt::format("reads {} of {} elements of a value, which has no ONNX form", n, batch * x.elements()));
    }
    /// The second operand of an elementwise op on x: a value with as many elements, or a constant that repeats after
    /// `period` elements, in a shape that ONNX repeats alike.
    std::string operand(const float* address, i64 period, const Value& x, float factor = 1) {
        const i64 n = x.elements();
        if (live(address)) {
            if (period != batch * n)
                refuse(fmt::format("repeats a value of {} elements, which has no ONNX form", period));
            Value v = rearranged(value(address), x.h, x.w, x.c);
            v = x.flat ? flat(v) : image(v);
            return scaled(v.name, factor);
        }
        auto values = constant(address, period);
        if (period == batch * n) {
            if (!std::equal(values.begin(), values.begin() + n, values.begin() + n))
                refuse("takes a constant that differs between images, which has no ONNX form");
            values.resize(static_cast<std::size_t>(n));
            period = n;
        }
        const i64 w = period == x.c ? 1 : x.w, h = period == n ? x.h : 1;
        if (period != h * w * x.c)
            refuse(fmt::format("repeats a constant of {} elements over {} x {} x {}, which has no ONNX form", period,
                               x.h, x.w, x.c));
        std::vector<float> turned(values.size());
        for (i64 i = 0; i < period; ++i)
            turned[static_cast<std::size_t>(i % x.c * h * w + i / x.c)] = factor * values[static_cast<std::size_t>(i)];
        return initializer(scoped("constant"), x.flat ? std::vector<i64>{x.c} : std::vector<i64>{x.c, h, w}, turned);
    }
    /// out (+)= y
    void finish(const float* out, Value y, i32 accumulate) {
        if (accumulate) y.name = emit("Add", {operand(out, batch * y.elements(), y), y.name});
        write(out, std::move(y));
    }

    /// Padding behind the last element, so that the operator's extent is the kernel's.
    i64 end_padding(const contract::Window& window, i64 extent, i64 out) const {
        const i64 reach = (window.kernel - 1) * i64{window.dilation} + 1;
        if ((extent + 2 * window.padding - reach) / window.stride + 1 == out) return window.padding;
        const i64 end = (out - 1) * window.stride + reach - extent - window.padding;
        if (end < 0)
            refuse(fmt::format("makes {} outputs of {} elements and leaves some out, which has no ONNX form", out,
                               extent));
        return end;
    }
    Attributes window_attributes(const contract::Window& window, bool dilations = true) const {
        Attributes attributes{
            integers("kernel_shape", {window.kernel, window.kernel}),
            integers("strides", {window.stride, window.stride}),
            integers("pads", {window.padding, window.padding, end_padding(window, window.h, window.oh),
                              end_padding(window, window.w, window.ow)})};
        if (dilations) attributes.push_back(integers("dilations", {window.dilation, window.dilation}));
        return attributes;
    }
    void require_pool_padding(const contract::Window& window) const {
        if (window.padding >= window.kernel)
            refuse(fmt::format("pads by {} a window of {}, ONNX pools pad by less than the window", window.padding,
                               window.kernel));
    }

public:
    // --- one function per kernel that has an ONNX form -------------------------------------------------------------
    void translate(const contract::ConvForward<float>& s) {
        const auto& window = s.window;
        const i64 k = window.kernel, in = window.c, out = s.out_channels;
        const auto weight = constant(s.w, k * k * in * out);
        Value x = value(s.x);
        if (s.rectify) x.name = emit("Relu", {x.name});
        const bool pointwise = k == 1 && window.stride == 1 && window.padding == 0;
        if (pointwise && window.n == 1 && window.h == 1 && window.w == batch && in == x.elements())
            x = flat(x);  // linear
        else if (!pointwise || in != x.c || window.n * window.h * window.w != batch * x.h * x.w)
            x = windowed(x, window);
        if (pointwise && x.h * x.w == 1) {
            const std::string input = flat(x).name, name = node_name("Gemm");
            std::vector<std::string> inputs{input, initializer(name + "/weight", {in, out}, weight)};
            if (s.bias) inputs.push_back(initializer(name + "/bias", {out}, constant(s.bias, out)));
            return write(s.y, Value{push(name, "Gemm", std::move(inputs)), 1, 1, out, true});
        }
        std::vector<float> turned(weight.size());  // [K, K, I, O] -> [O, I, K, K]
        for (i64 tap = 0; tap < k * k; ++tap)
            for (i64 i = 0; i < in; ++i)
                for (i64 o = 0; o < out; ++o)
                    turned[static_cast<std::size_t>((o * in + i) * k * k + tap)] =
                        weight[static_cast<std::size_t>((tap * in + i) * out + o)];
        const std::string name = node_name("Conv");
        std::vector<std::string> inputs{x.name, initializer(name + "/weight", {out, in, k, k}, turned)};
        if (s.bias) inputs.push_back(initializer(name + "/bias", {out}, constant(s.bias, out)));
        const Attributes attributes =
            pointwise ? Attributes{integers("kernel_shape", {1, 1})} : window_attributes(window);
        write(s.y, Value{push(name, "Conv", std::move(inputs), attributes), pointwise ? x.h : window.oh,
                         pointwise ? x.w : window.ow, out});
    }
    Value depthwise(const Value& x, const std::vector<float>& weight, const contract::Window& window) {
        const i64 taps = i64{window.kernel} * window.kernel, c = window.c;
        std::vector<float> turned(weight.size());  // [K, K, C] -> [C, 1, K, K]
        for (i64 tap = 0; tap < taps; ++tap)
            for (i64 j = 0; j < c; ++j)
                turned[static_cast<std::size_t>(j * taps + tap)] = weight[static_cast<std::size_t>(tap * c + j)];
        const std::string name = node_name("Conv");
        const std::string filter = initializer(name + "/weight", {c, 1, window.kernel, window.kernel}, turned);
        Attributes attributes = window_attributes(window);
        attributes.push_back(integer("group", c));
        return {push(name, "Conv", {x.name, filter}, std::move(attributes)), window.oh, window.ow, c};
    }
    void translate(const contract::DepthwiseConvForward<float>& s) {
        const auto weight = constant(s.w, i64{s.window.kernel} * s.window.kernel * s.window.c);
        write(s.y, depthwise(windowed(value(s.x), s.window), weight, s.window));
    }
    void translate(const contract::MaxPoolForward<float>& s) {
        require_pool_padding(s.window);
        const Value x = windowed(value(s.x), s.window);
        write(s.y, Value{emit("MaxPool", {x.name}, window_attributes(s.window)), s.window.oh, s.window.ow, s.window.c});
        Translator::write(s.tap, batch * s.window.oh * s.window.ow * s.window.c, std::nullopt);
    }
    void translate(const contract::AveragePoolForward<float>& s) {
        const Value x = windowed(value(s.x), s.window);
        if (s.window.dilation > 1) {  // an attribute since set 19 only
            if (s.window.padding > 0 && !s.count_padding)
                refuse("averages a dilated window without its padding, which set 13 cannot; use count_padding");
            const i64 taps = i64{s.window.kernel} * s.window.kernel;
            return write(s.y, depthwise(x,
                                        std::vector<float>(static_cast<std::size_t>(taps * s.window.c),
                                                           1.0f / static_cast<float>(taps)),
                                        s.window));
        }
        Attributes attributes = window_attributes(s.window, false);
        attributes.push_back(integer("count_include_pad", s.count_padding ? 1 : 0));
        write(s.y, Value{emit("AveragePool", {x.name}, std::move(attributes)), s.window.oh, s.window.ow, s.window.c});
    }
    void translate(const contract::GlobalAveragePoolForward<float>& s) {
        Value x = value(s.x);
        if (s.n != batch) refuse(fmt::format("reads {} images as {}, which has no ONNX form", batch, s.n));
        if (s.pixels != x.h * x.w || s.c != x.c) x = rearranged(x, 1, s.pixels, s.c);
        write(s.y, Value{emit("GlobalAveragePool", {image(x).name}), 1, 1, s.c});
    }
    void translate(const contract::ReluForward<float>& s) {
        Value x = value(s.x);
        require_elements(x, s.n);
        x.name = emit("Relu", {x.name});
        write(s.y, x);
    }
    void translate(const contract::BatchNormApply<float>& s) {
        if (s.gate) refuse("mixes what it normalises, which a derived network does not");
        Value x = value(s.x);
        require_elements(x, s.rows * s.c);
        if (x.c != s.c) refuse(fmt::format("reads {} channels as {}, which has no ONNX form", x.c, s.c));
        const std::string name = node_name("BatchNormalization");
        const auto channels = [&](const char* what, std::vector<float> values) {
            return initializer(name + what, {s.c}, std::move(values));
        };
        const auto found = frozen_.find(s.gain);
        const Frozen frozen = found != frozen_.end() ? found->second
                                                     : Frozen{constant(s.gain, s.c),
                                                              std::vector<float>(static_cast<std::size_t>(s.c), 1), 0};
        std::vector<std::string> inputs{
            x.name, channels("/scale", frozen.scale), channels("/shift", constant(s.offset, s.c)),
            channels("/mean", constant(s.mean, s.c)), channels("/variance", frozen.variance)};
        x.name = push(name, "BatchNormalization", std::move(inputs),
                      {{.name = "epsilon", .kind = OnnxAttribute::Kind::real, .real = frozen.epsilon}});
        finish(s.y, x, s.accumulate);
    }
    void translate(const contract::SoftmaxForward<float>& s) {
        Value x = value(s.x);
        require_elements(x, s.rows * s.columns);
        if (x.c != s.columns) refuse(fmt::format("reads {} channels as {}, which has no ONNX form", x.c, s.columns));
        x.name = emit("Softmax", {x.name}, {integer("axis", 1)});
        write(s.y, x);
    }
    /// The sum of values, two at a time: runtimes fuse an addition of two into the convolution before it, one of more
    /// they do not (ONNX Runtime 1.32 took up to a quarter longer for it).
    std::string added(const std::vector<std::string>& values) {
        std::string sum = values[0];
        for (std::size_t i = 1; i < values.size(); ++i) sum = emit("Add", {sum, values[i]});
        return sum;
    }
    void translate(const contract::NodeSum<float>& s) {
        if (s.reversed) refuse("is part of a backward pass");
        const i64 n = s.n * s.h * s.w * s.c;
        const contract::Window window{s.n, s.h, s.w, s.c, s.h, s.w, 3, 1, 1, 1};
        std::optional<Value> y;
        std::vector<std::string> inputs, convolved;  // convolutions last: the others are then what each is added to
        std::vector<float> offset(static_cast<std::size_t>(s.c));
        for (i32 j = 0; j < s.count; ++j) {
            if (!live(s.x[j])) refuse("adds an edge that does not depend on the input, which has no ONNX form here");
            Value x = windowed(value(s.x[j]), window);
            if (s.windows >> j & 1u)
                x = depthwise(x, constant(s.f[j], 9 * s.c), window);
            else if (s.f[j])
                x.name = emit("Mul", {x.name, operand(s.f[j], s.c, x)});
            (s.windows >> j & 1u ? convolved : inputs).push_back(x.name);
            if (s.offset[j]) {
                const auto values = constant(s.offset[j], s.c);
                for (std::size_t c = 0; c < offset.size(); ++c) offset[c] += values[c];
            }
            y = x;
        }
        if (s.accumulate) inputs.push_back(operand(s.y, n, *y));
        inputs.insert(inputs.end(), convolved.begin(), convolved.end());
        if (std::any_of(offset.begin(), offset.end(), [](float v) { return v != 0; }))
            inputs.push_back(initializer(scoped("constant"), {s.c, 1, 1}, offset));
        y->name = added(inputs);
        if (s.rectify) y->name = emit("Relu", {y->name});
        write(s.y, *y);
    }
    void translate(const contract::WeightedSumForward<float>& s) {
        auto weights = constant(s.weights, s.groups * s.weight_stride);
        for (i64 g = 1; g < s.groups; ++g)
            if (!std::equal(weights.begin(), weights.begin() + s.weight_stride, weights.begin() + g * s.weight_stride))
                refuse("takes weights that differ between images, which has no ONNX form");
        std::optional<Value> y;
        std::vector<std::pair<const float*, float>> terms;
        for (i32 j = 0; j < s.count; ++j) {
            const float weight = weights[static_cast<std::size_t>(s.columns[j])];
            if (weight == 0) continue;
            terms.emplace_back(s.x[j], weight);
            if (!y && live(s.x[j])) y = value(s.x[j]);
        }
        if (s.accumulate && terms.empty()) return;
        if (s.accumulate && !y) y = value(s.y);
        if (!y) {  // what depends on the input has weight 0
            run_call();
            return forget(s.y);
        }
        const i64 n = s.n * s.image;
        require_elements(*y, n);
        std::vector<std::string> inputs;
        for (const auto& [x, weight] : terms) inputs.push_back(operand(x, n, *y, weight));
        y->name = added(inputs);
        finish(s.y, *y, s.accumulate);
    }
    void translate(const contract::ConcatForward<float>& s) {
        std::vector<Value> parts;
        for (i32 j = 0; j < s.count; ++j) parts.push_back(value(s.x[j]));
        const bool any_flat = std::any_of(parts.begin(), parts.end(), [](const Value& part) { return part.flat; });
        Value y = parts[0];
        y.c = 0;
        y.flat = any_flat;
        std::vector<std::string> inputs;
        for (i32 j = 0; j < s.count; ++j) {
            const Value& part = parts[static_cast<std::size_t>(j)];
            if (part.h != y.h || part.w != y.w || part.c != s.channels[j] || s.rows != batch * y.h * y.w)
                refuse(fmt::format("joins {} x {} x {} elements an image as {} rows of {}, which has no ONNX form",
                                   part.h, part.w, part.c, s.rows, s.channels[j]));
            inputs.push_back(any_flat ? flat(part).name : part.name);
            y.c += part.c;
        }
        y.name = emit("Concat", std::move(inputs), {integer("axis", 1)});
        write(s.y, y);
    }
    /// op is commutative: the operand that is a value shapes the result.
    void binary(const char* op, const float* out, const float* a, const float* b, i64 n, i64 period, float beta,
                i32 accumulate) {
        const bool left = live(a);
        if (!left && period != n) refuse("repeats a value over a constant, which has no ONNX form");
        Value y = value(left ? a : b);
        require_elements(y, n);
        const std::string other = left ? operand(b, period, y, beta) : operand(a, n, y);
        y.name = emit(op, {left ? y.name : scaled(y.name, beta), other});
        finish(out, y, accumulate);
    }
    void translate(const contract::Add<float>& s) { binary("Add", s.out, s.a, s.b, s.n, s.period, s.beta, 0); }
    void translate(const contract::Multiply<float>& s) {
        binary("Mul", s.out, s.a, s.b, s.n, s.period, 1, s.accumulate);
    }
    void translate(const contract::Scale<float>& s) { scale(s.out, s.x, s.n, s.factor, s.accumulate); }
    void translate(const contract::Copy<float>& s) { scale(s.out, s.in, s.n, 1, s.accumulate); }
    void scale(const float* out, const float* in, i64 n, float factor, i32 accumulate) {
        Value y = value(live(in) ? in : out);
        require_elements(y, n);
        y.name = operand(in, n, y, factor);
        finish(out, y, accumulate);
    }

private:
    std::map<const float*, Frozen> frozen_;  // by the address of the gain
};

}  // namespace detail

/// The bytes of an ONNX model (operator set 13, IR 8): "input" float [N, C, H, W] -> "logits" float [N, classes], any
/// N. Node names are the program's labels. Throws where a kernel of the network has no ONNX form.
inline std::string onnx_bytes(const Network& network, const OnnxOptions& options = {}) {
    auto pass = detail::ForwardPass::record(network, detail::OnnxExporter::batch, options.fold);
    return detail::OnnxExporter(std::move(pass), options).model().bytes();
}

/// The model of a network composed by hand: forward(x) is called once, with x a Variable [2, H, W, C] on `device`, and
/// gives a Variable [2, C] or [2, H, W, C]; modules in it are called with Phase::eval. fold has no meaning here.
template <class F>
    requires std::is_invocable_r_v<Variable<float>, F, const Variable<float>&>
std::string onnx_bytes(const Device& device, const ImageShape& image, F&& forward, const OnnxOptions& options = {}) {
    auto pass = detail::ForwardPass::record(device, image, detail::OnnxExporter::batch, std::forward<F>(forward));
    return detail::OnnxExporter(std::move(pass), options).model().bytes();
}

/// Writes onnx_bytes() into a file, which is replaced as a whole or left as it was; throws Error naming it.
inline void write_onnx(const Network& network, const std::filesystem::path& file, const OnnxOptions& options = {}) {
    write_file_atomic(file, onnx_bytes(network, options));
}

/// Writes the model of a network composed by hand into a file.
template <class F>
    requires std::is_invocable_r_v<Variable<float>, F, const Variable<float>&>
void write_onnx(const Device& device, const ImageShape& image, F&& forward, const std::filesystem::path& file,
                const OnnxOptions& options = {}) {
    write_file_atomic(file, onnx_bytes(device, image, std::forward<F>(forward), options));
}

}  // namespace hwnas::io
