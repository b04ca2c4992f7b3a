// SPDX-License-Identifier: MIT
// A reader of ONNX files for tests, from the ONNX specification; it shares nothing with the writer.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <numeric>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace hwnas_test::onnx {

using i64 = std::int64_t;

[[noreturn]] inline void bad(const std::string& what) {
    throw std::runtime_error("onnx reader: " + what);
}

/// One field of a protobuf message.
struct Field {
    int number = 0;
    std::uint64_t integer = 0;
    std::string_view bytes;
    float real() const {
        const auto bits = static_cast<std::uint32_t>(integer);
        float value = 0;
        std::memcpy(&value, &bits, sizeof value);
        return value;
    }
};
inline std::uint64_t varint(std::string_view& in) {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (in.empty()) bad("cut varint");
        const auto byte = static_cast<unsigned char>(in.front());
        in.remove_prefix(1);
        value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
        if (byte < 0x80) return value;
    }
    bad("long varint");
}
inline std::vector<Field> fields(std::string_view in) {
    std::vector<Field> result;
    while (!in.empty()) {
        const auto tag = varint(in);
        Field field{.number = static_cast<int>(tag >> 3), .integer = 0, .bytes = {}};
        const auto take = [&](std::size_t n) {
            if (n > in.size()) bad("cut field");
            const auto part = in.substr(0, n);
            in.remove_prefix(n);
            return part;
        };
        if ((tag & 7) == 0)
            field.integer = varint(in);
        else if ((tag & 7) == 2)
            field.bytes = take(varint(in));
        else if ((tag & 7) == 5) {
            const auto raw = take(4);
            for (std::size_t i = 0; i < 4; ++i)
                field.integer |= static_cast<std::uint64_t>(static_cast<unsigned char>(raw[i])) << (8 * i);
        } else
            bad("wire type");
        result.push_back(field);
    }
    return result;
}

struct Array {
    std::vector<i64> dims;
    std::vector<float> values;
    std::vector<i64> integers;
    i64 dim(std::size_t i) const { return i < dims.size() ? dims[i] : 1; }
};
inline i64 product(const std::vector<i64>& dims) {
    return std::accumulate(dims.begin(), dims.end(), i64{1}, std::multiplies<>());
}

struct Node {
    std::string name, op;
    std::vector<std::string> inputs, outputs;
    std::map<std::string, std::vector<i64>> integers;
    std::map<std::string, float> reals;
    std::vector<i64> list(const std::string& key, std::vector<i64> otherwise) const {
        return integers.contains(key) ? integers.at(key) : otherwise;
    }
};
struct Port {
    std::string name;
    std::vector<std::string> dims;
};

struct Model {
    i64 ir = 0, opset = 0;
    std::string producer, producer_version, name;
    std::vector<Node> nodes;
    std::map<std::string, Array> initializers;
    std::vector<Port> inputs, outputs;
    std::map<std::string, std::string> metadata;

    i64 count(const std::string& op) const {
        return std::count_if(nodes.begin(), nodes.end(), [&](const Node& node) { return node.op == op; });
    }
    /// First node whose name starts so.
    const Node& node(const std::string& prefix) const {
        for (const auto& node : nodes)
            if (node.name.starts_with(prefix)) return node;
        bad("no node " + prefix);
    }
};

inline Array tensor(std::string_view bytes, std::string& name) {
    Array array;
    std::string_view raw;
    std::uint64_t type = 0;
    for (const auto& f : fields(bytes)) {
        if (f.number == 1) array.dims.push_back(static_cast<i64>(f.integer));
        if (f.number == 2) type = f.integer;
        if (f.number == 8) name = f.bytes;
        if (f.number == 9) raw = f.bytes;
    }
    const auto n = static_cast<std::size_t>(product(array.dims));
    if (type == 1 && raw.size() == 4 * n)
        array.values.resize(n), std::memcpy(array.values.data(), raw.data(), raw.size());
    else if (type == 7 && raw.size() == 8 * n)
        array.integers.resize(n), std::memcpy(array.integers.data(), raw.data(), raw.size());
    else
        bad("tensor " + name);
    return array;
}
inline Node node(std::string_view bytes) {
    Node result;
    for (const auto& f : fields(bytes)) {
        if (f.number == 1) result.inputs.emplace_back(f.bytes);
        if (f.number == 2) result.outputs.emplace_back(f.bytes);
        if (f.number == 3) result.name = f.bytes;
        if (f.number == 4) result.op = f.bytes;
        if (f.number != 5) continue;
        std::string key;
        std::vector<i64> integers;
        float real = 0;
        std::uint64_t type = 0;
        for (const auto& g : fields(f.bytes)) {
            if (g.number == 1) key = g.bytes;
            if (g.number == 2) real = g.real();
            if (g.number == 3 || g.number == 8) integers.push_back(static_cast<i64>(g.integer));
            if (g.number == 20) type = g.integer;
        }
        if (type == 1)
            result.reals[key] = real;
        else if (type == 2 || type == 7)
            result.integers[key] = integers;
        else
            bad("attribute " + key);
    }
    return result;
}
inline Port port(std::string_view bytes) {
    Port result;
    for (const auto& f : fields(bytes)) {
        if (f.number == 1) result.name = f.bytes;
        if (f.number != 2) continue;
        for (const auto& type : fields(f.bytes))
            for (const auto& part : fields(type.bytes)) {
                if (part.number == 1 && part.integer != 1) bad("not float");
                if (part.number == 2)
                    for (const auto& dim : fields(part.bytes))
                        for (const auto& value : fields(dim.bytes))
                            result.dims.push_back(value.number == 2 ? std::string(value.bytes)
                                                                    : std::to_string(value.integer));
            }
    }
    return result;
}
inline Model read(std::string_view bytes) {
    Model model;
    for (const auto& f : fields(bytes)) {
        if (f.number == 1) model.ir = static_cast<i64>(f.integer);
        if (f.number == 2) model.producer = f.bytes;
        if (f.number == 3) model.producer_version = f.bytes;
        if (f.number == 8)
            for (const auto& g : fields(f.bytes))
                if (g.number == 2) model.opset = static_cast<i64>(g.integer);
        if (f.number == 14) {
            const auto entry = fields(f.bytes);
            model.metadata[std::string(entry.at(0).bytes)] = entry.at(1).bytes;
        }
        if (f.number != 7) continue;
        for (const auto& g : fields(f.bytes)) {
            if (g.number == 1) model.nodes.push_back(node(g.bytes));
            if (g.number == 2) model.name = g.bytes;
            if (g.number == 11) model.inputs.push_back(port(g.bytes));
            if (g.number == 12) model.outputs.push_back(port(g.bytes));
            if (g.number != 5) continue;
            std::string name;
            auto array = tensor(g.bytes, name);
            if (!model.initializers.emplace(name, std::move(array)).second) bad("two initializers " + name);
        }
    }
    return model;
}

}  // namespace hwnas_test::onnx
