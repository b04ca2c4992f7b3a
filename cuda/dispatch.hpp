// SPDX-License-Identifier: MIT
// From a call's number to the function that launches its kernels; the same on a GPU and in the emulator.
#pragma once

#include <hwnas/core/contract.hpp>

#include <cstddef>

namespace hwnas::cuda {

struct Stream;
using Launcher = void (*)(const Stream& stream, const void* call);

/// What runs a call that has number `index` in contract::Calls<float>.
Launcher launcher(int index);

/// The most bytes of shared memory that a block gets on all devices we build for, and on any of them. Kernels of which
/// Backend::shared_bytes() decides may use the latter.
inline constexpr std::size_t most_shared_bytes = 64 * 1024, most_shared_bytes_of_any = 227 * 1024;

/// Chunks that a sum over n images is cut into: enough for every multiprocessor to have one.
constexpr contract::i64 image_chunks(contract::i64 n) {
    return n < 256 ? (n < 1 ? 1 : n) : 256;
}

}  // namespace hwnas::cuda
