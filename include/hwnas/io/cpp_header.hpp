// SPDX-License-Identifier: MIT
// A network as one C++17 header that needs nothing else: its weights, and infer(). For microcontrollers, games, and
// wherever a runtime is too much. As in ONNX export a recorded forward pass is translated kernel by kernel, so that
// what users compose exports too. Nothing is allocated: results of kernels lie in one buffer, planned by how long each
// lives.
#pragma once

#include <hwnas/autodiff/memory_plan.hpp>
#include <hwnas/io/cpp_kernels.hpp>
#include <hwnas/io/file.hpp>
#include <hwnas/io/forward_pass.hpp>
#include <hwnas/version.hpp>

namespace hwnas::io {

/// How a C++ model is written.
struct CppHeaderOptions {
    /// Namespace of all the header declares; "a::b" nests. Models used in one program need different ones.
    std::string name_space = "model";
    bool fold = true;  ///< batch norms behind convolutions go into their weights
    /// Where std is above 0, the header has pixel(byte) = (byte / 255 - mean) / std: what the network was trained on.
    float mean = 0, std = 0;
};

namespace detail {

/// Translates one pass over one image.
class CppHeader : public Translator<CppHeader, std::size_t> {
public:
    static constexpr const char* format = "C++";

    CppHeader(ForwardPass forward, const CppHeaderOptions& options)
        : Translator(std::move(forward)), options_(options) {
        check_name_space(options.name_space);
        for (const auto& kernel : cpp_kernels) names_.insert(std::string(kernel.name));
        hwnas::require(options.std >= 0 && std::isfinite(options.mean) && std::isfinite(options.std),
                       "cpp_header: bytes with mean {} and std {}, std must be positive", options.mean, options.std);
    }
    void enter(const std::string& kernel, const std::string& label) { kernel_ = kernel, label_ = label; }
    [[noreturn]] void refuse(const std::string& why) const {
        fail("cpp_header: kernel {} {} (label {})", kernel_, why, label_);
    }
    std::string text() && {
        const Shape& in = pass().input.shape();
        buffers_.push_back({"input", in.elements(), 0, 0});
        write(pass().input.data(), in.elements() * bytes_each, std::size_t{0});
        translate_calls();
        enter("output", "output");
        const i64 size = pass().output.elements();
        std::size_t output = value(pass().output.data());
        if (buffers_[output].elements != size) refuse("is part of another value, which has no C++ form");
        if (output == 0) {  // nothing is done to the input
            output = buffer("output", size);
            call("Term", fmt::format("sum<{}, false>", size), {to(output), "Term{1.0f, ", from(0), "}"}, output, {0});
        }
        plan(output);
        return assemble(output);
    }

    // --- one function per kernel that has a C++ form ---------------------------------------------------------------
    void translate(const contract::ConvForward<float>& s) {
        const auto& w = s.window;
        const auto x = operand(s.x, w.h * w.w * w.c, "input");
        const auto weight = operand(s.w, w.kernel * w.kernel * w.c * s.out_channels, "weight");
        const auto bias = s.bias ? operand(s.bias, s.out_channels, "bias") : Operand{"nullptr", {}};
        const auto y = result(s.y, w.oh * w.ow * s.out_channels, "conv");
        call("conv", fmt::format("conv<{}, {}, {}>", window(w), s.out_channels, s.rectify != 0),
             {x, weight, bias, to(y)}, y);
    }
    void translate(const contract::DepthwiseConvForward<float>& s) {
        const auto& w = s.window;
        const auto x = operand(s.x, w.h * w.w * w.c, "input");
        const auto weight = operand(s.w, w.kernel * w.kernel * w.c, "weight");
        const auto y = result(s.y, w.oh * w.ow * w.c, "conv");
        call("depthwise_conv", fmt::format("depthwise_conv<{}, false>", window(w)), {x, weight, to(y)}, y);
    }
    void translate(const contract::MaxPoolForward<float>& s) {
        const auto& w = s.window;
        const auto x = operand(s.x, w.h * w.w * w.c, "input");
        const auto y = result(s.y, w.oh * w.ow * w.c, "pool");
        call("max_pool", fmt::format("max_pool<{}>", window(w)), {x, to(y)}, y);
        Translator::write(s.tap, w.oh * w.ow * w.c, std::nullopt);
    }
    void translate(const contract::AveragePoolForward<float>& s) {
        const auto& w = s.window;
        const auto x = operand(s.x, w.h * w.w * w.c, "input");
        const auto y = result(s.y, w.oh * w.ow * w.c, "pool");
        call("average_pool", fmt::format("average_pool<{}, {}>", window(w), s.count_padding != 0), {x, to(y)}, y);
    }
    void translate(const contract::GlobalAveragePoolForward<float>& s) {
        one_image(s.n);
        const auto x = operand(s.x, s.pixels * s.c, "input");
        const auto y = result(s.y, s.c, "mean");
        call("global_average_pool", fmt::format("global_average_pool<{}, {}>", s.pixels, s.c), {x, to(y)}, y);
    }
    void translate(const contract::ReluForward<float>& s) {
        const auto x = operand(s.x, s.n, "input");
        const auto y = result(s.y, s.n, "relu");
        call("relu", fmt::format("relu<{}>", s.n), {x, to(y)}, y, {}, true);
    }
    void translate(const contract::BatchNormApply<float>& s) {
        if (s.gate) refuse("mixes what it normalises, which a derived network does not");
        const auto x = operand(s.x, s.rows * s.c, "input"), mean = operand(s.mean, s.c, "mean"),
                   gain = operand(s.gain, s.c, "gain"), shift = operand(s.offset, s.c, "shift");
        const auto y = result(s.y, s.rows * s.c, "norm", s.accumulate);
        call("batch_norm", fmt::format("batch_norm<{}, {}, {}>", s.rows, s.c, s.accumulate != 0),
             {x, mean, gain, shift, to(y)}, y, {}, true);
    }
    void translate(const contract::NodeSum<float>& s) {
        if (s.reversed) refuse("is part of a backward pass");
        one_image(s.n);
        const i64 pixels = s.h * s.w, n = pixels * s.c;
        const contract::Window around{1, s.h, s.w, s.c, s.h, s.w, 3, 1, 1, 1};
        std::vector<Operand> xs, fs;
        std::vector<double> offset(static_cast<std::size_t>(s.c));
        for (i32 j = 0; j < s.count; ++j) {
            const bool convolves = s.windows >> j & 1u;
            xs.push_back(operand(s.x[j], n, "input"));
            fs.push_back(s.f[j] ? operand(s.f[j], convolves ? 9 * s.c : s.c, convolves ? "weight" : "factor")
                                : Operand("nullptr"));
            if (!s.offset[j]) continue;
            const auto values = constant(s.offset[j], s.c);
            for (std::size_t c = 0; c < offset.size(); ++c) offset[c] += static_cast<double>(values[c]);
        }
        const auto y = result(s.y, n, "sum", s.accumulate);
        for (i32 j = 0; j < s.count; ++j) {
            const auto at = static_cast<std::size_t>(j);
            const bool add = s.accumulate || j > 0;
            if (s.windows >> j & 1u)
                call("depthwise_conv", fmt::format("depthwise_conv<{}, {}>", window(around), add),
                     {xs[at], fs[at], to(y)}, y);
            else
                call("scaled", fmt::format("scaled<{}, {}, {}>", pixels, s.c, add), {xs[at], fs[at], to(y)}, y, {},
                     j == 0 && s.count == 1);
        }
        const bool shifts = std::any_of(offset.begin(), offset.end(), [](double v) { return v != 0; });
        if (!shifts && !s.rectify) return;
        const Operand shift =
            shifts ? array(std::vector<float>(offset.begin(), offset.end()), "shift") : Operand("nullptr");
        call("shifted", fmt::format("shifted<{}, {}, {}>", pixels, s.c, s.rectify != 0), {shift, to(y)}, y);
    }
    void translate(const contract::SoftmaxForward<float>& s) {
        const auto x = operand(s.x, s.rows * s.columns, "input");
        const auto y = result(s.y, s.rows * s.columns, "softmax");
        call("softmax", fmt::format("softmax<{}, {}>", s.rows, s.columns), {x, to(y)}, y, {}, true);
    }
    void translate(const contract::WeightedSumForward<float>& s) {
        if (s.groups != 1) refuse("takes weights of several images, which has no C++ form");
        const auto weights = constant(s.weights, s.weight_stride);
        std::vector<std::pair<const float*, float>> terms;
        for (i32 j = 0; j < s.count; ++j)
            if (const float weight = weights[static_cast<std::size_t>(s.columns[j])]; weight != 0)
                terms.emplace_back(s.x[j], weight);
        const i64 n = s.n * s.image;
        if (std::none_of(terms.begin(), terms.end(), [&](const auto& term) { return live(term.first); }) &&
            !(s.accumulate && live(s.y))) {  // what depends on the input has weight 0
            run_call();
            return forget(s.y);
        }
        if (terms.empty()) return;
        sum(s.y, n, terms, s.accumulate);
    }
    void translate(const contract::Scale<float>& s) { sum(s.out, s.n, {{s.x, s.factor}}, s.accumulate); }
    void translate(const contract::Copy<float>& s) { sum(s.out, s.n, {{s.in, 1.0f}}, s.accumulate); }
    void translate(const contract::Add<float>& s) {
        const auto a = operand(s.a, s.n, "constant"), b = operand(s.b, s.period, "constant");
        const auto y = result(s.out, s.n, "sum");
        call("add", fmt::format("add<{}, {}>", s.n, s.period), {a, b, literal(s.beta), to(y)}, y, {}, s.period == s.n);
    }
    void translate(const contract::Multiply<float>& s) {
        const auto a = operand(s.a, s.n, "constant"), b = operand(s.b, s.period, "constant");
        const auto y = result(s.out, s.n, "product", s.accumulate);
        call("multiply", fmt::format("multiply<{}, {}, {}>", s.n, s.period, s.accumulate != 0), {a, b, to(y)}, y, {},
             s.period == s.n);
    }
    void translate(const contract::ConcatForward<float>& s) {
        i64 all = 0, first = 0;
        for (i32 j = 0; j < s.count; ++j) all += s.channels[j];
        std::vector<Operand> parts;
        for (i32 j = 0; j < s.count; ++j) parts.push_back(operand(s.x[j], s.rows * s.channels[j], "constant"));
        const auto y = result(s.y, s.rows * all, "concat");
        for (i32 j = 0; j < s.count; ++j) {
            call("copy_columns", fmt::format("copy_columns<{}, {}, {}, {}>", s.rows, s.channels[j], first, all),
                 {parts[static_cast<std::size_t>(j)], to(y)}, y);
            first += s.channels[j];
        }
    }

private:
    static constexpr i64 bytes_each = sizeof(float);

    /// What a kernel reads or writes: text, or the name of a buffer, which stands in no text before the plan is made.
    struct Operand {
        std::string text;
        std::optional<std::size_t> buffer;
        Operand(std::string t, std::optional<std::size_t> b = {}) : text(std::move(t)), buffer(b) {}
        Operand(const char* t) : text(t) {}
    };
    /// Something that depends on the input, between the calls that make it and read it last.
    struct Buffer {
        std::string name;
        i64 elements;
        std::size_t made, last;  ///< numbers of calls
        std::size_t offset = 0;  ///< bytes
        std::optional<std::size_t> in_place_of = {};
    };
    struct KernelCall {
        std::string label, function;
        std::vector<Operand> operands;
        std::size_t writes;
        std::vector<std::size_t> reads;
        bool in_place;  ///< reads element i before it writes it, and none after
    };

    void one_image(i64 n) const {
        if (n != 1) refuse(fmt::format("reads one image as {}, which has no C++ form", n));
    }
    std::string window(const contract::Window& w) const {
        one_image(w.n);
        return fmt::format("Window<{}, {}, {}, {}, {}, {}, {}, {}, {}>", w.h, w.w, w.c, w.oh, w.ow, w.kernel, w.stride,
                           w.padding, w.dilation);
    }
    /// Exact: hexadecimal unless it is a whole number.
    std::string literal(float value) const {
        if (!std::isfinite(value)) refuse(fmt::format("has the constant {}, which no network can use", value));
        const bool plain = value == std::trunc(value) && std::abs(value) < 1e6f;
        return plain ? fmt::format("{:.1f}f", value) : fmt::format("{:a}f", value);
    }
    std::string unique(const std::string& stem) {
        std::string text;
        for (const char c : label_ + "/" + stem)
            text += (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ? c : '_';
        while (text.find("__") != std::string::npos) text.erase(text.find("__"), 1);
        text.erase(0, text.find_first_not_of('_'));
        if (text[0] >= '0' && text[0] <= '9') text = "at_" + text;
        std::string name = text;
        for (int i = 2; !names_.insert(name).second; ++i) name = fmt::format("{}_{}", text, i);
        return name;
    }
    std::size_t buffer(const std::string& stem, i64 elements) {
        buffers_.push_back({unique(stem), elements, calls_.size(), calls_.size()});
        return buffers_.size() - 1;
    }
    static Operand from(std::size_t buffer) { return {"", buffer}; }
    static Operand to(std::size_t buffer) { return {"", buffer}; }
    /// n floats at an address: a buffer, or a constant that the header will hold.
    Operand operand(const float* address, i64 n, const char* stem) {
        if (live(address)) {
            const auto found = value(address);
            if (buffers_[found].elements < n)
                refuse(fmt::format("reads {} of {} elements of a value, which has no C++ form", n,
                                   buffers_[found].elements));
            return from(found);
        }
        return array(constant(address, n), stem);
    }
    /// A constant that the header will hold.
    Operand array(const std::vector<float>& values, const char* stem) {
        std::string name = unique(stem);
        const auto n = static_cast<i64>(values.size());
        constants_ += fmt::format("inline constexpr float {}[{}] = {{", name, n);
        for (std::size_t i = 0; i < values.size(); ++i)
            constants_ += (i % 8 ? " " : "\n    ") + literal(values[i]) + (i + 1 < values.size() ? "," : "};\n");
        weights_ += n;
        return "weights::" + name;
    }
    /// Where a call puts n floats: a new buffer, or the one that it adds to.
    std::size_t result(const float* address, i64 n, const char* stem, i32 accumulate = 0) {
        if (accumulate && live(address)) {
            const auto found = value(address);
            if (found == 0 || buffers_[found].elements != n) refuse("adds to part of a value, which has no C++ form");
            return found;
        }
        const auto start = accumulate ? std::optional(operand(address, n, "constant")) : std::nullopt;
        const auto made = buffer(stem, n);
        write(address, n * bytes_each, made);
        if (start) call("Term", fmt::format("sum<{}, false>", n), {to(made), "Term{1.0f, ", *start, "}"}, made);
        return made;
    }
    void sum(const float* out, i64 n, const std::vector<std::pair<const float*, float>>& terms, i32 accumulate) {
        std::vector<Operand> operands{to(0)};
        for (const auto& [x, weight] : terms) {
            operands.push_back("Term{" + literal(weight) + ", ");
            operands.push_back(operand(x, n, "constant"));
            operands.push_back("}");
        }
        const auto y = result(out, n, "sum", accumulate);
        operands[0] = to(y);
        call("Term", fmt::format("sum<{}, {}>", n, accumulate != 0), std::move(operands), y, {}, true);
    }
    void call(std::string_view kernel, std::string function, std::vector<Operand> operands, std::size_t writes,
              std::vector<std::size_t> reads = {}, bool in_place = false) {
        use(kernel);
        for (const auto& operand : operands)
            if (operand.buffer) reads.push_back(*operand.buffer);
        for (const auto read : reads) buffers_[read].last = calls_.size();
        calls_.push_back({label_, std::move(function), std::move(operands), writes, std::move(reads), in_place});
    }
    void use(std::string_view name) {
        for (const auto& kernel : cpp_kernels)
            if (kernel.name == name && used_.insert(std::string(name)).second && !kernel.needs.empty())
                use(kernel.needs);
    }

    /// Every buffer but input and output gets a place that nothing else has while it lives.
    void plan(std::size_t output) {
        hwnas::detail::MemoryPlan arena;
        const auto bytes = [&](std::size_t b) { return static_cast<std::size_t>(buffers_[b].elements * bytes_each); };
        const auto inside = [&](std::size_t b) { return b != 0 && b != output; };
        std::set<std::size_t> taken_over;
        for (std::size_t i = 0; i < calls_.size(); ++i) {
            const auto& now = calls_[i];
            if (Buffer& made = buffers_[now.writes]; made.made == i && inside(now.writes)) {
                for (const auto read : now.reads)
                    if (now.in_place && !made.in_place_of && inside(read) && read != now.writes &&
                        buffers_[read].last == i && buffers_[read].elements == made.elements)
                        made.in_place_of = read;
                made.offset = made.in_place_of ? buffers_[*made.in_place_of].offset : arena.place(bytes(now.writes));
                if (made.in_place_of) taken_over.insert(*made.in_place_of);
            }
            std::set<std::size_t> ended(now.reads.begin(), now.reads.end());
            ended.insert(now.writes);
            for (const auto b : ended)
                if (inside(b) && buffers_[b].last == i && !taken_over.contains(b))
                    arena.vacate(buffers_[b].offset, bytes(b));
        }
        memory_ = static_cast<i64>(arena.size()) / bytes_each;
        buffers_[output].name = "output";
    }

    std::string assemble(std::size_t output) const {
        const Shape& in = pass().input.shape();
        const i64 size = buffers_[output].elements;
        std::string text = fmt::format(
            "// Written by hwnas {}. A network as C++17 that needs nothing else; write it anew rather than edit it.\n",
            version);
        if (const auto& network = pass().network)
            text += fmt::format("// Space {}: {}\n", network->space().name(), network->genotype().str());
        text += fmt::format(
            "//\n// {0}::infer(input, output): one image, float [{1}][{2}][{3}] (height, width, channels), to {4} "
            "floats.\n"
            "// Constants: {5} bytes. Buffer: {6} bytes, static; threads that call it at the same time pass their "
            "own:\n"
            "// {0}::infer(input, output, buffer). Nothing is allocated, nothing is thrown.\n#pragma once\n\n",
            options_.name_space, in[1], in[2], in[3], size, weights_ * bytes_each, memory_ * bytes_each);
        for (const auto& kernel : cpp_kernels)
            if (used_.contains(std::string(kernel.name))) text += kernel.includes;
        text += fmt::format("\nnamespace {} {{\n\n", options_.name_space);
        text += fmt::format(
            "inline constexpr int input_height = {}, input_width = {}, input_channels = {};\n"
            "inline constexpr int input_size = {}, output_size = {};  // floats\n"
            "inline constexpr int buffer_size = {};  // floats\n\n",
            in[1], in[2], in[3], in.elements(), size, std::max<i64>(memory_, 1));
        text += "namespace detail {\n";
        for (const auto& kernel : cpp_kernels)
            if (used_.contains(std::string(kernel.name))) text += kernel.text;
        text += "\n}  // namespace detail\n\nnamespace weights {\n\n" + constants_ + "\n}  // namespace weights\n\n";
        text +=
            "/// input and output must not overlap; buffer holds buffer_size floats.\n"
            "inline void infer(const float* input, float* output, float* buffer) {\n    using namespace detail;\n"
            "    (void)buffer;\n";
        std::string label = "/";
        for (std::size_t i = 0; i < calls_.size(); ++i) {
            const auto& now = calls_[i];
            if (now.label != label) text += fmt::format("    // {}\n", label = now.label);
            if (const Buffer& made = buffers_[now.writes]; made.made == i && now.writes != output)
                text +=
                    fmt::format("    float* const {} = buffer + {};{}\n", made.name,
                                static_cast<i64>(made.offset) / bytes_each, made.in_place_of ? "  // in place" : "");
            text += "    " + now.function + "(";
            bool open = false;
            for (std::size_t k = 0; k < now.operands.size(); ++k) {
                const auto& operand = now.operands[k];
                const bool closes = operand.text == "}";
                text += (k && !open && !closes ? ", " : "") +
                        (operand.buffer ? buffers_[*operand.buffer].name : operand.text);
                open = operand.text.ends_with("{") || operand.text.ends_with(", ");
            }
            text += ");\n";
        }
        text +=
            "}\n\n/// The same, with a static buffer: one call at a time.\n"
            "inline void infer(const float* input, float* output) {\n"
            "    alignas(16) static float buffer[buffer_size];\n    infer(input, output, buffer);\n}\n";
        if (size > 1)
            text +=
                "\n/// The number of the largest output: the class, where the network tells classes apart.\n"
                "inline int classify(const float* input) {\n    float output[output_size];\n"
                "    infer(input, output);\n    int best = 0;\n"
                "    for (int i = 1; i < output_size; ++i)\n        if (output[i] > output[best]) best = i;\n"
                "    return best;\n}\n";
        if (options_.std > 0)
            text += fmt::format(
                "\n/// A byte of an image, as the network was trained on it.\n"
                "constexpr float pixel(unsigned char byte) {{\n"
                "    return (static_cast<float>(byte) / 255.0f - {}) * {};\n}}\n",
                literal(options_.mean), literal(1.0f / options_.std));
        return text + fmt::format("\n}}  // namespace {}\n", options_.name_space);
    }

    static void check_name_space(const std::string& name) {
        // Keywords, and macros and names that compilers have taken.
        static constexpr std::string_view reserved =
            " EOF NULL alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t "
            "char32_t char8_t class co_await co_return co_yield compl concept const const_cast consteval "
            "constexpr constinit continue decltype default delete do double dynamic_cast else enum explicit "
            "export extern false final float for friend goto if import inline int linux long main module mutable "
            "namespace new noexcept not not_eq nullptr operator or or_eq override private protected public "
            "register reinterpret_cast requires return short signed sizeof static static_assert static_cast std "
            "struct switch template this thread_local throw true try typedef typeid typename union unix unsigned "
            "using virtual void volatile wchar_t while xor xor_eq ";
        std::string word;
        const auto ends = [&] {
            const bool good = !word.empty() && !(word[0] >= '0' && word[0] <= '9') && word[0] != '_' &&
                              word.find("__") == std::string::npos &&
                              reserved.find(" " + word + " ") == std::string_view::npos;
            word.clear();
            return good;
        };
        bool good = true;
        for (std::size_t i = 0; i < name.size(); ++i) {
            const char c = name[i];
            if (c == ':' && i + 1 < name.size() && name[i + 1] == ':')
                good = good && ends(), ++i;
            else if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_')
                word += c;
            else
                good = false;
        }
        hwnas::require(
            good && ends(),
            "cpp_header: \"{}\" cannot name a namespace (letters, digits and _, :: between, no reserved word)", name);
    }

    CppHeaderOptions options_;
    std::string kernel_, label_, constants_;
    std::vector<Buffer> buffers_;  // 0: the input
    std::vector<KernelCall> calls_;
    std::set<std::string> used_, names_{"input", "output", "buffer", "weights", "detail", "sum"};
    i64 weights_ = 0, memory_ = 0;
};

}  // namespace detail

/// The text of a C++17 header: namespace `model` with the weights, exact to the bit, infer(input, output) for one image
/// [H, W, C], and the sizes of all as constants. It includes `cmath` and `limits` at most. Throws Error where a kernel
/// of the network has no C++ form.
inline std::string cpp_header(const Network& network, const CppHeaderOptions& options = {}) {
    return detail::CppHeader(detail::ForwardPass::record(network, 1, options.fold), options).text();
}

/// The header of a network composed by hand: forward(x) is called once, with x a Variable [1, H, W, C] on `device`;
/// modules in it are called with Phase::eval. fold has no meaning here.
template <class F>
    requires std::is_invocable_r_v<Variable<float>, F, const Variable<float>&>
std::string cpp_header(const Device& device, const ImageShape& image, F&& forward,
                       const CppHeaderOptions& options = {}) {
    return detail::CppHeader(detail::ForwardPass::record(device, image, 1, std::forward<F>(forward)), options).text();
}

/// Writes cpp_header() into a file, which is replaced as a whole or left as it was; throws Error naming it.
inline void write_cpp_header(const Network& network, const std::filesystem::path& file,
                             const CppHeaderOptions& options = {}) {
    write_file_atomic(file, cpp_header(network, options));
}

/// Writes the header of a network composed by hand into a file.
template <class F>
    requires std::is_invocable_r_v<Variable<float>, F, const Variable<float>&>
void write_cpp_header(const Device& device, const ImageShape& image, F&& forward, const std::filesystem::path& file,
                      const CppHeaderOptions& options = {}) {
    write_file_atomic(file, cpp_header(device, image, std::forward<F>(forward), options));
}

}  // namespace hwnas::io
