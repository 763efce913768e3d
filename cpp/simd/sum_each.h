// The sums of the lanes of several registers, in one register.
//
// A register's own sum takes log2(kLanes) shuffles and additions on ever fewer lanes. Here halves
// of two registers are put together before each addition, so that no lane is without work: two
// shuffles and an addition for two registers, then for four, and so on.
#pragma once

#include "simd/vec.h"

namespace mlpeak {
namespace MLPEAK_TIER {

// lower_halves<H>(a, b): of each group of 2 H lanes the lower half, those of a and then those of b;
// for H below 128 bits so within every 128 bits. upper_halves<H> likewise.

#if defined(MLPEAK_TIER_AVX512) || defined(MLPEAK_TIER_AVX512_BF16)

template <int H>
MLPEAK_INLINE Vec<float> lower_halves(Vec<float> a, Vec<float> b) {
  if constexpr (H >= 4)
    return {_mm512_shuffle_f32x4(a.v, b.v, H == 8 ? 0x44 : 0x88)};
  else
    return {_mm512_shuffle_ps(a.v, b.v, H == 2 ? 0x44 : 0x88)};
}
template <int H>
MLPEAK_INLINE Vec<float> upper_halves(Vec<float> a, Vec<float> b) {
  if constexpr (H >= 4)
    return {_mm512_shuffle_f32x4(a.v, b.v, H == 8 ? 0xee : 0xdd)};
  else
    return {_mm512_shuffle_ps(a.v, b.v, H == 2 ? 0xee : 0xdd)};
}
template <int H>
MLPEAK_INLINE Vec<double> lower_halves(Vec<double> a, Vec<double> b) {
  if constexpr (H >= 2)
    return {_mm512_shuffle_f64x2(a.v, b.v, H == 4 ? 0x44 : 0x88)};
  else
    return {_mm512_unpacklo_pd(a.v, b.v)};
}
template <int H>
MLPEAK_INLINE Vec<double> upper_halves(Vec<double> a, Vec<double> b) {
  if constexpr (H >= 2)
    return {_mm512_shuffle_f64x2(a.v, b.v, H == 4 ? 0xee : 0xdd)};
  else
    return {_mm512_unpackhi_pd(a.v, b.v)};
}

#elif defined(MLPEAK_TIER_AVX2)

template <int H>
MLPEAK_INLINE Vec<float> lower_halves(Vec<float> a, Vec<float> b) {
  if constexpr (H == 4)
    return {_mm256_permute2f128_ps(a.v, b.v, 0x20)};
  else
    return {_mm256_shuffle_ps(a.v, b.v, H == 2 ? 0x44 : 0x88)};
}
template <int H>
MLPEAK_INLINE Vec<float> upper_halves(Vec<float> a, Vec<float> b) {
  if constexpr (H == 4)
    return {_mm256_permute2f128_ps(a.v, b.v, 0x31)};
  else
    return {_mm256_shuffle_ps(a.v, b.v, H == 2 ? 0xee : 0xdd)};
}
template <int H>
MLPEAK_INLINE Vec<double> lower_halves(Vec<double> a, Vec<double> b) {
  if constexpr (H == 2)
    return {_mm256_permute2f128_pd(a.v, b.v, 0x20)};
  else
    return {_mm256_unpacklo_pd(a.v, b.v)};
}
template <int H>
MLPEAK_INLINE Vec<double> upper_halves(Vec<double> a, Vec<double> b) {
  if constexpr (H == 2)
    return {_mm256_permute2f128_pd(a.v, b.v, 0x31)};
  else
    return {_mm256_unpackhi_pd(a.v, b.v)};
}

#elif defined(MLPEAK_TIER_NEON)

template <int H>
MLPEAK_INLINE Vec<float> lower_halves(Vec<float> a, Vec<float> b) {
  if constexpr (H == 2)
    return {vcombine_f32(vget_low_f32(a.v), vget_low_f32(b.v))};
  else
    return {vuzp1q_f32(a.v, b.v)};
}
template <int H>
MLPEAK_INLINE Vec<float> upper_halves(Vec<float> a, Vec<float> b) {
  if constexpr (H == 2)
    return {vcombine_f32(vget_high_f32(a.v), vget_high_f32(b.v))};
  else
    return {vuzp2q_f32(a.v, b.v)};
}
template <int>
MLPEAK_INLINE Vec<double> lower_halves(Vec<double> a, Vec<double> b) {
  return {vzip1q_f64(a.v, b.v)};
}
template <int>
MLPEAK_INLINE Vec<double> upper_halves(Vec<double> a, Vec<double> b) {
  return {vzip2q_f64(a.v, b.v)};
}

#else  // one lane has no halves

template <int, class T>
Vec<T> lower_halves(Vec<T> a, Vec<T> b);
template <int, class T>
Vec<T> upper_halves(Vec<T> a, Vec<T> b);

#endif

template <int H, class T>
MLPEAK_INLINE void sum_halves(Vec<T>* v) {
#pragma GCC unroll 8
  for (int i = 0; i < H; ++i)
    v[i] = lower_halves<H>(v[2 * i], v[2 * i + 1]) + upper_halves<H>(v[2 * i], v[2 * i + 1]);
  if constexpr (H > 1) sum_halves<H / 2>(v);
}

/// Lane i is the sum of v[i]'s lanes, combined by halving as combine_lanes (lanes.h) does; for
/// kLanes registers v.
template <class T>
MLPEAK_INLINE Vec<T> sum_each(const Vec<T>* v) {
  constexpr int kLanes = Vec<T>::kLanes;
  if constexpr (kLanes == 1) {
    return v[0];
  } else {
    // The steps below leave register i of every kQuarters in lane i / kQuarters of 128 bits.
    constexpr int kQuarter = 16 / int(sizeof(T)), kQuarters = kLanes / kQuarter;
    Vec<T> sums[kLanes];
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) sums[i] = v[kQuarter * (i % kQuarters) + i / kQuarters];
    sum_halves<kLanes / 2>(sums);
    return sums[0];
  }
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
