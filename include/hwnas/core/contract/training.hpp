// SPDX-License-Identifier: MIT
// Calls: a training step's own business - schedules, draws, batches, the optimiser.
#pragma once

#include <hwnas/core/augmentation.hpp>
#include <hwnas/core/contract/types.hpp>
#include <hwnas/core/random.hpp>

namespace hwnas::contract {
inline namespace v4 {

struct Advance {  ///< counter += by
    static constexpr const char* name = "advance";
    static constexpr int writes = 1, reads = 0;
    i64* counter;
    i64 by;
};
/// out = linear or cosine interpolation start -> end over steps warmup .. total - 1, end from there on; before that
/// start (step + 1) / warmup.
template <class T>
struct Schedule {
    static constexpr const char* name = "schedule";
    static constexpr int writes = 1, reads = 1;
    T* out;
    const i64* step;
    i64 warmup, total;
    T start, end;
    i32 cosine;
};
template <class T>
struct SimplexSample {  ///< S[k] uniform on the simplex (normalised exponentials) at (key, step)
    static constexpr const char* name = "simplex_sample";
    static constexpr int writes = 1, reads = 1;
    T* out;
    const i64* step;
    i64 k;
    random::Key key;
};
/// Batch b = step mod batches of epoch step / batches: its row i is row permuted(b n + i, count, key, epoch) of the
/// data, or, unshuffled, row first + b n + i. Bytes become (byte / 255 - mean) inv_std; float rows are copied. Of
/// labels and targets, and of bytes and values, one is null.
template <class T>
struct GatherBatch {
    static constexpr const char* name = "gather_batch";
    static constexpr int writes = 3, reads = 5;
    T* out;
    i32* labels_out;
    T* targets_out;
    const u8* bytes;
    const float* values;
    const i32* labels;
    const float* targets;
    const i64* step;
    i64 n, row, target_row, count, batches, first;
    float mean, inv_std;
    random::Key key;
    i32 shuffle;
};
/// out[i] is image i of in as Augmentation::draw(limits, key, i, step) changes it: `outside` where it has moved away,
/// `erased` where it is erased.
template <class T>
struct Augment {
    static constexpr const char* name = "augment";
    static constexpr int writes = 1, reads = 2;
    T* out;
    const T* in;
    const i64* step;
    i64 n, c;
    AugmentationLimits limits;
    random::Key key;
    T outside, erased;
};
template <class T>
struct Adam {  ///< Kingma and Ba 2015, decoupled weight decay; step counts from 0
    static constexpr const char* name = "adam";
    static constexpr int writes = 3, reads = 3;
    T *p, *m, *v;
    const T *g, *learning_rate;
    const i64* step;
    i64 n;
    T beta1, beta2, epsilon, weight_decay;
};
template <class T>
struct ScalarAccumulate {  ///< sum += weight value[0]
    static constexpr const char* name = "scalar_accumulate";
    static constexpr int writes = 1, reads = 1;
    double* sum;
    const T* value;
    double weight;
};

}  // namespace v4
}  // namespace hwnas::contract
