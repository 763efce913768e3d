// The packed copies of a weight that the next step's products read, renewed row by row as an update
// goes through the weight: the weight itself as the gradient of the input wants it, its transpose
// as the forward product does.
#pragma once

#include "kernels/tiles.h"
#include "mlpeak/kernels/weights.h"

namespace mlpeak {
namespace MLPEAK_TIER {
namespace {

/// Whether the packed copies of a weight, which the next step reads, are written past the caches:
/// those of a large weight would only drive out what this step still needs.
template <class T>
bool copies_past(const WeightGradient<T>& w) {
  return w.out * w.in * int64_t(sizeof(T)) >= 2 * kLevel2;
}

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

/// x (rows, columns), at most kLanes x kLanes, into the packed form of its transpose, whose rows
/// are filled up with zeros to whole registers.
template <class E, bool kPast>
void pack_edge(MatrixView<E> x, int64_t rows, int64_t columns, E* to) {
  constexpr int64_t kLanes = Vec<E>::kLanes;
  alignas(64) E square[kLanes * kLanes], turned[kLanes * kLanes];
  const auto mask = first_n<Sum<E>>(columns);
  for (int64_t i = 0; i < kLanes; ++i)
    store(square + i * kLanes, i < rows ? load(x.data + i * x.row, mask) : set1(E()));
  transpose_block(square, kLanes, turned, kLanes);
  for (int64_t c = 0; c < columns; ++c) put<kPast>(to + c * kColumns<E>, load(turned + c * kLanes));
}

/// Rows [o, o + rows), columns [j, j + width) of the weight into the packed form of its transpose;
/// o is a multiple of a register's lanes, rows are at most as many. Pairs run along the weight's
/// rows. kPast writes past the caches.
template <class E, bool kPast, class T = Sum<E>>
void pack_forward(const WeightGradient<T>& w, int64_t o, int64_t rows, int64_t j, int64_t width) {
  constexpr int64_t kLanes = Vec<E>::kLanes, kPanel = kColumns<E>, kStep = kDepth<E>;
  const int64_t last = steps_of<E>(j + width), panel = o / kPanel * kPanel;
  PackedRows packed(reinterpret_cast<E*>(w.forward), w.out, steps_of<E>(w.in), panel);
  const T* const from = w.weight + o * w.in;
  alignas(64) E rounded[kStep > 1 ? kLanes * kLanes : 1];
  for (int64_t c = j / kStep; c < last;) {  // columns of the weight are rows of its transpose
    E* const to = packed.at(c) + (o - panel);
    const int64_t steps = smaller(kLanes, smaller(last, packed.end()) - c);
    const auto block = operand(MatrixView<T>{from + c * kStep, w.in, 1}, rows,
                               smaller(steps * kStep, w.in - c * kStep), rounded);
    if (rows == kLanes && steps == kLanes)
      transpose_block<kPast>(block.data, block.row, to, kPanel);
    else
      pack_edge<E, kPast>(block, rows, steps, to);
    c += steps;
  }
}

/// Packs the transpose of a panel of the weight's columns while its updated rows are in the cache.
template <class E, class T = Sum<E>>
class ForwardCopy {
 public:
  ForwardCopy(const WeightGradient<T>& w, int64_t o, int64_t j, int64_t width)
      : w_(w), next_(o), j_(j), width_(width), pack_(pack_forward<E, false>) {
    if (copies_past(w)) pack_ = pack_forward<E, true>;
  }

  /// All rows before `row` are updated.
  void pack_to(int64_t row) {
    constexpr int64_t kLanes = Vec<E>::kLanes;
    for (; next_ + kLanes <= row; next_ += kLanes) pack_(w_, next_, kLanes, j_, width_);
  }
  void finish(int64_t end) {
    pack_to(end);
    if (next_ < end) pack_(w_, next_, end - next_, j_, width_);
  }

 private:
  const WeightGradient<T>& w_;
  int64_t next_, j_, width_;
  void (*pack_)(const WeightGradient<T>&, int64_t, int64_t, int64_t, int64_t);
};

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

/// The rows of a strip in the packed weight: kColumns apart, but for a jump where a block ends.
template <class T>
struct CopiedRows {
  T* first = nullptr;  // null without a packed weight
  int64_t ld = kColumns<T>;
  int turn = 0;  // the row before which the jump is
  int64_t jump = 0;

  CopiedRows() = default;
  CopiedRows(T* first, int64_t ld) : first(first), ld(ld) {}
  CopiedRows(PackedRows<T>& packed, int64_t row, int rows) : first(packed.at(row)) {
    const int64_t left = packed.end() - row;
    if (left >= rows) return;
    turn = int(left);
    jump = packed.at(row + left) - (first + left * ld);
  }
  /// On to row r from the row before it.
  MLPEAK_INLINE T* next(T* before, int r) const { return before + ld + (r == turn ? jump : 0); }
};

}  // namespace
}  // namespace MLPEAK_TIER
}  // namespace mlpeak
