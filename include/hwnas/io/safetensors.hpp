// SPDX-License-Identifier: MIT
// safetensors: u64 little-endian header length, JSON header {name: {dtype, shape, data_offsets}}, raw values.
// Weights and checkpoints are stored in it, and every other reader of the format opens them. This reader takes nothing
// on trust: offsets must tile the data without overlap, hole or rest, and memory is bounded by the file's size.
#pragma once

#include <hwnas/core/error.hpp>
#include <hwnas/io/file.hpp>
#include <hwnas/io/json.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace hwnas::io {

static_assert(std::endian::native == std::endian::little, "safetensors are written as memory holds them");

/// One named array; data is row-major and little-endian.
struct SafeTensor {
    std::string name = {};                 ///< unique in its file
    std::string dtype = {};                ///< type of the elements: F32 F64 I32 I64 U8
    std::vector<std::int64_t> shape = {};  ///< extents, outermost first; none: a scalar
    std::vector<std::byte> data = {};      ///< Little-endian, row by row
};

/// The content of a file: tensors in file order, and free text by key.
struct SafeTensors {
    std::vector<SafeTensor> tensors = {};              ///< in the order of their data
    std::map<std::string, std::string> metadata = {};  ///< free text by key

    /// The tensor called name; throws Error naming those there are.
    const SafeTensor& at(std::string_view name) const {
        for (const auto& tensor : tensors)
            if (tensor.name == name) return tensor;
        std::string known;
        for (std::size_t i = 0; i < tensors.size() && i < 8; ++i)
            known += (i > 0 ? ", " : "") + detail::shown(tensors[i].name);
        fail("safetensors: no tensor \"{}\" among the {} there are ({}{})", name, tensors.size(), known,
             tensors.size() > 8 ? ", ..." : "");
    }

    /// Whether there is a tensor of that name.
    bool contains(std::string_view name) const {
        return std::any_of(tensors.begin(), tensors.end(), [&](const auto& tensor) { return tensor.name == name; });
    }
};

namespace detail {

template <class T>
constexpr std::string_view safetensors_dtype() {
    if constexpr (std::is_same_v<T, float>)
        return "F32";
    else if constexpr (std::is_same_v<T, double>)
        return "F64";
    else if constexpr (std::is_same_v<T, std::int32_t>)
        return "I32";
    else if constexpr (std::is_same_v<T, std::int64_t>)
        return "I64";
    else {
        static_assert(std::is_same_v<T, std::uint8_t>, "float, double, int32_t, int64_t and uint8_t are stored");
        return "U8";
    }
}

/// Bytes per value; 0 for a dtype that is not read.
inline std::uint64_t safetensors_size(std::string_view dtype) {
    if (dtype == "F64" || dtype == "I64") return 8;
    if (dtype == "F32" || dtype == "I32") return 4;
    return dtype == "U8" ? 1 : 0;
}

inline std::string shape_text(std::span<const std::int64_t> shape) {
    return fmt::format("[{}]", fmt::join(shape, ", "));
}

/// Bytes a tensor must have; throws Error for an unknown dtype, a negative extent or an overflow.
inline std::uint64_t safetensors_bytes(std::string_view dtype, std::span<const std::int64_t> shape,
                                       std::string_view file, std::string_view name) {
    std::uint64_t bytes = safetensors_size(dtype);
    if (bytes == 0)
        fail("{}: tensor \"{}\" has dtype {}, known are F32 F64 I32 I64 U8", file, shown(name), shown(dtype));
    bool fits = true;
    for (const auto extent : shape) {
        if (extent < 0)
            fail("{}: tensor \"{}\" has shape {}, extents cannot be negative", file, shown(name), shape_text(shape));
        const auto size = static_cast<std::uint64_t>(extent);
        fits = fits && (size == 0 || bytes <= std::numeric_limits<std::uint64_t>::max() / 2 / size);
        bytes *= size;
    }
    if (!fits) fail("{}: tensor \"{}\" has shape {}, more than a file can hold", file, shown(name), shape_text(shape));
    return bytes;
}

inline constexpr std::uint64_t safetensors_header_limit = 100'000'000;

struct SafeTensorPlace {
    std::uint64_t begin = 0, end = 0;
    SafeTensor tensor;
};

inline SafeTensorPlace safetensors_entry(const nlohmann::json& entry, const std::string& name, const std::string& file,
                                         std::uint64_t available) {
    const std::string where = fmt::format("{}: tensor \"{}\"", file, shown(name));
    SafeTensorPlace place;
    place.tensor.name = name;
    place.tensor.dtype = require<std::string>(entry, "dtype", where);
    place.tensor.shape = require<std::vector<std::int64_t>>(entry, "shape", where);
    const auto offsets = require<std::vector<std::uint64_t>>(entry, "data_offsets", where);
    if (entry.size() != 3)
        fail("{}: has {} keys, dtype, shape and data_offsets are all there may be", where, entry.size());
    if (offsets.size() != 2) fail("{}: has {} data_offsets, begin and end are expected", where, offsets.size());
    place.begin = offsets[0];
    place.end = offsets[1];
    const std::uint64_t bytes = safetensors_bytes(place.tensor.dtype, place.tensor.shape, file, name);
    if (place.begin > place.end || place.end > available)
        fail("{}: data_offsets [{}, {}] lie outside the {} bytes of data", where, place.begin, place.end, available);
    if (place.end - place.begin != bytes)
        fail("{}: {} {} takes {} bytes, data_offsets [{}, {}] hold {}", where, place.tensor.dtype,
             shape_text(place.tensor.shape), bytes, place.begin, place.end, place.end - place.begin);
    return place;
}

}  // namespace detail

/// A SafeTensor with a copy of `values`; throws Error where their number is not that of the shape.
template <class T>
SafeTensor safe_tensor(std::string name, std::vector<std::int64_t> shape, std::span<const T> values) {
    const auto dtype = detail::safetensors_dtype<T>();
    if (detail::safetensors_bytes(dtype, shape, "safetensors", name) != values.size_bytes())
        fail("safetensors: tensor \"{}\" of shape {} is given {} values", name, detail::shape_text(shape),
             values.size());
    const auto bytes = std::as_bytes(values);
    return {std::move(name), std::string{dtype}, std::move(shape), {bytes.begin(), bytes.end()}};
}

/// The values of a tensor; throws Error where it holds another dtype.
template <class T>
std::vector<T> values(const SafeTensor& tensor) {
    const auto dtype = detail::safetensors_dtype<T>();
    if (tensor.dtype != dtype)
        fail("safetensors: tensor \"{}\" is {}, {} is asked for", tensor.name, tensor.dtype, dtype);
    if (detail::safetensors_bytes(tensor.dtype, tensor.shape, "safetensors", tensor.name) != tensor.data.size())
        fail("safetensors: tensor \"{}\" of shape {} holds {} bytes", tensor.name, detail::shape_text(tensor.shape),
             tensor.data.size());
    std::vector<T> copy(tensor.data.size() / sizeof(T));
    if (!copy.empty()) std::memcpy(copy.data(), tensor.data.data(), tensor.data.size());
    return copy;
}

/// The values of a tensor of this shape; throws Error where it has another shape or dtype.
template <class T>
std::vector<T> values(const SafeTensor& tensor, std::span<const std::int64_t> shape) {
    if (!std::equal(shape.begin(), shape.end(), tensor.shape.begin(), tensor.shape.end()))
        fail("safetensors: tensor \"{}\" has shape {}, {} is asked for", tensor.name, detail::shape_text(tensor.shape),
             detail::shape_text(shape));
    return values<T>(tensor);
}

/// Writes atomically, tensors in the order given, header padded with spaces to 8 bytes; same content, same bytes.
/// Throws Error for a repeated or reserved name, or data that does not fill its shape.
inline void write_safetensors(const std::filesystem::path& path, const SafeTensors& content) {
    const std::string file = path.string();
    Json header = Json::object();
    if (!content.metadata.empty()) header["__metadata__"] = content.metadata;
    std::vector<std::string_view> parts(2);
    std::set<std::string_view> names{"__metadata__"};
    std::uint64_t offset = 0;
    for (const auto& tensor : content.tensors) {
        if (!names.insert(tensor.name).second)
            fail("{}: tensor name \"{}\" is reserved or used twice", file, tensor.name);
        const std::uint64_t bytes = detail::safetensors_bytes(tensor.dtype, tensor.shape, file, tensor.name);
        if (bytes != tensor.data.size())
            fail("{}: tensor \"{}\" of dtype {} and shape {} takes {} bytes, {} are given", file, tensor.name,
                 tensor.dtype, detail::shape_text(tensor.shape), bytes, tensor.data.size());
        header.push_back(
            {tensor.name,
             Json{{"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {offset, offset + bytes}}}});
        parts.push_back(as_chars(std::span<const std::byte>(tensor.data)));
        offset += bytes;
    }
    std::string text;
    try {
        text = header.dump();
    } catch (const Json::exception&) {
        fail("{}: a name or metadata text is not UTF-8, safetensors holds nothing else", file);
    }
    text.resize((text.size() + 7) / 8 * 8, ' ');
    const std::uint64_t length = text.size();
    if (length > detail::safetensors_header_limit)
        fail("{}: the header takes {} bytes, readers accept 100,000,000", file, detail::grouped(length));
    parts[0] = as_chars(std::span<const std::uint64_t>(&length, 1));
    parts[1] = text;
    write_file_atomic(path, parts);
}

/// Reads and checks a whole file; throws Error naming the file and the place for anything but a sound one.
inline SafeTensors read_safetensors(const std::filesystem::path& path) {
    const std::string file = path.string();
    const std::string content = read_file(path);
    std::uint64_t length = 0;
    if (content.size() < sizeof length)
        fail("{}: {} bytes, too short for the 8 of the header length (truncated)", file, content.size());
    std::memcpy(&length, content.data(), sizeof length);
    const std::uint64_t rest = content.size() - sizeof length;
    if (length > detail::safetensors_header_limit && content[0] == '{')
        fail("{}: is JSON, weights are in a file of safetensors (an architecture is given by itself)", file);
    if (length > detail::safetensors_header_limit)
        fail("{}: header length {} is over 100,000,000, not a safetensors file", file, detail::grouped(length));
    if (length > rest)
        fail("{}: header length {}, but {} bytes follow (truncated)", file, detail::grouped(length),
             detail::grouped(rest));
    const std::string_view text = std::string_view(content).substr(sizeof length, static_cast<std::size_t>(length));
    if (text.empty() || text.front() != '{')
        fail("{}: the header does not start with '{{', not a safetensors file", file);
    const auto header = detail::parse_json<nlohmann::json>(text, file + ": header");

    SafeTensors result;
    std::vector<detail::SafeTensorPlace> places;
    const std::uint64_t available = rest - length;
    for (const auto& [name, entry] : header.items()) {
        if (name != "__metadata__") {
            places.push_back(detail::safetensors_entry(entry, name, file, available));
            continue;
        }
        if (!entry.is_object()) fail("{}: __metadata__ is {}, an object is expected", file, entry.type_name());
        for (const auto& [key, value] : entry.items())
            result.metadata[key] = detail::typed<std::string>(value, detail::shown(key), file + ": __metadata__");
    }
    std::sort(places.begin(), places.end(), [](const auto& a, const auto& b) {
        return std::tie(a.begin, a.end, a.tensor.name) < std::tie(b.begin, b.end, b.tensor.name);
    });
    std::uint64_t reached = 0;
    for (auto& place : places) {
        if (place.begin != reached)
            fail("{}: tensor \"{}\" begins at data byte {}, {} byte {}", file, detail::shown(place.tensor.name),
                 place.begin, place.begin < reached ? "inside a tensor that ends at" : "after a hole from", reached);
        reached = place.end;
        const auto* data = reinterpret_cast<const std::byte*>(content.data()) + sizeof length + length;
        place.tensor.data.assign(data + place.begin, data + place.end);
        result.tensors.push_back(std::move(place.tensor));
    }
    if (reached != available)
        fail("{}: {} bytes of data, the tensors describe {}", file, detail::grouped(available),
             detail::grouped(reached));
    return result;
}

}  // namespace hwnas::io
