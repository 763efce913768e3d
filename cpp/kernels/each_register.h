// A flat loop over registers whose tail runs through the same body under a mask.
#pragma once

#include "simd/vec.h"

namespace mlpeak {
namespace MLPEAK_TIER {

/// Calls body(i) for each whole register [i, i + Vec<T>::kLanes) of [0, n), then body(i, mask) for
/// what is left. A body is `[&](int64_t i, auto... mask)` and hands `mask...` to load and store:
/// whole registers are then accessed without a mask, which costs less on AVX2.
template <class T, class Body>
MLPEAK_INLINE void each_register(int64_t n, Body body) {
  constexpr int kWidth = Vec<T>::kLanes;
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) body(i);
  if (i < n) body(i, first_n<T>(n - i));
}

/// Elements from i of an array, or `otherwise` where the array is null.
template <class T, class... M>
MLPEAK_INLINE Vec<T> load_or(const T* array, int64_t i, T otherwise, M... mask) {
  return array ? load(array + i, mask...) : set1(otherwise);
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
