// The shim on AVX2 and FMA: 8 floats or 4 doubles a register; a mask is a register of sign bits.
#pragma once

#include <immintrin.h>

namespace mlpeak {
namespace MLPEAK_TIER {

#define MLPEAK_AVX2_VEC(T, I, S, R, E, L)                                      \
  template <>                                                                  \
  struct Vec<T> {                                                              \
    static constexpr int kLanes = L;                                           \
    R v;                                                                       \
  };                                                                           \
  template <>                                                                  \
  struct Vec<I> {                                                              \
    __m256i v;                                                                 \
  };                                                                           \
  template <>                                                                  \
  struct Mask<T> {                                                             \
    R m;                                                                       \
  };                                                                           \
  MLPEAK_INLINE Vec<T> set1(T x) {                                             \
    return {_mm256_set1_##S(x)};                                               \
  }                                                                            \
  MLPEAK_INLINE Vec<T> load(const T* p) {                                      \
    return {_mm256_loadu_##S(p)};                                              \
  }                                                                            \
  MLPEAK_INLINE Vec<T> load(const T* p, Mask<T> m) {                           \
    return {_mm256_maskload_##S(p, _mm256_cast##S##_si256(m.m))};              \
  }                                                                            \
  MLPEAK_INLINE void store(T* p, Vec<T> a) {                                   \
    _mm256_storeu_##S(p, a.v);                                                 \
  }                                                                            \
  MLPEAK_INLINE void store(T* p, Vec<T> a, Mask<T> m) {                        \
    _mm256_maskstore_##S(p, _mm256_cast##S##_si256(m.m), a.v);                 \
  }                                                                            \
  MLPEAK_INLINE Vec<T> operator+(Vec<T> a, Vec<T> b) {                         \
    return {_mm256_add_##S(a.v, b.v)};                                         \
  }                                                                            \
  MLPEAK_INLINE Vec<T> operator-(Vec<T> a, Vec<T> b) {                         \
    return {_mm256_sub_##S(a.v, b.v)};                                         \
  }                                                                            \
  MLPEAK_INLINE Vec<T> operator*(Vec<T> a, Vec<T> b) {                         \
    return {_mm256_mul_##S(a.v, b.v)};                                         \
  }                                                                            \
  MLPEAK_INLINE Vec<T> operator/(Vec<T> a, Vec<T> b) {                         \
    return {_mm256_div_##S(a.v, b.v)};                                         \
  }                                                                            \
  MLPEAK_INLINE Vec<T> fma(Vec<T> a, Vec<T> b, Vec<T> c) {                     \
    return {_mm256_fmadd_##S(a.v, b.v, c.v)};                                  \
  }                                                                            \
  MLPEAK_INLINE Vec<T> fnma(Vec<T> a, Vec<T> b, Vec<T> c) {                    \
    return {_mm256_fnmadd_##S(a.v, b.v, c.v)};                                 \
  }                                                                            \
  MLPEAK_INLINE Vec<T> sqrt(Vec<T> a) {                                        \
    return {_mm256_sqrt_##S(a.v)};                                             \
  }                                                                            \
  MLPEAK_INLINE Vec<T> abs(Vec<T> a) {                                         \
    return {_mm256_andnot_##S(_mm256_set1_##S(T(-0.0)), a.v)};                 \
  }                                                                            \
  MLPEAK_INLINE Vec<T> min(Vec<T> a, Vec<T> b) {                               \
    return {_mm256_min_##S(a.v, b.v)};                                         \
  }                                                                            \
  MLPEAK_INLINE Vec<T> max(Vec<T> a, Vec<T> b) {                               \
    return {_mm256_max_##S(a.v, b.v)};                                         \
  }                                                                            \
  MLPEAK_INLINE Mask<T> lt(Vec<T> a, Vec<T> b) {                               \
    return {_mm256_cmp_##S(a.v, b.v, _CMP_LT_OQ)};                             \
  }                                                                            \
  MLPEAK_INLINE Mask<T> le(Vec<T> a, Vec<T> b) {                               \
    return {_mm256_cmp_##S(a.v, b.v, _CMP_LE_OQ)};                             \
  }                                                                            \
  MLPEAK_INLINE Mask<T> eq(Vec<T> a, Vec<T> b) {                               \
    return {_mm256_cmp_##S(a.v, b.v, _CMP_EQ_OQ)};                             \
  }                                                                            \
  MLPEAK_INLINE Mask<T> is_nan(Vec<T> a) {                                     \
    return {_mm256_cmp_##S(a.v, a.v, _CMP_UNORD_Q)};                           \
  }                                                                            \
  MLPEAK_INLINE Mask<T> operator&(Mask<T> a, Mask<T> b) {                      \
    return {_mm256_and_##S(a.m, b.m)};                                         \
  }                                                                            \
  MLPEAK_INLINE Mask<T> operator|(Mask<T> a, Mask<T> b) {                      \
    return {_mm256_or_##S(a.m, b.m)};                                          \
  }                                                                            \
  MLPEAK_INLINE Mask<T> operator!(Mask<T> a) {                                 \
    return {_mm256_xor_##S(a.m, _mm256_castsi256_##S(_mm256_set1_epi32(-1)))}; \
  }                                                                            \
  MLPEAK_INLINE bool any(Mask<T> a) {                                          \
    return _mm256_movemask_##S(a.m) != 0;                                      \
  }                                                                            \
  MLPEAK_INLINE Vec<T> select(Mask<T> m, Vec<T> a, Vec<T> b) {                 \
    return {_mm256_blendv_##S(b.v, a.v, m.m)};                                 \
  }                                                                            \
  MLPEAK_INLINE Vec<I> select(Mask<T> m, Vec<I> a, Vec<I> b) {                 \
    return {_mm256_blendv_epi8(b.v, a.v, _mm256_cast##S##_si256(m.m))};        \
  }                                                                            \
  MLPEAK_INLINE Vec<I> to_bits(Vec<T> a) {                                     \
    return {_mm256_cast##S##_si256(a.v)};                                      \
  }                                                                            \
  MLPEAK_INLINE Vec<T> from_bits(Vec<I> a) {                                   \
    return {_mm256_castsi256_##S(a.v)};                                        \
  }                                                                            \
  MLPEAK_INLINE Vec<I> operator+(Vec<I> a, Vec<I> b) {                         \
    return {_mm256_add_##E(a.v, b.v)};                                         \
  }                                                                            \
  MLPEAK_INLINE Vec<I> operator-(Vec<I> a, Vec<I> b) {                         \
    return {_mm256_sub_##E(a.v, b.v)};                                         \
  }                                                                            \
  MLPEAK_INLINE Vec<I> operator&(Vec<I> a, Vec<I> b) {                         \
    return {_mm256_and_si256(a.v, b.v)};                                       \
  }                                                                            \
  MLPEAK_INLINE Vec<I> operator|(Vec<I> a, Vec<I> b) {                         \
    return {_mm256_or_si256(a.v, b.v)};                                        \
  }                                                                            \
  MLPEAK_INLINE Vec<I> operator^(Vec<I> a, Vec<I> b) {                         \
    return {_mm256_xor_si256(a.v, b.v)};                                       \
  }                                                                            \
  MLPEAK_INLINE Mask<T> gt(Vec<I> a, Vec<I> b) {                               \
    return {_mm256_castsi256_##S(_mm256_cmpgt_##E(a.v, b.v))};                 \
  }                                                                            \
  template <int K>                                                             \
  MLPEAK_INLINE Vec<I> shl(Vec<I> a) {                                         \
    return {_mm256_slli_##E(a.v, K)};                                          \
  }                                                                            \
  template <int K>                                                             \
  MLPEAK_INLINE Vec<I> shr(Vec<I> a) {                                         \
    return {_mm256_srli_##E(a.v, K)};                                          \
  }

MLPEAK_AVX2_VEC(float, int32_t, ps, __m256, epi32, 8)
MLPEAK_AVX2_VEC(double, int64_t, pd, __m256d, epi64, 4)

#undef MLPEAK_AVX2_VEC

MLPEAK_INLINE Vec<int32_t> set1(int32_t x) {
  return {_mm256_set1_epi32(x)};
}
MLPEAK_INLINE Vec<int64_t> set1(int64_t x) {
  return {_mm256_set1_epi64x(x)};
}

template <>
MLPEAK_INLINE Mask<float> first_n<float>(int64_t n) {
  const int32_t k = int32_t(n > 8 ? 8 : n);
  return {_mm256_castsi256_ps(
      _mm256_cmpgt_epi32(_mm256_set1_epi32(k), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)))};
}
template <>
MLPEAK_INLINE Mask<double> first_n<double>(int64_t n) {
  return {_mm256_castsi256_pd(
      _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3)))};
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
