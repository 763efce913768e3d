// bfloat16, two in a 32-bit element: what a bf16 product multiplies.
//
// A Pair holds two neighbours along k, the even one in its lower half. A step of the product is
//
//   fma(a, b, c) = a_even b_even + (a_odd b_odd + c)      two float32 fused multiply-adds
//
// with subnormal operands and results taken as zero: what VDPBF16PS computes, whatever MXCSR says.
// The other tiers get the same bits from their own fma while FlushToZero is in force. (AArch64
// finds a result subnormal before rounding, x86-64 after it: a sum that rounds up to just 2^-126 is
// the one case in which they differ.)
#pragma once

#include "simd/transpose.h"
#include "simd/vec.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace mlpeak {
namespace MLPEAK_TIER {

struct __attribute__((may_alias)) Pair {
  uint32_t bits;
};

/// The elements that E's products add up.
template <class E>
struct SumOf {
  using type = E;
};
template <>
struct SumOf<Pair> {
  using type = float;
};
template <class E>
using Sum = typename SumOf<E>::type;

/// A register of pairs, kept as the floats that have their bits.
template <>
struct Vec<Pair> {
  static constexpr int kLanes = Vec<float>::kLanes;
  Vec<float> v;
};

MLPEAK_INLINE const float* as_floats(const Pair* p) {
  return reinterpret_cast<const float*>(p);
}
MLPEAK_INLINE float* as_floats(Pair* p) {
  return reinterpret_cast<float*>(p);
}

MLPEAK_INLINE Vec<Pair> load(const Pair* p) {
  return {load(as_floats(p))};
}
MLPEAK_INLINE Vec<Pair> load(const Pair* p, Mask<float> m) {
  return {load(as_floats(p), m)};
}
MLPEAK_INLINE void store(Pair* p, Vec<Pair> a) {
  store(as_floats(p), a.v);
}
MLPEAK_INLINE void stream(Pair* p, Vec<Pair> a) {
  stream(as_floats(p), a.v);
}
MLPEAK_INLINE Vec<Pair> set1(Pair x) {
  return {from_bits(set1(int32_t(x.bits)))};
}
template <bool kPast = false>
MLPEAK_INLINE void transpose_part(int part, const Pair* from, int64_t from_ld, Pair* to,
                                  int64_t to_ld) {
  transpose_part<kPast>(part, as_floats(from), from_ld, as_floats(to), to_ld);
}
template <bool kPast = false>
MLPEAK_INLINE void transpose_block(const Pair* from, int64_t from_ld, Pair* to, int64_t to_ld) {
  transpose_block<kPast>(as_floats(from), from_ld, as_floats(to), to_ld);
}
template <>
MLPEAK_INLINE int64_t transpose_rows(int rows, int64_t k, const Pair* from, int64_t ld, Pair* to) {
  return transpose_rows(rows, k, as_floats(from), ld, as_floats(to));
}

MLPEAK_INLINE Vec<float> fma(Vec<Pair> a, Vec<Pair> b, Vec<float> c) {
#if defined(MLPEAK_TIER_AVX512_BF16)
  return {_mm512_dpbf16_ps(c.v, (__m512bh)a.v.v, (__m512bh)b.v.v)};
#else
  const auto even = [](Vec<Pair> x) { return from_bits(shl<16>(to_bits(x.v))); };
  const auto odd = [](Vec<Pair> x) { return from_bits(to_bits(x.v) & set1(int32_t(0xffff0000u))); };
  return fma(even(a), even(b), fma(odd(a), odd(b), c));
#endif
}

/// x rounded to the nearest bfloat16, ties to even; a subnormal x becomes zero.
MLPEAK_INLINE uint32_t to_bf16(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return bits >> 16 | 0x40;  // NaN, made quiet
  if (magnitude < 0x00800000u) return bits >> 16 & 0x8000;
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
MLPEAK_INLINE Pair pair_of(float even, float odd) {
  return {to_bf16(even) | to_bf16(odd) << 16};
}

/// to[i] = (x[2i], x[2i + 1]) for the n elements of x; an odd n is filled up with a zero.
MLPEAK_INLINE void pairs_along(int64_t n, const float* x, Pair* to) {
  int64_t i = 0;
#if defined(MLPEAK_TIER_AVX512_BF16)
  for (; i + 32 <= n; i += 32) {
    const __m512bh pairs = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + i + 16), _mm512_loadu_ps(x + i));
    _mm512_storeu_ps(as_floats(to + i / 2), (__m512)pairs);
  }
#endif
  for (; i + 2 <= n; i += 2) to[i / 2] = pair_of(x[i], x[i + 1]);
  if (i < n) to[i / 2] = pair_of(x[i], 0);
}

/// to[i] = (even[i], odd[i]) for i < n; where odd is null it counts as zeros.
MLPEAK_INLINE void pairs_across(int64_t n, const float* even, const float* odd, Pair* to) {
  int64_t i = 0;
#if defined(MLPEAK_TIER_AVX512_BF16)
  alignas(64) static const uint16_t kInterleaved[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                                        21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                                        11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  const __m512i order = _mm512_load_si512(kInterleaved);
  for (; i + 16 <= n; i += 16) {
    const __m512 upper = odd ? _mm512_loadu_ps(odd + i) : _mm512_setzero_ps();
    const __m512bh halves = _mm512_cvtne2ps_pbh(upper, _mm512_loadu_ps(even + i));
    _mm512_storeu_si512(to + i, _mm512_permutexvar_epi16(order, (__m512i)halves));
  }
#endif
  for (; i < n; ++i) to[i] = pair_of(even[i], odd ? odd[i] : 0);
}

/// While it lives, subnormal operands and results are zero.
class FlushToZero {
 public:
#if defined(__x86_64__)
  FlushToZero() : saved_(_mm_getcsr()) { set(saved_ | 0x8040); }
  ~FlushToZero() { set(saved_); }

 private:
  static void set(unsigned mode) {
    __asm__ volatile("" ::: "memory");  // arithmetic stays on its side: its operands are in memory
    _mm_setcsr(mode);
    __asm__ volatile("" ::: "memory");
  }
  unsigned saved_;
#elif defined(__aarch64__)
  FlushToZero() {
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved_));
    __asm__ volatile("msr fpcr, %0" : : "r"(saved_ | 1ull << 24) : "memory");
  }
  ~FlushToZero() { __asm__ volatile("msr fpcr, %0" : : "r"(saved_) : "memory"); }

 private:
  unsigned long long saved_;
#else
  FlushToZero() {}  // no such mode is known here: subnormal numbers are computed with

 private:
#endif
  FlushToZero(const FlushToZero&) = delete;
  FlushToZero& operator=(const FlushToZero&) = delete;
};

/// What a product of E does about subnormals while it runs.
template <class E>
struct Subnormals {
  Subnormals() {}
};
template <>
struct Subnormals<Pair> {
  FlushToZero flush;
};

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
