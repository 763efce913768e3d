// The shim on AArch64 NEON: 4 floats or 2 doubles a register; a mask is an integer register.
#pragma once

#include <arm_neon.h>

namespace mlpeak {
namespace MLPEAK_TIER {

// S, SI, SU: suffixes of the float, signed and unsigned register; L: lanes
#define MLPEAK_NEON_VEC(T, I, S, SI, SU, R, RI, RU, L)                                   \
  template <>                                                                            \
  struct Vec<T> {                                                                        \
    static constexpr int kLanes = L;                                                     \
    R v;                                                                                 \
  };                                                                                     \
  template <>                                                                            \
  struct Vec<I> {                                                                        \
    RI v;                                                                                \
  };                                                                                     \
  template <>                                                                            \
  struct Mask<T> {                                                                       \
    RU m;                                                                                \
  };                                                                                     \
  MLPEAK_INLINE Vec<T> set1(T x) {                                                       \
    return {vdupq_n_##S(x)};                                                             \
  }                                                                                      \
  MLPEAK_INLINE Vec<I> set1(I x) {                                                       \
    return {vdupq_n_##SI(x)};                                                            \
  }                                                                                      \
  template <>                                                                            \
  MLPEAK_INLINE Mask<T> first_n<T>(int64_t n) {                                          \
    static const I kIota[4] = {0, 1, 2, 3};                                              \
    return {vcltq_##SI(vld1q_##SI(kIota), vdupq_n_##SI(I(n > L ? L : n < 0 ? 0 : n)))};  \
  }                                                                                      \
  MLPEAK_INLINE Vec<T> load(const T* p) {                                                \
    return {vld1q_##S(p)};                                                               \
  }                                                                                      \
  MLPEAK_INLINE Vec<T> load(const T* p, Mask<T> m) {                                     \
    I on[L];                                                                             \
    T x[L];                                                                              \
    vst1q_##SI(on, vreinterpretq_##SI##_##SU(m.m));                                      \
    for (int i = 0; i < L; ++i) x[i] = on[i] ? p[i] : T(0);                              \
    return {vld1q_##S(x)};                                                               \
  }                                                                                      \
  MLPEAK_INLINE void store(T* p, Vec<T> a) {                                             \
    vst1q_##S(p, a.v);                                                                   \
  }                                                                                      \
  MLPEAK_INLINE void store(T* p, Vec<T> a, Mask<T> m) {                                  \
    I on[L];                                                                             \
    T x[L];                                                                              \
    vst1q_##SI(on, vreinterpretq_##SI##_##SU(m.m));                                      \
    vst1q_##S(x, a.v);                                                                   \
    for (int i = 0; i < L; ++i)                                                          \
      if (on[i]) p[i] = x[i];                                                            \
  }                                                                                      \
  MLPEAK_INLINE Vec<T> operator+(Vec<T> a, Vec<T> b) {                                   \
    return {vaddq_##S(a.v, b.v)};                                                        \
  }                                                                                      \
  MLPEAK_INLINE Vec<T> operator-(Vec<T> a, Vec<T> b) {                                   \
    return {vsubq_##S(a.v, b.v)};                                                        \
  }                                                                                      \
  MLPEAK_INLINE Vec<T> operator*(Vec<T> a, Vec<T> b) {                                   \
    return {vmulq_##S(a.v, b.v)};                                                        \
  }                                                                                      \
  MLPEAK_INLINE Vec<T> operator/(Vec<T> a, Vec<T> b) {                                   \
    return {vdivq_##S(a.v, b.v)};                                                        \
  }                                                                                      \
  MLPEAK_INLINE Vec<T> fma(Vec<T> a, Vec<T> b, Vec<T> c) {                               \
    return {vfmaq_##S(c.v, a.v, b.v)};                                                   \
  }                                                                                      \
  MLPEAK_INLINE Vec<T> fnma(Vec<T> a, Vec<T> b, Vec<T> c) {                              \
    return {vfmsq_##S(c.v, a.v, b.v)};                                                   \
  }                                                                                      \
  MLPEAK_INLINE Vec<T> sqrt(Vec<T> a) {                                                  \
    return {vsqrtq_##S(a.v)};                                                            \
  }                                                                                      \
  MLPEAK_INLINE Vec<T> abs(Vec<T> a) {                                                   \
    return {vabsq_##S(a.v)};                                                             \
  }                                                                                      \
  MLPEAK_INLINE Mask<T> lt(Vec<T> a, Vec<T> b) {                                         \
    return {vcltq_##S(a.v, b.v)};                                                        \
  }                                                                                      \
  MLPEAK_INLINE Mask<T> le(Vec<T> a, Vec<T> b) {                                         \
    return {vcleq_##S(a.v, b.v)};                                                        \
  }                                                                                      \
  MLPEAK_INLINE Mask<T> eq(Vec<T> a, Vec<T> b) {                                         \
    return {vceqq_##S(a.v, b.v)};                                                        \
  }                                                                                      \
  MLPEAK_INLINE Mask<T> operator&(Mask<T> a, Mask<T> b) {                                \
    return {vandq_##SU(a.m, b.m)};                                                       \
  }                                                                                      \
  MLPEAK_INLINE Mask<T> operator|(Mask<T> a, Mask<T> b) {                                \
    return {vorrq_##SU(a.m, b.m)};                                                       \
  }                                                                                      \
  MLPEAK_INLINE Mask<T> operator!(Mask<T> a) {                                           \
    return {veorq_##SU(a.m, vreinterpretq_##SU##_##SI(vdupq_n_##SI(-1)))};               \
  }                                                                                      \
  MLPEAK_INLINE Mask<T> is_nan(Vec<T> a) {                                               \
    return !eq(a, a);                                                                    \
  }                                                                                      \
  MLPEAK_INLINE bool any(Mask<T> a) {                                                    \
    return vmaxvq_u32(vreinterpretq_u32_u8(vreinterpretq_u8_##SU(a.m))) != 0;            \
  }                                                                                      \
  MLPEAK_INLINE Vec<T> select(Mask<T> m, Vec<T> a, Vec<T> b) {                           \
    return {vbslq_##S(m.m, a.v, b.v)};                                                   \
  }                                                                                      \
  MLPEAK_INLINE Vec<I> select(Mask<T> m, Vec<I> a, Vec<I> b) {                           \
    return {vbslq_##SI(m.m, a.v, b.v)};                                                  \
  }                                                                                      \
  MLPEAK_INLINE Vec<T> min(Vec<T> a, Vec<T> b) {                                         \
    return select(lt(a, b), a, b);                                                       \
  }                                                                                      \
  MLPEAK_INLINE Vec<T> max(Vec<T> a, Vec<T> b) {                                         \
    return select(lt(b, a), a, b);                                                       \
  }                                                                                      \
  MLPEAK_INLINE Vec<I> to_bits(Vec<T> a) {                                               \
    return {vreinterpretq_##SI##_##S(a.v)};                                              \
  }                                                                                      \
  MLPEAK_INLINE Vec<T> from_bits(Vec<I> a) {                                             \
    return {vreinterpretq_##S##_##SI(a.v)};                                              \
  }                                                                                      \
  MLPEAK_INLINE Vec<I> operator+(Vec<I> a, Vec<I> b) {                                   \
    return {vaddq_##SI(a.v, b.v)};                                                       \
  }                                                                                      \
  MLPEAK_INLINE Vec<I> operator-(Vec<I> a, Vec<I> b) {                                   \
    return {vsubq_##SI(a.v, b.v)};                                                       \
  }                                                                                      \
  MLPEAK_INLINE Vec<I> operator&(Vec<I> a, Vec<I> b) {                                   \
    return {vandq_##SI(a.v, b.v)};                                                       \
  }                                                                                      \
  MLPEAK_INLINE Vec<I> operator|(Vec<I> a, Vec<I> b) {                                   \
    return {vorrq_##SI(a.v, b.v)};                                                       \
  }                                                                                      \
  MLPEAK_INLINE Vec<I> operator^(Vec<I> a, Vec<I> b) {                                   \
    return {veorq_##SI(a.v, b.v)};                                                       \
  }                                                                                      \
  MLPEAK_INLINE Mask<T> gt(Vec<I> a, Vec<I> b) {                                         \
    return {vcgtq_##SI(a.v, b.v)};                                                       \
  }                                                                                      \
  template <int K>                                                                       \
  MLPEAK_INLINE Vec<I> shl(Vec<I> a) {                                                   \
    return {vshlq_n_##SI(a.v, K)};                                                       \
  }                                                                                      \
  template <int K>                                                                       \
  MLPEAK_INLINE Vec<I> shr(Vec<I> a) {                                                   \
    return {vreinterpretq_##SI##_##SU(vshrq_n_##SU(vreinterpretq_##SU##_##SI(a.v), K))}; \
  }

MLPEAK_NEON_VEC(float, int32_t, f32, s32, u32, float32x4_t, int32x4_t, uint32x4_t, 4)
MLPEAK_NEON_VEC(double, int64_t, f64, s64, u64, float64x2_t, int64x2_t, uint64x2_t, 2)

#undef MLPEAK_NEON_VEC

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
