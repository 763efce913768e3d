// Horner's rule on registers.
#pragma once

#include "simd/vec.h"

namespace mlpeak {
namespace MLPEAK_TIER {

/// c[0] x^(N-1) + ... + c[N-1], one fma a step.
template <class T, int N>
MLPEAK_INLINE Vec<T> polynomial(Vec<T> x, const T (&c)[N]) {
  Vec<T> sum = set1(c[0]);
#pragma GCC unroll 32
  for (int i = 1; i < N; ++i) sum = fma(sum, x, set1(c[i]));
  return sum;
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
