// SPDX-License-Identifier: MIT
#include "relu.cuh"

namespace hwnas::cuda {

template void launch_call<contract::ReluForward<float>>(const Stream&, const void*);
template void launch_call<contract::ReluBackward<float>>(const Stream&, const void*);

}  // namespace hwnas::cuda
