// The table of serial kernels that one tier fills: the only way from portable code into code that
// was compiled for an instruction set.
//
// Kernels are stateless and serial: raw pointers, shapes, no allocation, no threads. Splitting work
// over threads is the business of cpp/ops and cpp/engine. Each topic's header is its contract.
#pragma once

#include "mlpeak/kernels/elementwise.h"
#include "mlpeak/kernels/embedding.h"
#include "mlpeak/kernels/gemm.h"
#include "mlpeak/kernels/losses.h"
#include "mlpeak/kernels/norms.h"
#include "mlpeak/kernels/optimizers.h"
#include "mlpeak/kernels/peak.h"
#include "mlpeak/kernels/random.h"
#include "mlpeak/kernels/reduce.h"
#include "mlpeak/kernels/rows.h"
#include "mlpeak/kernels/weights.h"
#include "mlpeak/precision.h"

namespace mlpeak {

template <class T>
struct Kernels {
  GemmKernels<T> gemm;
  ElementwiseKernels<T> elementwise;
  RowKernels<T> rows;
  ReduceKernels<T> reduce;
  LossKernels<T> losses;
  NormKernels<T> norms;
  EmbeddingKernels<T> embedding;
  OptimizerKernels<T> optimizers;
  WeightKernels<T> weights;
  RandomKernels<T> random;
  PeakKernels<T> peak;
  // The same contracts with the factors rounded to bf16, as mlpeak/precision.h says; fp32 only.
  GemmKernels<T> gemm_bf16;
  WeightKernels<T> weights_bf16;

  const GemmKernels<T>& products(Precision p) const {
    return p == Precision::bf16 ? gemm_bf16 : gemm;
  }
  const WeightKernels<T>& gradients(Precision p) const {
    return p == Precision::bf16 ? weights_bf16 : weights;
  }
};

struct KernelTable {
  Kernels<float> f32;
  Kernels<double> f64;

  const Kernels<float>& of(float) const { return f32; }
  const Kernels<double>& of(double) const { return f64; }
};

}  // namespace mlpeak
