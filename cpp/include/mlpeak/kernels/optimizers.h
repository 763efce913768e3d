// Contracts of the optimizer updates (cpp/kernels/optimizers.cpp), one set per tier.
//
// All arrays have n elements, may be unaligned, and share no memory; param and the state arrays are
// read and written, grad is only read. Each element depends on its own neighbours in the other
// arrays alone, so an array may be cut anywhere. The update of one register, which a fused epilogue
// uses too, is in cpp/kernels/updates.h. Formulas: docstrings of mlpeak/kernels/optimizers.py.
#pragma once

#include <cstdint>

namespace mlpeak {

/// What a step multiplies and adds: computed in double (cpp/ops/optimizers.h), rounded to T once.
template <class T>
struct SgdScalars {
  T lr, momentum, one_minus_dampening;
  T weight_decay;
  T sign;  // of the gradient: -1 to maximize
  bool nesterov;
  bool first;  // the buffer becomes the gradient, whatever it held
};

template <class T>
struct AdamScalars {
  T weight;            // of g - exp_avg: 1 - beta1 where that is added to exp_avg,
  bool from_gradient;  // -beta1 where it is added to g, which is exact for beta1 = 0
  T square_weight;     // the same of g^2 - exp_avg_sq, with beta2,
  bool from_square;    // which is added to exp_avg_sq or to g^2
  T step_size;         // lr sqrt(1 - beta2^t) / (1 - beta1^t): sqrt(v) is not corrected, but this
  T eps;               // and eps, which has that factor too
  T weight_decay;      // added to the gradient: 0 if decoupled
  T shrink;            // 1 - lr * weight_decay if decoupled, else 1
  T sign;
};

template <class T>
struct RmspropScalars {
  T lr, alpha, one_minus_alpha, eps, momentum;
  T weight_decay;
  T sign;
};

template <class T>
struct AdagradScalars {
  T rate;  // lr / (1 + (t - 1) * lr_decay)
  T eps;
  T weight_decay;
  T sign;
};

enum class Rule { sgd, sgd_momentum, adam, amsgrad, rmsprop, adagrad };

/// An update rule with the scalars of a step; only those of `rule` are read.
template <class T>
struct Update {
  Rule rule;
  SgdScalars<T> sgd;
  AdamScalars<T> adam;
  RmspropScalars<T> rmsprop;
  AdagradScalars<T> adagrad;
};

/// How many state arrays `rule` has, rmsprop with all its options: those it does not use are null.
constexpr int state_count(Rule rule) {
  return rule == Rule::sgd       ? 0
         : rule == Rule::adam    ? 2
         : rule == Rule::amsgrad ? 3
         : rule == Rule::rmsprop ? 3
                                 : 1;
}

template <class T>
struct OptimizerKernels {
  /// Without momentum momentum_buffer is null.
  void (*sgd)(int64_t n, T* param, const T* grad, T* momentum_buffer, const SgdScalars<T>& s);
  /// max_exp_avg_sq is null but for AMSGrad.
  void (*adam)(int64_t n, T* param, const T* grad, T* exp_avg, T* exp_avg_sq, T* max_exp_avg_sq,
               const AdamScalars<T>& s);
  /// Without momentum momentum_buffer is null; grad_avg is null but for the centered form.
  void (*rmsprop)(int64_t n, T* param, const T* grad, T* square_avg, T* momentum_buffer,
                  T* grad_avg, const RmspropScalars<T>& s);
  void (*adagrad)(int64_t n, T* param, const T* grad, T* state_sum, const AdagradScalars<T>& s);

  /// Any of these on a block of `rows` x `columns`: rows of param and the states are ld apart, rows
  /// of grad grad_ld. States stand in the order of the functions above.
  void (*update)(const Update<T>& update, int64_t rows, int64_t columns, int64_t ld, T* param,
                 const T* grad, int64_t grad_ld, T* const* states);
};

}  // namespace mlpeak
