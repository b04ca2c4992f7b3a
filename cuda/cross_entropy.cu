// SPDX-License-Identifier: MIT
#include "cross_entropy.cuh"

namespace hwnas::cuda {

template void launch_call<contract::CrossEntropyForward<float>>(const Stream&, const void*);
template void launch_call<contract::CrossEntropyBackward<float>>(const Stream&, const void*);

}  // namespace hwnas::cuda
