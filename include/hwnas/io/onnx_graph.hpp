// SPDX-License-Identifier: MIT
// The ONNX graph under construction: unique names, nodes, constants, and values that change their extents. The library
// orders elements NHWC, ONNX NCHW, so a reshape of several pixels is a transpose there, the reshape, and a transpose
// back.
#pragma once

#include <hwnas/core/error.hpp>
#include <hwnas/io/onnx_wire.hpp>

#include <set>

namespace hwnas::io::detail {

/// Nodes are named after the kernel's label that enter() set, as "label/Op".
class OnnxGraph {
public:
    using i64 = std::int64_t;
    using i32 = std::int32_t;
    using Attributes = std::vector<OnnxAttribute>;

    /// A value of the graph as [N, c, h, w], or [N, c] when flat.
    struct Value {
        std::string name;
        i64 h = 1, w = 1, c = 1;
        bool flat = false;
        i64 elements() const { return h * w * c; }
    };

    void enter(const std::string& kernel, const std::string& label) { kernel_ = kernel, label_ = label; }
    [[noreturn]] void refuse(const std::string& why) const {
        fail("onnx: kernel {} {} (label {})", kernel_, why, label_);
    }

protected:
    std::string unique(const std::string& wanted) {
        std::string name = wanted;
        for (int i = 1; !names_.insert(name).second; ++i) name = fmt::format("{}_{}", wanted, i);
        return name;
    }
    std::string scoped(const std::string& name) const { return label_.empty() ? name : label_ + "/" + name; }
    std::string node_name(const std::string& op) { return unique(scoped(op)); }
    std::string push(const std::string& name, const char* op, std::vector<std::string> inputs,
                     Attributes attributes = {}) {
        model_.nodes.push_back({name, op, std::move(inputs), {name}, std::move(attributes)});
        return name;
    }
    std::string emit(const char* op, std::vector<std::string> inputs, Attributes attributes = {}) {
        return push(node_name(op), op, std::move(inputs), std::move(attributes));
    }
    std::string initializer(const std::string& name, std::vector<i64> dims, const std::vector<float>& values) {
        model_.initializers.push_back({unique(name), std::move(dims), OnnxTensor::Type::float32, raw_data(values)});
        return model_.initializers.back().name;
    }
    static OnnxAttribute integer(const char* name, i64 value) {
        return {.name = name, .kind = OnnxAttribute::Kind::integer, .integers = {value}};
    }
    static OnnxAttribute integers(const char* name, std::vector<i64> values) {
        return {.name = name, .kind = OnnxAttribute::Kind::integers, .integers = std::move(values)};
    }
    std::string transposed(const std::string& x, std::vector<i64> order) {
        return emit("Transpose", {x}, {integers("perm", std::move(order))});
    }
    std::string reshaped(const std::string& x, const std::vector<i64>& dims) {  // extent 0: as it was
        const std::string name = node_name("Reshape");
        model_.initializers.push_back(
            {unique(name + "/shape"), {static_cast<i64>(dims.size())}, OnnxTensor::Type::int64, raw_data(dims)});
        const std::string shape = model_.initializers.back().name;
        return push(name, "Reshape", {x, shape});
    }
    std::string scaled(const std::string& x, float factor) {
        if (factor == 1) return x;
        const std::string name = node_name("Mul");
        const std::string constant = initializer(name + "/factor", {}, {factor});
        return push(name, "Mul", {x, constant});
    }
    /// The same elements of every image, in NHWC order, under other extents.
    Value rearranged(const Value& x, i64 h, i64 w, i64 c) {
        if (x.elements() != h * w * c)
            refuse(fmt::format("reads {} x {} x {} elements an image as {} x {} x {}, which has no ONNX form", x.h, x.w,
                               x.c, h, w, c));
        if (x.h == h && x.w == w && x.c == c) return x;
        std::string name = x.h * x.w > 1 ? transposed(x.name, {0, 2, 3, 1}) : x.name;
        if (h * w == 1) return {reshaped(name, {0, c}), h, w, c, true};
        name = reshaped(name, {0, h, w, c});
        return {transposed(name, {0, 3, 1, 2}), h, w, c, false};
    }
    Value flat(Value x) {
        if (x.flat) return x;
        if (x.h * x.w > 1) return rearranged(x, 1, 1, x.elements());
        return {emit("Flatten", {x.name}, {integer("axis", 1)}), 1, 1, x.c, true};
    }
    Value image(const Value& x) { return x.flat ? Value{reshaped(x.name, {0, x.c, 1, 1}), 1, 1, x.c, false} : x; }
    /// The graph's output is called logits, whatever wrote it.
    void name_output(const std::string& last) {
        for (auto& node : model_.nodes) {
            for (auto& input : node.inputs)
                if (input == last) input = "logits";
            for (auto& output : node.outputs)
                if (output == last) output = "logits";
        }
    }

    OnnxModel model_;

private:
    std::string kernel_, label_;
    std::set<std::string> names_{"input", "logits"};
};

}  // namespace hwnas::io::detail
