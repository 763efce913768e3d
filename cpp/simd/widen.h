// The one integer product that the shim lacks: of the low halves of 64-bit lanes.
#pragma once

#include "simd/vec.h"

namespace mlpeak {
namespace MLPEAK_TIER {

/// a mod 2^32 times b mod 2^32 in each 64-bit lane, in full.
MLPEAK_INLINE Vec<int64_t> mul_low_halves(Vec<int64_t> a, Vec<int64_t> b) {
#if defined(MLPEAK_TIER_AVX512) || defined(MLPEAK_TIER_AVX512_BF16)
  return {_mm512_mul_epu32(a.v, b.v)};
#elif defined(MLPEAK_TIER_AVX2)
  return {_mm256_mul_epu32(a.v, b.v)};
#elif defined(MLPEAK_TIER_NEON)
  return {vreinterpretq_s64_u64(
      vmull_u32(vmovn_u64(vreinterpretq_u64_s64(a.v)), vmovn_u64(vreinterpretq_u64_s64(b.v))))};
#else
  return {int64_t(uint64_t(uint32_t(a.v)) * uint32_t(b.v))};
#endif
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
