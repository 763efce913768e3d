// Contracts of the serial loss kernels (cpp/kernels/losses.cpp), one set per tier.
//
// Weighting and reduction are parts of a kernel's contract, not of the formulas: each loss is
// written once, as a value and a derivative. Means are sums here; the divisor is known before the
// pass (it depends on shapes, targets and weights only) and goes into `scale`.
#pragma once

#include <stdint.h>

namespace mlpeak {

/// The numbers an element-wise loss depends on besides its arrays; each reads only its own.
template <class T>
struct LossParams {
  T threshold;    // smooth_l1: beta >= 0; huber: delta > 0
  T eps;          // gaussian_nll: lower clamp of the variance; poisson_nll: added under the log
  T constant;     // gaussian_nll: added to every value
  bool stirling;  // poisson_nll: add Stirling's formula for log(target!)
};

/// n elements, contiguous in each array. Where `extra` or `weight` is null, every element has
/// extra_value or weight_value.
template <class T>
struct LossSpan {
  const T* input;   // (n)
  const T* target;  // (n)
  const T* extra;   // (n) gaussian_nll: variance >= 0; bce_with_logits: weight of the positive term
  T extra_value;
  const T* weight;  // (n) what the sample weighs
  T weight_value;
  int64_t n;
};

/// One element-wise loss l(x, t, e). Errors are those of the formula in T: a few ULP of the largest
/// term for a value or derivative.
template <class T>
struct ElementwiseLoss {
  /// out[i] = w_i l_i, shape (n); may be `input`.
  void (*values)(const LossSpan<T>& span, const LossParams<T>& params, T* out);
  /// Sum of w_i l_i in the fixed lane order of simd/lanes.h; meant for spans of about 1024.
  T (*sum)(const LossSpan<T>& span, const LossParams<T>& params);
  /// grad[i] = dl_i/dx_i (scale w_i) g_i, g = grad_output (n) or 1 where it is null; may be
  /// `input`. gaussian_nll also writes grad_extra[i], the same with dl_i/dvar_i; others ignore it.
  void (*backward)(const LossSpan<T>& span, const LossParams<T>& params, T scale,
                   const T* grad_output, T* grad, T* grad_extra);
};

/// Rows of a loss over classes. The target distribution q of a row is all mass on `target`, or the
/// row of `probabilities` (exactly one of them is null), then smoothed:
/// q_c <- confidence q_c + smoothing, with confidence = 1 - s and smoothing = s / classes.
template <class T>
struct ClassLossRows {
  const T* input;          // (rows, classes) contiguous
  const int64_t* target;   // (rows) in [0, classes) or ignore_index: such a row has loss and grad 0
  const T* probabilities;  // (rows, classes) contiguous
  const T* class_weight;   // (classes) or null for ones
  T class_weight_sum;      // of class_weight; `classes` for ones
  const T* sample_weight;  // (rows) or null for ones
  int64_t rows, classes, ignore_index;
  T confidence, smoothing;
};

/// A loss over classes, one pass over each row: loss[i] = s_i l_i, shape (rows), and
/// grad[i, j] = dl_i/dx_ij (scale s_i) g_i, shape (rows, classes), g = grad_output (rows) or 1
/// where it is null. Either of loss and grad may be null; grad may be `input`. With a_c = w_c q_c
/// and log p = log softmax(x) for cross_entropy, log p = x for nll (which takes classes only):
///   l = -sum_c a_c log p_c, where a_c = 0 adds nothing;
///   dl/dx_j = p_j sum_c a_c - a_j for cross_entropy, -a_j for nll.
/// Error of l: a few ULP times log(classes) + max|x_c - max x| for a row's largest a.
template <class T>
using ClassLoss = void (*)(const ClassLossRows<T>& rows, T scale, const T* grad_output, T* loss,
                           T* grad);

template <class T>
struct LossKernels {
  ElementwiseLoss<T> mse, l1, smooth_l1, huber;
  ElementwiseLoss<T> bce, bce_with_logits;  // target (and for bce input) in [0, 1]
  ElementwiseLoss<T> gaussian_nll;
  ElementwiseLoss<T> poisson_nll, poisson_nll_log_input;
  ClassLoss<T> cross_entropy, nll;

  /// The first i with x[i] outside [low, high], or -1; NaN is outside unless nan_legal.
  int64_t (*find_outside)(const T* x, int64_t n, T low, T high, bool nan_legal);
};

}  // namespace mlpeak
