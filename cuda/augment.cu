// SPDX-License-Identifier: MIT
#include "augment.cuh"

namespace hwnas::cuda {

template void launch_call<contract::Augment<float>>(const Stream&, const void*);

}  // namespace hwnas::cuda
