// SPDX-License-Identifier: MIT
#include "column_sum.cuh"

namespace hwnas::cuda {

template void launch_call<contract::ColumnSum<float>>(const Stream&, const void*);

}  // namespace hwnas::cuda
