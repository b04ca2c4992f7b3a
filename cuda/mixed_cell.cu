// SPDX-License-Identifier: MIT
#include "mixed_cell.cuh"

namespace hwnas::cuda {

template void launch_call<contract::MixedCellForward<float>>(const Stream&, const void*);
template void launch_call<contract::MixedCellBackward<float>>(const Stream&, const void*);

}  // namespace hwnas::cuda
