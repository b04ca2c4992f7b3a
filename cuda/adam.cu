// SPDX-License-Identifier: MIT
#include "adam.cuh"

namespace hwnas::cuda {

template void launch_call<contract::Adam<float>>(const Stream&, const void*);

}  // namespace hwnas::cuda
