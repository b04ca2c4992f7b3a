// SPDX-License-Identifier: MIT
// Calls: softmax, Gumbel-Softmax, cross-entropy, accuracy.
#pragma once

#include <hwnas/core/contract/types.hpp>
#include <hwnas/core/random.hpp>

namespace hwnas::contract {
inline namespace v4 {

template <class T>
struct SoftmaxForward {  ///< rows of `columns` elements
    static constexpr const char* name = "softmax_forward";
    static constexpr int writes = 1, reads = 1;
    T* y;
    const T* x;
    i64 rows, columns;
};
template <class T>
struct SoftmaxBackward {  ///< dx (+)= y (dy - <dy, y>)
    static constexpr const char* name = "softmax_backward";
    static constexpr int writes = 1, reads = 2;
    T* dx;
    const T *dy, *y;
    i64 rows, columns;
    i32 accumulate;
};
/// soft = softmax((alpha + Gumbel noise) / temperature); out = soft, or its one-hot argmax when hard; selected[e] =
/// that argmax of group 0. Noise is a function of (key, step, group, row, column).
template <class T>
struct GumbelSoftmaxForward {
    static constexpr const char* name = "gumbel_softmax_forward";
    static constexpr int writes = 3, reads = 3;
    T *out, *soft;
    i32* selected;
    const T *alpha, *temperature;
    const i64* step;
    i64 groups, rows, columns;
    random::Key key;
    i32 hard;
};
/// dalpha[e] (+)= sum_g soft (dout - <dout, soft>) / temperature: exact when relaxed, straight-through when hard.
template <class T>
struct GumbelSoftmaxBackward {
    static constexpr const char* name = "gumbel_softmax_backward";
    static constexpr int writes = 1, reads = 3;
    T* dalpha;
    const T *dout, *soft, *temperature;
    i64 groups, rows, columns;
    i32 accumulate;
};
/// loss = mean_n [-sum_c q log p], q = (1 - smoothing) onehot(label) + smoothing / classes; probs is kept for backward.
template <class T>
struct CrossEntropyForward {
    static constexpr const char* name = "cross_entropy_forward";
    static constexpr int writes = 2, reads = 2;
    T *loss, *probs;
    const T* logits;
    const i32* labels;
    i64 n, classes;
    T smoothing;
};
template <class T>
struct CrossEntropyBackward {  ///< dlogits (+)= dloss (p - q) / n
    static constexpr const char* name = "cross_entropy_backward";
    static constexpr int writes = 1, reads = 3;
    T* dlogits;
    const T *dloss, *probs;
    const i32* labels;
    i64 n, classes;
    T smoothing;
    i32 accumulate;
};
template <class T>
struct Accuracy {  ///< out = share of rows whose largest logit (first of equals) is the label
    static constexpr const char* name = "accuracy";
    static constexpr int writes = 1, reads = 2;
    T* out;
    const T* logits;
    const i32* labels;
    i64 n, classes;
};

}  // namespace v4
}  // namespace hwnas::contract
