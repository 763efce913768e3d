// What follows the sums of a strip of a weight's gradient: the optimizer's update, after the tile
// or between the steps of the next one, and the fetch of what it touches.
#pragma once

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
/// steps of the tile that sums it.
template <class T>
struct StripFetch {
  static constexpr int kLine = 64 / int(sizeof(T));
  static constexpr int kRounds = kRows, kParts = (kColumns<T> + kLine - 1) / kLine;
  CopiedRows<T> copies;
  int rows;
  int64_t ld;
  const T *weight, *states[3];  // at the row, null where there is none
  T* copy;

  StripFetch(const WeightGradient<T>& w, const Strip<T>& strip)
      : copies(strip.copies),
        rows(strip.rows),
        ld(w.in),
        weight(w.weight + strip.at),
        states{state_at(w, 0, strip.at), state_at(w, 1, strip.at), state_at(w, 2, strip.at)},
        copy(copies_past(w) ? nullptr : strip.copies.first) {}

  MLPEAK_INLINE void step() {}
  MLPEAK_INLINE void round(int r) {
    if (r == 0 || r >= rows) return;
    weight += ld;
    for (const T*& state : states)
      if (state) state += ld;
    if (copy) copy = copies.next(copy, r);
  }
  MLPEAK_INLINE void part(int line) const {
    // Arrays need not begin with a line: a row ends in one more line than it begins in.
    if (line == 0) fetch(0);
    if (line < kParts) fetch(smaller((line + 1) * kLine, kColumns<T>) - 1);
  }

 private:
  MLPEAK_INLINE void fetch(int i) const {
    __builtin_prefetch(weight + i, 1);
    for (const T* state : states)
      if (state) __builtin_prefetch(state + i, 1);
    if (copy) __builtin_prefetch(copy + i, 1);
  }
};

/// A tile of whole registers that fetches for its strip's update.
template <class E, int rows, class T = Sum<E>>
MLPEAK_INLINE void sum_and_fetch(int64_t k, const E* a, int64_t a_col, const E* b, int64_t ldb,
                                 T* c, int64_t ldc, bool first_block, const WeightGradient<T>& w,
                                 const Strip<T>& own) {
  const TileEnd<T>* const no_end = nullptr;
  tile_with<E, rows, kVectors, true>(k, a, 1, a_col, b, ldb, 0, c, ldc, first_n<T>(Vec<T>::kLanes),
                                     first_block, no_end, StripFetch<T>(w, own));
}

/// Adam's update of a strip, a register at a time: round(r) goes on to row r, part(v) updates its
/// register v.
template <class T, bool kPlain, bool kCopies>
struct AdamParts {
  const Adam<T, false, kPlain> adam;
  const Strip<T>& strip;
  int64_t ld;
  bool past;
  const T* sums;
  T *weight, *exp_avg, *exp_avg_sq, *copy;

  AdamParts(const WeightGradient<T>& w, const Strip<T>& strip)
      : adam(w.update->adam),
        strip(strip),
        ld(w.in),
        past(copies_past(w)),
        sums(strip.sums),
        weight(w.weight + strip.at),
        exp_avg(w.states[0] + strip.at),
        exp_avg_sq(w.states[1] + strip.at),
        copy(strip.copies.first) {}

  /// On to the next row; there is none after the strip's last.
  MLPEAK_INLINE void round(int r) {
    if (r == 0) return;
    sums += kColumns<T>;
    weight += ld;
    exp_avg += ld;
    exp_avg_sq += ld;
    if (kCopies) copy = strip.copies.next(copy, r);
    if (r >= strip.rows) weight = nullptr;
  }
  MLPEAK_INLINE void part(int v) const {
    if (!weight) return;
    constexpr int kLanes = Vec<T>::kLanes;
    const int i = v * kLanes;
    if (i + kLanes <= strip.width)
      update(i);
    else if (i < strip.width)
      update(i, first_n<T>(strip.width - i));
  }

 private:
  template <class... M>
  MLPEAK_INLINE void update(int i, M... mask) const {
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
};

/// The update of a strip between a tile's steps, and the fetch for that of the next.
template <class Update, class T>
struct UpdateAndFetch {
  static constexpr int kRounds = kRows, kParts = kVectors;
  Update update;
  StripFetch<T> fetch;

  MLPEAK_INLINE void step() {}
  MLPEAK_INLINE void round(int r) {
    fetch.round(r);
    update.round(r);
  }
  MLPEAK_INLINE void part(int v) const {
    fetch.part(v);
    update.part(v);
  }
};

/// Adam's update of a strip after its tile.
template <class T, bool kPlain, bool kCopies>
void adam_strip(const WeightGradient<T>& w, const Strip<T>& strip) {
  AdamParts<T, kPlain, kCopies> adam(w, strip);
  for (int r = 0; r < strip.rows; ++r) {
    adam.round(r);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) adam.part(v);
  }
}

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
  using Update = AdamParts<T, kPlain, kCopies>;
  tile_with<E, rows, kVectors, true>(
      k, a, 1, a_col, b, ldb, 0, c, kColumns<T>, first_n<T>(Vec<T>::kLanes), true, no_end,
      UpdateAndFetch<Update, T>{Update(w, waiting), StripFetch<T>(w, own)});
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
