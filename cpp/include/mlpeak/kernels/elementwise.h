// Contracts of the serial elementwise kernels (cpp/kernels/elementwise.cpp), one set per tier.
#pragma once

#include <cstdint>

#include "mlpeak/activation.h"

namespace mlpeak {

enum class Elementary { exp, log, log1p, expm1, erf };
constexpr int kElementaryCount = 5;

enum class Combination { add, subtract, multiply, divide };
constexpr int kCombinationCount = 4;

template <class T>
struct ElementwiseKernels {
  /// z[i] = x[i] op y[i], correctly rounded; z may be x or y. Indexed by Combination.
  void (*combine[kCombinationCount])(const T* x, const T* y, T* z, int64_t n);

  /// y[i] = f(x[i]) for i in [0, n); y may be x. Limits as in simd/math.h: exp, log 1 ULP; log1p,
  /// expm1, erf 2 ULP. Indexed by Elementary.
  void (*elementary[kElementaryCount])(const T* x, T* y, int64_t n);

  /// y[i] = x[i]^exponent, C99's special values except that 0.5 is sqrt; y may be x.
  /// float: computed in double, 0.501 ULP. double: exponents 0, 1, 2, -1, 0.5 correctly rounded;
  /// other integers n, |n| <= 64, by products, 2 |n| ULP; else exp(exponent log|x|),
  /// 1 + 3 |exponent log x| ULP.
  void (*pow)(const T* x, T* y, int64_t n, double exponent);

  /// y[i] = activation(x[i]); y may be x. Indexed by Activation; params as in kActivations.
  void (*forward[kActivationCount])(const T* x, T* y, int64_t n, const double* params);

  /// grad_input[i] = grad_output[i] dy/dx; saved is x or y of forward, as kActivations says.
  /// grad_input may be grad_output or saved.
  void (*backward[kActivationCount])(const T* grad_output, const T* saved, T* grad_input, int64_t n,
                                     const double* params);
};

}  // namespace mlpeak
