// Reductions of one fixed shape: 64 bytes of lanes (16 floats, 8 doubles) in every tier.
//
// Element i of a row always goes to lane i mod kLaneCount, lanes take their elements in order, and
// the lanes are combined by halving: lane i with lane i + kLaneCount/2, and so on. A tier with
// narrower registers holds the same lanes in several of them, so the result has the same bits.
#pragma once

#include "simd/halves.h"

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

/// Folds combine(lane, term(i)) over i in [0, n); lanes past n keep their value.
/// term(i) returns the register of elements i .. i + Vec<T>::kLanes - 1, term(i, mask) only what is
/// in [0, n): where mask is off it must not touch memory, and what it returns there is ignored. A
/// term is `[&](int64_t i, auto... mask)`, as in kernels/each_register.h.
template <class T, class Combine, class Term>
MLPEAK_INLINE void fold_lanes(Lanes<T>& lanes, int64_t n, Combine combine, Term term) {
  constexpr int kWidth = Vec<T>::kLanes;
  int64_t i = 0;
  for (; i + kLaneCount<T> <= n; i += kLaneCount<T>)
    for (int r = 0; r < Lanes<T>::kRegs; ++r)
      lanes.reg[r] = combine(lanes.reg[r], term(i + r * kWidth));
  for (int r = 0; r < Lanes<T>::kRegs && i < n; ++r, i += kWidth) {
    Vec<T>& lane = lanes.reg[r];
    if (i + kWidth <= n) {
      lane = combine(lane, term(i));
    } else {
      const Mask<T> mask = first_n<T>(n - i);
      lane = select(mask, combine(lane, term(i, mask)), lane);
    }
  }
}

/// Combines lanes by halving until they are one register; op(a, b) works on two.
template <class T, class Op>
MLPEAK_INLINE Vec<T> combine_registers(Lanes<T> lanes, Op op) {
#pragma GCC unroll 8
  for (int half = Lanes<T>::kRegs / 2; half > 0; half /= 2)
#pragma GCC unroll 8
    for (int r = 0; r < half; ++r) lanes.reg[r] = op(lanes.reg[r], lanes.reg[r + half]);
  return lanes.reg[0];
}

/// Combines the lanes into one value by halving.
template <class T, class Op>
MLPEAK_INLINE T combine_lanes(Lanes<T> lanes, Op op) {
  constexpr int kWidth = Vec<T>::kLanes;
  Vec<T> v = combine_registers(lanes, op);
  if constexpr (kWidth > 8) v = op(v, upper_half<8>(v));
  if constexpr (kWidth > 4) v = op(v, upper_half<4>(v));
  if constexpr (kWidth > 2) v = op(v, upper_half<2>(v));
  if constexpr (kWidth > 1) v = op(v, upper_half<1>(v));
  return first_lane(v);
}

/// The two ways of combining: addition, and the larger with NaN before all numbers.
struct Add {
  template <class T>
  MLPEAK_INLINE Vec<T> operator()(Vec<T> a, Vec<T> b) const {
    return a + b;
  }
};
struct Larger {
  template <class T>
  MLPEAK_INLINE Vec<T> operator()(Vec<T> a, Vec<T> b) const {
    return select(is_nan(a), a, max(a, b));
  }
};

/// Sum of term over i in [0, n). For n = 0 it is 0.
template <class T, class Term>
MLPEAK_INLINE T sum_lanes(int64_t n, Term term) {
  Lanes<T> lanes = fill_lanes(T(0));
  fold_lanes(lanes, n, Add(), term);
  return combine_lanes(lanes, Add());
}

/// Largest term over i in [0, n), n > 0; a NaN in any term gives NaN.
template <class T, class Term>
MLPEAK_INLINE T max_lanes(int64_t n, Term term) {
  Lanes<T> lanes = fill_lanes(T(-__builtin_inf()));
  fold_lanes(lanes, n, Larger(), term);
  return combine_lanes(lanes, Larger());
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
