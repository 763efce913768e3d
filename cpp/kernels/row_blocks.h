// The weight gradient by blocks of rows, for tiers whose registers a tile's sums fill.
//
// There the optimizer cannot work between the steps of a tile, and what it touches had better be
// adjacent. So a block of rows of dW is summed for many columns, then updated along the rows of the
// weight and its states, whose lines the sums' tiles fetch meanwhile. X is packed once for all
// blocks of rows, G's columns once for each. The next step's products pack the updated weight
// themselves: a copy would be one more array to write here, to read there, and to keep in the
// caches meanwhile.
#pragma once

#include "kernels/register.h"
#include "kernels/strip_updates.h"

namespace mlpeak {
namespace MLPEAK_TIER {
namespace {

template <class T>
class RowBlocks {
 public:
  static constexpr int64_t kPanel = kColumns<T>, kLanes = Vec<T>::kLanes;

  /// Of few columns or rows, packing costs more than it saves; fewer columns will do where G is
  /// larger than L1.
  static bool suits(const WeightGradient<T>& w, int64_t rows, int64_t columns) {
    const bool large = rows * w.batch * int64_t(sizeof(T)) > kLevel1;
    return kFewRegisters && columns >= (large ? 3 : 8) * kPanel && rows >= kPanel && w.batch > 0;
  }

  /// No smaller for a larger batch: a last, smaller one has the same workspace.
  static int64_t workspace_size(int64_t batch) {
    const int64_t many = smaller(kSamples, batch * kMost), few = batch * kFewest;
    return (many > few ? many : few) + kMostRows * (kMost + kLanes + smaller(batch, kMaxDepth)) +
           kPackSlack;
  }

  RowBlocks(const WeightGradient<T>& w, T* workspace)
      : w_(w),
        depth_(block_depth(w.batch)),
        samples_(workspace),
        sums_(samples_ + w.batch * most_columns(w.batch)),
        strips_(sums_ + kMostRows * (most_columns(w.batch) + kLanes)) {}

  /// Rows [o0, o1), columns [j0, j1) of dW, and their update.
  void run(int64_t o0, int64_t o1, int64_t j0, int64_t j1) {
    const auto parts = [](int64_t size, int64_t most, int64_t step) {
      const int64_t count = (size + most - 1) / most;
      return round_up((size + count - 1) / count, step);
    };
    const int64_t columns = parts(j1 - j0, most_columns(w_.batch), kPanel);
    const int64_t rows = parts(o1 - o0, kMostRows, kPanel);
    for (int64_t j = j0; j < j1; j += columns) {
      const int64_t width = smaller(columns, j1 - j);
      for (int64_t pc = 0; pc < w_.batch; pc += depth_)
        pack_panels(smaller(depth_, w_.batch - pc), width, w_.x + pc * w_.x_ld + j, w_.x_ld,
                    int64_t(1), samples_ + pc * round_up(width, kPanel));
      for (int64_t o = o0; o < o1; o += rows) block(o, smaller(rows, o1 - o), j, width);
    }
  }

 private:
  static constexpr int64_t kMostRows = 48;  // their sums and the part of X stay in L2
  static constexpr int64_t kSamples = 256 * 1024, kMost = 2048, kFewest = 4 * kPanel;

  /// As many columns of X as stay in L3, or better in L2.
  static int64_t most_columns(int64_t batch) {
    const int64_t columns = kSamples / (batch > 0 ? batch : 1) / kPanel * kPanel;
    return columns < kFewest ? kFewest : smaller(columns, kMost);
  }

  void block(int64_t o, int64_t rows, int64_t j, int64_t width) {
    const int64_t at = o * w_.in + j;
    // sums in whole registers, whose rows do not meet in one set of the cache; or dW itself
    const int64_t ld = w_.update ? round_up(width, kPanel) + kLanes : w_.in;
    T* const sums = w_.update ? sums_ : w_.gradient + at;
    sum(o, rows, j, width, sums, ld);
    if (!w_.update) return;
    T* const states[] = {state_at(w_, 0, at), state_at(w_, 1, at), state_at(w_, 2, at)};
    kernel_table().of(T()).optimizers.update(*w_.update, rows, width, w_.in, w_.weight + at, sums,
                                             ld, states);
  }

  void sum(int64_t o, int64_t rows, int64_t j0, int64_t width, T* sums, int64_t ld) {
    const Strips strips(rows);
    // The update of a weight beyond L2 waits for memory, unless its lines come during the sums.
    const bool from_memory = w_.update && w_.out * w_.in * int64_t(sizeof(T)) > kLevel2;
    for (int64_t pc = 0; pc < w_.batch; pc += depth_) {
      const int64_t kc = smaller(depth_, w_.batch - pc);
      const bool first = pc == 0, fetches = from_memory && pc + kc >= w_.batch;
      pack_strips(rows, kc, w_.grad + pc * w_.grad_ld + o, int64_t(1), w_.grad_ld, strips_);
      for (int64_t j = 0; j < width; j += kPanel) {
        const int64_t left = smaller(kPanel, width - j);
        const int vectors = int((left + kLanes - 1) / kLanes);
        const bool whole = w_.update || left == vectors * kLanes;
        const Mask<T> last = first_n<T>(left - (vectors - 1) * kLanes);
        const T* const panel = samples_ + pc * round_up(width, kPanel) + j * kc;
        for (int64_t s = 0, i = 0; s < strips.count; i += strips.rows(s), ++s) {
          const int height = strips.rows(s);
          const T* const a = strips_ + i * kc;
          T* const c = sums + i * ld + j;
          if (fetches && height >= kRows - 1 && vectors == kVectors) {
            const Strip<T> own{height, left, (o + i) * w_.in + j0 + j, c};
            const auto run =
                height == kRows ? sum_and_fetch<T, kRows> : sum_and_fetch<T, kRows - 1>;
            run(kc, a, height, panel, kPanel, c, ld, first, w_, own);
          } else {
            kTiles<T>.of[whole ? kWhole : kPart][height][vectors](kc, a, 1, height, panel, kPanel,
                                                                  0, c, ld, last, first, nullptr);
          }
        }
      }
    }
  }

  const WeightGradient<T>& w_;
  const int64_t depth_;
  T *const samples_, *const sums_, *const strips_;
};

}  // namespace
}  // namespace MLPEAK_TIER
}  // namespace mlpeak
