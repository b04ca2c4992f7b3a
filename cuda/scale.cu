// SPDX-License-Identifier: MIT
#include "scale.cuh"

namespace hwnas::cuda {

template void launch_call<contract::Scale<float>>(const Stream&, const void*);
template void launch_call<contract::Broadcast<float>>(const Stream&, const void*);

}  // namespace hwnas::cuda
