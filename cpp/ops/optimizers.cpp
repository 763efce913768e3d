#include "ops/optimizers.h"

#include <cmath>

#include "mlpeak/tier.h"
#include "runtime/threads.h"

namespace mlpeak {
namespace {

/// base^exponent by squaring: std::pow may differ in its last bit from one C library to the next.
double power(double base, int64_t exponent) {
  double result = 1;
  for (; exponent > 0; exponent /= 2, base *= base)
    if (exponent % 2) result *= base;
  return result;
}

double sign(bool maximize) {
  return maximize ? -1 : 1;
}

/// Runs body(begin, end) over n elements; `streams` arrays of T are read or written once each.
template <class T, class Body>
void over_elements(int64_t n, int streams, Body&& body) {
  constexpr int64_t kAlign = 1024;  // a few cache lines of each array, so that threads share none
  constexpr double kBytesPerNanosecond = 20;  // of one core on arrays in its L2
  parallel_for(n, kAlign, double(n) * streams * sizeof(T) / kBytesPerNanosecond, body);
}

template <class T>
T* offset(T* state, int64_t i) {
  return state ? state + i : nullptr;
}

}  // namespace

template <class T>
SgdScalars<T> sgd_scalars(const SgdOptions& o) {
  SgdScalars<T> s;
  const double scale = o.velocity ? o.lr : 1;  // of the gradient
  s.lr = T(o.velocity ? 1 : o.lr);
  s.momentum = T(o.momentum);
  s.one_minus_dampening = T(1 - o.dampening);
  s.weight_decay = T(scale * o.weight_decay);
  s.sign = T(scale * sign(o.maximize));
  s.nesterov = o.nesterov;
  s.first = o.first;
  return s;
}

template <class T>
AdamScalars<T> adam_scalars(const AdamOptions& o) {
  AdamScalars<T> s;
  // The smaller factor goes to the difference, so that its rounding stays small.
  s.from_gradient = o.beta1 < 0.5;
  s.weight = T(s.from_gradient ? -o.beta1 : 1 - o.beta1);
  s.from_square = o.beta2 < 0.5;
  s.square_weight = T(s.from_square ? -o.beta2 : 1 - o.beta2);
  const double correction = std::sqrt(1 - power(o.beta2, o.step));
  s.step_size = T(o.lr * correction / (1 - power(o.beta1, o.step)));
  s.eps = T(o.uncorrected_eps ? o.eps : o.eps * correction);
  s.weight_decay = T(o.decoupled ? 0 : o.weight_decay);
  s.shrink = T(o.decoupled ? 1 - o.lr * o.weight_decay : 1);
  s.sign = T(sign(o.maximize));
  return s;
}

template <class T>
RmspropScalars<T> rmsprop_scalars(const RmspropOptions& o) {
  RmspropScalars<T> s;
  s.lr = T(o.lr);
  s.alpha = T(o.alpha);
  s.one_minus_alpha = T(1 - o.alpha);
  s.eps = T(o.eps);
  s.momentum = T(o.momentum);
  s.weight_decay = T(o.weight_decay);
  s.sign = T(sign(o.maximize));
  return s;
}

template <class T>
AdagradScalars<T> adagrad_scalars(const AdagradOptions& o) {
  AdagradScalars<T> s;
  s.rate = T(o.lr / (1 + double(o.step - 1) * o.lr_decay));
  s.eps = T(o.eps);
  s.weight_decay = T(o.weight_decay);
  s.sign = T(sign(o.maximize));
  return s;
}

template <class T>
void sgd(int64_t n, T* param, const T* grad, T* momentum_buffer, const SgdOptions& o) {
  const SgdScalars<T> s = sgd_scalars<T>(o);
  const auto kernel = kernels<T>().optimizers.sgd;
  over_elements<T>(n, momentum_buffer ? 5 : 3, [&](int64_t begin, int64_t end) {
    kernel(end - begin, param + begin, grad + begin, offset(momentum_buffer, begin), s);
  });
}

template <class T>
void adam(int64_t n, T* param, const T* grad, T* exp_avg, T* exp_avg_sq, T* max_exp_avg_sq,
          const AdamOptions& o) {
  const AdamScalars<T> s = adam_scalars<T>(o);
  const auto kernel = kernels<T>().optimizers.adam;
  over_elements<T>(n, max_exp_avg_sq ? 9 : 7, [&](int64_t begin, int64_t end) {
    kernel(end - begin, param + begin, grad + begin, exp_avg + begin, exp_avg_sq + begin,
           offset(max_exp_avg_sq, begin), s);
  });
}

template <class T>
void rmsprop(int64_t n, T* param, const T* grad, T* square_avg, T* momentum_buffer, T* grad_avg,
             const RmspropOptions& o) {
  const RmspropScalars<T> s = rmsprop_scalars<T>(o);
  const auto kernel = kernels<T>().optimizers.rmsprop;
  const int streams = 5 + (momentum_buffer ? 2 : 0) + (grad_avg ? 2 : 0);
  over_elements<T>(n, streams, [&](int64_t begin, int64_t end) {
    kernel(end - begin, param + begin, grad + begin, square_avg + begin,
           offset(momentum_buffer, begin), offset(grad_avg, begin), s);
  });
}

template <class T>
void adagrad(int64_t n, T* param, const T* grad, T* state_sum, const AdagradOptions& o) {
  const AdagradScalars<T> s = adagrad_scalars<T>(o);
  const auto kernel = kernels<T>().optimizers.adagrad;
  over_elements<T>(n, 5, [&](int64_t begin, int64_t end) {
    kernel(end - begin, param + begin, grad + begin, state_sum + begin, s);
  });
}

#define MLPEAK_INSTANTIATE(T)                                                      \
  template SgdScalars<T> sgd_scalars(const SgdOptions&);                           \
  template AdamScalars<T> adam_scalars(const AdamOptions&);                        \
  template RmspropScalars<T> rmsprop_scalars(const RmspropOptions&);               \
  template AdagradScalars<T> adagrad_scalars(const AdagradOptions&);               \
  template void sgd(int64_t, T*, const T*, T*, const SgdOptions&);                 \
  template void adam(int64_t, T*, const T*, T*, T*, T*, const AdamOptions&);       \
  template void rmsprop(int64_t, T*, const T*, T*, T*, T*, const RmspropOptions&); \
  template void adagrad(int64_t, T*, const T*, T*, const AdagradOptions&);
MLPEAK_INSTANTIATE(float)
MLPEAK_INSTANTIATE(double)
#undef MLPEAK_INSTANTIATE

}  // namespace mlpeak
