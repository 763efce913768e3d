// The weight gradient by register tiles, with the optimizer in the tile's wake.
//
// A panel of X (the batch x the tile's columns) is walked by strips of G's columns. A strip's sums,
// once complete, are used up by the update while the next strip's sums run: the update's divisions
// and square roots keep the divider busy, the sums the multipliers. What a strip's update will read
// is fetched while the strip is summed. The gradient never reaches memory beyond L1.
#include "mlpeak/kernels/weights.h"

#include "kernels/register.h"
#include "kernels/tiles.h"
#include "kernels/updates.h"

namespace mlpeak {
namespace MLPEAK_TIER {
namespace {

/// Where the rows of a matrix packed by GemmKernels::pack stand, for the columns of one panel.
template <class E>
class PackedRows {
 public:
  /// `column` is the panel's first; k and the rows are steps of k.
  PackedRows(E* packed, int64_t n, int64_t k, int64_t column)
      : packed_(packed), stride_(round_up(n, kColumns<E>)), k_(k), column_(column) {}

  /// Row `row`, and with it all up to end(), kColumns apart.
  E* at(int64_t row) {
    if (row >= end_ || row < begin_) {
      const int64_t depth = block_depth(k_);
      begin_ = row / depth * depth;
      end_ = smaller(k_, begin_ + depth);
      first_ = packed_ + begin_ * stride_ + column_ * (end_ - begin_);
    }
    return first_ + (row - begin_) * kColumns<E>;
  }
  int64_t end() const { return end_; }

 private:
  E* packed_;
  int64_t stride_, k_, column_, begin_ = 0, end_ = 0;
  E* first_ = nullptr;
};

/// Rows [o, o + rows), columns [j, j + width) of the weight into the packed form of its transpose;
/// o and j are multiples of kColumns, width is at most that. Pairs run along the weight's rows.
template <class E, class T = Sum<E>>
void pack_forward(const WeightGradient<T>& w, int64_t o, int64_t rows, int64_t j, int64_t width) {
  constexpr int64_t kLanes = Vec<E>::kLanes, kPanel = kColumns<E>, kStep = kDepth<E>;
  const int64_t last = steps_of<E>(j + width);
  for (int64_t r = 0; r < rows; r += kPanel) {
    PackedRows packed(reinterpret_cast<E*>(w.forward), w.out, steps_of<E>(w.in), o + r);
    const int64_t count = smaller(kPanel, rows - r);
    for (int64_t q = j / kStep; q < last;) {  // columns of the weight are rows of its transpose
      E* const first = packed.at(q);
      const int64_t until = smaller(last, packed.end());
      for (int64_t i = 0; i < count; i += kLanes) {
        const T* from = w.weight + (o + r + i) * w.in;
        E* to = first + i;
        int64_t c = q;
        alignas(64) E rounded[kStep > 1 ? kLanes * kLanes : 1];
        if (i + kLanes <= count)
          for (; c + kLanes <= until && (c + kLanes) * kStep <= w.in;
               c += kLanes, to += kLanes * kPanel) {
            const auto block =
                operand(MatrixView<T>{from + c * kStep, w.in, 1}, kLanes, kLanes * kStep, rounded);
            transpose_block(block.data, block.row, to, kPanel);
          }
        for (; c < until; ++c, to += kPanel)
          for (int64_t lane = 0; lane < kLanes && i + lane < count; ++lane)
            to[lane] = *operand(MatrixView<T>{from + lane * w.in + c * kStep, w.in, 1}, 1,
                                smaller(kStep, w.in - c * kStep), rounded)
                            .data;
      }
      q = until;
    }
  }
}

/// Rows [o, o + rows), columns [j, j + width) of the weight into its packed form, whose pairs run
/// down the weight's columns; o is even.
void pack_backward_pairs(const WeightGradient<float>& w, int64_t o, int64_t rows, int64_t j,
                         int64_t width) {
  PackedRows packed(reinterpret_cast<Pair*>(w.backward), w.in, steps_of<Pair>(w.out), j);
  for (int64_t r = o; r < o + rows; r += 2) {
    const float* even = w.weight + r * w.in + j;
    pairs_across(width, even, r + 1 < w.out ? even + w.in : nullptr, packed.at(r / 2));
  }
}

/// A strip of the weight whose sums are complete and whose update is still to come.
template <class T>
struct Strip {
  int rows = 0;  // 0 if there is none
  int64_t width;
  int64_t at;        // its first element's place in the weight and the states
  const T* sums;     // rows kColumns apart
  T* copies[kRows];  // its rows in the packed weight, if there is one
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
void update_strip(const WeightGradient<T>& w, const Strip<T>& s, bool copies) {
  T* const states[3] = {w.states[0] ? w.states[0] + s.at : nullptr,
                        w.states[1] ? w.states[1] + s.at : nullptr,
                        w.states[2] ? w.states[2] + s.at : nullptr};
  kernel_table().of(T()).optimizers.update(*w.update, s.rows, s.width, w.in, w.weight + s.at,
                                           s.sums, kColumns<T>, states);
  if (copies)
    for (int r = 0; r < s.rows; ++r) copy_row(w.weight + s.at + r * w.in, s.width, s.copies[r]);
}

/// Brings what the update of a strip kVectors whole registers wide will touch into the cache,
/// between the steps of the tile that sums it.
template <class T>
struct StripFetch {
  static constexpr int kRounds = kRows, kParts = kVectors;
  const Strip<T>& strip;
  int64_t ld;
  const T* rows[4];  // weight and states; null where there is none
  int row = 0;

  StripFetch(const WeightGradient<T>& w, const Strip<T>& strip)
      : strip(strip),
        ld(w.in),
        rows{w.weight + strip.at, w.states[0] ? w.states[0] + strip.at : nullptr,
             w.states[1] ? w.states[1] + strip.at : nullptr,
             w.states[2] ? w.states[2] + strip.at : nullptr} {}

  MLPEAK_INLINE void step() {}
  MLPEAK_INLINE void round(int r) { row = r < strip.rows ? r : 0; }
  MLPEAK_INLINE void part(int v) const {
    for (const T* from : rows)
      if (from) __builtin_prefetch(from + row * ld + v * Vec<T>::kLanes, 1);
    if (strip.copies[0]) __builtin_prefetch(strip.copies[row] + v * Vec<T>::kLanes, 1);
  }
};

/// Adam's update of a strip that is kVectors whole registers wide, a register at a time: what runs
/// between a tile's steps.
template <class T, bool copies>
struct AdamParts {
  static constexpr int kRounds = kRows, kParts = kVectors;
  const Adam<T>& adam;
  const Strip<T>& strip;
  int64_t ld;
  const T* sums;
  T *weight, *exp_avg, *exp_avg_sq, *copy = nullptr;
  StripFetch<T> fetch;  // of the strip that comes next

  AdamParts(const WeightGradient<T>& w, const Adam<T>& adam, const Strip<T>& strip,
            const Strip<T>& next)
      : adam(adam),
        strip(strip),
        ld(w.in),
        sums(strip.sums - kColumns<T>),
        weight(w.weight + strip.at - w.in),
        exp_avg(w.states[0] + strip.at - w.in),
        exp_avg_sq(w.states[1] + strip.at - w.in),
        fetch(w, next) {}

  MLPEAK_INLINE void step() {}
  /// On to the next row; there is none after the strip's last.
  MLPEAK_INLINE void round(int r) {
    sums += kColumns<T>;
    weight += ld;
    exp_avg += ld;
    exp_avg_sq += ld;
    if (copies) copy = strip.copies[r];
    if (r >= strip.rows) weight = nullptr;
    fetch.round(r);
  }
  MLPEAK_INLINE void part(int v) const {
    fetch.part(v);
    if (!weight) return;
    const int i = v * Vec<T>::kLanes;
    Vec<T> state[] = {load(exp_avg + i), load(exp_avg_sq + i)};
    const Vec<T> p = adam(load(weight + i), load(sums + i), state);
    store(weight + i, p);
    store(exp_avg + i, state[0]);
    store(exp_avg_sq + i, state[1]);
    if (copies) store(copy + i, p);
  }
};

template <class E, int rows, class T = Sum<E>>
void tile_and_fetch(int64_t k, const E* a, int64_t a_row, int64_t a_col, const E* b, int64_t ldb,
                    T* c, const WeightGradient<T>& w, const Strip<T>& strip) {
  const TileEnd<T>* const no_end = nullptr;
  tile_with<E, rows, kVectors, true>(k, a, a_row, a_col, b, ldb, 0, c, kColumns<E>,
                                     first_n<T>(Vec<T>::kLanes), true, no_end,
                                     StripFetch<T>(w, strip));
}

template <class E, int rows, bool copies, class T = Sum<E>>
void tile_and_adam(int64_t k, const E* a, int64_t a_row, int64_t a_col, const E* b, int64_t ldb,
                   T* c, const WeightGradient<T>& w, const Adam<T>& adam, const Strip<T>& strip,
                   const Strip<T>& next) {
  const TileEnd<T>* const no_end = nullptr;
  tile_with<E, rows, kVectors, true>(k, a, a_row, a_col, b, ldb, 0, c, kColumns<T>,
                                     first_n<T>(Vec<T>::kLanes), true, no_end,
                                     AdamParts<T, copies>(w, adam, strip, next));
}

/// Whether G's columns are copied into strips first: they are read once for each panel of X, and
/// where G is large and its rows far apart each reading misses L1 and the TLB.
template <class E>
bool strips_pay(int64_t steps, int64_t grad_ld, int64_t panels) {
  return panels > 8 && steps * grad_ld * int64_t(sizeof(E)) > 64 * 1024;
}

template <class E>
int64_t workspace_size(int64_t batch, int64_t out) {
  const int64_t steps = steps_of<E>(batch), depth = smaller(steps, kMaxDepth);
  const int64_t rounded = kDepth<E> > 1 ? out * depth : 0;
  return (out + 2 * kRows) * kColumns<E> + depth * kColumns<E> + out * steps + kPackSlack + rounded;
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

template <class E, class T = Sum<E>>
void gradient(const WeightGradient<T>& w, int64_t o0, int64_t o1, int64_t j0, int64_t j1,
              T* workspace) {
  constexpr int64_t kPanel = kColumns<E>, kLanes = Vec<E>::kLanes;
  constexpr bool kPairs = kDepth<E> > 1;
  const Subnormals<E> subnormals;
  const int64_t rows = o1 - o0;
  const int64_t steps = steps_of<E>(w.batch), depth = block_depth(steps);
  T* const sums = workspace;  // (rows + 2 kRows) x kPanel
  E* const panel = reinterpret_cast<E*>(sums + (rows + 2 * kRows) * kPanel);  // depth x kPanel of X
  E* const packed = panel + smaller(steps, kMaxDepth) * kPanel;
  E* const rounded = packed + rows * steps + kPackSlack;
  const bool pack_grad = strips_pay<E>(steps, w.grad_ld, (j1 - j0 + kPanel - 1) / kPanel);
  const bool pack_x = kPairs || (w.x_ld * int64_t(sizeof(T)) > 512 && rows > 2 * kRows);
  const bool is_adam = w.update && w.update->rule == Rule::adam;
  const bool copies_rows = w.backward && !kPairs;
  const Adam<T> adam(is_adam ? w.update->adam : AdamScalars<T>());
  const Strips strips(rows);
  if (pack_grad || kPairs)
    for (int64_t pc = 0; pc < steps; pc += depth) {
      const int64_t kc = smaller(depth, steps - pc), first = pc * kDepth<E>;
      const auto grad = operand(MatrixView<T>{w.grad + first * w.grad_ld + o0, 1, w.grad_ld}, rows,
                                smaller(kc * kDepth<E>, w.batch - first),
                                pack_grad ? rounded : packed + pc * rows);
      if (pack_grad) pack_strips(rows, kc, grad.data, int64_t(1), grad.col, packed + pc * rows);
    }

  for (int64_t j = j0; j < j1; j += kPanel) {
    const int64_t width = smaller(kPanel, j1 - j);
    const int vectors = int((width + kLanes - 1) / kLanes);
    PackedRows copies(w.backward, w.in, w.out, j);
    Strip<T> waiting;
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
      for (int64_t s = 0, i = 0; s < strips.count; ++s) {
        const int height = strips.rows(s);
        MatrixView<E> a;
        if (pack_grad)
          a = {packed + pc * rows + i * kc, 1, height};
        else if constexpr (kPairs)
          a = {packed + pc * rows + i, 1, rows};
        else
          a = {w.grad + pc * w.grad_ld + o0 + i, 1, w.grad_ld};
        // sums of several blocks of the batch are all kept, else those of two strips
        T* const c = sums + (alone ? s % 2 * kRows : i) * kPanel;
        Strip<T> next{height, width, (o0 + i) * w.in + j, c, {}};
        if (copies_rows && w.update)
          for (int r = 0; r < height; ++r) next.copies[r] = copies.at(o0 + i + r);
        const bool whole = width == kPanel && alone && height >= kRows - 1;
        if (whole && waiting.rows && is_adam) {
          const auto run = copies_rows ? (height == kRows ? tile_and_adam<E, kRows, true>
                                                          : tile_and_adam<E, kRows - 1, true>)
                                       : (height == kRows ? tile_and_adam<E, kRows, false>
                                                          : tile_and_adam<E, kRows - 1, false>);
          run(kc, a.data, 1, a.col, x.data, x.row, c, w, adam, waiting, next);
        } else {
          if (waiting.rows) update_strip(w, waiting, copies_rows);
          if (whole && w.update) {
            const auto run =
                height == kRows ? tile_and_fetch<E, kRows> : tile_and_fetch<E, kRows - 1>;
            run(kc, a.data, 1, a.col, x.data, x.row, c, w, next);
          } else {
            // the sums' rows are kPanel apart, so the last register is always whole
            kTiles<E>.of[1][height][vectors](kc, a.data, 1, a.col, x.data, x.row, 0, c, kPanel,
                                             first_n<T>(kLanes), pc == 0, nullptr);
          }
        }
        waiting.rows = 0;
        if (last && w.update) {
          waiting = next;
        } else if (last) {
          for (int r = 0; r < height; ++r)
            copy_row(c + r * kPanel, width, w.gradient + (o0 + i + r) * w.in + j);
        }
        i += height;
      }
      pc += depth;
    } while (pc < steps);
    if (waiting.rows) update_strip(w, waiting, copies_rows);
    if constexpr (kPairs) {
      if (w.update && w.backward) pack_backward_pairs(w, o0, rows, j, width);
    }
    if (w.update && w.forward) pack_forward<E>(w, o0, rows, j, width);
  }
}

}  // namespace

void register_weights(KernelTable& table) {
  table.f32.weights = {gradient<float>, workspace_size<float>};
  table.f64.weights = {gradient<double>, workspace_size<double>};
  table.f32.weights_bf16 = {gradient<Pair>, workspace_size<Pair>};
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
