// SPDX-License-Identifier: MIT
#include "average_pool.cuh"

namespace hwnas::cuda {

template void launch_call<contract::AveragePoolForward<float>>(const Stream&, const void*);
template void launch_call<contract::AveragePoolBackward<float>>(const Stream&, const void*);

}  // namespace hwnas::cuda
