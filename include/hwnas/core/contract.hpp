// SPDX-License-Identifier: MIT
// The contract between the ops above and the devices below: one plain struct per kernel call, a closed list.
// Std only; compiles under g++, clang and nvcc. In every struct the pointers come first, outputs before inputs, with
// `writes` and `reads` counting them, so that a recorded call can be moved to another block of memory; numbers follow.
// A null pointer means "not wanted". `accumulate` = 1 adds to the output instead of overwriting it.
// Layout: activations [N, H, W, C], row-major; T is float or double. What changes from step to step (temperature,
// learning rate, step counter) is read from device memory, never stored in a struct.
// A change to any struct is a change of the inline namespace: devices built against another version fail to link.
#pragma once

#include <hwnas/core/random.hpp>

#include <cstdint>
#include <type_traits>

namespace hwnas::contract {
inline namespace v1 {

using i32 = std::int32_t;
using i64 = std::int64_t;
using u8 = std::uint8_t;

inline constexpr int max_operands = 16;  ///< most tensors in one weighted sum or concatenation call

/// Extents of a windowed op: input [n, h, w, c], output [n, oh, ow, c], square window, zero (or -inf) padding.
struct Window {
    i64 n, h, w, c, oh, ow;
    i32 kernel, stride, padding, dilation;
};

// --- plain elementwise ---------------------------------------------------------------------------------------------
template <class T> struct Fill {             ///< out[i] = value
    static constexpr const char* name = "fill"; static constexpr int writes = 1, reads = 0;
    T* out; i64 n; T value;
};
template <class T> struct Copy {             ///< out[i] (+)= in[i]
    static constexpr const char* name = "copy"; static constexpr int writes = 1, reads = 1;
    T* out; const T* in; i64 n; i32 accumulate;
};
template <class T> struct Add {              ///< out[i] = a[i] + beta b[i mod period]
    static constexpr const char* name = "add"; static constexpr int writes = 1, reads = 2;
    T* out; const T *a, *b; i64 n, period; T beta;
};
template <class T> struct ColumnSum {        ///< out[j] (+)= factor sum_r x[r period + j]; partial [chunks, period]
    static constexpr const char* name = "column_sum"; static constexpr int writes = 2, reads = 1;
    T *out, *partial; const T* x; i64 n, period; T factor; i32 accumulate;
};
template <class T> struct Multiply {         ///< out[i] (+)= a[i] b[i mod period]
    static constexpr const char* name = "multiply"; static constexpr int writes = 1, reads = 2;
    T* out; const T *a, *b; i64 n, period; i32 accumulate;
};
template <class T> struct MultiplyReduce {   ///< out[j] (+)= sum_r a[r period + j] b[r period + j]
    static constexpr const char* name = "multiply_reduce"; static constexpr int writes = 1, reads = 2;
    T* out; const T *a, *b; i64 n, period; i32 accumulate;
};
template <class T> struct Scale {            ///< out[i] (+)= factor x[i]
    static constexpr const char* name = "scale"; static constexpr int writes = 1, reads = 1;
    T* out; const T* x; i64 n; T factor; i32 accumulate;
};
template <class T> struct Broadcast {        ///< out[i] (+)= factor x[0]: the gradient of a sum
    static constexpr const char* name = "broadcast"; static constexpr int writes = 1, reads = 1;
    T* out; const T* x; i64 n; T factor; i32 accumulate;
};
template <class T> struct ReluForward {      ///< y = max(x, 0)
    static constexpr const char* name = "relu_forward"; static constexpr int writes = 1, reads = 1;
    T* y; const T* x; i64 n;
};
template <class T> struct ReluBackward {     ///< dx (+)= dy where y > 0
    static constexpr const char* name = "relu_backward"; static constexpr int writes = 1, reads = 2;
    T* dx; const T *dy, *y; i64 n; i32 accumulate;
};
template <class T> struct ConcatForward {    ///< y[r] = x_0[r], x_1[r], ... along the last axis
    static constexpr const char* name = "concat_forward"; static constexpr int writes = 1, reads = max_operands;
    T* y; const T* x[max_operands]; i64 rows, channels[max_operands]; i32 count;
};
template <class T> struct ConcatBackward {   ///< dx_j[r] (+)= its columns of dy[r]; null dx_j are skipped
    static constexpr const char* name = "concat_backward"; static constexpr int writes = max_operands, reads = 1;
    T* dx[max_operands]; const T* dy; i64 rows, channels[max_operands]; i32 count; std::uint32_t accumulate;  // one bit each
};

// --- mixtures ------------------------------------------------------------------------------------------------------
/// y[g] (+)= sum_j weights[g, columns[j]] x_j[g]; groups = 1 or one per image. Terms of weight 0 are not read.
template <class T> struct WeightedSumForward {
    static constexpr const char* name = "weighted_sum_forward"; static constexpr int writes = 1, reads = max_operands + 1;
    T* y; const T* x[max_operands]; const T* weights;
    i64 groups, group_size, weight_stride; i32 columns[max_operands]; i32 count, accumulate;
};
/// dx_j (+)= w_j dy; dweights[g, columns[j]] += <dy[g], x_j[g]>. With selected_only, terms of weight 0 are not touched
/// (their tensors were never computed). partial: [groups, chunks, count].
template <class T> struct WeightedSumBackward {
    static constexpr const char* name = "weighted_sum_backward"; static constexpr int writes = max_operands + 2, reads = max_operands + 2;
    T* dx[max_operands]; T *dweights, *partial; const T* x[max_operands]; const T *dy, *weights;
    i64 groups, group_size, weight_stride; i32 columns[max_operands]; i32 count; std::uint32_t accumulate; i32 selected_only;
};
/// Fraction p of a node that mixes channels: p[g, v] = 1 - prod_e (1 - sum_{m in mask} gamma[g, e, m]) over the edges
/// first[v] .. first[v + 1] of node v; out[g, v, 0] = p, out[g, v, 1] = 1 - p; on[v] = p[0, v] > 0.
template <class T> struct NodeGateForward {
    static constexpr const char* name = "node_gate_forward"; static constexpr int writes = 2, reads = 2;
    T* out; i32* on; const T* gamma; const i32* first; i64 groups, rows, primitives, nodes; std::uint64_t mask;
};
template <class T> struct NodeGateBackward {
    static constexpr const char* name = "node_gate_backward"; static constexpr int writes = 1, reads = 3;
    T* dgamma; const T *dout, *gamma; const i32* first; i64 groups, rows, primitives, nodes; std::uint64_t mask; i32 accumulate;
};

// --- softmax family ------------------------------------------------------------------------------------------------
template <class T> struct SoftmaxForward {   ///< rows of `columns` elements
    static constexpr const char* name = "softmax_forward"; static constexpr int writes = 1, reads = 1;
    T* y; const T* x; i64 rows, columns;
};
template <class T> struct SoftmaxBackward {  ///< dx (+)= y (dy - <dy, y>)
    static constexpr const char* name = "softmax_backward"; static constexpr int writes = 1, reads = 2;
    T* dx; const T *dy, *y; i64 rows, columns; i32 accumulate;
};
/// soft = softmax((alpha + Gumbel noise) / temperature); out = soft, or its one-hot argmax when hard; selected[e] = that
/// argmax of group 0. Noise is a function of (key, step, group, row, column).
template <class T> struct GumbelSoftmaxForward {
    static constexpr const char* name = "gumbel_softmax_forward"; static constexpr int writes = 3, reads = 3;
    T *out, *soft; i32* selected; const T *alpha, *temperature; const i64* step;
    i64 groups, rows, columns; random::Key key; i32 hard;
};
/// dalpha[e] (+)= sum_g soft (dout - <dout, soft>) / temperature: exact when relaxed, straight-through when hard.
template <class T> struct GumbelSoftmaxBackward {
    static constexpr const char* name = "gumbel_softmax_backward"; static constexpr int writes = 1, reads = 3;
    T* dalpha; const T *dout, *soft, *temperature; i64 groups, rows, columns; i32 accumulate;
};
/// loss = mean_n [-sum_c q log p], q = (1 - smoothing) onehot(label) + smoothing / classes; probs is kept for backward.
template <class T> struct CrossEntropyForward {
    static constexpr const char* name = "cross_entropy_forward"; static constexpr int writes = 2, reads = 2;
    T *loss, *probs; const T* logits; const i32* labels; i64 n, classes; T smoothing;
};
template <class T> struct CrossEntropyBackward {  ///< dlogits (+)= dloss (p - q) / n
    static constexpr const char* name = "cross_entropy_backward"; static constexpr int writes = 1, reads = 3;
    T* dlogits; const T *dloss, *probs; const i32* labels; i64 n, classes; T smoothing; i32 accumulate;
};
template <class T> struct Accuracy {         ///< out = share of rows whose largest logit (first of equals) is the label
    static constexpr const char* name = "accuracy"; static constexpr int writes = 1, reads = 2;
    T* out; const T* logits; const i32* labels; i64 n, classes;
};

// --- convolutions and pools ----------------------------------------------------------------------------------------
/// y[n, p, q, o] = bias[o] + sum x[n, ., ., i] w[ky, kx, i, o]; window.c = input channels.
template <class T> struct ConvForward {
    static constexpr const char* name = "conv_forward"; static constexpr int writes = 1, reads = 3;
    T* y; const T *x, *w, *bias; Window window; i64 out_channels;
};
template <class T> struct ConvBackwardData {
    static constexpr const char* name = "conv_backward_data"; static constexpr int writes = 1, reads = 2;
    T* dx; const T *dy, *w; Window window; i64 out_channels; i32 accumulate;
};
template <class T> struct ConvBackwardWeight {    ///< partial: [chunks, kernel kernel c out_channels]
    static constexpr const char* name = "conv_backward_weight"; static constexpr int writes = 2, reads = 2;
    T *dw, *partial; const T *x, *dy; Window window; i64 out_channels, chunks; i32 accumulate;
};
/// y[n, p, q, c] = sum x[n, ., ., c] w[ky, kx, c]
template <class T> struct DepthwiseConvForward {
    static constexpr const char* name = "depthwise_conv_forward"; static constexpr int writes = 1, reads = 2;
    T* y; const T *x, *w; Window window;
};
template <class T> struct DepthwiseConvBackwardData {
    static constexpr const char* name = "depthwise_conv_backward_data"; static constexpr int writes = 1, reads = 2;
    T* dx; const T *dy, *w; Window window; i32 accumulate;
};
template <class T> struct DepthwiseConvBackwardWeight {  ///< partial: [chunks, kernel kernel c]
    static constexpr const char* name = "depthwise_conv_backward_weight"; static constexpr int writes = 2, reads = 2;
    T *dw, *partial; const T *x, *dy; Window window; i64 chunks; i32 accumulate;
};
/// tap = index ky kernel + kx of the first largest element in row-major order; NaN wins; padding never does.
template <class T> struct MaxPoolForward {
    static constexpr const char* name = "max_pool_forward"; static constexpr int writes = 2, reads = 1;
    T* y; u8* tap; const T* x; Window window;
};
template <class T> struct MaxPoolBackward {
    static constexpr const char* name = "max_pool_backward"; static constexpr int writes = 1, reads = 2;
    T* dx; const T* dy; const u8* tap; Window window; i32 accumulate;
};
template <class T> struct AveragePoolForward {    ///< divides by kernel^2, or by the elements inside when !count_padding
    static constexpr const char* name = "average_pool_forward"; static constexpr int writes = 1, reads = 1;
    T* y; const T* x; Window window; i32 count_padding;
};
template <class T> struct AveragePoolBackward {
    static constexpr const char* name = "average_pool_backward"; static constexpr int writes = 1, reads = 1;
    T* dx; const T* dy; Window window; i32 count_padding, accumulate;
};
template <class T> struct GlobalAveragePoolForward {   ///< y[n, c] = mean over pixels
    static constexpr const char* name = "global_average_pool_forward"; static constexpr int writes = 1, reads = 1;
    T* y; const T* x; i64 n, pixels, c;
};
template <class T> struct GlobalAveragePoolBackward {
    static constexpr const char* name = "global_average_pool_backward"; static constexpr int writes = 1, reads = 1;
    T* dx; const T* dy; i64 n, pixels, c; i32 accumulate;
};

// --- batch normalisation over rows of c channels -------------------------------------------------------------------
/// Statistics of this batch; running (+)= momentum (batch - running) when given, variance unbiased there as in PyTorch.
/// scale and shift may be null (1 and 0). partial: [chunks, 2, c].
template <class T> struct BatchNormForward {
    static constexpr const char* name = "batch_norm_forward"; static constexpr int writes = 6, reads = 4;
    T *y, *mean, *inv_std, *running_mean, *running_var, *partial; const T *x, *scale, *shift, *momentum; i64 rows, c, chunks; T epsilon;
};
template <class T> struct BatchNormEval {    ///< y = scale (x - mean) / sqrt(var + epsilon) + shift; writes inv_std
    static constexpr const char* name = "batch_norm_eval"; static constexpr int writes = 2, reads = 5;
    T *y, *inv_std; const T *x, *mean, *var, *scale, *shift; i64 rows, c; T epsilon;
};
/// frozen = 1: mean and inv_std are constants (eval mode). partial: [chunks, 2, c].
template <class T> struct BatchNormBackward {
    static constexpr const char* name = "batch_norm_backward"; static constexpr int writes = 4, reads = 5;
    T *dx, *dscale, *dshift, *partial; const T *dy, *x, *scale, *mean, *inv_std; i64 rows, c, chunks; i32 accumulate, frozen;
};  // dscale and dshift always accumulate

// --- a training step's own business --------------------------------------------------------------------------------
struct Advance {                             ///< counter += by
    static constexpr const char* name = "advance"; static constexpr int writes = 1, reads = 0;
    i64* counter; i64 by;
};
/// out = linear or cosine interpolation start -> end over steps warmup .. total - 1, end from there on; before that
/// start (step + 1) / warmup.
template <class T> struct Schedule {
    static constexpr const char* name = "schedule"; static constexpr int writes = 1, reads = 1;
    T* out; const i64* step; i64 warmup, total; T start, end; i32 cosine;
};
template <class T> struct SimplexSample {    ///< S[k] uniform on the simplex (normalised exponentials) at (key, step)
    static constexpr const char* name = "simplex_sample"; static constexpr int writes = 1, reads = 1;
    T* out; const i64* step; i64 k; random::Key key;
};
/// Batch b = step mod batches of epoch step / batches: its row i is row permuted(b n + i, count, key, epoch) of the data,
/// or, unshuffled, row first + b n + i. Bytes become (byte / 255 - mean) inv_std; float rows are copied. Of labels and
/// targets, and of bytes and values, one is null.
template <class T> struct GatherBatch {
    static constexpr const char* name = "gather_batch"; static constexpr int writes = 3, reads = 5;
    T* out; i32* labels_out; T* targets_out; const u8* bytes; const float* values; const i32* labels; const float* targets; const i64* step;
    i64 n, row, target_row, count, batches, first; float mean, inv_std; random::Key key; i32 shuffle;
};
template <class T> struct Adam {             ///< Kingma and Ba 2015, decoupled weight decay; step counts from 0
    static constexpr const char* name = "adam"; static constexpr int writes = 3, reads = 3;
    T *p, *m, *v; const T *g, *learning_rate; const i64* step; i64 n; T beta1, beta2, epsilon, weight_decay;
};
template <class T> struct ScalarAccumulate { ///< sum += weight value[0]
    static constexpr const char* name = "scalar_accumulate"; static constexpr int writes = 1, reads = 1;
    double* sum; const T* value; double weight;
};

/// The closed list. Its order is the number under which a device finds the kernel.
template <class... S> struct TypeList {
    static constexpr int size = sizeof...(S);
    template <class X> static constexpr int index_of() {
        int index = 0, found = -1;
        ((std::is_same_v<X, S> ? (found = index++) : index++), ...);
        return found;
    }
    template <class F> static constexpr void for_each(F&& f) { (f.template operator()<S>(), ...); }
};
template <class T>
using Calls = TypeList<Fill<T>, Copy<T>, Add<T>, ColumnSum<T>, Multiply<T>, MultiplyReduce<T>, Scale<T>, Broadcast<T>, ReluForward<T>,
                       ReluBackward<T>, ConcatForward<T>, ConcatBackward<T>, WeightedSumForward<T>, WeightedSumBackward<T>, NodeGateForward<T>,
                       NodeGateBackward<T>, SoftmaxForward<T>, SoftmaxBackward<T>, GumbelSoftmaxForward<T>, GumbelSoftmaxBackward<T>,
                       CrossEntropyForward<T>, CrossEntropyBackward<T>, Accuracy<T>, ConvForward<T>, ConvBackwardData<T>, ConvBackwardWeight<T>,
                       DepthwiseConvForward<T>, DepthwiseConvBackwardData<T>, DepthwiseConvBackwardWeight<T>, MaxPoolForward<T>, MaxPoolBackward<T>,
                       AveragePoolForward<T>, AveragePoolBackward<T>, GlobalAveragePoolForward<T>, GlobalAveragePoolBackward<T>,
                       BatchNormForward<T>, BatchNormEval<T>, BatchNormBackward<T>, Schedule<T>, SimplexSample<T>, GatherBatch<T>, Adam<T>,
                       ScalarAccumulate<T>, Advance>;

}  // namespace v1
}  // namespace hwnas::contract
