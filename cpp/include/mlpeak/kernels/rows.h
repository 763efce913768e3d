// Contracts of the serial rows kernels (cpp/kernels/rows.cpp), one set per tier.
//
// Arrays are (rows, columns), C-contiguous. The output may be an input array. Sums over a row have
// the fixed shape of simd/lanes.h, so a row's result depends on nothing but the row.
#pragma once

#include <cstdint>

namespace mlpeak {

template <class T>
struct RowKernels {
  /// y = e^(x - max x) / sum(e^(x - max x)). Relative error at most (|x - max x| + columns/lanes +
  /// 8) eps, lanes = 64 / sizeof(T): the difference is rounded, and so is each addition of a lane.
  void (*softmax)(const T* x, T* y, int64_t rows, int64_t columns);

  /// grad_input = y (grad_output - sum(grad_output y)).
  void (*softmax_backward)(const T* grad_output, const T* y, T* grad_input, int64_t rows,
                           int64_t columns);

  /// y = (x - max x) - log(sum(e^(x - max x))).
  void (*log_softmax)(const T* x, T* y, int64_t rows, int64_t columns);

  /// grad_input = grad_output - e^y sum(grad_output).
  void (*log_softmax_backward)(const T* grad_output, const T* y, T* grad_input, int64_t rows,
                               int64_t columns);
};

}  // namespace mlpeak
