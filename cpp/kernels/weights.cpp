// The weight gradient by register tiles, with the optimizer in the tile's wake.
//
// A panel of X (the batch x the tile's columns) is walked by strips of G's columns. A strip's sums,
// once complete, are used up by the update while the next strip's sums run: the update's divisions
// and square roots keep the divider busy, the sums the multipliers (kernels/strip_updates.h). What
// a strip's update will read is fetched while the strip is summed. The gradient never reaches
// memory beyond L1. Where registers are few, the update runs before the next sums; a dW that is not
// small is then the business of kernels/row_blocks.h.
#include "mlpeak/kernels/weights.h"

#include "kernels/packed_weight.h"
#include "kernels/row_blocks.h"

namespace mlpeak {
namespace MLPEAK_TIER {
namespace {

/// Whether a dW that is not small is computed by row blocks.
template <class E>
constexpr bool kByRowBlocks = kFewRegisters && kDepth<E> == 1;

template <class E>
int64_t workspace_size(int64_t batch, int64_t out) {
  const int64_t steps = steps_of<E>(batch), depth = smaller(steps, kMaxDepth);
  const int64_t rounded = kDepth<E> > 1 ? out * steps : 0;
  const int64_t few = 2 * kColumns<E> * kColumns<E>;  // as few_inputs needs it
  const int64_t size =
      (out + 2 * kRows) * kColumns<E> + depth * kColumns<E> + (rounded > few ? rounded : few);
  const int64_t blocks = kByRowBlocks<E> ? RowBlocks<Sum<E>>::workspace_size(batch) : 0;
  return size > blocks ? size : blocks;
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
        kTiles<T>.of[kLines][strips.rows(s)][vectors](kc, w.x + pc * w.x_ld + i, 1, w.x_ld, g.data,
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
  }
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
    if (RowBlocks<T>::suits(w, rows, j1 - j0))
      return RowBlocks<T>(w, workspace).run(o0, o1, j0, j1);
  }
  const int64_t steps = steps_of<E>(w.batch), depth = block_depth(steps);
  T* const sums = workspace;  // (rows + 2 kRows) x kPanel
  E* const panel = reinterpret_cast<E*>(sums + (rows + 2 * kRows) * kPanel);  // depth x kPanel of X
  E* const rounded = panel + smaller(steps, kMaxDepth) * kPanel;
  const int64_t apart = w.x_ld * int64_t(sizeof(T));
  // A panel of few samples stays in L1 where it is, unless its rows fall on few sets of the cache,
  // or its registers in two lines each.
  const bool stays =
      !kFewRegisters && w.batch <= 64 && apart % 4096 != 0 && begins_lines(w.x, w.x_ld);
  const bool pack_x = kPairs || (apart > 512 && rows > 2 * kRows && !stays);
  const Updating<E> updating(w);
  const Strips strips(rows);
  MatrixView<E> grad;  // the transpose of G[:, o0:o1]
  if constexpr (kPairs)
    grad = operand(MatrixView<T>{w.grad + o0, 1, w.grad_ld}, rows, w.batch, rounded);
  else
    grad = {w.grad + o0, 1, w.grad_ld};

  Strip<T> both[2];  // the strip of a tile and the one before, which waits for its update
  int turn = 0;      // of the tile's strip
  for (int64_t j = j0; j < j1; j += kPanel) {
    const int64_t width = smaller(kPanel, j1 - j);
    const int vectors = int((width + kLanes - 1) / kLanes);
    Copies<E> copies(w, o0, j, width);
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
      for (int64_t s = 0, i = 0; s < strips.count; ++s, turn = 1 - turn) {
        const int height = strips.rows(s);
        Strip<T>& own = both[turn];
        Strip<T>& waiting = both[1 - turn];
        // sums of several blocks of the batch are all kept, else those of two strips
        T* const c = sums + (alone ? turn * kRows : i) * kPanel;
        own.rows = height;
        own.width = width;
        own.at = (o0 + i) * w.in + j;
        own.sums = c;
        const bool full = width == kPanel && alone && height >= kRows - 1;
        UpdatingTile<E> run = nullptr;
        if (full && waiting.rows) run = updating.adam[height == kRows];
        if (waiting.rows && !run) updating.alone(w, waiting);
        if (full && !run) run = updating.fetch[height == kRows];
        if (run)
          run(kc, a, grad.col, x.data, x.row, c, w, waiting, own);
        else  // the sums' rows are kPanel apart, so the last register is always whole
          kTiles<E>.of[kLines][height][vectors](kc, a, 1, grad.col, x.data, x.row, 0, c, kPanel,
                                                first_n<T>(kLanes), pc == 0, nullptr);
        waiting.rows = 0;
        if (!last || !w.update) own.rows = 0;
        if (last && w.update) copies.pack_to(o0 + i);
        if (last && !w.update)
          for (int r = 0; r < height; ++r)
            copy_row(c + r * kPanel, width, w.gradient + (o0 + i + r) * w.in + j);
        a += height;
        i += height;
      }
      pc += depth;
    } while (pc < steps);
    if (kPairs || j + kPanel >= j1) {
      for (Strip<T>& waiting : both) {
        if (waiting.rows) updating.alone(w, waiting);
        waiting.rows = 0;
      }
    }
    if (w.update) copies.finish(o1);
  }
  if (kPairs && w.update) finish_streams();
}

template <class E, class T = Sum<E>>
WeightKernels<T> weight_kernels() {
  return {gradient<E>, workspace_size<E>, kByRowBlocks<E>, kDepth<E> > 1};
}

}  // namespace

void register_weights(KernelTable& table) {
  table.f32.weights = weight_kernels<float>();
  table.f64.weights = weight_kernels<double>();
  table.f32.weights_bf16 = weight_kernels<Pair>();
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
