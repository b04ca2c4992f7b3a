// SPDX-License-Identifier: MIT
#include "step.cuh"

namespace hwnas::cuda {

template void launch_call<contract::Advance>(const Stream&, const void*);
template void launch_call<contract::ScalarAccumulate<float>>(const Stream&, const void*);

}  // namespace hwnas::cuda
