// Losses on whole arrays: work split over threads, weighting, reduction.
//
// A total is added up in chunks whose bounds depend on the shape alone: about 1024 elements, or 64
// rows of classes, in T inside a chunk (fixed lanes) and in double, in order, from there on.
#pragma once

#include <cstdint>

#include "mlpeak/kernels/losses.h"

namespace mlpeak {

enum class Reduction { none, mean, sum };

enum class LossKind {
  mse,
  l1,
  smooth_l1,
  huber,
  binary_cross_entropy,
  binary_cross_entropy_with_logits,
  gaussian_nll,
  poisson_nll,
};

/// An element-wise loss's options, as Python gives them; each loss reads only its own.
struct LossOptions {
  double threshold = 1;  // beta of smooth_l1, delta of huber
  double eps = 0;
  bool full = false;
  bool log_input = true;
};

template <class T>
struct ElementwiseLossArgs {
  LossKind kind;
  LossOptions options;
  const T* input;   // (batch, row_size) contiguous, not empty
  const T* target;  // (batch, row_size) contiguous
  /// The variance of gaussian_nll, or pos_weight. Element i of the batch has extra[i % extra_size]:
  /// extra_size is batch * row_size, a divisor of row_size, or 0 for extra = 1 everywhere.
  const T* extra;
  int64_t extra_size;
  const T* sample_weight;  // (batch), or null for ones
  int64_t batch, row_size;
};

/// out: (batch, row_size) for Reduction::none, else one number.
template <class T>
void elementwise_loss(const ElementwiseLossArgs<T>& args, Reduction reduction, T* out);

/// grad_output: (batch, row_size) for Reduction::none, else one number. grad and, for gaussian_nll,
/// grad_extra: (batch, row_size); no array may overlap another.
template <class T>
void elementwise_loss_backward(const ElementwiseLossArgs<T>& args, Reduction reduction,
                               const T* grad_output, T* grad, T* grad_extra);

/// What a mean divides by: the sum of the sample weights times row_size; 1 for other reductions.
template <class T>
double elementwise_divisor(const ElementwiseLossArgs<T>& args, Reduction reduction);

/// grad = dl/dx (scale w) g with g = grad_output, (batch, row_size), or 1 where that is null.
template <class T>
void elementwise_loss_gradient(const ElementwiseLossArgs<T>& args, T scale, const T* grad_output,
                               T* grad, T* grad_extra);

enum class ClassLossKind { cross_entropy, nll };

/// out: (rows) for Reduction::none, else one number. class_weight_sum need not be set.
template <class T>
void class_loss(ClassLossKind kind, const ClassLossRows<T>& rows, Reduction reduction, T* out);

/// grad_output: (rows) for Reduction::none, else one number; grad: (rows, classes), may be input.
template <class T>
void class_loss_backward(ClassLossKind kind, const ClassLossRows<T>& rows, Reduction reduction,
                         const T* grad_output, T* grad);

/// Both in one pass over the rows: the loss as class_loss gives it, and grad as class_loss_backward
/// gives it for a grad_output of 1.
template <class T>
void class_loss_with_gradient(ClassLossKind kind, const ClassLossRows<T>& rows, Reduction reduction,
                              T* out, T* grad);

/// The divisor of the mean: the sum over rows of sample weight times class weight of the target (0
/// where ignored), or of the sample weights alone for probabilities.
template <class T>
double class_loss_divisor(const ClassLossRows<T>& rows);

/// The sum of the rows' losses in the order of class_loss.
template <class T>
double class_loss_sum(const T* losses, int64_t rows);

/// `rows` with its class_weight_sum set.
template <class T>
ClassLossRows<T> with_class_weight_sum(ClassLossRows<T> rows);

/// The first i with x[i] outside [low, high], or -1; NaN is outside unless nan_legal.
template <class T>
int64_t find_outside(const T* x, int64_t n, T low, T high, bool nan_legal);

}  // namespace mlpeak
