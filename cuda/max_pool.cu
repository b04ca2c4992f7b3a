// SPDX-License-Identifier: MIT
#include "max_pool.cuh"

namespace hwnas::cuda {

template void launch_call<contract::MaxPoolForward<float>>(const Stream&, const void*);
template void launch_call<contract::MaxPoolBackward<float>>(const Stream&, const void*);

}  // namespace hwnas::cuda
