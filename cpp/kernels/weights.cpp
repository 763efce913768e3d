// The weight gradient by register tiles, with the optimizer in the tile's wake.
//
// A panel of X (the batch x the tile's columns) is walked by strips of G's columns. A strip's sums,
// once complete, are used up by the update while the next strip's sums run: the update's divisions
// and square roots keep the divider busy, the sums the multipliers. The gradient never reaches
// memory beyond L1.
#include "mlpeak/kernels/weights.h"

#include "kernels/register.h"
#include "kernels/tiles.h"
#include "kernels/updates.h"

namespace mlpeak {
namespace MLPEAK_TIER {
namespace {

/// Where the rows of a matrix packed by GemmKernels::pack stand, for the columns of one panel.
template <class T>
class PackedRows {
 public:
  /// `column` is the panel's first.
  PackedRows(T* packed, int64_t n, int64_t k, int64_t column)
      : packed_(packed), stride_(round_up(n, kColumns<T>)), k_(k), column_(column) {}

  /// Row `row`, and with it all up to end(), kColumns apart.
  T* at(int64_t row) {
    if (row >= end_ || row < begin_) {
      const int64_t depth = block_depth(k_);
      begin_ = row / depth * depth;
      end_ = smaller(k_, begin_ + depth);
      first_ = packed_ + begin_ * stride_ + column_ * (end_ - begin_);
    }
    return first_ + (row - begin_) * kColumns<T>;
  }
  int64_t end() const { return end_; }

 private:
  T* packed_;
  int64_t stride_, k_, column_, begin_ = 0, end_ = 0;
  T* first_ = nullptr;
};

/// Rows [o, o + rows), columns [j, j + width) of the weight into the packed form of its transpose;
/// o and j are multiples of kColumns, width is at most that.
template <class T>
void pack_forward(const WeightGradient<T>& w, int64_t o, int64_t rows, int64_t j, int64_t width) {
  constexpr int64_t kLanes = Vec<T>::kLanes, kPanel = kColumns<T>;
  for (int64_t r = 0; r < rows; r += kPanel) {
    PackedRows<T> packed(w.forward, w.out, w.in, o + r);
    const int64_t count = smaller(kPanel, rows - r);
    for (int64_t q = j; q < j + width;) {  // columns of the weight are rows of its transpose
      T* const first = packed.at(q);
      const int64_t until = smaller(j + width, packed.end());
      for (int64_t i = 0; i < count; i += kLanes) {
        const T* from = w.weight + (o + r + i) * w.in;
        T* to = first + i;
        int64_t c = q;
        if (i + kLanes <= count)
          for (; c + kLanes <= until; c += kLanes, to += kLanes * kPanel)
            transpose_block(from + c, w.in, to, kPanel);
        for (; c < until; ++c, to += kPanel)
          for (int64_t lane = 0; lane < kLanes && i + lane < count; ++lane)
            to[lane] = from[lane * w.in + c];
      }
      q = until;
    }
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
void update_strip(const WeightGradient<T>& w, const Strip<T>& s) {
  T* const states[3] = {w.states[0] ? w.states[0] + s.at : nullptr,
                        w.states[1] ? w.states[1] + s.at : nullptr,
                        w.states[2] ? w.states[2] + s.at : nullptr};
  kernel_table().of(T()).optimizers.update(*w.update, s.rows, s.width, w.in, w.weight + s.at,
                                           s.sums, kColumns<T>, states);
  if (w.backward)
    for (int r = 0; r < s.rows; ++r) copy_row(w.weight + s.at + r * w.in, s.width, s.copies[r]);
}

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

  AdamParts(const WeightGradient<T>& w, const Adam<T>& adam, const Strip<T>& strip)
      : adam(adam),
        strip(strip),
        ld(w.in),
        sums(strip.sums - kColumns<T>),
        weight(w.weight + strip.at - w.in),
        exp_avg(w.states[0] + strip.at - w.in),
        exp_avg_sq(w.states[1] + strip.at - w.in) {}

  MLPEAK_INLINE void step() {}
  /// On to the next row; there is none after the strip's last.
  MLPEAK_INLINE void round(int r) {
    sums += kColumns<T>;
    weight += ld;
    exp_avg += ld;
    exp_avg_sq += ld;
    if (copies) copy = strip.copies[r];
    if (r >= strip.rows) weight = nullptr;
  }
  MLPEAK_INLINE void part(int v) const {
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

template <class T, int rows, bool copies>
void tile_and_adam(int64_t k, const T* a, int64_t a_row, int64_t a_col, const T* b, int64_t ldb,
                   T* c, const WeightGradient<T>& w, const Adam<T>& adam, const Strip<T>& strip) {
  tile_with<T, rows, kVectors, true>(k, a, a_row, a_col, b, ldb, 0, c, kColumns<T>,
                                     first_n<T>(Vec<T>::kLanes), true, nullptr,
                                     AdamParts<T, copies>(w, adam, strip));
}

// A parameter and its two states of this size each still come from L3.
constexpr int64_t kNear = 4 * 1024 * 1024;

/// Whether G's columns are copied into strips first: they are read once for each panel of X, and
/// where G is large and its rows far apart each reading misses L1 and the TLB.
template <class T>
bool strips_pay(const WeightGradient<T>& w, int64_t panels) {
  return panels > 8 && w.batch * w.grad_ld * int64_t(sizeof(T)) > 64 * 1024;
}

template <class T>
int64_t workspace_size(int64_t batch, int64_t out) {
  return (out + 2 * kRows) * kColumns<T> + smaller(batch, kMaxDepth) * kColumns<T> + out * batch +
         kPackSlack;
}

template <class T>
void gradient(const WeightGradient<T>& w, int64_t o0, int64_t o1, int64_t j0, int64_t j1,
              T* workspace) {
  constexpr int64_t kPanel = kColumns<T>, kLanes = Vec<T>::kLanes;
  const int64_t rows = o1 - o0;
  T* const sums = workspace;                            // (rows + 2 kRows) x kPanel
  T* const panel = sums + (rows + 2 * kRows) * kPanel;  // depth x kPanel of X
  const int64_t depth = block_depth(w.batch);
  T* const packed = panel + smaller(w.batch, kMaxDepth) * kPanel;
  const bool pack_grad = strips_pay(w, (j1 - j0 + kPanel - 1) / kPanel);
  const bool pack_x = w.x_ld * int64_t(sizeof(T)) > 512 && rows > 2 * kRows;
  const bool is_adam = w.update && w.update->rule == Rule::adam;
  // Between the steps of a tile a load from memory would hold the sums up.
  const bool between = is_adam && w.out * w.in * int64_t(sizeof(T)) <= kNear;
  const Adam<T> adam(is_adam ? w.update->adam : AdamScalars<T>());
  const Strips strips(rows);
  if (pack_grad)
    for (int64_t pc = 0; pc < w.batch; pc += depth)
      pack_strips(rows, smaller(depth, w.batch - pc), w.grad + pc * w.grad_ld + o0, int64_t(1),
                  w.grad_ld, packed + pc * rows);

  for (int64_t j = j0; j < j1; j += kPanel) {
    const int64_t width = smaller(kPanel, j1 - j);
    const int vectors = int((width + kLanes - 1) / kLanes);
    PackedRows<T> copies(w.backward, w.in, w.out, j);
    Strip<T> waiting;
    int64_t pc = 0;
    do {  // once even for an empty batch
      const int64_t kc = smaller(depth, w.batch - pc);
      const bool last = pc + kc >= w.batch, alone = last && pc == 0;
      const T* x = w.x + pc * w.x_ld + j;
      int64_t ldx = w.x_ld;
      if (pack_x || width < vectors * kLanes) {
        pack_panels(kc, width, x, w.x_ld, int64_t(1), panel);
        x = panel;
        ldx = kPanel;
      }
      for (int64_t s = 0, i = 0; s < strips.count; ++s) {
        const int height = strips.rows(s);
        const T* a = pack_grad ? packed + pc * rows + i * kc : w.grad + pc * w.grad_ld + o0 + i;
        const int64_t lda = pack_grad ? height : w.grad_ld;
        // sums of several blocks of the batch are all kept, else those of two strips
        T* const c = sums + (alone ? s % 2 * kRows : i) * kPanel;
        if (waiting.rows && between && vectors == kVectors && width == kPanel && alone &&
            height >= kRows - 1) {
          const auto run = w.backward ? (height == kRows ? tile_and_adam<T, kRows, true>
                                                         : tile_and_adam<T, kRows - 1, true>)
                                      : (height == kRows ? tile_and_adam<T, kRows, false>
                                                         : tile_and_adam<T, kRows - 1, false>);
          run(kc, a, 1, lda, x, ldx, c, w, adam, waiting);
        } else {
          if (waiting.rows) update_strip(w, waiting);
          // the sums' rows are kPanel apart, so the last register is always whole
          kTiles<T>.of[1][height][vectors](kc, a, 1, lda, x, ldx, 0, c, kPanel, first_n<T>(kLanes),
                                           pc == 0, nullptr);
        }
        waiting.rows = 0;
        if (last && w.update) {
          waiting = {height, width, (o0 + i) * w.in + j, c, {}};
          if (w.backward)
            for (int r = 0; r < height; ++r) waiting.copies[r] = copies.at(o0 + i + r);
        } else if (last) {
          for (int r = 0; r < height; ++r)
            copy_row(c + r * kPanel, width, w.gradient + (o0 + i + r) * w.in + j);
        }
        i += height;
      }
      pc += depth;
    } while (pc < w.batch);
    if (waiting.rows) update_strip(w, waiting);
    if (w.update && w.forward) pack_forward(w, o0, rows, j, width);
  }
}

}  // namespace

void register_weights(KernelTable& table) {
  table.f32.weights = {gradient<float>, workspace_size<float>};
  table.f64.weights = {gradient<double>, workspace_size<double>};
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
