// What follows the sums of a strip of a weight's gradient: the optimizer's update, after the tile
// or between the steps of the next one, and the fetch of what it touches.
#pragma once

#include "kernels/each_register.h"
#include "kernels/packed_weight.h"
#include "kernels/register.h"
#include "kernels/updates.h"

namespace mlpeak {
namespace MLPEAK_TIER {
namespace {

/// Element `at` of a state of the weight, or null without that state.
template <class T>
T* state_at(const WeightGradient<T>& w, int state, int64_t at) {
  return w.states[state] ? w.states[state] + at : nullptr;
}

/// A strip of the weight whose sums are complete and whose update is still to come.
template <class T>
struct Strip {
  int rows = 0;  // 0 if there is none
  int64_t width;
  int64_t at;     // its first element's place in the weight and the states
  const T* sums;  // rows kColumns apart
  CopiedRows<T> copies;
};

template <class T>
void copy_row(const T* from, int64_t width, T* to) {
  constexpr int64_t kLanes = Vec<T>::kLanes;
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) store(to + i, load(from + i));
  for (; i < width; ++i) to[i] = from[i];
}

/// Any optimizer's update of a strip.
template <class T>
void update_strip(const WeightGradient<T>& w, const Strip<T>& s) {
  T* const states[] = {state_at(w, 0, s.at), state_at(w, 1, s.at), state_at(w, 2, s.at)};
  kernel_table().of(T()).optimizers.update(*w.update, s.rows, s.width, w.in, w.weight + s.at,
                                           s.sums, kColumns<T>, states);
  T* copy = s.copies.first;
  for (int r = 0; copy && r < s.rows; ++r) {
    if (r > 0) copy = s.copies.next(copy, r);
    copy_row(w.weight + s.at + r * w.in, s.width, copy);
  }
}

/// Brings what the update of a strip kVectors registers wide will touch into the cache, between the
/// steps of the tile that sums it: the weight, kStates states and the packed copy. What there is
/// not is the weight once more, which costs less than to ask.
template <class T, int kStates>
struct StripFetch {
  static constexpr int kLine = 64 / int(sizeof(T));
  static constexpr int kParts = (kColumns<T> + kLine - 1) / kLine;
  int rounds, row = 0;
  int64_t ld;
  const T *weight, *states[kStates];
  CopiedRows<T> copies;
  T* copy;

  StripFetch(const WeightGradient<T>& w, const Strip<T>& strip)
      : rounds(strip.rows), ld(w.in), weight(w.weight + strip.at), copies(strip.copies) {
    for (int i = 0; i < kStates; ++i) states[i] = w.states[i] ? w.states[i] + strip.at : weight;
    if (!copies.first || copies_past(w)) copies = CopiedRows<T>(w.weight + strip.at, ld);
    copy = copies.first;
  }

  MLPEAK_INLINE void step() {}
  MLPEAK_INLINE void part(int line) const {
    // Arrays need not begin with a line: a row ends in one more line than it begins in.
    if (line == 0) fetch(0);
    fetch(smaller((line + 1) * kLine, kColumns<T>) - 1);
  }
  MLPEAK_INLINE void next() {
    weight += ld;
    for (const T*& state : states) state += ld;
    copy = copies.next(copy, ++row);
  }

 private:
  MLPEAK_INLINE void fetch(int i) const {
    __builtin_prefetch(weight + i, 1);
    for (const T* state : states) __builtin_prefetch(state + i, 1);
    __builtin_prefetch(copy + i, 1);
  }
};

/// A tile of whole registers that fetches for its strip's update.
template <class E, int rows, class T = Sum<E>>
MLPEAK_INLINE void sum_and_fetch(int64_t k, const E* a, int64_t a_col, const E* b, int64_t ldb,
                                 T* c, int64_t ldc, bool first_block, const WeightGradient<T>& w,
                                 const Strip<T>& own) {
  const TileEnd<T>* const no_end = nullptr;
  tile_with<E, rows, kVectors, true>(k, a, 1, a_col, b, ldb, 0, c, ldc, first_n<T>(Vec<T>::kLanes),
                                     first_block, no_end, StripFetch<T, 3>(w, own));
}

/// Adam's update of a strip, row by row, a register at a time.
template <class T, bool kPlain, bool kCopies>
struct AdamRows {
  const Adam<T, false, kPlain> adam;
  int rounds, row = 0;
  int64_t ld;
  bool past;
  const T* sums;
  T *weight, *exp_avg, *exp_avg_sq;
  CopiedRows<T> copies;
  T* copy;

  AdamRows(const WeightGradient<T>& w, const Strip<T>& strip)
      : adam(w.update->adam),
        rounds(strip.rows),
        ld(w.in),
        past(copies_past(w)),
        sums(strip.sums),
        weight(w.weight + strip.at),
        exp_avg(w.states[0] + strip.at),
        exp_avg_sq(w.states[1] + strip.at),
        copies(strip.copies),
        copy(copies.first) {}

  template <class... M>
  MLPEAK_INLINE void update(int64_t i, M... mask) const {
    Vec<T> state[] = {load(exp_avg + i, mask...), load(exp_avg_sq + i, mask...)};
    const Vec<T> p = adam(load(weight + i, mask...), load(sums + i, mask...), state);
    store(weight + i, p, mask...);
    store(exp_avg + i, state[0], mask...);
    store(exp_avg_sq + i, state[1], mask...);
    if (!kCopies) return;
    if constexpr (sizeof...(mask) == 0)
      past ? stream(copy + i, p) : store(copy + i, p);
    else
      store(copy + i, p, mask...);
  }
  MLPEAK_INLINE void next() {
    sums += kColumns<T>;
    weight += ld;
    exp_avg += ld;
    exp_avg_sq += ld;
    if (kCopies) copy = copies.next(copy, ++row);
  }
};

/// Adam's update of a strip after its tile.
template <class T, bool kPlain, bool kCopies>
void adam_strip(const WeightGradient<T>& w, const Strip<T>& strip) {
  AdamRows<T, kPlain, kCopies> rows(w, strip);
  for (int r = 0; r < strip.rows; ++r, rows.next())
    each_register<T>(strip.width, [&](int64_t i, auto... mask)
                                      MLPEAK_LAMBDA_INLINE { rows.update(i, mask...); });
}

/// The update of a strip of whole panel width between a tile's steps, and the fetch for the next
/// strip's, which has no more rows.
template <class T, bool kPlain, bool kCopies>
struct UpdateAndFetch {
  static constexpr int kParts = kVectors;
  AdamRows<T, kPlain, kCopies> update;
  StripFetch<T, 2> fetch;
  int rounds;

  UpdateAndFetch(const WeightGradient<T>& w, const Strip<T>& waiting, const Strip<T>& own)
      : update(w, waiting), fetch(w, own), rounds(waiting.rows) {}

  MLPEAK_INLINE void step() {}
  MLPEAK_INLINE void part(int v) const {
    fetch.part(v);
    update.update(v * Vec<T>::kLanes);
  }
  MLPEAK_INLINE void next() {
    fetch.next();
    update.next();
  }
};

/// A tile of whole registers, and meanwhile the update of the strip `waiting`, or nothing but the
/// fetch for its own strip's.
template <class E, class T = Sum<E>>
using UpdatingTile = void (*)(int64_t k, const E* a, int64_t a_col, const E* b, int64_t ldb, T* c,
                              const WeightGradient<T>& w, const Strip<T>& waiting,
                              const Strip<T>& own);

template <class E, int rows, class T = Sum<E>>
void tile_and_fetch(int64_t k, const E* a, int64_t a_col, const E* b, int64_t ldb, T* c,
                    const WeightGradient<T>& w, const Strip<T>&, const Strip<T>& own) {
  sum_and_fetch<E, rows>(k, a, a_col, b, ldb, c, kColumns<T>, true, w, own);
}

template <class E, int rows, bool kPlain, bool kCopies, class T = Sum<E>>
void tile_and_adam(int64_t k, const E* a, int64_t a_col, const E* b, int64_t ldb, T* c,
                   const WeightGradient<T>& w, const Strip<T>& waiting, const Strip<T>& own) {
  const TileEnd<T>* const no_end = nullptr;
  tile_with<E, rows, kVectors, true>(k, a, 1, a_col, b, ldb, 0, c, kColumns<T>,
                                     first_n<T>(Vec<T>::kLanes), true, no_end,
                                     UpdateAndFetch<T, kPlain, kCopies>(w, waiting, own));
}

/// How the strips of a gradient are updated. Tiles of kRows - 1 and of kRows rows that also fetch,
/// or also update the strip that waits, are null where that does not pay.
template <class E, class T = Sum<E>>
struct Updating {
  void (*alone)(const WeightGradient<T>& w, const Strip<T>& strip) = update_strip<T>;
  UpdatingTile<E> fetch[2] = {}, adam[2] = {};

  Updating(const WeightGradient<T>& w, bool copies) {
    if (!w.update) return;
    // all that the update of a weight with Adam touches
    const int64_t touched = 5 * w.out * w.in * int64_t(sizeof(T));
    if (!kFewRegisters || touched > kLevel2 / 2) {
      fetch[0] = tile_and_fetch<E, kRows - 1>;
      fetch[1] = tile_and_fetch<E, kRows>;
    }
    if (w.update->rule != Rule::adam) return;
    if (is_plain(w.update->adam))
      copies ? use<true, true>() : use<true, false>();
    else
      copies ? use<false, true>() : use<false, false>();
  }

 private:
  template <bool kPlain, bool kCopies>
  void use() {
    alone = adam_strip<T, kPlain, kCopies>;
    if (kFewRegisters) return;  // the update would push the tile's sums out of them
    adam[0] = tile_and_adam<E, kRows - 1, kPlain, kCopies>;
    adam[1] = tile_and_adam<E, kRows, kPlain, kCopies>;
  }
};

}  // namespace
}  // namespace MLPEAK_TIER
}  // namespace mlpeak
