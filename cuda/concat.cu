// SPDX-License-Identifier: MIT
#include "concat.cuh"

namespace hwnas::cuda {

template void launch_call<contract::ConcatForward<float>>(const Stream&, const void*);
template void launch_call<contract::ConcatBackward<float>>(const Stream&, const void*);

}  // namespace hwnas::cuda
