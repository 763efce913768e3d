#include "mlpeak/kernels/losses.h"

#include "kernels/each_register.h"
#include "kernels/register.h"
#include "simd/lanes.h"
#include "simd/math.h"

namespace mlpeak {
namespace MLPEAK_TIER {
namespace {

// ---- element-wise losses: a value and a derivative each -----------------------------------------

/// A loss whose only gradient is the input's.
struct InputOnly {
  static constexpr bool kExtraGradient = false;
};

/// One register of an element-wise loss's operands.
template <class T>
struct Terms {
  Vec<T> x, t, extra;
};

template <class T>
MLPEAK_INLINE Vec<T> constant(double x) {
  return set1(T(x));
}

/// 1, 0 or -1; NaN for NaN.
template <class T>
MLPEAK_INLINE Vec<T> sign(Vec<T> d) {
  const Vec<T> zero = set1(T(0));
  return select(lt(zero, d), set1(T(1)), select(lt(d, zero), set1(T(-1)), d));
}

struct Mse : InputOnly {
  template <class T>
  static MLPEAK_INLINE Vec<T> value(const Terms<T>& e, const LossParams<T>&) {
    const Vec<T> d = e.x - e.t;
    return d * d;
  }
  template <class T>
  static MLPEAK_INLINE Vec<T> derivative(const Terms<T>& e, const LossParams<T>&) {
    const Vec<T> d = e.x - e.t;
    return d + d;
  }
};

struct L1 : InputOnly {
  template <class T>
  static MLPEAK_INLINE Vec<T> value(const Terms<T>& e, const LossParams<T>&) {
    return abs(e.x - e.t);
  }
  template <class T>
  static MLPEAK_INLINE Vec<T> derivative(const Terms<T>& e, const LossParams<T>&) {
    return sign(e.x - e.t);
  }
};

// R. Girshick, Fast R-CNN, ICCV 2015, eq. 3. With beta = 0 no element is near: it is L1.
struct SmoothL1 : InputOnly {
  template <class T>
  static MLPEAK_INLINE Vec<T> value(const Terms<T>& e, const LossParams<T>& p) {
    const Vec<T> d = abs(e.x - e.t);
    const Vec<T> beta = set1(p.threshold);
    const Vec<T> half = constant<T>(0.5);
    return select(lt(d, beta), half * d * d / beta, d - half * beta);
  }
  template <class T>
  static MLPEAK_INLINE Vec<T> derivative(const Terms<T>& e, const LossParams<T>& p) {
    const Vec<T> d = e.x - e.t;
    const Vec<T> beta = set1(p.threshold);
    return select(lt(abs(d), beta), d / beta, sign(d));
  }
};

// P. J. Huber, Robust estimation of a location parameter, Ann. Math. Statist. 35 (1964).
struct Huber : InputOnly {
  template <class T>
  static MLPEAK_INLINE Vec<T> value(const Terms<T>& e, const LossParams<T>& p) {
    const Vec<T> d = abs(e.x - e.t);
    const Vec<T> delta = set1(p.threshold);
    const Vec<T> half = constant<T>(0.5);
    return select(lt(d, delta), half * d * d, delta * (d - half * delta));
  }
  template <class T>
  static MLPEAK_INLINE Vec<T> derivative(const Terms<T>& e, const LossParams<T>& p) {
    const Vec<T> d = e.x - e.t;
    const Vec<T> delta = set1(p.threshold);
    return select(lt(abs(d), delta), d, delta * sign(d));
  }
};

// The clamps, log at -100 and x (1 - x) at 1e-12, keep a probability of 0 or 1 finite.
struct Bce : InputOnly {
  template <class T>
  static MLPEAK_INLINE Vec<T> value(const Terms<T>& e, const LossParams<T>&) {
    const Vec<T> floor = constant<T>(-100);
    const Vec<T> log_x = max(floor, log(e.x));
    const Vec<T> log_1mx = max(floor, log1p(set1(T(0)) - e.x));
    return fnma(e.t, log_x, (e.t - set1(T(1))) * log_1mx);
  }
  template <class T>
  static MLPEAK_INLINE Vec<T> derivative(const Terms<T>& e, const LossParams<T>&) {
    return (e.x - e.t) / max(e.x * (set1(T(1)) - e.x), constant<T>(1e-12));
  }
};

// (1 - t) softplus(x) + p t softplus(-x): both terms are >= 0, so nothing cancels, and
// softplus(x) = max(x, 0) + log1p(exp(-|x|)) does not overflow.
struct BceWithLogits : InputOnly {
  template <class T>
  static MLPEAK_INLINE Vec<T> value(const Terms<T>& e, const LossParams<T>&) {
    const Vec<T> zero = set1(T(0));
    const Vec<T> tail = log1p(exp_negative(e.x));
    const Vec<T> softplus = max(zero, e.x) + tail;
    const Vec<T> softplus_minus = max(zero, zero - e.x) + tail;
    return fma(set1(T(1)) - e.t, softplus, e.extra * e.t * softplus_minus);
  }
  template <class T>
  static MLPEAK_INLINE Vec<T> derivative(const Terms<T>& e, const LossParams<T>&) {
    const SigmoidPair<T> s = sigmoid_pair(e.x);
    return fnma(e.extra * e.t, s.of_minus_x, (set1(T(1)) - e.t) * s.of_x);
  }
};

// D. A. Nix and A. S. Weigend, Estimating the mean and variance of the target probability
// distribution, ICNN 1994. The variance's derivative passes through its clamp, so that a variance
// below eps can grow again.
struct GaussianNll {
  static constexpr bool kExtraGradient = true;
  template <class T>
  static MLPEAK_INLINE Vec<T> variance(const Terms<T>& e, const LossParams<T>& p) {
    return max(set1(p.eps), e.extra);  // in this order a NaN stays
  }
  template <class T>
  static MLPEAK_INLINE Vec<T> value(const Terms<T>& e, const LossParams<T>& p) {
    const Vec<T> v = variance(e, p);
    const Vec<T> d = e.x - e.t;
    return fma(constant<T>(0.5), log(v) + d * d / v, set1(p.constant));
  }
  template <class T>
  static MLPEAK_INLINE Vec<T> derivative(const Terms<T>& e, const LossParams<T>& p) {
    return (e.x - e.t) / variance(e, p);
  }
  template <class T>
  static MLPEAK_INLINE Vec<T> derivative_extra(const Terms<T>& e, const LossParams<T>& p) {
    const Vec<T> v = variance(e, p);
    const Vec<T> d = e.x - e.t;
    return constant<T>(0.5) * (set1(T(1)) - d * d / v) / v;
  }
};

/// Stirling: log n! = n log n - n + log(2 pi n) / 2, used for n > 1 and 0 below.
template <class T>
MLPEAK_INLINE Vec<T> log_factorial(Vec<T> n) {
  const Vec<T> half_log_2pi = constant<T>(0.91893853320467274178);
  const Vec<T> value = fma(n + constant<T>(0.5), log(n), half_log_2pi - n);
  return select(lt(set1(T(1)), n), value, set1(T(0)));
}

struct PoissonNll : InputOnly {
  template <class T>
  static MLPEAK_INLINE Vec<T> value(const Terms<T>& e, const LossParams<T>& p) {
    const Vec<T> loss = fnma(e.t, log(e.x + set1(p.eps)), e.x);
    return p.stirling ? loss + log_factorial(e.t) : loss;
  }
  template <class T>
  static MLPEAK_INLINE Vec<T> derivative(const Terms<T>& e, const LossParams<T>& p) {
    return set1(T(1)) - e.t / (e.x + set1(p.eps));
  }
};

struct PoissonNllLogInput : InputOnly {
  template <class T>
  static MLPEAK_INLINE Vec<T> value(const Terms<T>& e, const LossParams<T>& p) {
    const Vec<T> loss = fnma(e.t, e.x, exp(e.x));
    return p.stirling ? loss + log_factorial(e.t) : loss;
  }
  template <class T>
  static MLPEAK_INLINE Vec<T> derivative(const Terms<T>& e, const LossParams<T>&) {
    return exp(e.x) - e.t;
  }
};

// ---- the loops all of them share ----------------------------------------------------------------

template <class T, class... M>
MLPEAK_INLINE Terms<T> load_terms(const LossSpan<T>& s, int64_t i, M... mask) {
  return {load(s.input + i, mask...), load(s.target + i, mask...),
          load_or(s.extra, i, s.extra_value, mask...)};
}

template <class T, class Loss>
void values(const LossSpan<T>& s, const LossParams<T>& params, T* out) {
  each_register<T>(s.n, [&](int64_t i, auto... mask) MLPEAK_LAMBDA_INLINE {
    const Vec<T> loss = Loss::value(load_terms(s, i, mask...), params);
    store(out + i, load_or(s.weight, i, s.weight_value, mask...) * loss, mask...);
  });
}

template <class T, class Loss>
T sum(const LossSpan<T>& s, const LossParams<T>& params) {
  return sum_lanes<T>(s.n, [&](int64_t i, auto... mask) MLPEAK_LAMBDA_INLINE {
    const Vec<T> loss = Loss::value(load_terms(s, i, mask...), params);
    return load_or(s.weight, i, s.weight_value, mask...) * loss;
  });
}

template <class T, class Loss>
void backward(const LossSpan<T>& s, const LossParams<T>& params, T scale, const T* grad_output,
              T* grad, T* grad_extra) {
  (void)grad_extra;
  each_register<T>(s.n, [&](int64_t i, auto... mask) MLPEAK_LAMBDA_INLINE {
    const Terms<T> terms = load_terms(s, i, mask...);
    const Vec<T> weight = set1(scale) * load_or(s.weight, i, s.weight_value, mask...);
    const Vec<T> upstream = weight * load_or(grad_output, i, T(1), mask...);
    store(grad + i, Loss::derivative(terms, params) * upstream, mask...);
    if constexpr (Loss::kExtraGradient)
      store(grad_extra + i, Loss::derivative_extra(terms, params) * upstream, mask...);
  });
}

// ---- range check --------------------------------------------------------------------------------

template <class T>
int64_t find_outside(const T* x, int64_t n, T low, T high, bool nan_legal) {
  constexpr int kWidth = Vec<T>::kLanes;
  for (int64_t i = 0; i < n; i += kWidth) {
    const Mask<T> mask = first_n<T>(n - i);
    const Vec<T> v = load(x + i, mask);
    const Mask<T> outside = lt(v, set1(low)) | lt(set1(high), v);
    if (!any((nan_legal ? outside : outside | is_nan(v)) & mask)) continue;
    for (int64_t j = i;; ++j)
      if (x[j] < low || x[j] > high || (!nan_legal && x[j] != x[j])) return j;
  }
  return -1;
}

template <class T, class Loss>
ElementwiseLoss<T> elementwise() {
  return {values<T, Loss>, sum<T, Loss>, backward<T, Loss>};
}

template <class T>
void fill(LossKernels<T>& k) {
  k.mse = elementwise<T, Mse>();
  k.l1 = elementwise<T, L1>();
  k.smooth_l1 = elementwise<T, SmoothL1>();
  k.huber = elementwise<T, Huber>();
  k.bce = elementwise<T, Bce>();
  k.bce_with_logits = elementwise<T, BceWithLogits>();
  k.gaussian_nll = elementwise<T, GaussianNll>();
  k.poisson_nll = elementwise<T, PoissonNll>();
  k.poisson_nll_log_input = elementwise<T, PoissonNllLogInput>();
  k.find_outside = find_outside<T>;
}

}  // namespace

void register_losses(KernelTable& table) {
  fill(table.f32.losses);
  fill(table.f64.losses);
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
