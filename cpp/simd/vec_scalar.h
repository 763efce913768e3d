// The shim's reference tier: one lane, plain C++, fused multiply-add through std::fma's builtin.
#pragma once

#include <string.h>

namespace mlpeak {
namespace MLPEAK_TIER {

#define MLPEAK_SCALAR_VEC(T, I, U, FMA, SQRT, ABS)             \
  template <>                                                  \
  struct Vec<T> {                                              \
    static constexpr int kLanes = 1;                           \
    T v;                                                       \
  };                                                           \
  template <>                                                  \
  struct Vec<I> {                                              \
    I v;                                                       \
  };                                                           \
  template <>                                                  \
  struct Mask<T> {                                             \
    bool m;                                                    \
  };                                                           \
  MLPEAK_INLINE Vec<T> set1(T x) {                             \
    return {x};                                                \
  }                                                            \
  MLPEAK_INLINE Vec<I> set1(I x) {                             \
    return {x};                                                \
  }                                                            \
  template <>                                                  \
  MLPEAK_INLINE Mask<T> first_n<T>(int64_t n) {                \
    return {n > 0};                                            \
  }                                                            \
  MLPEAK_INLINE Vec<T> load(const T* p) {                      \
    return {*p};                                               \
  }                                                            \
  MLPEAK_INLINE Vec<T> load(const T* p, Mask<T> m) {           \
    return {m.m ? *p : T(0)};                                  \
  }                                                            \
  MLPEAK_INLINE void store(T* p, Vec<T> a) {                   \
    *p = a.v;                                                  \
  }                                                            \
  MLPEAK_INLINE void store(T* p, Vec<T> a, Mask<T> m) {        \
    if (m.m) *p = a.v;                                         \
  }                                                            \
  MLPEAK_INLINE Vec<T> operator+(Vec<T> a, Vec<T> b) {         \
    return {a.v + b.v};                                        \
  }                                                            \
  MLPEAK_INLINE Vec<T> operator-(Vec<T> a, Vec<T> b) {         \
    return {a.v - b.v};                                        \
  }                                                            \
  MLPEAK_INLINE Vec<T> operator*(Vec<T> a, Vec<T> b) {         \
    return {a.v * b.v};                                        \
  }                                                            \
  MLPEAK_INLINE Vec<T> operator/(Vec<T> a, Vec<T> b) {         \
    return {a.v / b.v};                                        \
  }                                                            \
  MLPEAK_INLINE Vec<T> fma(Vec<T> a, Vec<T> b, Vec<T> c) {     \
    return {FMA(a.v, b.v, c.v)};                               \
  }                                                            \
  MLPEAK_INLINE Vec<T> fnma(Vec<T> a, Vec<T> b, Vec<T> c) {    \
    return {FMA(-a.v, b.v, c.v)};                              \
  }                                                            \
  MLPEAK_INLINE Vec<T> sqrt(Vec<T> a) {                        \
    return {SQRT(a.v)};                                        \
  }                                                            \
  MLPEAK_INLINE Vec<T> abs(Vec<T> a) {                         \
    return {ABS(a.v)};                                         \
  }                                                            \
  MLPEAK_INLINE Vec<T> min(Vec<T> a, Vec<T> b) {               \
    return {a.v < b.v ? a.v : b.v};                            \
  }                                                            \
  MLPEAK_INLINE Vec<T> max(Vec<T> a, Vec<T> b) {               \
    return {a.v > b.v ? a.v : b.v};                            \
  }                                                            \
  MLPEAK_INLINE Mask<T> lt(Vec<T> a, Vec<T> b) {               \
    return {a.v < b.v};                                        \
  }                                                            \
  MLPEAK_INLINE Mask<T> le(Vec<T> a, Vec<T> b) {               \
    return {a.v <= b.v};                                       \
  }                                                            \
  MLPEAK_INLINE Mask<T> eq(Vec<T> a, Vec<T> b) {               \
    return {a.v == b.v};                                       \
  }                                                            \
  MLPEAK_INLINE Mask<T> is_nan(Vec<T> a) {                     \
    return {a.v != a.v};                                       \
  }                                                            \
  MLPEAK_INLINE Mask<T> operator&(Mask<T> a, Mask<T> b) {      \
    return {a.m && b.m};                                       \
  }                                                            \
  MLPEAK_INLINE Mask<T> operator|(Mask<T> a, Mask<T> b) {      \
    return {a.m || b.m};                                       \
  }                                                            \
  MLPEAK_INLINE Mask<T> operator!(Mask<T> a) {                 \
    return {!a.m};                                             \
  }                                                            \
  MLPEAK_INLINE bool any(Mask<T> a) {                          \
    return a.m;                                                \
  }                                                            \
  MLPEAK_INLINE Vec<T> select(Mask<T> m, Vec<T> a, Vec<T> b) { \
    return m.m ? a : b;                                        \
  }                                                            \
  MLPEAK_INLINE Vec<I> select(Mask<T> m, Vec<I> a, Vec<I> b) { \
    return m.m ? a : b;                                        \
  }                                                            \
  MLPEAK_INLINE Vec<I> to_bits(Vec<T> a) {                     \
    I i;                                                       \
    memcpy(&i, &a.v, sizeof(i));                               \
    return {i};                                                \
  }                                                            \
  MLPEAK_INLINE Vec<T> from_bits(Vec<I> a) {                   \
    T x;                                                       \
    memcpy(&x, &a.v, sizeof(x));                               \
    return {x};                                                \
  }                                                            \
  MLPEAK_INLINE Vec<I> operator+(Vec<I> a, Vec<I> b) {         \
    return {I(U(a.v) + U(b.v))};                               \
  }                                                            \
  MLPEAK_INLINE Vec<I> operator-(Vec<I> a, Vec<I> b) {         \
    return {I(U(a.v) - U(b.v))};                               \
  }                                                            \
  MLPEAK_INLINE Vec<I> operator&(Vec<I> a, Vec<I> b) {         \
    return {a.v & b.v};                                        \
  }                                                            \
  MLPEAK_INLINE Vec<I> operator|(Vec<I> a, Vec<I> b) {         \
    return {a.v | b.v};                                        \
  }                                                            \
  MLPEAK_INLINE Vec<I> operator^(Vec<I> a, Vec<I> b) {         \
    return {a.v ^ b.v};                                        \
  }                                                            \
  MLPEAK_INLINE Mask<T> gt(Vec<I> a, Vec<I> b) {               \
    return {a.v > b.v};                                        \
  }                                                            \
  template <int K>                                             \
  MLPEAK_INLINE Vec<I> shl(Vec<I> a) {                         \
    return {I(U(a.v) << K)};                                   \
  }                                                            \
  template <int K>                                             \
  MLPEAK_INLINE Vec<I> shr(Vec<I> a) {                         \
    return {I(U(a.v) >> K)};                                   \
  }

MLPEAK_SCALAR_VEC(float, int32_t, uint32_t, __builtin_fmaf, __builtin_sqrtf, __builtin_fabsf)
MLPEAK_SCALAR_VEC(double, int64_t, uint64_t, __builtin_fma, __builtin_sqrt, __builtin_fabs)

#undef MLPEAK_SCALAR_VEC

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
