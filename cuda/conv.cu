// SPDX-License-Identifier: MIT
#include "conv.cuh"

namespace hwnas::cuda {

template void launch_call<contract::ConvForward<float>>(const Stream&, const void*);
template void launch_call<contract::ConvBackwardData<float>>(const Stream&, const void*);
template void launch_call<contract::ConvBackwardWeight<float>>(const Stream&, const void*);

}  // namespace hwnas::cuda
