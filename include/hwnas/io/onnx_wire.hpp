// SPDX-License-Identifier: MIT
// An ONNX model as plain structs, and its bytes. ONNX files are protocol buffers: a message is a sequence of (field
// number, value), values are varints, 4-byte floats or length-delimited bytes. Those three are all a model needs.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace hwnas::io {

namespace detail {

/// Appends the fields of one protobuf message.
class WireMessage {
public:
    void integer(int field, std::int64_t value) {
        tag(field, 0);
        varint(static_cast<std::uint64_t>(value));
    }
    void real(int field, float value) {
        tag(field, 5);
        std::uint32_t bits = 0;
        std::memcpy(&bits, &value, sizeof bits);
        for (int shift = 0; shift < 32; shift += 8) bytes_ += static_cast<char>(bits >> shift & 0xff);
    }
    void text(int field, std::string_view value) {
        tag(field, 2);
        varint(value.size());
        bytes_ += value;
    }
    void message(int field, const WireMessage& value) { text(field, value.bytes_); }
    std::string take() && { return std::move(bytes_); }

private:
    void tag(int field, int kind) { varint(static_cast<std::uint64_t>(field) << 3 | static_cast<std::uint64_t>(kind)); }
    void varint(std::uint64_t value) {
        for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>((value & 0x7f) | 0x80);
        bytes_ += static_cast<char>(value);
    }
    std::string bytes_;
};

/// Little-endian bytes of floats or 64-bit integers, whatever the machine's order.
template <class T>
std::string raw_data(const std::vector<T>& values) {
    using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    std::string bytes;
    bytes.reserve(values.size() * sizeof(T));
    for (const T value : values) {
        Bits bits = 0;
        std::memcpy(&bits, &value, sizeof bits);
        for (std::size_t i = 0; i < sizeof(T); ++i) bytes += static_cast<char>(bits >> (8 * i) & 0xff);
    }
    return bytes;
}

}  // namespace detail

/// A named attribute of a node: one integer, several, or a float.
struct OnnxAttribute {
    /// Which member holds the value; numbers as in ONNX's AttributeProto.
    enum class Kind { real = 1, integer = 2, integers = 7 };  // numbers of AttributeProto.AttributeType
    std::string name;                                         ///< as the operator set names it
    Kind kind = Kind::integer;                                ///< which of the members counts
    std::vector<std::int64_t> integers = {};                  ///< Kind::integers, or one for Kind::integer
    float real = 0;                                           ///< value of Kind::real
};
/// One operator. Inputs and outputs are names of values; a value is written once.
struct OnnxNode {
    std::string name, op;                        ///< of the node; operator of the default domain
    std::vector<std::string> inputs, outputs;    ///< names of the values it reads and writes
    std::vector<OnnxAttribute> attributes = {};  ///< in any order
};
/// A constant: float32 or int64, raw little-endian bytes.
struct OnnxTensor {
    /// Type of the elements; numbers as in ONNX's TensorProto.
    enum class Type { float32 = 1, int64 = 7 };  // numbers of TensorProto.DataType
    std::string name;                            ///< name of the value it stands for
    std::vector<std::int64_t> dims;              ///< extents, outermost first
    Type type = Type::float32;                   ///< element type of `raw`
    std::string raw;                             ///< values, little-endian, row by row
};
/// An input or output of the graph, of floats; an extent of 0 stands for the batch, "N".
struct OnnxValue {
    std::string name;                ///< as nodes refer to it
    std::vector<std::int64_t> dims;  ///< extents; 0: any batch
};
/// A whole model: one graph of operators of set 13.
struct OnnxModel {
    std::string name, producer_version;                              ///< name of the graph; version of this library
    std::vector<OnnxNode> nodes = {};                                ///< in an order in which they can be run
    std::vector<OnnxTensor> initializers = {};                       ///< constants: weights, shapes of reshapes
    std::vector<OnnxValue> inputs = {}, outputs = {};                ///< of the graph, with name and shape
    std::vector<std::pair<std::string, std::string>> metadata = {};  ///< free text by key

    /// The bytes of a .onnx file: IR version 8.
    std::string bytes() const {
        detail::WireMessage graph;
        for (const auto& node : nodes) graph.message(1, encode(node));
        graph.text(2, name);
        for (const auto& tensor : initializers) graph.message(5, encode(tensor));
        for (const auto& value : inputs) graph.message(11, encode(value));
        for (const auto& value : outputs) graph.message(12, encode(value));
        detail::WireMessage operators, model;
        operators.text(1, "");
        operators.integer(2, 13);
        model.integer(1, 8);
        model.text(2, "hwnas");
        model.text(3, producer_version);
        model.message(7, graph);
        model.message(8, operators);
        for (const auto& [key, value] : metadata) {
            detail::WireMessage entry;
            entry.text(1, key);
            entry.text(2, value);
            model.message(14, entry);
        }
        return std::move(model).take();
    }

private:
    static detail::WireMessage encode(const OnnxNode& node) {
        detail::WireMessage message;
        for (const auto& input : node.inputs) message.text(1, input);
        for (const auto& output : node.outputs) message.text(2, output);
        message.text(3, node.name);
        message.text(4, node.op);
        for (const auto& attribute : node.attributes) {
            detail::WireMessage field;
            field.text(1, attribute.name);
            if (attribute.kind == OnnxAttribute::Kind::real) field.real(2, attribute.real);
            if (attribute.kind == OnnxAttribute::Kind::integer) field.integer(3, attribute.integers.at(0));
            if (attribute.kind == OnnxAttribute::Kind::integers)
                for (const auto value : attribute.integers) field.integer(8, value);
            field.integer(20, static_cast<int>(attribute.kind));
            message.message(5, field);
        }
        return message;
    }
    static detail::WireMessage encode(const OnnxTensor& tensor) {
        detail::WireMessage message;
        for (const auto extent : tensor.dims) message.integer(1, extent);
        message.integer(2, static_cast<int>(tensor.type));
        message.text(8, tensor.name);
        message.text(9, tensor.raw);
        return message;
    }
    static detail::WireMessage encode(const OnnxValue& value) {
        detail::WireMessage shape, tensor, type, message;
        for (const auto extent : value.dims) {
            detail::WireMessage dimension;
            if (extent == 0)
                dimension.text(2, "N");
            else
                dimension.integer(1, extent);
            shape.message(1, dimension);
        }
        tensor.integer(1, static_cast<int>(OnnxTensor::Type::float32));
        tensor.message(2, shape);
        type.message(1, tensor);
        message.text(1, value.name);
        message.message(2, type);
        return message;
    }
};

}  // namespace hwnas::io
