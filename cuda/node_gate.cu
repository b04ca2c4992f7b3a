// SPDX-License-Identifier: MIT
#include "node_gate.cuh"

namespace hwnas::cuda {

template void launch_call<contract::NodeGateForward<float>>(const Stream&, const void*);
template void launch_call<contract::NodeGateBackward<float>>(const Stream&, const void*);

}  // namespace hwnas::cuda
