// Contract of the serial scatter of rows (cpp/kernels/embedding.cpp), one set per tier. The gather
// copies bytes and needs no kernel.
#pragma once

#include <cstdint>

namespace mlpeak {

template <class T>
struct EmbeddingKernels {
  /// grad_weight[indices[i], :] += grad_output[i, :] for i = 0, 1 ... count-1 in this order, where
  /// first <= indices[i] < last; other i are passed over. grad_output is (count, dim), grad_weight
  /// (last rows or more, dim); they share no memory.
  void (*scatter_add)(int64_t count, int64_t dim, const int64_t* indices, int64_t first,
                      int64_t last, const T* grad_output, T* grad_weight);
};

}  // namespace mlpeak
