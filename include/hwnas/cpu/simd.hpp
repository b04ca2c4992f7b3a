// SPDX-License-Identifier: MIT
// How a CPU kernel gets its speed without compiler flags: its body is written once with vectors, always inlined into a
// portable entry, one compiled for AVX2 and FMA and, where twice the width pays, one for AVX-512; the device chooses at
// run time.
// Vectors pass by reference: by value their calling convention would depend on the flags of the user.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

// With HWNAS_PORTABLE_KERNELS defined for all of a program only the portable entries are compiled: a third of the time,
// for builds that check something else than speed.
#if defined(__x86_64__) && !defined(HWNAS_PORTABLE_KERNELS)
#define HWNAS_X86_KERNELS
#endif

namespace hwnas::cpu {

/// Instruction sets a kernel entry is compiled for.
enum class Isa { portable, avx2, avx512 };

inline std::string_view isa_name(Isa isa) {
    return isa == Isa::avx512 ? "avx512" : isa == Isa::avx2 ? "avx2+fma" : "portable";
}

/// The best entry this processor can run, of those that are compiled.
inline Isa best_isa() {
#ifdef HWNAS_X86_KERNELS
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq"))
        return Isa::avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Isa::avx2;
#endif
    return Isa::portable;
}

/// Bytes of the usual vector; kernels that gain from it take `B` as a parameter, 64 in the AVX-512 entry.
inline constexpr int vector_bytes = 32;
/// Bytes of a vector that any processor has.
inline constexpr int narrow_bytes = 16;

template <class T, int B = vector_bytes>
struct VecOf {
    typedef T type __attribute__((vector_size(B)));
};
/// B bytes of T (8 floats or 4 doubles), with the operators of the compiler's vector extension.
template <class T, int B = vector_bytes>
using Vec = typename VecOf<T, B>::type;
template <class T, int B = vector_bytes>
inline constexpr int lanes = static_cast<int>(B / sizeof(T));

template <class T, class V>
[[gnu::always_inline]] inline void load(V& v, const T* p) {
    __builtin_memcpy(&v, p, sizeof v);
}
template <class T, class V>
[[gnu::always_inline]] inline void store(T* p, const V& v) {
    __builtin_memcpy(p, &v, sizeof v);
}
/// v[i] = x for all i.
template <class T, class V>
[[gnu::always_inline]] inline void splat(V& v, T x) {
    v = V{};
    for (std::size_t i = 0; i < sizeof(V) / sizeof(T); ++i)
        v[i] = x;  // one instruction; g++ 12 makes several of `x - V{}`
}

template <class T, class V>
[[gnu::always_inline]] inline T lane_sum(const V& v) {
    T sum = 0;
    for (std::size_t i = 0; i < sizeof(V) / sizeof(T); ++i) sum += v[i];
    return sum;
}

// What vectors of 64 bytes need by name: g++ takes comparisons that choose integers, and conversions, apart lane by
// lane before it knows that it compiles for AVX-512.
using WideFloats = Vec<float, 64>;
using WideInts = Vec<std::int32_t, 64>;
typedef char WideBytes __attribute__((vector_size(16)));
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpsabi"  // they only ever run inlined
/// g++ knows the names below once it has seen a function that may use them.
[[gnu::target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]] inline void name_wide_builtins() {}
/// a <= b ? yes : no
[[gnu::always_inline]] inline void choose_le(WideFloats& out, const WideFloats& a, const WideFloats& b,
                                             const WideFloats& yes, const WideFloats& no) {
    out = __builtin_ia32_blendmps_512_mask(no, yes, __builtin_ia32_cmpps512_mask(a, b, 2, -1, 4));
}
[[gnu::always_inline]] inline void choose_le(WideInts& out, const WideFloats& a, const WideFloats& b,
                                             const WideInts& yes, const WideInts& no) {
    out = __builtin_ia32_blendmd_512_mask(no, yes, __builtin_ia32_cmpps512_mask(a, b, 2, -1, 4));
}
/// a == b ? yes : no
[[gnu::always_inline]] inline void choose_eq(WideFloats& out, const WideInts& a, const WideInts& b,
                                             const WideFloats& yes, const WideFloats& no) {
    out = __builtin_ia32_blendmps_512_mask(no, yes, __builtin_ia32_pcmpeqd512_mask(a, b, -1));
}
/// value = the larger of both, a NaN above all.
[[gnu::always_inline]] inline void raise_wide(WideFloats& value, const WideFloats& v) {
    value = __builtin_ia32_maxps512_mask(value, v, value, __builtin_ia32_cmpps512_mask(value, value, 7, -1, 4), 4);
}
[[gnu::always_inline]] inline void splat(WideFloats& v, float x) {  // at -O3 the loop above is sixteen inserts
    typedef float Quarter __attribute__((vector_size(16)));
    v = __builtin_ia32_broadcastss512(Quarter{x, 0, 0, 0}, WideFloats{}, static_cast<unsigned short>(-1));
}
/// At -O3 g++ 12 sees that the splats of a tile read neighbours, loads them at once and takes them apart by two
/// shuffles or seven inserts each. Only where there is AVX: portable tiles have narrower vectors.
[[gnu::always_inline]] inline void broadcast(Vec<float, 32>& v, const float* p) {
    v = __builtin_ia32_vbroadcastss256(p);
}
/// The lanes of `mask` from memory, the others 0; only they are read.
[[gnu::always_inline]] inline void load_lanes(WideFloats& v, const float* p, unsigned short mask) {
    v = __builtin_ia32_loadups512_mask(p, WideFloats{}, mask);
}
/// The lanes of `mask` to memory; only they are written.
[[gnu::always_inline]] inline void store_lanes(float* p, const WideFloats& v, unsigned short mask) {
    __builtin_ia32_storeups512_mask(p, v, mask);
}
[[gnu::always_inline]] inline void narrow(WideBytes& out, const WideInts& in) {
    out = __builtin_ia32_pmovdb512_mask(in, WideBytes{}, static_cast<unsigned short>(-1));
}
[[gnu::always_inline]] inline void widen(WideInts& out, const WideBytes& in) {
    out = __builtin_ia32_pmovzxbd512_mask(in, WideInts{}, static_cast<unsigned short>(-1));
}
#pragma GCC diagnostic pop
#define HWNAS_LANE_MASKS
#else
template <class V>
[[gnu::always_inline]] inline void choose_le(V& out, const WideFloats& a, const WideFloats& b, const V& yes,
                                             const V& no) {
    out = a <= b ? yes : no;
}
[[gnu::always_inline]] inline void choose_eq(WideFloats& out, const WideInts& a, const WideInts& b,
                                             const WideFloats& yes, const WideFloats& no) {
    out = a == b ? yes : no;
}
[[gnu::always_inline]] inline void raise_wide(WideFloats& value, const WideFloats& v) {
    value = (~(v <= value) & (value == value)) ? v : value;
}
[[gnu::always_inline]] inline void narrow(WideBytes& out, const WideInts& in) {
    out = __builtin_convertvector(in, WideBytes);
}
[[gnu::always_inline]] inline void widen(WideInts& out, const WideBytes& in) {
    typedef unsigned char Bytes __attribute__((vector_size(16)));
    out = __builtin_convertvector(reinterpret_cast<const Bytes&>(in), WideInts);
}
#endif

/// v[i] = *p for all i, in the registers of a tile.
template <class T, class V>
[[gnu::always_inline]] inline void broadcast(V& v, const T* p) {
    splat(v, *p);
}

template <class Body, class... Args>
void run_portable(const Args&... args) {
    Body::run(args...);
}
#ifdef HWNAS_X86_KERNELS
template <class Body, class... Args>
[[gnu::target("avx2,fma")]] void run_avx2(const Args&... args) {
    Body::run(args...);
}
template <class Body, class... Args>
[[gnu::target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]] void run_avx512(const Args&... args) {
    Body::run(args...);
}
#endif

/// Runs Body::run(args...), an always_inline static function, through the entry for `isa`. Double, which serves checks
/// and not speed, has the portable entry only.
template <class T, class Body, class... Args>
void dispatch([[maybe_unused]] Isa isa, const Args&... args) {
#ifdef HWNAS_X86_KERNELS
    if constexpr (std::is_same_v<T, float>)
        if (isa != Isa::portable) return run_avx2<Body>(args...);
#endif
    run_portable<Body>(args...);
}
/// The same for a body that is written for vectors of any size: Body<T, B>::run with B = 64 where there is AVX-512, 32
/// where there is AVX2, else Portable: narrow_bytes for tiles of registers, which wider vectors than the processor's
/// overflow.
template <class T, template <class, int> class Body, int Portable = vector_bytes, class... Args>
void dispatch_wide([[maybe_unused]] Isa isa, const Args&... args) {
#ifdef HWNAS_X86_KERNELS
    if constexpr (std::is_same_v<T, float>) {
        if (isa == Isa::avx512) return run_avx512<Body<T, 64>>(args...);
        if (isa == Isa::avx2) return run_avx2<Body<T, vector_bytes>>(args...);
    }
#endif
    run_portable<Body<T, Portable>>(args...);
}

}  // namespace hwnas::cpu
