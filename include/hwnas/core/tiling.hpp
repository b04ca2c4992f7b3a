// SPDX-License-Identifier: MIT
// Words for running a call on a part of its batch.
#pragma once

#include <cstdint>

namespace hwnas {

/// Part of a batch that a call runs on; it lies within one chunk of contract::image_chunks(total).
struct Images {
    /// Images of the batch; the part's first, and how many; number of its chunk.
    std::int64_t total, first, count, chunk;
    bool fresh;  ///< whether it is the first part of its chunk: sums start, they do not go on
};

/// What Tiling::images() says of a call whose extents do not tell how many images it runs over.
inline constexpr std::int64_t any_images = -1;

/// How a recorded call is cut along the batch: see cpu/tiles.hpp.
struct Tiling {
    std::int64_t (*images)(const void* call);       ///< images of the batch, any_images, or 0: this call stays whole
    bool (*cut)(void* call, const Images& images);  ///< makes it a call on these images only; false: it cannot be
};

}  // namespace hwnas
