// A flat loop over registers whose ends run through the same body under a mask.
#pragma once

#include <cstdint>

#include "simd/vec.h"

namespace mlpeak {
namespace MLPEAK_TIER {

/// How many elements to do first, so that the registers after them begin with a line or half a one:
/// NumPy's arrays begin a quarter of a line into one, where every register of 64 bytes, and every
/// second of 32, would lie in two. All arrays of a call usually begin alike; a store in two lines
/// costs most. None of a short array, where the first register's mask would cost more.
template <class T>
MLPEAK_INLINE int64_t before_line(const T* p, int64_t n) {
  constexpr int64_t kWidth = Vec<T>::kLanes;
  if (n < 128 * kWidth) return 0;
  return -int64_t(reinterpret_cast<uintptr_t>(p) / sizeof(T)) & (kWidth - 1);
}

/// The same loop for a body that writes [0, n) of `out`: its registers begin with lines.
template <class T, class Body>
MLPEAK_INLINE void each_register_of(const T* out, int64_t n, Body body) {
  constexpr int kWidth = Vec<T>::kLanes;
  int64_t i = before_line(out, n);
  if (i > 0) body(0, first_n<T>(i));
  for (; i + kWidth <= n; i += kWidth) body(i);
  if (i < n) body(i, first_n<T>(n - i));
}

/// Calls body(i) for each whole register [i, i + Vec<T>::kLanes) of [0, n), then body(i, mask) for
/// what is left. A body is `[&](int64_t i, auto... mask)` and hands `mask...` to load and store:
/// whole registers are then accessed without a mask, which costs less on AVX2.
template <class T, class Body>
MLPEAK_INLINE void each_register(int64_t n, Body body) {
  each_register_of<T>(nullptr, n, body);
}

/// Elements from i of an array, or `otherwise` where the array is null.
template <class T, class... M>
MLPEAK_INLINE Vec<T> load_or(const T* array, int64_t i, T otherwise, M... mask) {
  return array ? load(array + i, mask...) : set1(otherwise);
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
