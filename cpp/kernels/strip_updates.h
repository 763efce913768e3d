// What follows the sums of a strip of a weight's gradient: the optimizer's update, after the tile
// or between the steps of the next one, and the fetch of what it touches.
#pragma once

#include "kernels/each_register.h"
#include "kernels/packing.h"
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
}

/// Brings what the update of a strip kVectors registers wide will touch into the cache, between the
/// steps of the tile that sums it: the weight and kStates states. A state that there is not is the
/// weight once more, which costs less than to ask.
template <class T, int kStates>
struct StripFetch {
  static constexpr int kLine = 64 / int(sizeof(T));
  static constexpr int kParts = (kColumns<T> + kLine - 1) / kLine;
  int rounds;
  int64_t ld;
  const T *weight, *states[kStates];

  StripFetch(const WeightGradient<T>& w, const Strip<T>& strip)
      : rounds(strip.rows), ld(w.in), weight(w.weight + strip.at) {
    for (int i = 0; i < kStates; ++i) states[i] = w.states[i] ? w.states[i] + strip.at : weight;
  }

  MLPEAK_INLINE void step() {}
  MLPEAK_INLINE void part(int line) const {
    // Where arrays do not begin with a line, a row has one more: the one that the panel before
    // ended in, which is still in L2.
    fetch(smaller((line + 1) * kLine, kColumns<T>) - 1);
  }
  MLPEAK_INLINE void next() {
    weight += ld;
    for (const T*& state : states) state += ld;
  }

 private:
  MLPEAK_INLINE void fetch(int i) const {
    __builtin_prefetch(weight + i, 1, 2);
    for (const T* state : states) __builtin_prefetch(state + i, 1, 2);
  }
};

/// A tile of whole registers that fetches for its strip's update.
template <class E, int rows, class T = Sum<E>>
MLPEAK_INLINE void sum_and_fetch(int64_t k, const E* a, int64_t a_col, const E* b, int64_t ldb,
                                 T* c, int64_t ldc, bool first_block, const WeightGradient<T>& w,
                                 const Strip<T>& own) {
  const TileEnd<T>* const no_end = nullptr;
  tile_with<E, rows, kVectors, kLines>(k, a, 1, a_col, b, ldb, 0, c, ldc,
                                       first_n<T>(Vec<T>::kLanes), first_block, no_end,
                                       StripFetch<T, 3>(w, own));
}

/// Adam's update of a strip, row by row, a register at a time.
template <class T, bool kPlain>
struct AdamRows {
  const Adam<T, false, kPlain> adam;
  int64_t ld;
  const T* sums;
  T *weight, *exp_avg, *exp_avg_sq;

  AdamRows(const WeightGradient<T>& w, const Strip<T>& strip)
      : adam(w.update->adam),
        ld(w.in),
        sums(strip.sums),
        weight(w.weight + strip.at),
        exp_avg(w.states[0] + strip.at),
        exp_avg_sq(w.states[1] + strip.at) {}

  template <class... M>
  MLPEAK_INLINE void update(int64_t i, M... mask) const {
    Vec<T> state[] = {load(exp_avg + i, mask...), load(exp_avg_sq + i, mask...)};
    const Vec<T> p = adam(load(weight + i, mask...), load(sums + i, mask...), state);
    store(weight + i, p, mask...);
    store(exp_avg + i, state[0], mask...);
    store(exp_avg_sq + i, state[1], mask...);
  }
  MLPEAK_INLINE void next() {
    sums += kColumns<T>;
    weight += ld;
    exp_avg += ld;
    exp_avg_sq += ld;
  }
};

/// Adam's update of a strip after its tile.
template <class T, bool kPlain>
void adam_strip(const WeightGradient<T>& w, const Strip<T>& strip) {
  AdamRows<T, kPlain> rows(w, strip);
  for (int r = 0; r < strip.rows; ++r, rows.next())
    each_register<T>(strip.width, [&](int64_t i, auto... mask)
                                      MLPEAK_LAMBDA_INLINE { rows.update(i, mask...); });
}

/// The update of a strip of whole panel width between a tile's steps, and the fetch of as many rows
/// for the next strip's.
template <class T, bool kPlain>
struct UpdateAndFetch {
  static constexpr int kParts = kVectors;
  AdamRows<T, kPlain> update;
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

template <class E, int rows, bool kPlain, class T = Sum<E>>
void tile_and_adam(int64_t k, const E* a, int64_t a_col, const E* b, int64_t ldb, T* c,
                   const WeightGradient<T>& w, const Strip<T>& waiting, const Strip<T>& own) {
  const TileEnd<T>* const no_end = nullptr;
  tile_with<E, rows, kVectors, kLines>(k, a, 1, a_col, b, ldb, 0, c, kColumns<T>,
                                       first_n<T>(Vec<T>::kLanes), true, no_end,
                                       UpdateAndFetch<T, kPlain>(w, waiting, own));
}

/// How the strips of a gradient are updated. Tiles of kRows - 1 and of kRows rows that also fetch,
/// or also update the strip that waits, are null where that does not pay.
template <class E, class T = Sum<E>>
struct Updating {
  void (*alone)(const WeightGradient<T>& w, const Strip<T>& strip) = update_strip<T>;
  UpdatingTile<E> fetch[2] = {}, adam[2] = {};

  explicit Updating(const WeightGradient<T>& w) {
    if (!w.update) return;
    // On few registers a tile has no time to spare; nor need it fetch what L2 holds ten times.
    if (!kFewRegisters || w.out * w.in * int64_t(sizeof(T)) > kLevel2 / 10) {
      fetch[0] = tile_and_fetch<E, kRows - 1>;
      fetch[1] = tile_and_fetch<E, kRows>;
    }
    if (w.update->rule != Rule::adam) return;
    is_plain(w.update->adam) ? use<true>() : use<false>();
  }

 private:
  template <bool kPlain>
  void use() {
    alone = adam_strip<T, kPlain>;
    if (kFewRegisters) return;  // the update would push the tile's sums out of them
    adam[0] = tile_and_adam<E, kRows - 1, kPlain>;
    adam[1] = tile_and_adam<E, kRows, kPlain>;
  }
};

}  // namespace
}  // namespace MLPEAK_TIER
}  // namespace mlpeak
