// How the epilogue of a product (bias, activation or its backward) is shared between the tiles and
// what follows them.
#pragma once

#include "kernels/packing.h"
#include "kernels/register.h"

namespace mlpeak {
namespace MLPEAK_TIER {
namespace {

/// The part of an epilogue that tiles do, and the part that runs over whole rows afterwards.
template <class T>
struct Finish {
  const Epilogue<T>& epilogue;
  bool in_tile, over_rows;

  explicit Finish(const Epilogue<T>& e) : epilogue(e) {
    const bool relu = e.activation == Activation::relu;
    const bool linear = e.activation == Activation::identity;
    in_tile = e.bias || (relu && !e.pre);
    over_rows = !linear && !(relu && !e.pre);
    over_rows = over_rows || e.pre;
  }

  TileEnd<T> tile(int64_t i, int64_t j) const {
    const bool relu = epilogue.activation == Activation::relu && !epilogue.pre;
    return {epilogue.bias ? epilogue.bias + j : nullptr, relu && !epilogue.saved,
            relu && epilogue.saved ? epilogue.saved + i * epilogue.saved_ld + j : nullptr,
            epilogue.saved_ld};
  }

  /// What tiles do, for rows [i, i + m) of C whose sums are complete: tiles of no steps.
  void alone(int64_t i, int64_t m, int64_t n, T* c, int64_t ldc) const {
    if (!in_tile) return;
    constexpr int64_t kPanel = kColumns<T>, kLanes = Vec<T>::kLanes;
    const Strips strips(m);
    for (int64_t j = 0; j < n; j += kPanel) {
      const int64_t width = smaller(kPanel, n - j), registers = (width + kLanes - 1) / kLanes;
      for (int64_t s = 0, r = i; s < strips.count; r += strips.rows(s), ++s) {
        const TileEnd<T> end = tile(r, j);
        kTiles<T>.of[kPart][strips.rows(s)][registers](
            0, nullptr, 0, 0, nullptr, 0, 0, c + r * ldc + j, ldc,
            first_n<T>(width - (registers - 1) * kLanes), false, &end);
      }
    }
  }

  /// Rows [i, i + m), columns [j, j + n) of C, to which tile(i, j) was applied.
  void rows(int64_t i, int64_t m, int64_t j, int64_t n, T* c, int64_t ldc) const {
    const ElementwiseKernels<T>& kernels = kernel_table().of(T()).elementwise;
    const int id = int(epilogue.activation);
    for (int64_t r = i; r < i + m; ++r) {
      T* row = c + r * ldc + j;
      if (epilogue.pre) __builtin_memcpy(epilogue.pre + r * ldc + j, row, size_t(n) * sizeof(T));
      if (epilogue.saved)
        kernels.backward[id](row, epilogue.saved + r * epilogue.saved_ld + j, row, n,
                             epilogue.params);
      else if (epilogue.activation != Activation::identity)
        kernels.forward[id](row, row, n, epilogue.params);
    }
  }
};

}  // namespace
}  // namespace MLPEAK_TIER
}  // namespace mlpeak
