// SPDX-License-Identifier: MIT
#include "batch_norm.cuh"

namespace hwnas::cuda {

template void launch_call<contract::BatchNormStatistics<float>>(const Stream&, const void*);
template void launch_call<contract::BatchNormMerge<float>>(const Stream&, const void*);
template void launch_call<contract::BatchNormApply<float>>(const Stream&, const void*);
template void launch_call<contract::BatchNormFreeze<float>>(const Stream&, const void*);
template void launch_call<contract::BatchNormGradientSums<float>>(const Stream&, const void*);
template void launch_call<contract::BatchNormGradientMerge<float>>(const Stream&, const void*);
template void launch_call<contract::BatchNormBackward<float>>(const Stream&, const void*);

}  // namespace hwnas::cuda
