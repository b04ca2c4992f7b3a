// SPDX-License-Identifier: MIT
#include "mixed_band.cuh"

namespace hwnas::cuda {

template void launch_call<contract::MixedNodeForward<float>>(const Stream&, const void*);
template void launch_call<contract::MixedVertexBackward<float>>(const Stream&, const void*);

}  // namespace hwnas::cuda
