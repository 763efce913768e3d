// The optimizer updates, each defined once, on one register of parameters.
//
// An update is a functor made from the step's scalars. It takes p and the gradient g, reads and
// writes its kStates state registers, and returns the new p:
//
//   const Adam<T> update(scalars);  Vec<T> state[Adam<T>::kStates];  p = update(p, g, state);
//
// The order of operations is frozen, fused multiply-adds are spelt out, and lanes are independent:
// the same bits come from the flat loop of optimizers.cpp and from a weight tile's epilogue.
#pragma once

#include <limits>

#include "mlpeak/kernels/optimizers.h"
#include "simd/vec.h"

namespace mlpeak {
namespace MLPEAK_TIER {

/// sign * g + weight_decay * p
template <class T>
struct Gradient {
  Vec<T> sign, weight_decay;

  template <class Scalars>
  explicit MLPEAK_INLINE Gradient(const Scalars& s)
      : sign(set1(s.sign)), weight_decay(set1(s.weight_decay)) {}

  MLPEAK_INLINE Vec<T> operator()(Vec<T> p, Vec<T> g) const {
    return fma(weight_decay, p, sign * g);
  }
};

/// The root of an average of squares. That of a dead unit decays to subnormal numbers, whose roots
/// take ten times as long, in each step from then on: they count as the smallest normal number,
/// whose root, 1e-19 in float, is nothing beside eps.
template <class T>
MLPEAK_INLINE Vec<T> root_of(Vec<T> v) {
  return sqrt(max(set1(std::numeric_limits<T>::min()), v));  // NaN stays
}

/// decay * average + rate * x
template <class T>
MLPEAK_INLINE Vec<T> decayed(Vec<T> decay, Vec<T> average, Vec<T> rate, Vec<T> x) {
  return fma(rate, x, decay * average);
}

/// Plain descent: no state.
template <class T>
struct Sgd {
  static constexpr int kStates = 0;
  Gradient<T> gradient;
  Vec<T> lr;

  explicit MLPEAK_INLINE Sgd(const SgdScalars<T>& s) : gradient(s), lr(set1(s.lr)) {}

  MLPEAK_INLINE Vec<T> operator()(Vec<T> p, Vec<T> g, Vec<T>*) const {
    return fnma(lr, gradient(p, g), p);
  }
};

/// Descent with momentum; state: momentum_buffer.
template <class T>
struct SgdMomentum {
  static constexpr int kStates = 1;
  Gradient<T> gradient;
  Vec<T> lr, momentum, one_minus_dampening;
  bool nesterov, first;

  explicit MLPEAK_INLINE SgdMomentum(const SgdScalars<T>& s)
      : gradient(s),
        lr(set1(s.lr)),
        momentum(set1(s.momentum)),
        one_minus_dampening(set1(s.one_minus_dampening)),
        nesterov(s.nesterov),
        first(s.first) {}

  MLPEAK_INLINE Vec<T> operator()(Vec<T> p, Vec<T> g, Vec<T>* state) const {
    g = gradient(p, g);
    const Vec<T> buffer = first ? g : decayed(momentum, state[0], one_minus_dampening, g);
    state[0] = buffer;
    return fnma(lr, nesterov ? fma(momentum, buffer, g) : buffer, p);
  }
};

/// Whether Adam leaves p and the gradient as they are, and both beta are as usual: then it saves
/// four multiplications and two choices.
template <class T>
MLPEAK_INLINE bool is_plain(const AdamScalars<T>& s) {
  return s.sign == T(1) && s.weight_decay == T(0) && s.shrink == T(1) && !s.from_gradient &&
         !s.from_square;
}

/// Adam and AdamW; states: exp_avg, exp_avg_sq and, for AMSGrad, max_exp_avg_sq.
/// Both averages move by a share of their distance to g and g^2, and the root's correction stands
/// in step_size and eps: four multiplications in all, which a tile's sums have to wait for. The
/// square of g is not scaled down before it is formed: beyond the root of the largest number it is
/// infinite.
template <class T, bool kAmsgrad = false, bool kPlain = false>
struct Adam {
  static constexpr int kStates = kAmsgrad ? 3 : 2;
  Gradient<T> gradient;
  Vec<T> weight, square_weight, step_size, eps, shrink;
  Mask<T> from_gradient, from_square;

  explicit MLPEAK_INLINE Adam(const AdamScalars<T>& s)
      : gradient(s),
        weight(set1(s.weight)),
        square_weight(set1(s.square_weight)),
        step_size(set1(s.step_size)),
        eps(set1(s.eps)),
        shrink(set1(s.shrink)),
        from_gradient(first_n<T>(s.from_gradient ? Vec<T>::kLanes : 0)),
        from_square(first_n<T>(s.from_square ? Vec<T>::kLanes : 0)) {}

  MLPEAK_INLINE Vec<T> operator()(Vec<T> p, Vec<T> g, Vec<T>* state) const {
    if constexpr (!kPlain) {
      g = gradient(p, g);
      p = shrink * p;
    }
    const Vec<T> base = kPlain ? state[0] : select(from_gradient, g, state[0]);
    const Vec<T> m = fma(weight, g - state[0], base);
    const Vec<T> square = kPlain ? state[1] : select(from_square, g * g, state[1]);
    Vec<T> v = fnma(square_weight, fnma(g, g, state[1]), square);  // of exp_avg_sq - g^2
    state[0] = m;
    state[1] = v;
    if constexpr (kAmsgrad) {
      v = select(is_nan(state[2]), state[2], max(state[2], v));  // NaN stays, as in torch
      state[2] = v;
    }
    // m is no dividend: that of a dead unit decays to subnormal numbers, which are slow to divide
    return fnma(m, step_size / (root_of(v) + eps), p);
  }
};

/// RMSprop; states: square_avg, then momentum_buffer and grad_avg as far as they are used.
template <class T, bool kMomentum, bool kCentered>
struct Rmsprop {
  static constexpr int kStates = 1 + kMomentum + kCentered;
  Gradient<T> gradient;
  Vec<T> lr, alpha, one_minus_alpha, eps, momentum;

  explicit MLPEAK_INLINE Rmsprop(const RmspropScalars<T>& s)
      : gradient(s),
        lr(set1(s.lr)),
        alpha(set1(s.alpha)),
        one_minus_alpha(set1(s.one_minus_alpha)),
        eps(set1(s.eps)),
        momentum(set1(s.momentum)) {}

  MLPEAK_INLINE Vec<T> operator()(Vec<T> p, Vec<T> g, Vec<T>* state) const {
    g = gradient(p, g);
    Vec<T> v = decayed(alpha, state[0], one_minus_alpha * g, g);
    state[0] = v;
    if constexpr (kCentered) {
      Vec<T>& average = state[kStates - 1];
      average = decayed(alpha, average, one_minus_alpha, g);
      v = max(set1(T(0)), fnma(average, average, v));  // a variance, but for rounding; NaN stays
    }
    const Vec<T> root = root_of(v) + eps;
    if constexpr (kMomentum) {
      state[1] = fma(momentum, state[1], g / root);
      return fnma(lr, state[1], p);
    } else {
      return p - lr * g / root;
    }
  }
};

/// Adagrad; state: state_sum.
template <class T>
struct Adagrad {
  static constexpr int kStates = 1;
  Gradient<T> gradient;
  Vec<T> rate, eps;

  explicit MLPEAK_INLINE Adagrad(const AdagradScalars<T>& s)
      : gradient(s), rate(set1(s.rate)), eps(set1(s.eps)) {}

  MLPEAK_INLINE Vec<T> operator()(Vec<T> p, Vec<T> g, Vec<T>* state) const {
    g = gradient(p, g);
    state[0] = fma(g, g, state[0]);
    return p - rate * g / (sqrt(state[0]) + eps);
  }
};

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
