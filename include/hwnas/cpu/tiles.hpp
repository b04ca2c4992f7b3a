// SPDX-License-Identifier: MIT
// How a call over a batch is cut into calls over a few of its images, so that a recorded step can run several calls on
// images that are still in the cache (autodiff/schedule.hpp). A call can be cut if it computes each image by itself, or
// adds them up chunk by chunk into `partial`; sums over all images and what has no images stay whole.
#pragma once

#include <hwnas/core/contract.hpp>
#include <hwnas/core/tiling.hpp>

namespace hwnas::cpu::tiles {

using contract::i64;

/// p += first stride, for pointers that are wanted.
template <class... P>
void skip(i64 elements, P*&... p) {
    ((p = p ? p + elements : nullptr), ...);
}
/// Cuts n elements (or rows) of `size` each that belong to the images in equal parts; false where they do not.
template <class... P>
bool cut_even(i64& n, i64 size, const Images& t, P*&... p) {
    if (n % t.total != 0) return false;
    const i64 each = n / t.total;
    skip(t.first * each * size, p...);
    n = each * t.count;
    return true;
}
/// Cuts a sum by chunks: this run is part of chunk t.chunk.
template <class P>
void cut_partial(P*& partial, i64 size, i64& chunks, std::int32_t& resume, const Images& t) {
    skip(t.chunk * size, partial);
    chunks = 1;
    resume = !t.fresh;
}

// images(s): how many images s runs over; any_images where its elements alone do not tell.
// cut(s, t): makes s a call over images [t.first, t.first + t.count) of t.total; false: not possible.

template <class T>
i64 images(const contract::Fill<T>& s) {
    return s.n >= 4096 ? any_images : 0;
}
template <class T>
bool cut(contract::Fill<T>& s, const Images& t) {
    return cut_even(s.n, 1, t, s.out);
}
template <class T>
i64 images(const contract::Copy<T>&) {
    return any_images;
}
template <class T>
bool cut(contract::Copy<T>& s, const Images& t) {
    return cut_even(s.n, 1, t, s.out, s.in);
}
template <class T>
i64 images(const contract::Scale<T>&) {
    return any_images;
}
template <class T>
bool cut(contract::Scale<T>& s, const Images& t) {
    return cut_even(s.n, 1, t, s.out, s.x);
}
template <class T>
i64 images(const contract::ReluForward<T>&) {
    return any_images;
}
template <class T>
bool cut(contract::ReluForward<T>& s, const Images& t) {
    return cut_even(s.n, 1, t, s.y, s.x);
}
template <class T>
i64 images(const contract::ReluBackward<T>&) {
    return any_images;
}
template <class T>
bool cut(contract::ReluBackward<T>& s, const Images& t) {
    return cut_even(s.n, 1, t, s.dx, s.dy, s.y);
}

/// a op b[i mod period]: b is cut like a, or the same for every image.
template <class S>
bool cut_periodic(S& s, const Images& t) {
    const bool whole = s.period == s.n;
    if (s.n % t.total != 0 || (!whole && s.n / t.total % s.period != 0)) return false;
    if (whole) skip(t.first * (s.n / t.total), s.b);
    cut_even(s.n, 1, t, s.out, s.a);
    if (whole) s.period = s.n;
    return true;
}
template <class T>
i64 images(const contract::Add<T>&) {
    return any_images;
}
template <class T>
bool cut(contract::Add<T>& s, const Images& t) {
    return cut_periodic(s, t);
}
template <class T>
i64 images(const contract::Multiply<T>&) {
    return any_images;
}
template <class T>
bool cut(contract::Multiply<T>& s, const Images& t) {
    return cut_periodic(s, t);
}

template <class T>
i64 images(const contract::ConcatForward<T>&) {
    return any_images;
}
template <class T>
bool cut(contract::ConcatForward<T>& s, const Images& t) {
    const i64 rows = s.rows;
    i64 channels = 0;
    for (int j = 0; j < s.count; ++j) {
        i64 part = rows;
        if (!cut_even(part, s.channels[j], t, s.x[j])) return false;
        channels += s.channels[j];
    }
    return cut_even(s.rows, channels, t, s.y);
}
template <class T>
i64 images(const contract::ConcatBackward<T>&) {
    return any_images;
}
template <class T>
bool cut(contract::ConcatBackward<T>& s, const Images& t) {
    const i64 rows = s.rows;
    i64 channels = 0;
    for (int j = 0; j < s.count; ++j) {
        i64 part = rows;
        if (!cut_even(part, s.channels[j], t, s.dx[j])) return false;
        channels += s.channels[j];
    }
    return cut_even(s.rows, channels, t, s.dy);
}

template <class T>
i64 images(const contract::WeightedSumForward<T>& s) {
    return s.n;
}
template <class T>
bool cut(contract::WeightedSumForward<T>& s, const Images& t) {
    skip(t.first * s.image, s.y);
    for (int j = 0; j < s.count; ++j) skip(t.first * s.image, s.x[j]);
    if (s.groups > 1) skip(t.first * s.weight_stride, s.weights), s.groups = t.count;
    s.n = t.count;
    return true;
}
template <class T>
i64 images(const contract::WeightedSumBackward<T>& s) {
    return s.groups == 1 && s.chunks == contract::image_chunks(s.n) ? s.n : 0;
}
template <class T>
bool cut(contract::WeightedSumBackward<T>& s, const Images& t) {
    skip(t.first * s.image, s.dy);
    for (int j = 0; j < s.count; ++j) skip(t.first * s.image, s.dx[j], s.x[j]);
    cut_partial(s.partial, s.count, s.chunks, s.resume, t);
    s.n = t.count;
    return true;
}

/// Elements of one image on either side of a window.
inline i64 input(const contract::Window& w, i64 c) {
    return w.h * w.w * c;
}
inline i64 output(const contract::Window& w, i64 c) {
    return w.oh * w.ow * c;
}
template <class S>
    requires requires(const S& s) { s.window.n; }
i64 images(const S& s) {
    if constexpr (requires { s.chunks; })
        if (s.chunks != contract::image_chunks(s.window.n)) return 0;
    return s.window.n;
}
template <class T>
bool cut(contract::ConvForward<T>& s, const Images& t) {
    skip(t.first * output(s.window, s.out_channels), s.y);
    skip(t.first * input(s.window, s.window.c), s.x);
    s.window.n = t.count;
    return true;
}
template <class T>
bool cut(contract::ConvBackwardData<T>& s, const Images& t) {
    skip(t.first * output(s.window, s.out_channels), s.dy);
    skip(t.first * input(s.window, s.window.c), s.dx, s.rectified);
    s.window.n = t.count;
    return true;
}
template <class T>
bool cut(contract::ConvBackwardWeight<T>& s, const Images& t) {
    skip(t.first * output(s.window, s.out_channels), s.dy);
    skip(t.first * input(s.window, s.window.c), s.x);
    cut_partial(s.partial, i64{s.window.kernel} * s.window.kernel * s.window.c * s.out_channels, s.chunks, s.resume, t);
    s.window.n = t.count;
    return true;
}
template <class T>
bool cut(contract::DepthwiseConvForward<T>& s, const Images& t) {
    skip(t.first * output(s.window, s.window.c), s.y);
    skip(t.first * input(s.window, s.window.c), s.x);
    s.window.n = t.count;
    return true;
}
template <class T>
bool cut(contract::DepthwiseConvBackwardData<T>& s, const Images& t) {
    skip(t.first * output(s.window, s.window.c), s.dy);
    skip(t.first * input(s.window, s.window.c), s.dx);
    s.window.n = t.count;
    return true;
}
template <class T>
bool cut(contract::DepthwiseConvBackwardWeight<T>& s, const Images& t) {
    skip(t.first * output(s.window, s.window.c), s.dy);
    skip(t.first * input(s.window, s.window.c), s.x);
    cut_partial(s.partial, i64{s.window.kernel} * s.window.kernel * s.window.c, s.chunks, s.resume, t);
    s.window.n = t.count;
    return true;
}
template <class T>
bool cut(contract::DepthwiseConvBackward<T>& s, const Images& t) {
    skip(t.first * output(s.window, s.window.c), s.dy);
    skip(t.first * input(s.window, s.window.c), s.dx, s.x);
    cut_partial(s.partial, i64{s.window.kernel} * s.window.kernel * s.window.c, s.chunks, s.resume, t);
    s.window.n = t.count;
    return true;
}
template <class T>
bool cut(contract::MaxPoolForward<T>& s, const Images& t) {
    skip(t.first * output(s.window, s.window.c), s.y, s.tap);
    skip(t.first * input(s.window, s.window.c), s.x);
    s.window.n = t.count;
    return true;
}
template <class T>
bool cut(contract::MaxPoolBackward<T>& s, const Images& t) {
    skip(t.first * output(s.window, s.window.c), s.dy, s.tap);
    skip(t.first * input(s.window, s.window.c), s.dx);
    s.window.n = t.count;
    return true;
}
template <class T>
bool cut(contract::AveragePoolForward<T>& s, const Images& t) {
    skip(t.first * output(s.window, s.window.c), s.y);
    skip(t.first * input(s.window, s.window.c), s.x);
    s.window.n = t.count;
    return true;
}
template <class T>
bool cut(contract::AveragePoolBackward<T>& s, const Images& t) {
    skip(t.first * output(s.window, s.window.c), s.dy);
    skip(t.first * input(s.window, s.window.c), s.dx);
    s.window.n = t.count;
    return true;
}
template <class T>
i64 images(const contract::GlobalAveragePoolForward<T>& s) {
    return s.n;
}
template <class T>
bool cut(contract::GlobalAveragePoolForward<T>& s, const Images& t) {
    skip(t.first * s.c, s.y);
    skip(t.first * s.pixels * s.c, s.x);
    s.n = t.count;
    return true;
}
template <class T>
i64 images(const contract::GlobalAveragePoolBackward<T>& s) {
    return s.n;
}
template <class T>
bool cut(contract::GlobalAveragePoolBackward<T>& s, const Images& t) {
    skip(t.first * s.c, s.dy);
    skip(t.first * s.pixels * s.c, s.dx);
    s.n = t.count;
    return true;
}

template <class T>
i64 images(const contract::BatchNormStatistics<T>& s) {
    return s.chunks == contract::image_chunks(s.n) ? s.n : 0;
}
template <class T>
bool cut(contract::BatchNormStatistics<T>& s, const Images& t) {
    skip(t.first * s.pixels * s.c, s.x);
    cut_partial(s.partial, 3 * s.c, s.chunks, s.resume, t);
    s.n = t.count;
    return true;
}
template <class T>
i64 images(const contract::BatchNormApply<T>&) {
    return any_images;
}
template <class T>
bool cut(contract::BatchNormApply<T>& s, const Images& t) {
    return cut_even(s.rows, s.c, t, s.y, s.x, s.skip);
}
template <class T>
i64 images(const contract::BatchNormGradientSums<T>& s) {
    return s.chunks == contract::image_chunks(s.n) ? s.n : 0;
}
template <class T>
bool cut(contract::BatchNormGradientSums<T>& s, const Images& t) {
    skip(t.first * s.pixels * s.c, s.dy, s.x, s.skip);
    cut_partial(s.partial, 3 * s.c, s.chunks, s.resume, t);
    s.n = t.count;
    return true;
}
template <class T>
i64 images(const contract::BatchNormBackward<T>&) {
    return any_images;
}
template <class T>
bool cut(contract::BatchNormBackward<T>& s, const Images& t) {
    return cut_even(s.rows, s.c, t, s.dx, s.dskip, s.dy, s.x);
}

template <class T>
i64 images(const contract::MixedSourceForward<T>& s) {
    return s.n;
}
template <class T>
bool cut(contract::MixedSourceForward<T>& s, const Images& t) {
    const i64 image = s.h * s.w * s.c;
    skip(t.first * image, s.x, s.pooled);
    for (int j = 0; j < s.count; ++j) skip(t.first * image, s.u[j]);
    if (s.groups > 1) {
        skip(t.first * s.edges * 9 * s.c, s.filters);
        skip(t.first * s.gamma_stride, s.gamma);
        s.groups = t.count;
    }
    s.n = t.count;
    return true;
}
template <class T>
i64 images(const contract::MixedSourceBackward<T>& s) {
    return s.groups == 1 && s.chunks == contract::image_chunks(s.n) ? s.n : 0;
}
template <class T>
bool cut(contract::MixedSourceBackward<T>& s, const Images& t) {
    const i64 image = s.h * s.w * s.c;
    skip(t.first * image, s.dx, s.dpooled, s.x, s.pooled);
    for (int j = 0; j < s.count; ++j) skip(t.first * image, s.du[j]);
    cut_partial(s.partial, s.count * (9 * s.c + 1), s.chunks, s.resume, t);
    s.n = t.count;
    return true;
}

template <class T>
i64 images(const contract::NodeSum<T>& s) {
    return s.n;
}
template <class T>
bool cut(contract::NodeSum<T>& s, const Images& t) {
    const i64 image = s.h * s.w * s.c;
    skip(t.first * image, s.y);
    for (int j = 0; j < s.count; ++j) skip(t.first * image, s.x[j]);
    s.n = t.count;
    return true;
}

/// The functions above with the struct's type erased, for Call; null for a struct that is never cut.
template <class S>
const Tiling* tiling() {
    if constexpr (requires(S& s, const Images& t) {
                      images(s);
                      cut(s, t);
                  }) {
        static constexpr Tiling functions{[](const void* call) { return images(*static_cast<const S*>(call)); },
                                          [](void* call, const Images& t) { return cut(*static_cast<S*>(call), t); }};
        return &functions;
    } else {
        return nullptr;
    }
}

}  // namespace hwnas::cpu::tiles
