// Reductions of one fixed shape: 64 bytes of lanes (16 floats, 8 doubles) in every tier.
//
// Element i of a row always goes to lane i mod kLaneCount, lanes take their elements in order, and
// the lanes are combined by halving: lane i with lane i + kLaneCount/2, and so on. A tier with
// narrower registers holds the same lanes in several of them, so the result has the same bits.
#pragma once

#include "simd/vec.h"

namespace mlpeak {
namespace MLPEAK_TIER {

template <class T>
constexpr int kLaneCount = 64 / int(sizeof(T));

template <class T>
struct Lanes {
  static constexpr int kRegs = kLaneCount<T> / Vec<T>::kLanes;
  Vec<T> reg[kRegs];
};

template <class T>
MLPEAK_INLINE Lanes<T> fill_lanes(T x) {
  Lanes<T> lanes;
  for (int r = 0; r < Lanes<T>::kRegs; ++r) lanes.reg[r] = set1(x);
  return lanes;
}

/// Folds combine(lane, term(i, mask)) over i in [0, n); lanes past n keep their value.
/// term(i, mask) returns the register of elements i .. i + Vec<T>::kLanes - 1; where mask is off it
/// must not touch memory, and what it returns there is ignored.
template <class T, class Combine, class Term>
MLPEAK_INLINE void fold_lanes(Lanes<T>& lanes, int64_t n, Combine combine, Term term) {
  constexpr int kWidth = Vec<T>::kLanes;
  const Mask<T> all = first_n<T>(kWidth);
  int64_t i = 0;
  for (; i + kLaneCount<T> <= n; i += kLaneCount<T>)
    for (int r = 0; r < Lanes<T>::kRegs; ++r)
      lanes.reg[r] = combine(lanes.reg[r], term(i + r * kWidth, all));
  for (int r = 0; r < Lanes<T>::kRegs && i + r * kWidth < n; ++r) {
    const Mask<T> mask = first_n<T>(n - i - r * kWidth);
    lanes.reg[r] = select(mask, combine(lanes.reg[r], term(i + r * kWidth, mask)), lanes.reg[r]);
  }
}

/// Combines the lanes into one value by halving; op(a, b) works on two T.
template <class T, class Op>
MLPEAK_INLINE T combine_lanes(const Lanes<T>& lanes, Op op) {
  T x[kLaneCount<T>];
  for (int r = 0; r < Lanes<T>::kRegs; ++r) store(x + r * Vec<T>::kLanes, lanes.reg[r]);
  for (int half = kLaneCount<T> / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) x[i] = op(x[i], x[i + half]);
  return x[0];
}

/// Sum of term(i, mask) over i in [0, n). For n = 0 it is 0.
template <class T, class Term>
MLPEAK_INLINE T sum_lanes(int64_t n, Term term) {
  Lanes<T> lanes = fill_lanes(T(0));
  fold_lanes(lanes, n, [](Vec<T> a, Vec<T> b) MLPEAK_LAMBDA_INLINE { return a + b; }, term);
  return combine_lanes(lanes, [](T a, T b) { return a + b; });
}

/// Largest term(i, mask) over i in [0, n), n > 0; a NaN in any term gives NaN.
template <class T, class Term>
MLPEAK_INLINE T max_lanes(int64_t n, Term term) {
  Lanes<T> lanes = fill_lanes(T(-__builtin_inf()));
  fold_lanes(
      lanes, n,
      [](Vec<T> a, Vec<T> b) MLPEAK_LAMBDA_INLINE { return select(is_nan(a), a, max(a, b)); },
      term);
  return combine_lanes(lanes, [](T a, T b) { return a != a ? a : (a > b ? a : b); });
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
