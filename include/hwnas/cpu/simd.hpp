// SPDX-License-Identifier: MIT
// How a CPU kernel gets its speed without compiler flags: its body is written once with 32-byte vectors, always inlined
// into two entries, a portable one and one compiled for AVX2 and FMA, and the device chooses at run time.
// Vectors pass by reference: by value their calling convention would depend on the flags of the user.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

namespace hwnas::cpu {

/// Instruction sets a kernel entry is compiled for.
enum class Isa { portable, avx2 };

inline std::string_view isa_name(Isa isa) {
    return isa == Isa::avx2 ? "avx2+fma" : "portable";
}

/// The best entry this processor can run.
inline Isa best_isa() {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Isa::avx2;
#endif
    return Isa::portable;
}

template <class T>
struct VecOf {
    typedef T type __attribute__((vector_size(32)));
};
/// 32 bytes of T: 8 floats or 4 doubles, with the operators of the compiler's vector extension.
template <class T>
using Vec = typename VecOf<T>::type;
template <class T>
inline constexpr int lanes = static_cast<int>(32 / sizeof(T));

template <class T>
[[gnu::always_inline]] inline void load(Vec<T>& v, const T* p) {
    __builtin_memcpy(&v, p, sizeof v);
}
template <class T>
[[gnu::always_inline]] inline void store(T* p, const Vec<T>& v) {
    __builtin_memcpy(p, &v, sizeof v);
}
template <class T>
[[gnu::always_inline]] inline void splat(Vec<T>& v, T x) {
    v = Vec<T>{};
    for (int i = 0; i < lanes<T>; ++i) v[i] = x;  // one instruction; g++ 12 makes several of `x - Vec{}`
}
template <class T>
[[gnu::always_inline]] inline T lane_sum(const Vec<T>& v) {
    T sum = 0;
    for (int i = 0; i < lanes<T>; ++i) sum += v[i];
    return sum;
}

template <class Body, class... Args>
void run_portable(const Args&... args) {
    Body::run(args...);
}
#if defined(__x86_64__)
template <class Body, class... Args>
[[gnu::target("avx2,fma")]] void run_avx2(const Args&... args) {
    Body::run(args...);
}
#endif

/// Runs Body::run(args...), an always_inline static function, through the entry for `isa`. Double, which serves checks
/// and not speed, has the portable entry only.
template <class T, class Body, class... Args>
void dispatch([[maybe_unused]] Isa isa, const Args&... args) {
#if defined(__x86_64__)
    if constexpr (std::is_same_v<T, float>)
        if (isa == Isa::avx2) return run_avx2<Body>(args...);
#endif
    run_portable<Body>(args...);
}

}  // namespace hwnas::cpu
