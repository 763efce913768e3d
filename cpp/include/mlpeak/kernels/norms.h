// Contracts of the serial normalisation kernels (cpp/kernels/norms.cpp), one set per tier.
//
// x, y, grad_output and grad_x are (rows, features), mean and rstd one value a row (layer_norm,
// rms_norm) or a feature (batch norm); h = (x - mean) * rstd. weight and bias are (features,), null
// for 1 and 0. Arrays share no memory unless said. Row sums have the fixed shape of simd/lanes.h;
// sums over rows are *added* to what the array holds, row after row.
// Formulas: Ba et al. 2016; Zhang, Sennrich 2019; Ioffe, Szegedy 2015.
#pragma once

#include <cstdint>

namespace mlpeak {

template <class T>
struct NormKernels {
  /// y = h * weight + bias with each row's mean and rstd = 1/sqrt(var + eps), in two passes: the
  /// variance is the mean of (x - mean)^2. features > 0.
  void (*layer_norm)(int64_t rows, int64_t features, const T* x, const T* weight, const T* bias,
                     T eps, T* y, T* mean, T* rstd);
  /// grad_x = rstd * (g - mean(g) - h * mean(g * h)), g = grad_output * weight. With a weight also
  /// grad_weight += grad_output * h and grad_bias += grad_output over rows; else both are null.
  void (*layer_norm_backward)(int64_t rows, int64_t features, const T* grad_output, const T* x,
                              const T* weight, const T* mean, const T* rstd, T* grad_x,
                              T* grad_weight, T* grad_bias);
  /// y = h * weight, h = x * rstd, rstd = 1/sqrt(mean(x^2) + eps) of each row. features > 0.
  void (*rms_norm)(int64_t rows, int64_t features, const T* x, const T* weight, T eps, T* y,
                   T* rstd);
  /// grad_x = rstd * (g - h * mean(g * h)); grad_weight as in layer_norm_backward.
  void (*rms_norm_backward)(int64_t rows, int64_t features, const T* grad_output, const T* x,
                            const T* weight, const T* rstd, T* grad_x, T* grad_weight);
  /// The sums of these backwards alone: grad_weight += grad_output * h and grad_bias +=
  /// grad_output, with each row's mean and rstd; mean and grad_bias are null for rms_norm. Rows are
  /// ld apart.
  void (*row_norm_sums)(int64_t rows, int64_t features, int64_t ld, const T* grad_output,
                        const T* x, const T* mean, const T* rstd, T* grad_weight, T* grad_bias);

  /// sums[j] += d and squares[j] += d^2, d = x[i, j] - centre[j], over the rows i; rows of x are ld
  /// apart.
  void (*centred_sums)(int64_t rows, int64_t features, int64_t ld, const T* x, const T* centre,
                       T* sums, T* squares);
  /// grad_bias[j] += grad_output[i, j] and grad_weight[j] += grad_output[i, j] * h[i, j] over the
  /// rows i; rows of grad_output and x are ld apart.
  void (*batch_norm_sums)(int64_t rows, int64_t features, int64_t ld, const T* grad_output,
                          const T* x, const T* mean, const T* rstd, T* grad_weight, T* grad_bias);
  /// y = h * weight + bias.
  void (*batch_norm)(int64_t rows, int64_t features, const T* x, const T* weight, const T* bias,
                     const T* mean, const T* rstd, T* y);
  /// grad_x = weight * rstd * (grad_output - mean_g - h * mean_gh), mean_g and mean_gh (features,)
  /// being means over the batch of grad_output and of grad_output * h, or both null: constants.
  void (*batch_norm_backward)(int64_t rows, int64_t features, const T* grad_output, const T* x,
                              const T* weight, const T* mean, const T* rstd, const T* mean_g,
                              const T* mean_gh, T* grad_x);
};

}  // namespace mlpeak
