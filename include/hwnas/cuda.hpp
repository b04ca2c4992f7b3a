// SPDX-License-Identifier: MIT
// The CUDA device, declared. The definitions stand in the library that a program links (target hwnas::device): the CUDA
// backend where it was built, otherwise one that has no device. This header is the same in both cases.
#pragma once

#include <hwnas/core/device.hpp>

namespace hwnas::cuda {

/// Number of CUDA devices that can be used, from 0 on; 0 without a driver, a card or a CUDA build. A card older than
/// compute capability 7.5, without memory pools or of a kind that the build has no code for is not counted, nor one
/// behind it: CUDA puts the fastest first. device() says why one is not. Asking makes a CUDA context on one card of
/// every kind.
int device_count() noexcept;

/// CUDA device `index`, from 0; throws Error where there is none, this build has no CUDA backend, or no code for the
/// card. A device may be used by several host threads at once, each with tensors of its own or after a synchronize():
/// their calls go to one stream, in the order in which they are made. A step recorded on one thread has the calls of
/// that thread alone. The thread's current CUDA device, which other libraries go by, is left as it was found.
Device device(int index = 0);

}  // namespace hwnas::cuda
