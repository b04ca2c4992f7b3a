// SPDX-License-Identifier: MIT
// JSON files with errors a user can act on: which file, which line, which key. Objects keep the order of their keys.
#pragma once

#include <hwnas/core/error.hpp>
#include <hwnas/io/file.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace hwnas::io {

/// A JSON value whose objects keep the order of their keys; Json::object({...}) builds one.
using Json = nlohmann::ordered_json;

namespace detail {

template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};

/// Text up to which position a parser got: "line 3, column 7 (byte 41)".
inline std::string position(std::string_view text, std::size_t byte) {
    const auto before = text.substr(0, byte > 0 ? byte - 1 : 0);
    const auto line = std::count(before.begin(), before.end(), '\n') + 1;
    const auto start = before.rfind('\n');
    const auto column = start == std::string_view::npos ? before.size() + 1 : before.size() - start;
    return fmt::format("line {}, column {} (byte {})", line, column, byte);
}

/// The part of nlohmann's message that says what is wrong; what it quotes from the file may be long or binary.
inline std::string parser_reason(std::string_view what) {
    if (const auto at = what.find("syntax error "); at != std::string_view::npos)
        what.remove_prefix(at + 13);
    else if (const auto end = what.find("] "); end != std::string_view::npos)
        what.remove_prefix(end + 2);
    what = what.substr(0, what.find("; last read"));
    constexpr std::size_t longest = 120;
    return what.size() <= longest ? std::string{what} : std::string{what.substr(0, longest)} + "...";
}

/// Parses text of `where` (a file name) and refuses a key that an object has twice, which nlohmann would swallow.
template <class Value>
Value parse_json(std::string_view text, std::string_view where) {
    // nlohmann takes a NUL byte for the end of the text and would not look at what follows.
    if (const auto nul = text.find('\0'); nul != std::string_view::npos)
        fail("{}: not JSON at {}: a NUL byte", where, position(text, nul + 1));
    std::vector<std::set<std::string, std::less<>>> keys;
    constexpr int deepest = 64;  // values are copied and destroyed recursively
    const auto watch = [&](int depth, nlohmann::detail::parse_event_t event, Value& value) {
        using Event = nlohmann::detail::parse_event_t;
        if (depth >= deepest) fail("{}: is nested more than {} deep", where, deepest);
        if (event == Event::object_start) keys.emplace_back();
        if (event == Event::object_end) keys.pop_back();
        if (event == Event::key) {
            auto key = value.template get<std::string>();
            if (const auto [at, fresh] = keys.back().insert(std::move(key)); !fresh)
                fail("{}: key \"{}\" appears twice in one object", where, shown(*at));
        }
        return true;
    };
    try {
        return Value::parse(text.begin(), text.end(), watch);
    } catch (const typename Value::parse_error& error) {
        fail("{}: not JSON at {}: {}", where, position(text, error.byte), parser_reason(error.what()));
    } catch (const typename Value::exception& error) {
        fail("{}: not JSON: {}", where, parser_reason(error.what()));
    }
}

template <class T>
constexpr std::string_view json_kind() {
    if constexpr (std::same_as<T, bool>)
        return "boolean";
    else if constexpr (std::integral<T>)
        return "integer";
    else if constexpr (std::floating_point<T>)
        return "number";
    else if constexpr (std::convertible_to<T, std::string_view>)
        return "string";
    else if constexpr (IsVector<T>::value)
        return "array";
    else
        return "value";
}

/// value as T without the silent conversions of nlohmann (true to 1, 1.5 to 1, 300 to 44).
template <class T, class Value>
T typed(const Value& value, std::string_view key, std::string_view context) {
    const auto wrong = [&](bool right) {
        if (!right)
            fail("{}: key \"{}\" has the wrong type ({}, {} expected)", context, key, value.type_name(),
                 json_kind<T>());
    };
    if constexpr (std::same_as<T, Value>) {
        return value;
    } else if constexpr (std::same_as<T, bool>) {
        wrong(value.is_boolean());
        return value.template get<bool>();
    } else if constexpr (std::integral<T>) {
        wrong(value.is_number_integer());
        const bool fits = value.is_number_unsigned() ? std::in_range<T>(value.template get<std::uint64_t>())
                                                     : std::in_range<T>(value.template get<std::int64_t>());
        if (!fits) fail("{}: key \"{}\" is {}, out of range", context, key, value.dump());
        return value.template get<T>();
    } else if constexpr (std::floating_point<T>) {
        wrong(value.is_number());
        const auto number = value.template get<double>();
        if (!std::isfinite(static_cast<T>(number)))
            fail("{}: key \"{}\" is {}, out of range", context, key, value.dump());
        return static_cast<T>(number);
    } else if constexpr (std::same_as<T, std::string>) {
        wrong(value.is_string());
        return value.template get<std::string>();
    } else if constexpr (IsVector<T>::value) {
        wrong(value.is_array());
        T all;
        all.reserve(value.size());
        for (std::size_t i = 0; i < value.size(); ++i)
            all.push_back(typed<typename T::value_type>(value[i], fmt::format("{}[{}]", key, i), context));
        return all;
    } else {
        try {
            return value.template get<T>();
        } catch (const typename Value::exception& error) {
            fail("{}: key \"{}\" has the wrong type ({})", context, key, parser_reason(error.what()));
        }
    }
}

inline void check_finite(const Json& json, const std::string& file, const std::string& place) {
    if (json.is_number_float() && !std::isfinite(json.get<double>()))
        fail("{}: the number at {} is {}, JSON holds finite numbers only", file, place.empty() ? "/" : place,
             json.get<double>());
    if (json.is_object())
        for (const auto& [key, value] : json.items()) check_finite(value, file, place + "/" + key);
    if (json.is_array())
        for (std::size_t i = 0; i < json.size(); ++i) check_finite(json[i], file, fmt::format("{}/{}", place, i));
}

}  // namespace detail

/// Parses a JSON file; throws Error naming file, line and column, or the key an object has twice.
inline Json read_json(const std::filesystem::path& path) {
    return detail::parse_json<Json>(read_file(path), path.string());
}

/// json[key] as T: bool, an integer or floating type that holds it, std::string, std::vector of these, Json itself.
/// context (a file name) opens the Error thrown for a missing key, a wrong type or a number out of range.
template <class T, class Value>
    requires nlohmann::detail::is_basic_json<Value>::value
T require(const Value& json, std::string_view key, std::string_view context) {
    if (!json.is_object()) fail("{}: {} where an object with key \"{}\" is expected", context, json.type_name(), key);
    const auto found = json.find(std::string{key});
    if (found == json.end()) fail("{}: key \"{}\" is missing", context, key);
    return detail::typed<T>(*found, key, context);
}

/// As require, but fallback where the key is missing; a present key of the wrong type is still an Error.
template <class T, class Value>
    requires nlohmann::detail::is_basic_json<Value>::value
T value_or(const Value& json, std::string_view key, T fallback, std::string_view context) {
    if (json.is_object() && !json.contains(std::string{key})) return fallback;
    return require<T>(json, key, context);
}

/// Throws Error unless json["schema"] equals schema, "name/version"; a wrong name and a wrong version read differently.
inline void check_schema(const Json& json, std::string_view schema, std::string_view file) {
    const auto found = require<std::string>(json, "schema", file);
    if (found == schema) return;
    const auto name = [](std::string_view text) { return text.substr(0, text.rfind('/')); };
    if (name(found) == name(schema))
        fail(
            "{}: schema version \"{}\" is unknown, this library reads \"{}\" (write the file again, or use its "
            "version)",
            file, detail::shown(found), schema);
    fail("{}: schema \"{}\" is another kind of file, \"{}\" is expected", file, detail::shown(found), schema);
}

/// Writes json atomically: 2-space indent, keys in their order, numbers that read back the same, a newline at the end.
/// Throws Error for a number that is not finite, text that is not UTF-8, or what the disk refuses.
inline void write_json(const std::filesystem::path& path, const Json& json) {
    detail::check_finite(json, path.string(), "");
    std::string text;
    try {
        text = json.dump(2);
    } catch (const Json::exception&) {
        fail("{}: a string is not UTF-8, JSON holds nothing else", path.string());
    }
    write_file_atomic(path, text + '\n');
}

}  // namespace hwnas::io
