// C = A B as Cᵀ = Bᵀ Aᵀ: the columns of B are the strips of a tile, the rows of A its panels, and
// each element is still the same chain.
#pragma once

#include "kernels/epilogue.h"

namespace mlpeak {
namespace MLPEAK_TIER {
namespace {

/// A C of so few columns leaves most of a register's lanes unused, where its rows fill them.
template <class E>
bool is_narrow(int64_t m, int64_t n) {
  constexpr int64_t kLanes = Vec<E>::kLanes;
  return n <= kLanes * 5 / 8 && m >= kLanes;
}

/// Whether tiles read B as well where it is as packed: its rows are adjacent, and it is narrow,
/// small or read by few strips.
template <class E, class T = Sum<E>>
bool is_as_packed(int64_t m, int64_t n, int64_t k, const MatrixView<T>& b) {
  constexpr int64_t kNarrow = kFewRegisters ? 0 : 2 * kColumns<E>;  // loads across lines are felt
  return b.col == 1 && kDepth<E> == 1 &&
         (m <= 2 * kRows || b.row <= kNarrow || n * k * int64_t(sizeof(T)) <= kLevel1);
}

/// With few rows, to transpose A and C takes less time than to pack B, a weight say, which the
/// strips then read as it is: along k, or a few adjacent columns of each step, which should not be
/// far apart. Strips go through B once for each panel, from memory if it is large.
template <class E, class T = Sum<E>>
bool reads_b_as_it_is(int64_t m, int64_t n, int64_t k, const MatrixView<T>& b) {
  constexpr int64_t kLanes = Vec<E>::kLanes, kSmall = 2 * 1024 * 1024, kLarge = 8 * 1024 * 1024;
  constexpr int64_t kPanels = kFewRegisters ? 1 : 4;
  const int64_t bytes = n * k * int64_t(sizeof(E));
  if (kDepth<E> > 1 || m < kLanes / 2 || is_as_packed<E>(m, n, k, b)) return false;
  if (b.row == 1 && b.col != 1) {
    if (bytes > kLarge && m > kPanels * kColumns<E>) return false;
  } else if (kFewRegisters || b.col != 1 || bytes > kSmall || m > kColumns<E>) {
    return false;
  }
  const int64_t moved = b.col == 1 ? 3 : 5;  // multiply-adds in the time of an element's packing
  // Lanes without work are the last panel's, of C's transpose or of C.
  const int64_t idle = (round_up(m, kLanes) - m) * n * k;
  const int64_t idle_packed = (round_up(n, kLanes) - n) * m * k;
  const int64_t packed = (m > 2 * kRows ? 1 : 2) * n * k;  // not beside tiles where these are few
  return idle + moved * 2 * m * (n + k) < idle_packed + moved * packed;
}

/// A panel of A, a strip of B (both also rounded, for pairs), and Cᵀ in whole squares.
template <class E>
int64_t transposed_size(int64_t n, int64_t k) {
  constexpr int64_t kPanel = kColumns<E>;
  const int64_t depth = block_depth(steps_of<E>(k));
  const int64_t rounded = kDepth<E> > 1 ? (n + kPanel) * depth : 0;
  return kPanel * depth + round_up(rounded, 16) + round_up(n, Vec<E>::kLanes) * kPanel;
}

template <class E, class T = Sum<E>>
void multiply_transposed(int64_t m, int64_t n, int64_t k, MatrixView<T> a, const MatrixView<T>* b,
                         const PackedPanels<T>* packed, T* c, int64_t ldc, const Finish<T>& finish,
                         T* workspace) {
  constexpr int64_t kPanel = kColumns<E>, kLanes = Vec<E>::kLanes;
  const int64_t steps = steps_of<E>(k), depth = block_depth(steps);
  T* const sums = workspace;  // Cᵀ, up to kPanel rows of C at a time
  for (int64_t i = n * kPanel; i < round_up(n, kLanes) * kPanel; i += kLanes)
    store(sums + i, set1(T(0)));
  E* const panel = reinterpret_cast<E*>(sums + round_up(n, kLanes) * kPanel);
  E* const rounded_a = panel + kPanel * depth;
  E* const rounded_b = rounded_a + kPanel * depth;
  const Strips strips(n);

  const int64_t panels = (m + kPanel - 1) / kPanel;  // nearly equal, of whole registers
  const int64_t height = round_up((m + panels - 1) / panels, kLanes);
  for (int64_t i = 0; i < m; i += height) {
    const int64_t rows = smaller(height, m - i);
    const int vectors = int((rows + kLanes - 1) / kLanes);
    int64_t pc = 0;
    do {  // once even for k = 0
      const int64_t kc = smaller(depth, steps - pc), first_k = pc * kDepth<E>;
      const int64_t count_k = smaller(kc * kDepth<E>, k - first_k);
      const auto block = operand(MatrixView<T>{a.data + i * a.row + first_k * a.col, a.row, a.col},
                                 rows, count_k, rounded_a);
      pack_panels(kc, rows, block.data, block.col, block.row, panel);
      MatrixView<E> strip;
      if (packed)
        strip = {reinterpret_cast<const E*>(packed->data) + pc * round_up(packed->columns, kPanel) +
                     packed->first * kc,
                 1, kPanel};
      else
        strip = operand(MatrixView<T>{b->data + first_k * b->row, b->col, b->row}, n, count_k,
                        rounded_b);
      for (int64_t s = 0, j = 0; s < strips.count; j += strips.rows(s), ++s)
        kTiles<E>.of[kLines][strips.rows(s)][vectors](
            kc, strip.data + j * strip.row, strip.row, strip.col, panel, kPanel, 0,
            sums + j * kPanel, kPanel, first_n<T>(kLanes), pc == 0, nullptr);
      pc += depth;
    } while (pc < steps);
    transpose(n, rows, sums, kPanel, c + i * ldc, ldc);
    finish.alone(i, rows, n, c, ldc);
  }
  if (finish.over_rows) finish.rows(0, m, 0, n, c, ldc);
}

}  // namespace
}  // namespace MLPEAK_TIER
}  // namespace mlpeak
