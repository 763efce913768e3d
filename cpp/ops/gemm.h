// The matrix product on whole matrices: C's tiles are split over threads in two dimensions, k
// never.
#pragma once

#include "mlpeak/kernels/gemm.h"
#include "mlpeak/precision.h"

namespace mlpeak {

/// C = epilogue(A B), as GemmKernels::multiply, on as many threads as pay. The bits do not depend
/// on how many. bf16 is for float. Throws std::bad_alloc, before C is written, if there is no
/// memory for packing.
template <class T>
void gemm(int64_t m, int64_t n, int64_t k, MatrixView<T> a, MatrixView<T> b, T* c, int64_t ldc,
          const Epilogue<T>& epilogue = {}, Precision precision = Precision::native);

/// The same with B packed ahead by pack_matrix.
template <class T>
void gemm_packed(int64_t m, int64_t n, int64_t k, MatrixView<T> a, PackedPanels<T> b, T* c,
                 int64_t ldc, const Epilogue<T>& epilogue = {},
                 Precision precision = Precision::native);

/// C = epilogue(A Bᵀ) by GemmKernels::multiply_few; A (m, k), B (n, k) and C (m, n) are
/// C-contiguous.
template <class T>
void gemm_few(int64_t m, int64_t n, int64_t k, const T* a, const T* b, T* c,
              const Epilogue<T>& epilogue = {});

}  // namespace mlpeak
