// Contracts of the kernels that measure the machine itself (cpp/kernels/peak.cpp), one set per
// tier.
#pragma once

#include <cstdint>

namespace mlpeak {

template <class T>
struct PeakKernels {
  /// `rounds` rounds of fused multiply-adds in registers, flops_per_round operations each (an FMA
  /// counts as two). Each chain is c <- a c + b from another start; returns the sum of the ends, so
  /// that nothing may be left out. |a| < 1 keeps it finite.
  T (*fma_chains)(int64_t rounds, T a, T b);
  int64_t flops_per_round;

  /// y[i] = y[i] + s x[i]: two reads and a write. STREAM's triad writes to a third array, and
  /// such a write costs a hidden read; here every byte that moves is counted.
  void (*update)(int64_t n, T s, const T* x, T* y);
};

}  // namespace mlpeak
