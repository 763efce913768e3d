// Normalisations of whole arrays. Arrays and formulas are as in mlpeak/kernels/norms.h; sums over
// rows are cut into chunks of 64 rows, whose totals are added in order in double.
#pragma once

#include <cstdint>

namespace mlpeak {

template <class T>
void layer_norm(int64_t rows, int64_t features, const T* x, const T* weight, const T* bias,
                double eps, T* y, T* mean, T* rstd);

/// grad_weight and grad_bias are null if and only if weight is.
template <class T>
void layer_norm_backward(int64_t rows, int64_t features, const T* grad_output, const T* x,
                         const T* weight, const T* mean, const T* rstd, T* grad_x, T* grad_weight,
                         T* grad_bias);

template <class T>
void rms_norm(int64_t rows, int64_t features, const T* x, const T* weight, double eps, T* y,
              T* rstd);

/// grad_weight is null if and only if weight is.
template <class T>
void rms_norm_backward(int64_t rows, int64_t features, const T* grad_output, const T* x,
                       const T* weight, const T* rstd, T* grad_x, T* grad_weight);

/// Takes mean and rstd from the batch (rows >= 2) and y from them. running_mean and running_var,
/// both or neither null, become (1 - momentum) * running + momentum * statistic.
template <class T>
void batch_norm_training(int64_t rows, int64_t features, const T* x, const T* weight, const T* bias,
                         T* running_mean, T* running_var, double momentum, double eps, T* y,
                         T* mean, T* rstd);

/// Takes mean and rstd from the running statistics and y from them.
template <class T>
void batch_norm_inference(int64_t rows, int64_t features, const T* x, const T* weight,
                          const T* bias, const T* running_mean, const T* running_var, double eps,
                          T* y, T* mean, T* rstd);

/// grad_weight and grad_bias may be null, each.
template <class T>
void batch_norm_backward(int64_t rows, int64_t features, const T* grad_output, const T* x,
                         const T* weight, const T* mean, const T* rstd, bool training, T* grad_x,
                         T* grad_weight, T* grad_bias);

/// Rows of a chunk, whose totals are added in double.
constexpr int64_t kNormChunk = 64;

/// What batch_norm_training makes of one feature's sums: `mean` is a first mean, `left` and
/// `squares` are the sums of x - mean and of its squares over `rows`.
template <class T>
void finish_statistics(int64_t rows, double left, double squares, double momentum, double eps,
                       T* mean, T* rstd, T* running_mean, T* running_var);

/// What batch_norm_inference takes from one feature's running variance.
template <class T>
T running_rstd(T running_var, double eps);

}  // namespace mlpeak
