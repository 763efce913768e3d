// Optimizer updates of whole arrays, in place, and the scalars of a step.
//
// Arrays are as in mlpeak/kernels/optimizers.h; a fused epilogue takes the scalars alone.
#pragma once

#include <cstdint>

#include "mlpeak/kernels/optimizers.h"

namespace mlpeak {

struct SgdOptions {
  double lr, momentum, dampening, weight_decay;
  bool nesterov, maximize, first;
  /// The buffer holds velocities of the parameter (with the sign of the gradient): the learning
  /// rate multiplies a gradient on its way in, so velocities outlast a change of the rate.
  bool velocity = false;
};

struct AdamOptions {
  int64_t step;  // from 1
  double lr, beta1, beta2, eps, weight_decay;
  bool decoupled, maximize;
  /// eps stands beside the root of the uncorrected second moment.
  bool uncorrected_eps = false;
};

struct RmspropOptions {
  double lr, alpha, eps, weight_decay, momentum;
  bool maximize;
};

struct AdagradOptions {
  int64_t step;  // from 1
  double lr, lr_decay, weight_decay, eps;
  bool maximize;
};

template <class T>
SgdScalars<T> sgd_scalars(const SgdOptions& o);
template <class T>
AdamScalars<T> adam_scalars(const AdamOptions& o);
template <class T>
RmspropScalars<T> rmsprop_scalars(const RmspropOptions& o);
template <class T>
AdagradScalars<T> adagrad_scalars(const AdagradOptions& o);

/// momentum_buffer is null if and only if o.momentum is 0.
template <class T>
void sgd(int64_t n, T* param, const T* grad, T* momentum_buffer, const SgdOptions& o);
template <class T>
void adam(int64_t n, T* param, const T* grad, T* exp_avg, T* exp_avg_sq, T* max_exp_avg_sq,
          const AdamOptions& o);
/// momentum_buffer is null if and only if o.momentum is 0.
template <class T>
void rmsprop(int64_t n, T* param, const T* grad, T* square_avg, T* momentum_buffer, T* grad_avg,
             const RmspropOptions& o);
template <class T>
void adagrad(int64_t n, T* param, const T* grad, T* state_sum, const AdagradOptions& o);

}  // namespace mlpeak
