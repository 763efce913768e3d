// Contracts of the serial sums (cpp/kernels/reduce.cpp), one set per tier.
#pragma once

#include <cstdint>

namespace mlpeak {

template <class T>
struct ReduceKernels {
  /// Sum of x[0:n] in the frozen shape of simd/lanes.h. For n = 0 it is 0.
  T (*sum)(const T* x, int64_t n);
  /// out[j] = x[0, j] + x[1, j] + ... in this order, for j in [0, columns); x is (rows, columns)
  /// with rows ld apart. For rows = 0 it is 0.
  void (*column_sums)(const T* x, int64_t rows, int64_t columns, int64_t ld, T* out);
};

}  // namespace mlpeak
