// SPDX-License-Identifier: MIT
// The CUDA device, declared. The definitions stand in the library that a program links (target hwnas::device): the CUDA
// backend where it was built, otherwise one that has no device. This header is the same in both cases.
#pragma once

#include <hwnas/core/device.hpp>

namespace hwnas::cuda {

/// Number of CUDA devices that can be used; 0 without a driver, a card or a CUDA build.
int device_count() noexcept;

/// CUDA device `index`, from 0; throws Error where there is none or this build has no CUDA backend.
Device device(int index = 0);

}  // namespace hwnas::cuda
