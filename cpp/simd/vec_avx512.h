// The shim on AVX-512 (F, BW, DQ, VL): 16 floats or 8 doubles a register, masks in k registers.
#pragma once

#include <immintrin.h>

namespace mlpeak {
namespace MLPEAK_TIER {

// S: ps or pd; R, RI: register types; M: mask type; E: epi32 or epi64; L: lanes
#define MLPEAK_AVX512_VEC(T, I, S, R, RI, M, E, L)                    \
  template <>                                                         \
  struct Vec<T> {                                                     \
    static constexpr int kLanes = L;                                  \
    R v;                                                              \
  };                                                                  \
  template <>                                                         \
  struct Vec<I> {                                                     \
    RI v;                                                             \
  };                                                                  \
  template <>                                                         \
  struct Mask<T> {                                                    \
    M m;                                                              \
  };                                                                  \
  MLPEAK_INLINE Vec<T> set1(T x) {                                    \
    return {_mm512_set1_##S(x)};                                      \
  }                                                                   \
  MLPEAK_INLINE Vec<I> set1(I x) {                                    \
    return {_mm512_set1_##E(x)};                                      \
  }                                                                   \
  template <>                                                         \
  MLPEAK_INLINE Mask<T> first_n<T>(int64_t n) {                       \
    return {M(n >= L ? (1u << L) - 1 : n <= 0 ? 0u : (1u << n) - 1)}; \
  }                                                                   \
  MLPEAK_INLINE Vec<T> load(const T* p) {                             \
    return {_mm512_loadu_##S(p)};                                     \
  }                                                                   \
  MLPEAK_INLINE Vec<T> load(const T* p, Mask<T> m) {                  \
    return {_mm512_maskz_loadu_##S(m.m, p)};                          \
  }                                                                   \
  MLPEAK_INLINE void store(T* p, Vec<T> a) {                          \
    _mm512_storeu_##S(p, a.v);                                        \
  }                                                                   \
  MLPEAK_INLINE void stream(T* p, Vec<T> a) {                         \
    _mm512_stream_##S(p, a.v);                                        \
  }                                                                   \
  MLPEAK_INLINE void store(T* p, Vec<T> a, Mask<T> m) {               \
    _mm512_mask_storeu_##S(p, m.m, a.v);                              \
  }                                                                   \
  MLPEAK_INLINE Vec<T> operator+(Vec<T> a, Vec<T> b) {                \
    return {_mm512_add_##S(a.v, b.v)};                                \
  }                                                                   \
  MLPEAK_INLINE Vec<T> operator-(Vec<T> a, Vec<T> b) {                \
    return {_mm512_sub_##S(a.v, b.v)};                                \
  }                                                                   \
  MLPEAK_INLINE Vec<T> operator*(Vec<T> a, Vec<T> b) {                \
    return {_mm512_mul_##S(a.v, b.v)};                                \
  }                                                                   \
  MLPEAK_INLINE Vec<T> operator/(Vec<T> a, Vec<T> b) {                \
    return {_mm512_div_##S(a.v, b.v)};                                \
  }                                                                   \
  MLPEAK_INLINE Vec<T> fma(Vec<T> a, Vec<T> b, Vec<T> c) {            \
    return {_mm512_fmadd_##S(a.v, b.v, c.v)};                         \
  }                                                                   \
  MLPEAK_INLINE Vec<T> fnma(Vec<T> a, Vec<T> b, Vec<T> c) {           \
    return {_mm512_fnmadd_##S(a.v, b.v, c.v)};                        \
  }                                                                   \
  MLPEAK_INLINE Vec<T> sqrt(Vec<T> a) {                               \
    return {_mm512_sqrt_##S(a.v)};                                    \
  }                                                                   \
  MLPEAK_INLINE Vec<T> abs(Vec<T> a) {                                \
    return {_mm512_abs_##S(a.v)};                                     \
  }                                                                   \
  MLPEAK_INLINE Vec<T> min(Vec<T> a, Vec<T> b) {                      \
    return {_mm512_min_##S(a.v, b.v)};                                \
  }                                                                   \
  MLPEAK_INLINE Vec<T> max(Vec<T> a, Vec<T> b) {                      \
    return {_mm512_max_##S(a.v, b.v)};                                \
  }                                                                   \
  MLPEAK_INLINE Mask<T> lt(Vec<T> a, Vec<T> b) {                      \
    return {_mm512_cmp_##S##_mask(a.v, b.v, _CMP_LT_OQ)};             \
  }                                                                   \
  MLPEAK_INLINE Mask<T> le(Vec<T> a, Vec<T> b) {                      \
    return {_mm512_cmp_##S##_mask(a.v, b.v, _CMP_LE_OQ)};             \
  }                                                                   \
  MLPEAK_INLINE Mask<T> eq(Vec<T> a, Vec<T> b) {                      \
    return {_mm512_cmp_##S##_mask(a.v, b.v, _CMP_EQ_OQ)};             \
  }                                                                   \
  MLPEAK_INLINE Mask<T> is_nan(Vec<T> a) {                            \
    return {_mm512_cmp_##S##_mask(a.v, a.v, _CMP_UNORD_Q)};           \
  }                                                                   \
  MLPEAK_INLINE Mask<T> operator&(Mask<T> a, Mask<T> b) {             \
    return {M(a.m & b.m)};                                            \
  }                                                                   \
  MLPEAK_INLINE Mask<T> operator|(Mask<T> a, Mask<T> b) {             \
    return {M(a.m | b.m)};                                            \
  }                                                                   \
  MLPEAK_INLINE Mask<T> operator!(Mask<T> a) {                        \
    return {M(~a.m)};                                                 \
  }                                                                   \
  MLPEAK_INLINE bool any(Mask<T> a) {                                 \
    return a.m != 0;                                                  \
  }                                                                   \
  MLPEAK_INLINE Vec<T> select(Mask<T> m, Vec<T> a, Vec<T> b) {        \
    return {_mm512_mask_blend_##S(m.m, b.v, a.v)};                    \
  }                                                                   \
  MLPEAK_INLINE Vec<I> select(Mask<T> m, Vec<I> a, Vec<I> b) {        \
    return {_mm512_mask_blend_##E(m.m, b.v, a.v)};                    \
  }                                                                   \
  MLPEAK_INLINE Vec<I> to_bits(Vec<T> a) {                            \
    return {_mm512_cast##S##_si512(a.v)};                             \
  }                                                                   \
  MLPEAK_INLINE Vec<T> from_bits(Vec<I> a) {                          \
    return {_mm512_castsi512_##S(a.v)};                               \
  }                                                                   \
  MLPEAK_INLINE Vec<I> operator+(Vec<I> a, Vec<I> b) {                \
    return {_mm512_add_##E(a.v, b.v)};                                \
  }                                                                   \
  MLPEAK_INLINE Vec<I> operator-(Vec<I> a, Vec<I> b) {                \
    return {_mm512_sub_##E(a.v, b.v)};                                \
  }                                                                   \
  MLPEAK_INLINE Vec<I> operator&(Vec<I> a, Vec<I> b) {                \
    return {_mm512_and_si512(a.v, b.v)};                              \
  }                                                                   \
  MLPEAK_INLINE Vec<I> operator|(Vec<I> a, Vec<I> b) {                \
    return {_mm512_or_si512(a.v, b.v)};                               \
  }                                                                   \
  MLPEAK_INLINE Vec<I> operator^(Vec<I> a, Vec<I> b) {                \
    return {_mm512_xor_si512(a.v, b.v)};                              \
  }                                                                   \
  MLPEAK_INLINE Mask<T> gt(Vec<I> a, Vec<I> b) {                      \
    return {_mm512_cmpgt_##E##_mask(a.v, b.v)};                       \
  }                                                                   \
  template <int K>                                                    \
  MLPEAK_INLINE Vec<I> shl(Vec<I> a) {                                \
    return {_mm512_slli_##E(a.v, K)};                                 \
  }                                                                   \
  template <int K>                                                    \
  MLPEAK_INLINE Vec<I> shr(Vec<I> a) {                                \
    return {_mm512_srli_##E(a.v, K)};                                 \
  }

MLPEAK_AVX512_VEC(float, int32_t, ps, __m512, __m512i, __mmask16, epi32, 16)
MLPEAK_AVX512_VEC(double, int64_t, pd, __m512d, __m512i, __mmask8, epi64, 8)

#undef MLPEAK_AVX512_VEC

/// a 2^n for an integer n, rounded once: only this tier has an instruction for it (math.h).
MLPEAK_INLINE Vec<float> scale_exponent(Vec<float> a, Vec<float> n) {
  return {_mm512_scalef_ps(a.v, n.v)};
}
MLPEAK_INLINE Vec<double> scale_exponent(Vec<double> a, Vec<double> n) {
  return {_mm512_scalef_pd(a.v, n.v)};
}

MLPEAK_INLINE void finish_streams() {
  _mm_sfence();
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
