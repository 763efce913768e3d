// Packing the next panel of B while the tiles of the one before are summed.
//
// To pack moves data: it takes loads, stores and shuffles, of which a tile leaves most, and no
// multiplier. Done between the steps of tiles it costs next to nothing.
#pragma once

#include "kernels/packing.h"

namespace mlpeak {
namespace MLPEAK_TIER {
namespace {

/// A panel of B to pack, of k steps and kColumns columns; either row or col is 1.
template <class E>
struct Unpacked {
  const E* data;
  int64_t row, col, k;
  E* out;
};

/// A share of a panel, to be packed between the steps of a tile (see Nothing in tiles.h): squares
/// of kLanes x kLanes that are transposed, or groups of rows that are copied.
template <class E, bool kTransposes>
class PackAhead {
  static constexpr int64_t kLanes = Vec<E>::kLanes, kPanel = kColumns<E>, kCopied = 4;

 public:
  static constexpr int64_t kLeast = kLanes > kCopied ? kLanes : kCopied;  // steps of k
  static constexpr int kParts = kTransposes ? kTransposeParts<Sum<E>> : int(kCopied);

  /// How many rounds a whole panel of k steps takes.
  static int64_t all(int64_t k) {
    return kTransposes ? (k + kLanes - 1) / kLanes * kVectors : (k + kCopied - 1) / kCopied;
  }

  int rounds;

  /// Rounds [first, end) of all(k); k is at least kLeast.
  PackAhead(const Unpacked<E>& b, int64_t first, int64_t end) : rounds(int(end - first)), b_(b) {
    if constexpr (kTransposes) {
      const int64_t down = (b.k + kLanes - 1) / kLanes;
      group_ = first / down * kLanes;
      step_ = first % down * kLanes;
    } else {
      step_ = first * kCopied;
    }
    place();
  }

  /// All of it at once.
  void run() {
    for (int r = 0; r < rounds; ++r, next())
#pragma GCC unroll 4
      for (int i = 0; i < kParts; ++i) part(i);
  }

  MLPEAK_INLINE void step() {}
  MLPEAK_INLINE void part(int i) const {
    if constexpr (kTransposes) {
      transpose_part(i, from_, b_.col, to_, kPanel);
      for (int r = 0; r < kLanes / kParts; ++r)
        __builtin_prefetch(from_ + (i * (kLanes / kParts) + r) * b_.col + 4 * kLanes);
    } else {
      const E* const from = from_ + i * b_.row;
      for (int v = 0; v < kVectors; ++v) {
        store(to_ + i * kPanel + v * kLanes, load(from + v * kLanes));
        __builtin_prefetch(from + 2 * kCopied * b_.row + v * kLanes);
      }
    }
  }
  MLPEAK_INLINE void next() {
    step_ += kTransposes ? kLanes : kCopied;
    if (kTransposes && step_ >= b_.k) {
      step_ = 0;
      group_ += kLanes;
    }
    place();
  }

 private:
  /// The last ones overlap those before, where k is no multiple.
  MLPEAK_INLINE void place() {
    const int64_t p = smaller(step_, b_.k - (kTransposes ? kLanes : kCopied));
    from_ = b_.data + group_ * b_.col + p * b_.row;
    to_ = b_.out + p * kPanel + group_;
  }

  const Unpacked<E>& b_;
  int64_t group_ = 0, step_ = 0;
  const E* from_;
  E* to_;
};

/// A tile of whole registers that packs meanwhile.
template <class E, int rows, bool kTransposes, class T = Sum<E>>
void packing_tile(int64_t k, const E* a, int64_t a_row, int64_t a_col, const E* b, int64_t ldb,
                  T* c, int64_t ldc, bool first_block, const TileEnd<T>* end,
                  const Unpacked<E>& coming, int64_t first, int64_t until) {
  tile_with<E, rows, kVectors, kWhole>(k, a, a_row, a_col, b, ldb, 0, c, ldc,
                                       first_n<T>(Vec<T>::kLanes), first_block, end,
                                       PackAhead<E, kTransposes>(coming, first, until));
}

}  // namespace
}  // namespace MLPEAK_TIER
}  // namespace mlpeak
