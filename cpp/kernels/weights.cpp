// The weight gradient by register tiles, with the optimizer in the tile's wake.
//
// A panel of X (the batch x the tile's columns) is walked by strips of G's columns. As soon as a
// strip's sums are complete they are used up by the update, while the next strip's sums, which the
// divider and the square root leave the multipliers free for, already run. The gradient never
// reaches memory beyond L1.
#include "mlpeak/kernels/weights.h"

#include "kernels/register.h"
#include "kernels/tiles.h"

namespace mlpeak {
namespace MLPEAK_TIER {
namespace {

/// Where element (k, column) of a matrix packed by GemmKernels::pack stands, for the first column
/// of a panel.
template <class T>
int64_t packed_offset(int64_t n, int64_t k, int64_t row, int64_t panel_column) {
  const int64_t depth = block_depth(k);
  const int64_t pc = row / depth * depth;
  const int64_t kc = smaller(depth, k - pc);
  return pc * round_up(n, kColumns<T>) + panel_column * kc + (row - pc) * kColumns<T>;
}

/// Rows [o, o + rows), columns [j, j + width) of the weight into its packed form, width <=
/// kColumns.
template <class T>
void pack_backward(const WeightGradient<T>& w, int64_t o, int64_t rows, int64_t j, int64_t width) {
  constexpr int kWidth = Vec<T>::kLanes;
  for (int64_t r = o; r < o + rows; ++r) {
    const T* from = w.weight + r * w.in + j;
    T* to = w.backward + packed_offset<T>(w.in, w.out, r, j);
    int64_t i = 0;
    for (; i + kWidth <= width; i += kWidth) store(to + i, load(from + i));
    for (; i < width; ++i) to[i] = from[i];
  }
}

/// The same part of the weight's transpose; o is a multiple of kColumns.
template <class T>
void pack_forward(const WeightGradient<T>& w, int64_t o, int64_t rows, int64_t j, int64_t width) {
  constexpr int64_t kLanes = Vec<T>::kLanes, kPanel = kColumns<T>;
  for (int64_t p = 0; p < width;) {  // columns of the weight are rows of its transpose
    const int64_t depth = block_depth(w.in);
    const int64_t until = smaller(width, ((j + p) / depth + 1) * depth - j);  // of this block of k
    for (int64_t r = 0; r < rows; r += kLanes) {
      const int64_t panel = (o + r) / kPanel * kPanel;
      const int64_t lane = (o + r) % kPanel;
      const T* from = w.weight + (o + r) * w.in + j;
      T* to = w.forward + packed_offset<T>(w.out, w.in, j + p, panel) + lane;
      int64_t q = p;
      if (r + kLanes <= rows)
        for (; q + kLanes <= until; q += kLanes, to += kLanes * kPanel)
          transpose_block(from + q, w.in, to, kPanel);
      for (; q < until; ++q, to += kPanel)
        for (int64_t i = 0; i < kLanes && r + i < rows; ++i) to[i] = from[i * w.in + q];
    }
    p = until;
  }
}

/// Whether G's columns are copied into strips first: they are read once for each panel of X, and
/// where G is large and its rows far apart each reading misses L1 and the TLB.
template <class T>
bool strips_pay(const WeightGradient<T>& w, int64_t panels) {
  return panels > 8 && w.batch * w.grad_ld * int64_t(sizeof(T)) > 64 * 1024;
}

template <class T>
int64_t workspace_size(int64_t batch, int64_t out) {
  return out * kColumns<T> + smaller(batch, kMaxDepth) * kColumns<T> + out * batch + kPackSlack;
}

template <class T>
void gradient(const WeightGradient<T>& w, int64_t o0, int64_t o1, int64_t j0, int64_t j1,
              T* workspace) {
  constexpr int64_t kPanel = kColumns<T>, kLanes = Vec<T>::kLanes;
  const int64_t rows = o1 - o0;
  T* const sums = workspace;              // rows x kPanel
  T* const panel = sums + rows * kPanel;  // depth x kPanel of X
  const int64_t depth = block_depth(w.batch);
  T* const packed = panel + smaller(w.batch, kMaxDepth) * kPanel;
  const bool pack_grad = strips_pay(w, (j1 - j0 + kPanel - 1) / kPanel);
  const bool pack_x = w.x_ld * int64_t(sizeof(T)) > 512 && rows > 2 * kRows;
  const Strips strips(rows);
  if (pack_grad)
    for (int64_t pc = 0; pc < w.batch; pc += depth)
      pack_strips(rows, smaller(depth, w.batch - pc), w.grad + pc * w.grad_ld + o0, int64_t(1),
                  w.grad_ld, packed + pc * rows);

  for (int64_t j = j0; j < j1; j += kPanel) {
    const int64_t width = smaller(kPanel, j1 - j);
    const int vectors = int((width + kLanes - 1) / kLanes);
    const bool whole = width == vectors * kLanes;
    int64_t pc = 0;
    do {  // once even for an empty batch
      const int64_t kc = smaller(depth, w.batch - pc);
      const T* x = w.x + pc * w.x_ld + j;
      int64_t ldx = w.x_ld;
      if (pack_x || !whole) {
        pack_panels(kc, width, x, w.x_ld, int64_t(1), panel);
        x = panel;
        ldx = kPanel;
      }
      const bool last = pc + kc >= w.batch;
      for (int64_t s = 0, i = 0; s < strips.count; ++s) {
        const int height = strips.rows(s);
        const T* a = pack_grad ? packed + pc * rows + i * kc : w.grad + pc * w.grad_ld + o0 + i;
        // the sums' rows are kPanel apart, so the last register is always whole
        kTiles<T>.of[1][height][vectors](kc, a, 1, pack_grad ? height : w.grad_ld, x, ldx, 0,
                                         sums + i * kPanel, kPanel, first_n<T>(kLanes), pc == 0,
                                         nullptr);
        if (last && w.update) {
          const int64_t at = (o0 + i) * w.in + j;
          T* const states[3] = {w.states[0] ? w.states[0] + at : nullptr,
                                w.states[1] ? w.states[1] + at : nullptr,
                                w.states[2] ? w.states[2] + at : nullptr};
          kernel_table().of(T()).optimizers.update(*w.update, height, width, w.in, w.weight + at,
                                                   sums + i * kPanel, kPanel, states);
          if (w.backward) pack_backward(w, o0 + i, height, j, width);
        }
        i += height;
      }
      pc += depth;
    } while (pc < w.batch);
    if (w.update) {
      if (w.forward) pack_forward(w, o0, rows, j, width);
    } else {
      for (int64_t i = 0; i < rows; ++i)
        __builtin_memcpy(w.gradient + (o0 + i) * w.in + j, sums + i * kPanel,
                         size_t(width) * sizeof(T));
    }
  }
}

}  // namespace

void register_weights(KernelTable& table) {
  table.f32.weights = {gradient<float>, workspace_size<float>};
  table.f64.weights = {gradient<double>, workspace_size<double>};
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
