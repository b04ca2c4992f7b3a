// SPDX-License-Identifier: MIT
#include "depthwise_conv.cuh"

namespace hwnas::cuda {

template void launch_call<contract::DepthwiseConvForward<float>>(const Stream&, const void*);
template void launch_call<contract::DepthwiseConvBackwardData<float>>(const Stream&, const void*);
template void launch_call<contract::DepthwiseConvBackwardWeight<float>>(const Stream&, const void*);
template void launch_call<contract::DepthwiseConvBackward<float>>(const Stream&, const void*);

}  // namespace hwnas::cuda
