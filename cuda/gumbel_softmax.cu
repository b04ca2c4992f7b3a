// SPDX-License-Identifier: MIT
#include "gumbel_softmax.cuh"

namespace hwnas::cuda {

template void launch_call<contract::GumbelSoftmaxForward<float>>(const Stream&, const void*);
template void launch_call<contract::GumbelSoftmaxBackward<float>>(const Stream&, const void*);

}  // namespace hwnas::cuda
