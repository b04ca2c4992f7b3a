// SPDX-License-Identifier: MIT
#include "accuracy.cuh"

namespace hwnas::cuda {

template void launch_call<contract::Accuracy<float>>(const Stream&, const void*);

}  // namespace hwnas::cuda
