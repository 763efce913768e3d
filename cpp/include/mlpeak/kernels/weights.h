// Contract of the serial weight gradient with its update (cpp/kernels/weights.cpp), one per tier.
#pragma once

#include <cstdint>

#include "mlpeak/kernels/optimizers.h"

namespace mlpeak {

/// The gradient dW = Gᵀ X of a linear layer, and what becomes of it.
template <class T>
struct WeightGradient {
  int64_t batch, out, in;
  const T* grad;  // G (batch, out), rows grad_ld apart
  int64_t grad_ld;
  const T* x;  // X (batch, in), rows x_ld apart
  int64_t x_ld;

  T* gradient;  // (out, in): receives dW, if there is no update
  // Not null: the update is applied to weight and states, (out, in) each, and dW is not kept.
  const Update<T>* update;
  T* weight;
  T* states[3];
  // Packed copies for the products of the next step, aligned to 64 bytes, or null; always null
  // where WeightKernels::renews_copies is false.
  T* forward;   // the weight's transpose: GemmKernels::pack(n = out, k = in)
  T* backward;  // the weight: GemmKernels::pack(n = in, k = out)
};

template <class T>
struct WeightKernels {
  /// Computes dW[o0:o1, j0:j1]: each element is one chain of fused multiply-adds over the batch
  /// from zero, as GemmKernels::multiply has it. With an update, the same part of weight, states
  /// and packed copies is renewed. j0 and j1 are multiples of tile_columns, or the ends; so are
  /// o0 and o1, or without packed copies any rows.
  /// `workspace` holds workspace_size(batch, o1 - o0) elements, aligned to 64 bytes.
  void (*gradient)(const WeightGradient<T>& w, int64_t o0, int64_t o1, int64_t j0, int64_t j1,
                   T* workspace);
  int64_t (*workspace_size)(int64_t batch, int64_t out);

  /// A part of dW packs what it reads and is best large; elsewhere it is best narrow.
  bool by_row_blocks;
  /// Packed copies are renewed with the weight; else the products of the next step pack it.
  bool renews_copies;
};

}  // namespace mlpeak
