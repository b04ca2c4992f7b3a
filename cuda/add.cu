// SPDX-License-Identifier: MIT
#include "add.cuh"

namespace hwnas::cuda {

template void launch_call<contract::Add<float>>(const Stream&, const void*);

}  // namespace hwnas::cuda
