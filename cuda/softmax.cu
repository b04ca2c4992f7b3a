// SPDX-License-Identifier: MIT
#include "softmax.cuh"

namespace hwnas::cuda {

template void launch_call<contract::SoftmaxForward<float>>(const Stream&, const void*);
template void launch_call<contract::SoftmaxBackward<float>>(const Stream&, const void*);

}  // namespace hwnas::cuda
