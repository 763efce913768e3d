// Moving the upper half of a register down: what combining lanes by halving needs.
#pragma once

#include "simd/vec.h"

namespace mlpeak {
namespace MLPEAK_TIER {

/// Lane i is lane i + H of v for i < H, H a power of two below kLanes; other lanes hold anything.
template <int H>
MLPEAK_INLINE Vec<float> upper_half(Vec<float> v) {
#if defined(MLPEAK_TIER_AVX512) || defined(MLPEAK_TIER_AVX512_BF16)
  if constexpr (H >= 4)
    return {_mm512_shuffle_f32x4(v.v, v.v, H == 8 ? 0xee : 0x55)};
  else
    return {_mm512_permute_ps(v.v, H == 2 ? 0xee : 0x55)};
#elif defined(MLPEAK_TIER_AVX2)
  if constexpr (H == 4)
    return {_mm256_permute2f128_ps(v.v, v.v, 0x11)};
  else
    return {_mm256_permute_ps(v.v, H == 2 ? 0xee : 0x55)};
#elif defined(MLPEAK_TIER_NEON)
  return {vextq_f32(v.v, v.v, H)};
#else
  return v;
#endif
}

template <int H>
MLPEAK_INLINE Vec<double> upper_half(Vec<double> v) {
#if defined(MLPEAK_TIER_AVX512) || defined(MLPEAK_TIER_AVX512_BF16)
  if constexpr (H >= 2)
    return {_mm512_shuffle_f64x2(v.v, v.v, H == 4 ? 0xee : 0x55)};
  else
    return {_mm512_permute_pd(v.v, 0x55)};
#elif defined(MLPEAK_TIER_AVX2)
  if constexpr (H == 2)
    return {_mm256_permute2f128_pd(v.v, v.v, 0x11)};
  else
    return {_mm256_permute_pd(v.v, 0x5)};
#elif defined(MLPEAK_TIER_NEON)
  return {vextq_f64(v.v, v.v, H)};
#else
  return v;
#endif
}

/// Lane 0.
template <class T>
MLPEAK_INLINE T first_lane(Vec<T> v) {
  T lanes[Vec<T>::kLanes];
  store(lanes, v);
  return lanes[0];
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
