// The weight gradient by register tiles, with the optimizer in the tile's wake.
//
// A panel of X (the batch x the tile's columns) is walked by strips of G's columns. A strip's sums,
// once complete, are used up by the update while the next strip's sums run: the update's divisions
// and square roots keep the divider busy, the sums the multipliers. What a strip's update will read
// is fetched while the strip is summed. The gradient never reaches memory beyond L1.
#include "mlpeak/kernels/weights.h"

#include "kernels/packed_weight.h"
#include "kernels/register.h"
#include "kernels/tiles.h"
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
  static constexpr int kRounds = kRows, kParts = kVectors;
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
  MLPEAK_INLINE void part(int v) const {
    constexpr int kLanes = Vec<T>::kLanes;
    // Arrays need not begin with a line: a row's registers end in one more line than they begin in.
    if (v == 0) fetch(0);
    fetch(v * kLanes + kLanes - 1);
  }

 private:
  MLPEAK_INLINE void fetch(int i) const {
    __builtin_prefetch(weight + i, 1);
    for (const T* state : states)
      if (state) __builtin_prefetch(state + i, 1);
    if (copy) __builtin_prefetch(copy + i, 1);
  }
};

/// Adam's update of a strip that is kVectors registers wide, a register at a time: what runs
/// between a tile's steps.
template <class T, bool kPlain, bool kCopies>
struct AdamParts {
  static constexpr int kRounds = kRows, kParts = kVectors;
  const Adam<T, false, kPlain> adam;
  const Strip<T>& strip;
  int64_t ld;
  bool past;
  const T* sums;
  T *weight, *exp_avg, *exp_avg_sq, *copy;
  StripFetch<T> fetch;  // of the strip that comes next

  AdamParts(const WeightGradient<T>& w, const Strip<T>& strip, const Strip<T>& next)
      : adam(w.update->adam),
        strip(strip),
        ld(w.in),
        past(copies_past(w)),
        sums(strip.sums),
        weight(w.weight + strip.at),
        exp_avg(w.states[0] + strip.at),
        exp_avg_sq(w.states[1] + strip.at),
        copy(strip.copies.first),
        fetch(w, next) {}

  MLPEAK_INLINE void step() {}
  /// On to the next row; there is none after the strip's last.
  MLPEAK_INLINE void round(int r) {
    fetch.round(r);
    if (r == 0) return;
    sums += kColumns<T>;
    weight += ld;
    exp_avg += ld;
    exp_avg_sq += ld;
    if (kCopies) copy = strip.copies.next(copy, r);
    if (r >= strip.rows) weight = nullptr;
  }
  MLPEAK_INLINE void part(int v) const {
    fetch.part(v);
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

/// A tile of whole registers, and meanwhile the update of the strip `waiting`, or nothing but the
/// fetch for its own strip's.
template <class E, class T = Sum<E>>
using UpdatingTile = void (*)(int64_t k, const E* a, int64_t a_col, const E* b, int64_t ldb, T* c,
                              const WeightGradient<T>& w, const Strip<T>& waiting,
                              const Strip<T>& own);

template <class E, int rows, class T = Sum<E>>
void tile_and_fetch(int64_t k, const E* a, int64_t a_col, const E* b, int64_t ldb, T* c,
                    const WeightGradient<T>& w, const Strip<T>&, const Strip<T>& own) {
  const TileEnd<T>* const no_end = nullptr;
  tile_with<E, rows, kVectors, true>(k, a, 1, a_col, b, ldb, 0, c, kColumns<T>,
                                     first_n<T>(Vec<T>::kLanes), true, no_end,
                                     StripFetch<T>(w, own));
}

template <class E, int rows, bool kPlain, bool kCopies, class T = Sum<E>>
void tile_and_adam(int64_t k, const E* a, int64_t a_col, const E* b, int64_t ldb, T* c,
                   const WeightGradient<T>& w, const Strip<T>& waiting, const Strip<T>& own) {
  const TileEnd<T>* const no_end = nullptr;
  tile_with<E, rows, kVectors, true>(k, a, 1, a_col, b, ldb, 0, c, kColumns<T>,
                                     first_n<T>(Vec<T>::kLanes), true, no_end,
                                     AdamParts<T, kPlain, kCopies>(w, waiting, own));
}

/// The tiles of a gradient by what is to do meanwhile: nothing waits, or an update; kRows - 1 rows
/// or kRows.
template <class E, class T = Sum<E>>
struct UpdatingTiles {
  UpdatingTile<E> fetch[2] = {tile_and_fetch<E, kRows - 1>, tile_and_fetch<E, kRows>};
  UpdatingTile<E> adam[2];  // null for other optimizers

  UpdatingTiles(const WeightGradient<T>& w, bool copies) {
    if (!w.update || w.update->rule != Rule::adam)
      fill(nullptr, nullptr);
    else if (is_plain(w.update->adam))
      copies ? use<true, true>() : use<true, false>();
    else
      copies ? use<false, true>() : use<false, false>();
  }

 private:
  void fill(UpdatingTile<E> low, UpdatingTile<E> high) {
    adam[0] = low;
    adam[1] = high;
  }
  template <bool kPlain, bool kCopies>
  void use() {
    fill(tile_and_adam<E, kRows - 1, kPlain, kCopies>, tile_and_adam<E, kRows, kPlain, kCopies>);
  }
};

template <class E>
int64_t workspace_size(int64_t batch, int64_t out) {
  const int64_t steps = steps_of<E>(batch), depth = smaller(steps, kMaxDepth);
  const int64_t rounded = kDepth<E> > 1 ? out * steps : 0;
  const int64_t few = 2 * kColumns<E> * kColumns<E>;  // as few_inputs needs it
  return (out + 2 * kRows) * kColumns<E> + depth * kColumns<E> + (rounded > few ? rounded : few);
}

/// Columns [j, j + width) of X's rows [first, first + count) into a panel.
template <class T>
void pack_samples(const WeightGradient<T>& w, int64_t first, int64_t count, int64_t j,
                  int64_t width, T* panel) {
  pack_panels(count, width, w.x + first * w.x_ld + j, w.x_ld, int64_t(1), panel);
}
void pack_samples(const WeightGradient<float>& w, int64_t first, int64_t count, int64_t j,
                  int64_t width, Pair* panel) {
  constexpr int64_t kPanel = kColumns<Pair>;
  for (int64_t p = 0; p < count; p += 2, panel += kPanel) {
    const float* even = w.x + (first + p) * w.x_ld + j;
    pairs_across(width, even, p + 1 < count ? even + w.x_ld : nullptr, panel);
    for (int64_t i = width; i < kPanel; ++i) panel[i] = Pair();
  }
}

/// Whether rows [0, rows) of dW have so few columns that its transpose takes less time: a column
/// count just beyond whole registers wastes lanes.
template <class T>
bool has_few_inputs(int64_t rows, int64_t in) {
  constexpr int64_t kLanes = Vec<T>::kLanes;
  const auto registers = [](int64_t n) { return (n + kLanes - 1) / kLanes; };
  return in <= kColumns<T> && 8 * in * registers(rows) < 7 * rows * registers(in);
}

/// Rows [o0, o1) of dW by its transpose: the inputs are strips, G's columns are panels.
template <class T>
void few_inputs(const WeightGradient<T>& w, int64_t o0, int64_t o1, T* workspace) {
  constexpr int64_t kPanel = kColumns<T>, kLanes = Vec<T>::kLanes;
  T* const sums = workspace;               // in x kPanel
  T* const grad = sums + kPanel * kPanel;  // kPanel x in
  T* const panel = grad + kPanel * kPanel;
  const int64_t depth = block_depth(w.batch);
  const Strips strips(w.in);
  for (int64_t o = o0; o < o1; o += kPanel) {
    const int64_t width = smaller(kPanel, o1 - o);
    const int vectors = int((width + kLanes - 1) / kLanes);
    int64_t pc = 0;
    do {  // once even for an empty batch
      const int64_t kc = smaller(depth, w.batch - pc);
      MatrixView<T> g = {w.grad + pc * w.grad_ld + o, w.grad_ld, 1};
      if (width % kLanes) {
        pack_panels(kc, width, g.data, g.row, g.col, panel);
        g = {panel, kPanel, 1};
      }
      for (int64_t s = 0, i = 0; s < strips.count; i += strips.rows(s), ++s)
        kTiles<T>.of[1][strips.rows(s)][vectors](kc, w.x + pc * w.x_ld + i, 1, w.x_ld, g.data,
                                                 g.row, 0, sums + i * kPanel, kPanel,
                                                 first_n<T>(kLanes), pc == 0, nullptr);
      pc += depth;
    } while (pc < w.batch);
    transpose(w.in, width, sums, kPanel, grad, w.in);
    const int64_t at = o * w.in, count = width * w.in;  // adjacent in W
    if (!w.update) {
      copy_row(grad, count, w.gradient + at);
      continue;
    }
    T* const states[] = {state_at(w, 0, at), state_at(w, 1, at), state_at(w, 2, at)};
    kernel_table().of(T()).optimizers.update(*w.update, 1, count, count, w.weight + at, grad, count,
                                             states);
    if (w.backward) {
      PackedRows<T> packed(w.backward, w.in, w.out, 0);
      for (int64_t r = 0; r < width; ++r)
        copy_row(w.weight + at + r * w.in, w.in, packed.at(o + r));
    }
    if (w.forward) ForwardCopy<T>(w, o, 0, w.in).finish(o + width);
  }
  if (w.update && copies_past(w)) finish_streams();
}

template <class E, class T = Sum<E>>
void gradient(const WeightGradient<T>& w, int64_t o0, int64_t o1, int64_t j0, int64_t j1,
              T* workspace) {
  constexpr int64_t kPanel = kColumns<E>, kLanes = Vec<E>::kLanes;
  constexpr bool kPairs = kDepth<E> > 1;
  const Subnormals<E> subnormals;
  const int64_t rows = o1 - o0;
  if constexpr (!kPairs) {
    if (has_few_inputs<T>(rows, w.in)) return few_inputs(w, o0, o1, workspace);
  }
  const int64_t steps = steps_of<E>(w.batch), depth = block_depth(steps);
  T* const sums = workspace;  // (rows + 2 kRows) x kPanel
  E* const panel = reinterpret_cast<E*>(sums + (rows + 2 * kRows) * kPanel);  // depth x kPanel of X
  E* const rounded = panel + smaller(steps, kMaxDepth) * kPanel;
  const bool pack_x = kPairs || (w.x_ld * int64_t(sizeof(T)) > 512 && rows > 2 * kRows);
  const bool copies_rows = w.update && w.backward && !kPairs;
  const UpdatingTiles<E> tiles(w, copies_rows);
  const Strips strips(rows);
  MatrixView<E> grad;  // the transpose of G[:, o0:o1]
  if constexpr (kPairs)
    grad = operand(MatrixView<T>{w.grad + o0, 1, w.grad_ld}, rows, w.batch, rounded);
  else
    grad = {w.grad + o0, 1, w.grad_ld};

  for (int64_t j = j0; j < j1; j += kPanel) {
    const int64_t width = smaller(kPanel, j1 - j);
    const int vectors = int((width + kLanes - 1) / kLanes);
    PackedRows<T> packed(w.backward, w.in, w.out, j);
    ForwardCopy<E> transposed(w, o0, j, width);
    Strip<T> both[2];  // the strip of the tile and the one before, which waits for its update
    int64_t pc = 0;
    do {  // once even for an empty batch
      const int64_t kc = smaller(depth, steps - pc), first = pc * kDepth<E>;
      const bool last = pc + kc >= steps, alone = last && pc == 0;
      MatrixView<E> x;
      if (pack_x || width < vectors * kLanes) {
        pack_samples(w, first, smaller(kc * kDepth<E>, w.batch - first), j, width, panel);
        x = {panel, kPanel, 1};
      } else if constexpr (!kPairs) {
        x = {w.x + first * w.x_ld + j, w.x_ld, 1};
      }
      const E* a = grad.data + pc * grad.col;
      for (int64_t s = 0, i = 0; s < strips.count; ++s) {
        const int height = strips.rows(s);
        Strip<T>& own = both[s % 2];
        Strip<T>& waiting = both[1 - s % 2];
        // sums of several blocks of the batch are all kept, else those of two strips
        T* const c = sums + (alone ? s % 2 * kRows : i) * kPanel;
        own.rows = height;
        own.width = width;
        own.at = (o0 + i) * w.in + j;
        own.sums = c;
        if (copies_rows) own.copies = CopiedRows<T>(packed, o0 + i, height);
        const bool full = vectors == kVectors && alone && height >= kRows - 1;
        UpdatingTile<E> run = nullptr;
        if (full && waiting.rows) run = tiles.adam[height == kRows];
        if (waiting.rows && !run) update_strip(w, waiting);
        if (full && w.update && !run) run = tiles.fetch[height == kRows];
        if (run)
          run(kc, a, grad.col, x.data, x.row, c, w, waiting, own);
        else  // the sums' rows are kPanel apart, so the last register is always whole
          kTiles<E>.of[1][height][vectors](kc, a, 1, grad.col, x.data, x.row, 0, c, kPanel,
                                           first_n<T>(kLanes), pc == 0, nullptr);
        waiting.rows = 0;
        if (!last || !w.update) own.rows = 0;
        if (last && w.update && w.forward) transposed.pack_to(o0 + i);
        if (last && !w.update)
          for (int r = 0; r < height; ++r)
            copy_row(c + r * kPanel, width, w.gradient + (o0 + i + r) * w.in + j);
        a += height;
        i += height;
      }
      pc += depth;
    } while (pc < steps);
    for (const Strip<T>& waiting : both)
      if (waiting.rows) update_strip(w, waiting);
    if constexpr (kPairs) {
      if (w.update && w.backward) pack_backward_pairs(w, o0, rows, j, width);
    }
    if (w.update && w.forward) transposed.finish(o1);
  }
  if (w.update && copies_past(w)) finish_streams();
}

}  // namespace

void register_weights(KernelTable& table) {
  table.f32.weights = {gradient<float>, workspace_size<float>};
  table.f64.weights = {gradient<double>, workspace_size<double>};
  table.f32.weights_bf16 = {gradient<Pair>, workspace_size<Pair>};
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
