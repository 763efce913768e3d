// Contract of the serial matrix product (cpp/kernels/gemm.cpp), one per tier.
#pragma once

#include <cstdint>

#include "mlpeak/activation.h"
#include "mlpeak/precision.h"

namespace mlpeak {

/// A matrix that is read: element (i, j) stands at data[i * row + j * col]. Either stride may be 1,
/// so a transposed matrix is the same data with its strides exchanged.
template <class T>
struct MatrixView {
  const T* data;
  int64_t row, col;
};

/// B packed ahead by GemmKernels::pack, for all of k, and the column at which to begin (a multiple
/// of tile_columns). The layout is the tier's own.
template <class T>
struct PackedPanels {
  const T* data;
  int64_t columns;  // of the whole packed matrix
  int64_t first;
};

/// What happens to an element of C after its sum over k is complete, in this order.
template <class T>
struct Epilogue {
  const T* bias = nullptr;  // (n,): added, one rounding; null: none
  T* pre = nullptr;         // (m, ldc): receives the value before the activation; null: none
  Activation activation = Activation::identity;
  const double* params = nullptr;  // of the activation, as in ElementwiseKernels
  // Not null: the activation's backward is applied instead, the value being grad_output.
  const T* saved = nullptr;  // (m, saved_ld): as in ElementwiseKernels
  int64_t saved_ld = 0;
};

/// Whether the forward product of a layer (in -> out) is GemmKernels::multiply_few, in which lanes
/// take turns at k: to add them up is less work than to transpose rows into lanes if sums are long
/// and few. It decides the order of a sum, so it must depend on nothing else.
constexpr bool has_few_outputs(int64_t out, int64_t in, Precision precision = Precision::native) {
  return precision == Precision::native && out <= 10 && in >= 64 && in >= 16 * out;
}

template <class T>
struct GemmKernels {
  /// C = epilogue(A B). A is (m, k), B is (k, n), C is (m, n) with rows ldc apart and columns
  /// adjacent. C is overwritten and must not overlap A, B or the epilogue's arrays.
  /// Every element is one chain of fused multiply-adds over k = 0, 1, ... that starts at zero, so
  /// its bits depend on nothing but its row of A, its column of B and k.
  /// `workspace` holds workspace_size(m, n, k) elements, aligned to 64 bytes.
  void (*multiply)(int64_t m, int64_t n, int64_t k, MatrixView<T> a, MatrixView<T> b, T* c,
                   int64_t ldc, const Epilogue<T>& epilogue, T* workspace);
  /// The same with B packed ahead. The bits are the same too.
  void (*multiply_packed)(int64_t m, int64_t n, int64_t k, MatrixView<T> a, PackedPanels<T> b, T* c,
                          int64_t ldc, const Epilogue<T>& epilogue, T* workspace);
  int64_t (*workspace_size)(int64_t m, int64_t n, int64_t k);

  /// C = epilogue(A Bᵀ) for few columns: A is (m, k), rows lda apart, B is (n, k), rows adjacent.
  /// k > 0. An element is a sum in 64 bytes of lanes (kernels/few_outputs.h). Null for pairs.
  void (*multiply_few)(int64_t m, int64_t n, int64_t k, const T* a, int64_t lda, const T* b, T* c,
                       int64_t ldc, const Epilogue<T>& epilogue);

  /// Packs B (k, n) for multiply_packed into packed_size(n, k) elements, aligned to 64 bytes.
  void (*pack)(int64_t n, int64_t k, MatrixView<T> b, T* out);
  int64_t (*packed_size)(int64_t n, int64_t k);

  /// The register tile: rows and columns of C that one inner loop computes. Splits of C between
  /// threads fall on its multiples.
  int64_t tile_rows, tile_columns;
  /// The most of k that a block takes. A product over less may have deeper blocks than one over
  /// more, which are equal; a workspace for this k and for the largest one does for all up to it.
  int64_t block_depth;
};

}  // namespace mlpeak
