// SPDX-License-Identifier: MIT
// Checkpoints and saved networks, both safetensors files: the tensors under their names, and text about them in the
// metadata. Written atomically with a SHA-256 over all of it, so that a damaged file is refused before a single value
// is assigned.
#pragma once

#include <hwnas/io/json.hpp>
#include <hwnas/io/safetensors.hpp>
#include <hwnas/io/sha256.hpp>
#include <hwnas/supernet/network.hpp>
#include <hwnas/train/optimizer.hpp>

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace hwnas::io {

/// Text about a checkpoint: "epoch", "step", "config" and what else a program needs to go on.
using Metadata = std::map<std::string, std::string>;

namespace detail {

inline constexpr std::string_view checkpoint_schema = "hwnas-checkpoint/1";
inline constexpr std::string_view network_schema = "hwnas-network/1";

/// Digest of everything but itself; lengths go in too, so that no two contents read the same.
inline std::string content_digest(const SafeTensors& content) {
    Sha256 digest;
    const auto text = [&](std::string_view part) {
        digest.update(std::to_string(part.size()) + ":");
        digest.update(part);
    };
    for (const auto& [key, value] : content.metadata)
        if (key != "sha256") text(key), text(value);
    for (const auto& tensor : content.tensors) {
        text(tensor.name), text(tensor.dtype), text(shape_text(tensor.shape));
        text(as_chars(std::span<const std::byte>(tensor.data)));
    }
    return digest.hex();
}

inline std::vector<std::int64_t> extents(const Shape& shape) {
    std::vector<std::int64_t> result;
    for (int i = 0; i < shape.rank(); ++i) result.push_back(shape[i]);
    return result;
}

inline void write_sealed(const std::filesystem::path& path, std::string_view schema,
                         const std::vector<NamedTensor>& state, Metadata metadata) {
    SafeTensors content;
    content.metadata = std::move(metadata);
    content.metadata["schema"] = schema;
    for (const auto& entry : state)
        std::visit(
            [&](const auto& tensor) {
                const auto values = tensor.to_vector();
                content.tensors.push_back(safe_tensor(entry.name, extents(tensor.shape()), std::span(values)));
            },
            entry.tensor);
    content.metadata["sha256"] = content_digest(content);
    write_safetensors(path, content);
}

inline SafeTensors read_sealed(const std::filesystem::path& path, std::string_view schema, std::string_view what) {
    SafeTensors content = read_safetensors(path);
    const std::string file = path.string();
    const auto found = content.metadata.find("schema");
    if (found == content.metadata.end()) fail("{}: no schema in its metadata, this is no {} of hwnas", file, what);
    if (found->second != schema)
        fail("{}: schema \"{}\" where \"{}\" is expected, this is no {} that this library reads", file,
             shown(found->second), schema, what);
    const auto digest = content.metadata.find("sha256");
    if (digest == content.metadata.end() || digest->second != content_digest(content))
        fail("{}: the content does not match its SHA-256, the file is damaged", file);
    return content;
}

/// Copies the values into `state`, all or nothing.
inline void restore(const std::string& file, const SafeTensors& content, const std::vector<NamedTensor>& state,
                    std::string_view what) {
    std::unordered_map<std::string_view, const SafeTensor*> stored;
    for (const auto& tensor : content.tensors) stored.emplace(tensor.name, &tensor);
    std::vector<const SafeTensor*> chosen;
    for (const auto& entry : state) {
        const auto found = stored.find(entry.name);
        if (found == stored.end())
            fail("{}: no tensor \"{}\" among its {}, this is the {} of another network", file, entry.name,
                 content.tensors.size(), what);
        std::visit(
            [&](const auto& tensor) {
                using T = std::remove_pointer_t<decltype(tensor.data())>;
                const auto dtype = safetensors_dtype<T>();
                const auto shape = extents(tensor.shape());
                const SafeTensor& from = *found->second;
                if (from.dtype != dtype || from.shape != shape)
                    fail("{}: tensor \"{}\" is {} {}, {} {} is needed (the {} of another network)", file, entry.name,
                         from.dtype, shape_text(from.shape), dtype, shape_text(shape), what);
            },
            entry.tensor);
        chosen.push_back(found->second);
    }
    if (content.tensors.size() != state.size()) {
        for (const auto& entry : state) stored.erase(entry.name);
        for (const auto& tensor : content.tensors)
            if (stored.contains(tensor.name))
                fail("{}: tensor \"{}\" has no place here, this is the {} of another network", file, shown(tensor.name),
                     what);
    }
    for (std::size_t i = 0; i < state.size(); ++i)
        std::visit(
            [&](const auto& tensor) {
                using T = std::remove_pointer_t<decltype(tensor.data())>;
                tensor.assign(values<T>(*chosen[i]));
            },
            state[i].tensor);
}

}  // namespace detail

/// Writes a training state, SingleLevelTrainer::state(), and text about it; throws Error naming the path and the
/// reason.
inline void save_checkpoint(const std::filesystem::path& path, const std::vector<NamedTensor>& state,
                            Metadata metadata = {}) {
    detail::write_sealed(path, detail::checkpoint_schema, state, std::move(metadata));
}

/// The text in a sound checkpoint; throws Error for a file that is none, or is damaged.
inline Metadata checkpoint_metadata(const std::filesystem::path& path) {
    return detail::read_sealed(path, detail::checkpoint_schema, "checkpoint").metadata;
}

/// Assigns the values of a checkpoint to `state` and returns its text. Every name must be there with its dtype and
/// shape, and no other; otherwise Error names file and tensor and nothing is assigned.
inline Metadata load_checkpoint(const std::filesystem::path& path, const std::vector<NamedTensor>& state) {
    SafeTensors content = detail::read_sealed(path, detail::checkpoint_schema, "checkpoint");
    detail::restore(path.string(), content, state, "checkpoint");
    return std::move(content.metadata);
}

/// Throws Error naming the first key whose value differs between two JSON objects: the options of a checkpoint and
/// those of the run that wants to go on from it. `file` opens the message, `here` says where the other options come
/// from.
inline void check_same_options(const std::string& file, const std::string& stored, const Json& options,
                               std::string_view here) {
    const Json before = detail::parse_json<Json>(stored, file + ": config");
    for (const auto& [key, value] : options.items()) {
        const auto found = before.find(key);
        if (found == before.end())
            fail("{}: option {} is {} in {}, unknown there (start a new run)", file, key, detail::shown(value.dump()),
                 here);
        if (*found != value)
            fail("{}: option {} is {} there, {} in {} (go on with the same options, or start a new run)", file, key,
                 detail::shown(found->dump()), detail::shown(value.dump()), here);
    }
}

namespace detail {

inline const char* sharing_name(RowSharing sharing) {
    return sharing == RowSharing::kind ? "kind" : sharing == RowSharing::all ? "all" : "none";
}

inline Json space_json(const SearchSpace& space) {
    const auto& o = space.options();
    return {{"name", space.name()},
            {"primitives", space.architecture().primitives},
            {"image", {o.image.height, o.image.width, o.image.channels}},
            {"classes", o.classes},
            {"channels", o.channels},
            {"cells", o.cells},
            {"nodes", o.nodes},
            {"sharing", sharing_name(o.sharing)}};
}

inline SearchSpace space_from_json(const Json& json, const std::string& file) {
    const auto image = require<std::vector<std::int64_t>>(json, "image", file);
    if (image.size() != 3)
        fail("{}: key \"image\" has {} numbers, height, width and channels are expected", file, image.size());
    const auto sharing = require<std::string>(json, "sharing", file);
    if (sharing != "kind" && sharing != "all" && sharing != "none")
        fail("{}: sharing \"{}\" is unknown (kind, all, none)", file, shown(sharing));
    const SpaceOptions options{.image = {image[0], image[1], image[2]},
                               .classes = require<std::int64_t>(json, "classes", file),
                               .channels = require<std::int64_t>(json, "channels", file),
                               .cells = require<int>(json, "cells", file),
                               .nodes = require<int>(json, "nodes", file),
                               .sharing = sharing == "kind"  ? RowSharing::kind
                                          : sharing == "all" ? RowSharing::all
                                                             : RowSharing::none};
    const auto name = require<std::string>(json, "name", file);
    if (name != "paper" && name != "pointwise" && name != "separable")
        fail("{}: space \"{}\" is not built in, load the network with the space it was made from", file, shown(name));
    auto space = SearchSpace::named(name, options);
    const auto primitives = require<std::vector<std::string>>(json, "primitives", file);
    if (primitives != space.architecture().primitives)
        fail("{}: space {} with the primitives {} is not built in, load the network with the space it was made from",
             file, name, shown(fmt::format("{}", fmt::join(primitives, ", "))));
    return space;
}

inline std::vector<NamedTensor> named_tensors(const ModuleState<float>& state) {
    std::vector<NamedTensor> result;
    for (const auto& parameter : state.parameters) result.push_back({parameter.name, parameter.variable.value()});
    for (const auto& buffer : state.buffers) result.push_back({buffer.name, buffer.tensor});
    return result;
}

inline Network restored(const std::string& file, const SafeTensors& content, const SearchSpace& space,
                        const Device& device) {
    const auto found = content.metadata.find("genotype");
    if (found == content.metadata.end()) fail("{}: no genotype in its metadata", file);
    Network network(space, Genotype::parse(found->second, space.name()), device);
    restore(file, content, named_tensors(network.state()), "network");
    return network;
}

inline Json stored_space(const std::string& file, const SafeTensors& content) {
    const auto found = content.metadata.find("space");
    if (found == content.metadata.end()) fail("{}: no space in its metadata", file);
    return parse_json<Json>(found->second, file + ": space");
}

}  // namespace detail

/// Writes weights, running statistics, genotype and space of a network, and further text; throws Error naming the path.
inline void save_network(const std::filesystem::path& path, const Network& network, Metadata metadata = {}) {
    metadata["genotype"] = network.genotype().str();
    metadata["space"] = detail::space_json(network.space()).dump();
    detail::write_sealed(path, detail::network_schema, detail::named_tensors(network.state()), std::move(metadata));
}

/// Reads a network of a built-in space; throws Error naming the file for one that is damaged or of another space.
inline Network load_network(const std::filesystem::path& path, const Device& device) {
    const std::string file = path.string();
    const auto content = detail::read_sealed(path, detail::network_schema, "network");
    return detail::restored(file, content, detail::space_from_json(detail::stored_space(file, content), file), device);
}

/// Reads a network of the given space, which must be the one it was saved from; throws Error naming what differs.
inline Network load_network(const std::filesystem::path& path, const SearchSpace& space, const Device& device) {
    const std::string file = path.string();
    const auto content = detail::read_sealed(path, detail::network_schema, "network");
    check_same_options(file, detail::stored_space(file, content).dump(), detail::space_json(space), "the space given");
    return detail::restored(file, content, space, device);
}

}  // namespace hwnas::io
