// SPDX-License-Identifier: MIT
// Calls: elementwise, and sums over rows.
#pragma once

#include <hwnas/core/contract/types.hpp>

namespace hwnas::contract {
inline namespace v4 {

template <class T>
struct Fill {  ///< out[i] = value
    static constexpr const char* name = "fill";
    static constexpr int writes = 1, reads = 0;
    T* out;
    i64 n;
    T value;
};
template <class T>
struct Copy {  ///< out[i] (+)= in[i]
    static constexpr const char* name = "copy";
    static constexpr int writes = 1, reads = 1;
    T* out;
    const T* in;
    i64 n;
    i32 accumulate;
};
/// out[i] (+)= sum over chunks of partial[chunk, i]
template <class T>
struct ReduceChunks {
    static constexpr const char* name = "reduce_chunks";
    static constexpr int writes = 1, reads = 1;
    T* out;
    const T* partial;
    i64 n, chunks;
    i32 accumulate;
};
template <class T>
struct Add {  ///< out[i] = a[i] + beta b[i mod period]
    static constexpr const char* name = "add";
    static constexpr int writes = 1, reads = 2;
    T* out;
    const T *a, *b;
    i64 n, period;
    T beta;
};
template <class T>
struct ColumnSum {  ///< out[j] (+)= factor sum_r x[r period + j]; partial [chunks, period]
    static constexpr const char* name = "column_sum";
    static constexpr int writes = 2, reads = 1;
    T *out, *partial;
    const T* x;
    i64 n, period;
    T factor;
    i32 accumulate;
};
template <class T>
struct Multiply {  ///< out[i] (+)= a[i] b[i mod period]
    static constexpr const char* name = "multiply";
    static constexpr int writes = 1, reads = 2;
    T* out;
    const T *a, *b;
    i64 n, period;
    i32 accumulate;
};
template <class T>
struct MultiplyReduce {  ///< out[j] (+)= sum_r a[r period + j] b[r period + j]
    static constexpr const char* name = "multiply_reduce";
    static constexpr int writes = 1, reads = 2;
    T* out;
    const T *a, *b;
    i64 n, period;
    i32 accumulate;
};
template <class T>
struct Scale {  ///< out[i] (+)= factor x[i]
    static constexpr const char* name = "scale";
    static constexpr int writes = 1, reads = 1;
    T* out;
    const T* x;
    i64 n;
    T factor;
    i32 accumulate;
};
template <class T>
struct Broadcast {  ///< out[i] (+)= factor x[0]: the gradient of a sum
    static constexpr const char* name = "broadcast";
    static constexpr int writes = 1, reads = 1;
    T* out;
    const T* x;
    i64 n;
    T factor;
    i32 accumulate;
};
template <class T>
struct ReluForward {  ///< y = max(x, 0)
    static constexpr const char* name = "relu_forward";
    static constexpr int writes = 1, reads = 1;
    T* y;
    const T* x;
    i64 n;
};
template <class T>
struct ReluBackward {  ///< dx (+)= dy where y > 0
    static constexpr const char* name = "relu_backward";
    static constexpr int writes = 1, reads = 2;
    T* dx;
    const T *dy, *y;
    i64 n;
    i32 accumulate;
};
template <class T>
struct ConcatForward {  ///< y[r] = x_0[r], x_1[r], ... along the last axis
    static constexpr const char* name = "concat_forward";
    static constexpr int writes = 1, reads = max_operands;
    T* y;
    const T* x[max_operands];
    i64 rows, channels[max_operands];
    i32 count;
};
template <class T>
struct ConcatBackward {  ///< dx_j[r] (+)= its columns of dy[r]; null dx_j are skipped
    static constexpr const char* name = "concat_backward";
    static constexpr int writes = max_operands, reads = 1;
    T* dx[max_operands];
    const T* dy;
    i64 rows, channels[max_operands];
    i32 count;
    std::uint32_t accumulate;  // one bit each
};

}  // namespace v4
}  // namespace hwnas::contract
