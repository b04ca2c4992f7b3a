// SPDX-License-Identifier: MIT
#include "copy.cuh"

namespace hwnas::cuda {

template void launch_call<contract::Fill<float>>(const Stream&, const void*);
template void launch_call<contract::Copy<float>>(const Stream&, const void*);

}  // namespace hwnas::cuda
