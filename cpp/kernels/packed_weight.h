// The packed copies of a weight that the next step's products read, renewed as an update goes
// through the weight: the weight itself as the gradient of the input wants it, its transpose as the
// forward product does.
//
// Products in fp32 and fp64 need none: they pack a weight while they multiply, or read it as it is.
// To round a weight to bf16 for each product would cost more than to keep the pairs.
#pragma once

#include "kernels/packing.h"
#include "mlpeak/kernels/weights.h"

namespace mlpeak {
namespace MLPEAK_TIER {
namespace {

/// The copies of a panel of the weight's columns: none.
template <class E, class T = Sum<E>>
struct Copies {
  Copies(const WeightGradient<T>&, int64_t, int64_t, int64_t) {}
  void pack_to(int64_t) {}
  void finish(int64_t) {}
};

/// Where the rows of a matrix packed by GemmKernels::pack stand, for the columns of one panel.
class PackedRows {
 public:
  /// `column` is the panel's first; k and the rows are steps of k.
  PackedRows(Pair* packed, int64_t n, int64_t k, int64_t column)
      : packed_(packed), stride_(round_up(n, kColumns<Pair>)), k_(k), column_(column) {}

  /// Row `row`, and with it all up to end(), kColumns apart.
  Pair* at(int64_t row) {
    if (row >= end_ || row < begin_) {
      const int64_t depth = block_depth(k_);
      begin_ = row / depth * depth;
      end_ = smaller(k_, begin_ + depth);
      first_ = packed_ + begin_ * stride_ + column_ * (end_ - begin_);
    }
    return first_ + (row - begin_) * kColumns<Pair>;
  }
  int64_t end() const { return end_; }

 private:
  Pair* packed_;
  int64_t stride_, k_, column_, begin_ = 0, end_ = 0;
  Pair* first_ = nullptr;
};

/// Columns [j, j + width) of the weight, updated from row o on.
template <>
class Copies<Pair> {
 public:
  Copies(const WeightGradient<float>& w, int64_t o, int64_t j, int64_t width)
      : w_(w), first_(o), next_(o), j_(j), width_(width) {
    // The copies of a large weight would only drive out of the caches what this step still needs.
    constexpr int64_t kLarge = 1024 * 1024;
    if (w.out * w.in * int64_t(sizeof(float)) >= kLarge) forward_ = &Copies::forward<true>;
  }

  /// All rows before `row` are updated: packs the transpose of kLanes rows at a time.
  void pack_to(int64_t row) {
    for (; w_.forward && next_ + kLanes <= row; next_ += kLanes) (this->*forward_)(kLanes);
  }
  void finish(int64_t end) {
    pack_to(end);
    if (w_.forward && next_ < end) (this->*forward_)(end - next_);
    if (w_.backward) backward(end);
  }

 private:
  static constexpr int64_t kLanes = Vec<Pair>::kLanes, kPanel = kColumns<Pair>;

  /// Rows [next_, next_ + rows), at most kLanes, into the packed form of the transpose, whose pairs
  /// run along the weight's rows; next_ is a multiple of kLanes.
  template <bool kPast>
  void forward(int64_t rows) {
    const int64_t last = steps_of<Pair>(j_ + width_), panel = next_ / kPanel * kPanel;
    PackedRows packed(reinterpret_cast<Pair*>(w_.forward), w_.out, steps_of<Pair>(w_.in), panel);
    alignas(64) Pair rounded[kLanes * kLanes];
    for (int64_t c = j_ / 2; c < last;) {  // columns of the weight are rows of its transpose
      Pair* const to = packed.at(c) + (next_ - panel);
      const int64_t steps = smaller(kLanes, smaller(last, packed.end()) - c);
      const auto block = operand(MatrixView<float>{w_.weight + next_ * w_.in + 2 * c, w_.in, 1},
                                 rows, smaller(2 * steps, w_.in - 2 * c), rounded);
      if (rows == kLanes && steps == kLanes)
        transpose_block<kPast>(block.data, block.row, to, kPanel);
      else
        edge<kPast>(block, rows, steps, to);
      c += steps;
    }
  }

  /// x (rows, columns), at most kLanes x kLanes; rows of its transpose are filled up with zeros.
  template <bool kPast>
  static void edge(MatrixView<Pair> x, int64_t rows, int64_t columns, Pair* to) {
    alignas(64) Pair square[kLanes * kLanes], turned[kLanes * kLanes];
    const auto mask = first_n<float>(columns);
    for (int64_t i = 0; i < kLanes; ++i)
      store(square + i * kLanes, i < rows ? load(x.data + i * x.row, mask) : set1(Pair()));
    transpose_block(square, kLanes, turned, kLanes);
    for (int64_t c = 0; c < columns; ++c) put<kPast>(to + c * kPanel, load(turned + c * kLanes));
  }

  /// The packed form of the weight, whose pairs run down its columns; first_ is even.
  void backward(int64_t end) {
    PackedRows packed(reinterpret_cast<Pair*>(w_.backward), w_.in, steps_of<Pair>(w_.out), j_);
    for (int64_t r = first_; r < end; r += 2) {
      const float* even = w_.weight + r * w_.in + j_;
      pairs_across(width_, even, r + 1 < w_.out ? even + w_.in : nullptr, packed.at(r / 2));
    }
  }

  const WeightGradient<float>& w_;
  const int64_t first_;
  int64_t next_, j_, width_;
  void (Copies::*forward_)(int64_t) = &Copies::forward<false>;
};

}  // namespace
}  // namespace MLPEAK_TIER
}  // namespace mlpeak
