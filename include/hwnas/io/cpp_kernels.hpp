// SPDX-License-Identifier: MIT
// The kernels that a generated C++ model may hold, as text: plain C++17 loops over floats whose extents are template
// arguments. A model holds those it calls.
#pragma once

#include <array>
#include <string_view>

namespace hwnas::io::detail {

struct CppKernel {
    std::string_view name;
    std::string_view includes;  ///< lines that must stand at the head of the file
    std::string_view needs;     ///< another kernel it is written with
    std::string_view text;
};

inline constexpr std::array<CppKernel, 15> cpp_kernels{{
    {"Window", "", "", R"(
// A square window over an image [height, width, channels]. Taps that fall outside are left out.
template <int Height, int Width, int Channels, int OutHeight, int OutWidth, int Kernel, int Stride, int Padding,
          int Dilation>
struct Window {
    static constexpr int channels = Channels, taps = Kernel * Kernel, out_height = OutHeight, out_width = OutWidth;
    // Calls f(tap, pixel) for every tap of the window at (p, q) that lies inside.
    template <class F>
    static void each_tap(const float* x, int p, int q, F f) {
        for (int ky = 0; ky < Kernel; ++ky) {
            const int row = p * Stride - Padding + ky * Dilation;
            if (row < 0 || row >= Height) continue;
            for (int kx = 0; kx < Kernel; ++kx) {
                const int column = q * Stride - Padding + kx * Dilation;
                if (column < 0 || column >= Width) continue;
                f(ky * Kernel + kx, x + (row * Width + column) * Channels);
            }
        }
    }
};
)"},
    {"conv", "", "Window", R"(
// y[p, q, o] = bias[o] + sum x[., ., i] weight[tap, i, o]; Rectify: x is read as max(x, 0)
template <class W, int Out, bool Rectify>
void conv(const float* x, const float* weight, const float* bias, float* y) {
    for (int p = 0; p < W::out_height; ++p)
        for (int q = 0; q < W::out_width; ++q, y += Out) {
            float sum[static_cast<unsigned>(Out)];
            for (int o = 0; o < Out; ++o) sum[o] = bias ? bias[o] : 0.0f;
            W::each_tap(x, p, q, [&](int tap, const float* pixel) {
                const float* w = weight + tap * W::channels * Out;
                for (int i = 0; i < W::channels; ++i, w += Out) {
                    const float value = Rectify && pixel[i] < 0.0f ? 0.0f : pixel[i];
                    for (int o = 0; o < Out; ++o) sum[o] += value * w[o];
                }
            });
            for (int o = 0; o < Out; ++o) y[o] = sum[o];
        }
}
)"},
    {"depthwise_conv", "", "Window", R"(
// y[p, q, c] (+)= sum x[., ., c] weight[tap, c]
template <class W, bool Add>
void depthwise_conv(const float* x, const float* weight, float* y) {
    constexpr int channels = W::channels;
    for (int p = 0; p < W::out_height; ++p)
        for (int q = 0; q < W::out_width; ++q, y += channels) {
            float sum[static_cast<unsigned>(channels)];
            for (int c = 0; c < channels; ++c) sum[c] = Add ? y[c] : 0.0f;
            W::each_tap(x, p, q, [&](int tap, const float* pixel) {
                const float* w = weight + tap * channels;
                for (int c = 0; c < channels; ++c) sum[c] += pixel[c] * w[c];
            });
            for (int c = 0; c < channels; ++c) y[c] = sum[c];
        }
}
)"},
    {"max_pool", "#include <limits>\n", "Window", R"(
// y[p, q, c] = the largest x[., ., c]; NaN counts as larger than all
template <class W>
void max_pool(const float* x, float* y) {
    constexpr int channels = W::channels;
    for (int p = 0; p < W::out_height; ++p)
        for (int q = 0; q < W::out_width; ++q, y += channels) {
            float best[static_cast<unsigned>(channels)];
            for (int c = 0; c < channels; ++c) best[c] = -std::numeric_limits<float>::infinity();
            W::each_tap(x, p, q, [&](int, const float* pixel) {
                for (int c = 0; c < channels; ++c)
                    if (pixel[c] > best[c] || pixel[c] != pixel[c]) best[c] = pixel[c];
            });
            for (int c = 0; c < channels; ++c) y[c] = best[c];
        }
}
)"},
    {"average_pool", "", "Window", R"(
// y[p, q, c] = the mean of x[., ., c]: over the whole window if CountPadding, else over what lies inside
template <class W, bool CountPadding>
void average_pool(const float* x, float* y) {
    constexpr int channels = W::channels;
    for (int p = 0; p < W::out_height; ++p)
        for (int q = 0; q < W::out_width; ++q, y += channels) {
            float sum[static_cast<unsigned>(channels)] = {};
            int inside = 0;
            W::each_tap(x, p, q, [&](int, const float* pixel) {
                ++inside;
                for (int c = 0; c < channels; ++c) sum[c] += pixel[c];
            });
            const float share = 1.0f / static_cast<float>(CountPadding ? W::taps : inside);
            for (int c = 0; c < channels; ++c) y[c] = sum[c] * share;
        }
}
)"},
    {"global_average_pool", "", "", R"(
// y[c] = the mean of x[., c]
template <int Pixels, int Channels>
void global_average_pool(const float* x, float* y) {
    float sum[static_cast<unsigned>(Channels)] = {};
    for (int i = 0; i < Pixels; ++i, x += Channels)
        for (int c = 0; c < Channels; ++c) sum[c] += x[c];
    for (int c = 0; c < Channels; ++c) y[c] = sum[c] * (1.0f / static_cast<float>(Pixels));
}
)"},
    {"relu", "", "", R"(
template <int N>
void relu(const float* x, float* y) {
    for (int i = 0; i < N; ++i) y[i] = x[i] < 0.0f ? 0.0f : x[i];
}
)"},
    {"batch_norm", "", "", R"(
// y (+)= (x - mean) gain + shift, channel by channel
template <int Rows, int Channels, bool Add>
void batch_norm(const float* x, const float* mean, const float* gain, const float* shift, float* y) {
    for (int i = 0; i < Rows; ++i, x += Channels, y += Channels)
        for (int c = 0; c < Channels; ++c)
            y[c] = (x[c] - mean[c]) * gain[c] + shift[c] + (Add ? y[c] : 0.0f);
}
)"},
    {"scaled", "", "", R"(
// y (+)= factor x, a factor for each channel, or none
template <int Rows, int Channels, bool Add>
void scaled(const float* x, const float* factor, float* y) {
    for (int i = 0; i < Rows; ++i, x += Channels, y += Channels)
        for (int c = 0; c < Channels; ++c) y[c] = (factor ? factor[c] : 1.0f) * x[c] + (Add ? y[c] : 0.0f);
}
)"},
    {"shifted", "", "", R"(
// y += shift, one for each channel, or none; Rectify: and then max(y, 0)
template <int Rows, int Channels, bool Rectify>
void shifted(const float* shift, float* y) {
    for (int i = 0; i < Rows; ++i, y += Channels)
        for (int c = 0; c < Channels; ++c) {
            const float value = y[c] + (shift ? shift[c] : 0.0f);
            y[c] = Rectify && value < 0.0f ? 0.0f : value;
        }
}
)"},
    {"softmax", "#include <cmath>\n", "", R"(
template <int Rows, int Columns>
void softmax(const float* x, float* y) {
    for (int r = 0; r < Rows; ++r, x += Columns, y += Columns) {
        float top = x[0], sum = 0.0f;
        for (int j = 1; j < Columns; ++j) top = x[j] > top ? x[j] : top;
        for (int j = 0; j < Columns; ++j) sum += y[j] = std::exp(x[j] - top);
        for (int j = 0; j < Columns; ++j) y[j] /= sum;
    }
}
)"},
    {"Term", "", "", R"(
struct Term {
    float weight;
    const float* x;
};
// y (+)= the sum of weight x over the terms
template <int N, bool Add, class... Terms>
void sum(float* y, Terms... terms) {
    for (int i = 0; i < N; ++i) y[i] = (... + (terms.weight * terms.x[i])) + (Add ? y[i] : 0.0f);
}
)"},
    {"add", "", "", R"(
// y = a + beta b, b repeated after Period elements
template <int N, int Period>
void add(const float* a, const float* b, float beta, float* y) {
    for (int i = 0; i < N; i += Period)
        for (int j = 0; j < Period; ++j) y[i + j] = a[i + j] + beta * b[j];
}
)"},
    {"multiply", "", "", R"(
// y (+)= a b, b repeated after Period elements
template <int N, int Period, bool Add>
void multiply(const float* a, const float* b, float* y) {
    for (int i = 0; i < N; i += Period)
        for (int j = 0; j < Period; ++j) y[i + j] = a[i + j] * b[j] + (Add ? y[i + j] : 0.0f);
}
)"},
    {"copy_columns", "", "", R"(
// y[r, first + j] = x[r, j]: one part of a concatenation along the last axis
template <int Rows, int Columns, int First, int All>
void copy_columns(const float* x, float* y) {
    for (int r = 0; r < Rows; ++r)
        for (int j = 0; j < Columns; ++j) y[r * All + First + j] = x[r * Columns + j];
}
)"},
}};

}  // namespace hwnas::io::detail
