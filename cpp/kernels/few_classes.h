// Cross-entropy over few classes, all mass of a row on its target: a register holds one class of as
// many rows as it has lanes. A row as a register of its own would leave most lanes empty, and wait
// for its largest logit, its sum and its quotient by itself.
//
// What is added or compared across classes is so in one order, the same in every tier: that of
// lanes.h for a row of one element a lane.
#pragma once

#include "mlpeak/kernels/losses.h"
#include "simd/lanes.h"
#include "simd/math.h"
#include "simd/transpose.h"

namespace mlpeak {
namespace MLPEAK_TIER {

constexpr int kFewClasses = 16;

/// The classes' values combined by halving: j with j + 8, j + 4, ...; a class that is not there
/// would change nothing.
template <int N, class T, class Op>
MLPEAK_INLINE Vec<T> combine_classes(const Vec<T> (&values)[N], Op op) {
  Vec<T> v[N];
#pragma GCC unroll 16
  for (int c = 0; c < N; ++c) v[c] = values[c];
#pragma GCC unroll 4
  for (int half = kFewClasses / 2; half > 0; half /= 2)
#pragma GCC unroll 8
    for (int c = 0; c < half; ++c)
      if (c + half < N) v[c] = op(v[c], v[c + half]);
  return v[0];
}

/// What is one number a row, for the rows of a block; 0 where a row is ignored or not there.
template <class T>
struct RowTerms {
  static constexpr int kRows = Vec<T>::kLanes;
  T target[kRows];    // -1 where a row is ignored or not there
  T hard[kRows];      // confidence and weight of the target's class
  T weight[kRows];    // the sample's
  T upstream[kRows];  // the loss's gradient

  MLPEAK_INLINE RowTerms(const ClassLossRows<T>& rows, int64_t first, int64_t count, T scale,
                         const T* grad_output) {
    for (int r = 0; r < kRows; ++r) {
      const int64_t i = first + r;
      const bool live = r < count && rows.target[i] != rows.ignore_index;
      const int64_t t = live ? rows.target[i] : -1;
      target[r] = T(t);
      weight[r] = !live ? T(0) : rows.sample_weight ? rows.sample_weight[i] : T(1);
      hard[r] = !live ? T(0) : rows.confidence * (rows.class_weight ? rows.class_weight[t] : T(1));
      upstream[r] = scale * weight[r] * (live && grad_output ? grad_output[i] : T(1));
    }
  }
};

/// Loss and gradient of rows [first, first + count), count <= kLanes, of at most N classes; either
/// may be null, and grad may be the logits.
template <int N, class T>
MLPEAK_INLINE void few_classes_block(const ClassLossRows<T>& rows, int64_t first, int64_t count,
                                     T scale, const T* grad_output, T* loss, T* grad) {
  constexpr int kLanes = Vec<T>::kLanes;
  constexpr int kColumns = (N + kLanes - 1) / kLanes * kLanes;
  const int64_t classes = rows.classes;
  const Vec<T> none = set1(T(-__builtin_inf()));  // the logit of no class: adds nothing
  alignas(64) T by_row[kLanes * kColumns], by_class[kColumns * kLanes];
  for (int r = 0; r < kLanes; ++r)
    for (int c = 0; c < kColumns; c += kLanes) {
      const Mask<T> mask = first_n<T>(r < count ? classes - c : 0);
      const T* const x = rows.input + (first + r) * classes + c;
      store(by_row + r * kColumns + c, select(mask, load(x, mask), none));
    }
  for (int c = 0; c < kColumns; c += kLanes)
    transpose_block(by_row + c, kColumns, by_class + c * kLanes, kLanes);

  const RowTerms<T> terms(rows, first, count, scale, grad_output);
  const Vec<T> zero = set1(T(0));
  const Vec<T> target = load(terms.target), hard = load(terms.hard);
  const Mask<T> live = le(zero, target);
  Vec<T> e[N];
  Vec<T> logit = zero;  // of the target
#pragma GCC unroll 16
  for (int c = 0; c < N; ++c) {
    e[c] = load(by_class + c * kLanes);
    logit = select(eq(target, set1(T(c))), e[c], logit);
  }
  const Vec<T> largest = combine_classes(e, Larger());
#pragma GCC unroll 16
  for (int c = 0; c < N; ++c) e[c] = exp(e[c] - largest);
  const Vec<T> sum = combine_classes(e, Add());
  if (loss) {
    const Vec<T> weighted = select(eq(hard, zero), zero, hard * (logit - largest));
    const Vec<T> value = load(terms.weight) * (hard * log(sum) - weighted);
    store(loss + first, select(live, value, zero), first_n<T>(count));
  }
  if (!grad) return;
  const Vec<T> scaled = load(terms.upstream) * hard;
  const Vec<T> factor = scaled / sum;
#pragma GCC unroll 16
  for (int c = 0; c < N; ++c) {
    const Vec<T> p = e[c] * factor;
    const Vec<T> g = select(eq(target, set1(T(c))), p - scaled, p);
    store(by_class + c * kLanes, select(live, g, zero));
  }
  for (int c = 0; c < kColumns; c += kLanes)
    transpose_block(by_class + c * kLanes, kLanes, by_row + c, kColumns);
  // A whole register may reach into the rows that are still to be stored, but not beyond the block.
  T* const end = grad + (first + count) * classes;
  for (int r = 0; r < count; ++r)
    for (int c = 0; c < classes; c += kLanes) {
      T* const to = grad + (first + r) * classes + c;
      const Vec<T> g = load(by_row + r * kColumns + c);
      if (end - to >= kLanes)
        store(to, g);
      else
        store(to, g, first_n<T>(classes - c));
    }
}

template <int N, class T>
void few_classes(const ClassLossRows<T>& rows, T scale, const T* grad_output, T* loss, T* grad) {
  constexpr int kLanes = Vec<T>::kLanes;
  for (int64_t i = 0; i < rows.rows; i += kLanes) {
    const int64_t count = rows.rows - i < kLanes ? rows.rows - i : kLanes;
    few_classes_block<N>(rows, i, count, scale, grad_output, loss, grad);
  }
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
