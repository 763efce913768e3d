// What each activation computes, on one register of elements: the single definition that the
// elementwise kernels and the epilogues of the matrix product share.
//
//   A<T> a(params)               params: kActivations' defaults or the caller's, rounded to T once
//   a.forward(x)                 y
//   a.backward(grad, saved)      grad times dy/dx; saved is y or x, as kActivations says
//
// NaN in x gives NaN in y. Derivatives are taken at an x clamped to where they are 0 or 1 to the
// last bit, so that no inf * 0 arises.
#pragma once

#include "mlpeak/activation.h"
#include "simd/math.h"

namespace mlpeak {
namespace MLPEAK_TIER {

/// x limited to [low, high]; NaN passes.
template <class T>
MLPEAK_INLINE Vec<T> clamp(Vec<T> x, T low, T high) {
  return min(set1(high), max(set1(low), x));
}

template <class T>
MLPEAK_INLINE Mask<T> positive(Vec<T> x) {
  return lt(set1(T(0)), x);
}

/// An activation without parameters.
template <class T>
struct Plain {
  explicit Plain(const double*) {}
};

/// x
template <class T>
struct Identity : Plain<T> {
  using Plain<T>::Plain;
  MLPEAK_INLINE Vec<T> forward(Vec<T> x) const { return x; }
  MLPEAK_INLINE Vec<T> backward(Vec<T> grad, Vec<T>) const { return grad; }
};

/// max(x, 0)
template <class T>
struct Relu : Plain<T> {
  using Plain<T>::Plain;
  MLPEAK_INLINE Vec<T> forward(Vec<T> x) const { return max(set1(T(0)), x); }
  MLPEAK_INLINE Vec<T> backward(Vec<T> grad, Vec<T> y) const {
    return select(positive(y), grad, set1(T(0)));
  }
};

/// x > 0 ? x : slope x, slope >= 0
template <class T>
struct LeakyRelu {
  Vec<T> slope;
  MLPEAK_INLINE explicit LeakyRelu(const double* params) : slope(set1(T(params[0]))) {}
  MLPEAK_INLINE Vec<T> forward(Vec<T> x) const { return select(positive(x), x, slope * x); }
  MLPEAK_INLINE Vec<T> backward(Vec<T> grad, Vec<T> y) const {
    return select(positive(y), grad, slope * grad);
  }
};

/// x > 0 ? x : alpha (e^x - 1), alpha > 0; dy/dx = y + alpha on the left
template <class T>
struct Elu {
  Vec<T> alpha;
  MLPEAK_INLINE explicit Elu(const double* params) : alpha(set1(T(params[0]))) {}
  MLPEAK_INLINE Vec<T> forward(Vec<T> x) const { return select(positive(x), x, alpha * expm1(x)); }
  MLPEAK_INLINE Vec<T> backward(Vec<T> grad, Vec<T> y) const {
    return select(positive(y), grad, grad * (y + alpha));
  }
};

/// scale elu(x, alpha), constants of Klambauer et al. (2017), eq. 14
template <class T>
struct Selu : Plain<T> {
  using Plain<T>::Plain;
  static constexpr double kAlpha = 1.6732632423543772;
  static constexpr double kScale = 1.0507009873554805;
  MLPEAK_INLINE Vec<T> forward(Vec<T> x) const {
    return select(positive(x), set1(T(kScale)) * x, set1(T(kScale * kAlpha)) * expm1(x));
  }
  MLPEAK_INLINE Vec<T> backward(Vec<T> grad, Vec<T> y) const {
    return select(positive(y), set1(T(kScale)) * grad, grad * (y + set1(T(kScale * kAlpha))));
  }
};

/// x Phi(x) = max(x, 0) - |x| Phi(-|x|), Phi(x) = (1 + erf(x / sqrt 2)) / 2, 0 at -inf;
/// dy/dx = Phi(x) + x phi(x)
template <class T>
struct Gelu : Plain<T> {
  using Plain<T>::Plain;
  static constexpr T kHigh = Format<T>::kNormalHigh;
  MLPEAK_INLINE Vec<T> forward(Vec<T> x) const {
    const Vec<T> magnitude = min(set1(kHigh), abs(x));
    return fnma(magnitude, normal_tail(magnitude), max(set1(T(0)), x));
  }
  MLPEAK_INLINE Vec<T> backward(Vec<T> grad, Vec<T> x) const {
    x = clamp(x, -kHigh, kHigh);  // beyond, the derivative is 0 or 1
    const Vec<T> tail = normal_tail(abs(x));
    const Vec<T> distribution = select(positive(x), set1(T(1)) - tail, tail);
    const Vec<T> density = set1(T(0.39894228040143268)) * exp(set1(T(-0.5)) * x * x);
    return grad * fma(x, density, distribution);
  }
};

/// x (1 + tanh u) / 2 = x sigmoid(2 u), u = sqrt(2/pi) (x + 0.044715 x^3): no cancellation on the
/// left; dy/dx = s + x s (1 - s) 2 u', s = sigmoid(2 u)
template <class T>
struct GeluTanh : Plain<T> {
  using Plain<T>::Plain;
  static constexpr double kLinear = 1.5957691216057308;  // sqrt(8/pi)
  static constexpr double kCubic = 0.044715 * kLinear;
  MLPEAK_INLINE static Vec<T> twice_u(Vec<T> x) {
    return x * fma(set1(T(kCubic)), x * x, set1(T(kLinear)));
  }
  MLPEAK_INLINE Vec<T> forward(Vec<T> x) const { return x * sigmoid(twice_u(x)); }
  MLPEAK_INLINE Vec<T> backward(Vec<T> grad, Vec<T> x) const {
    x = clamp(x, T(-24), T(24));  // sigmoid(2 u(-24)) < 10^-440
    const SigmoidPair<T> s = sigmoid_pair(twice_u(x));
    const Vec<T> slope = x * fma(set1(T(3 * kCubic)), x * x, set1(T(kLinear)));
    return grad * fma(slope * s.of_minus_x, s.of_x, s.of_x);
  }
};

/// x sigmoid(x); dy/dx = s + x s (1 - s)
template <class T>
struct Silu : Plain<T> {
  using Plain<T>::Plain;
  MLPEAK_INLINE Vec<T> forward(Vec<T> x) const { return x * sigmoid(x); }
  MLPEAK_INLINE Vec<T> backward(Vec<T> grad, Vec<T> x) const {
    x = clamp(x, T(-800), T(800));
    const SigmoidPair<T> s = sigmoid_pair(x);
    return grad * fma(x * s.of_minus_x, s.of_x, s.of_x);
  }
};

/// x tanh(log(1 + e^x)) = x n / (n + 2), n = e^x (e^x + 2), which is (1 + e^x)^2 - 1;
/// dy/dx = (n + 4 x e^x (1 + e^x) / (n + 2)) / (n + 2)
template <class T>
struct Mish : Plain<T> {
  using Plain<T>::Plain;
  static constexpr T kHigh = T(30);  // n / (n + 2) is 1 from there on
  MLPEAK_INLINE Vec<T> forward(Vec<T> x) const {
    const Vec<T> two = set1(T(2));
    const Vec<T> e = exp(min(set1(kHigh), x));
    const Vec<T> n = e * (e + two);
    return x * (n / (n + two));
  }
  MLPEAK_INLINE Vec<T> backward(Vec<T> grad, Vec<T> x) const {
    x = clamp(x, T(-800), kHigh);
    const Vec<T> two = set1(T(2));
    const Vec<T> e = exp(x);
    const Vec<T> n = e * (e + two);
    const Vec<T> inverse = set1(T(1)) / (n + two);
    const Vec<T> product = set1(T(4)) * x * (fma(e, e, e) * inverse);
    return grad * ((n + product) * inverse);
  }
};

/// 1 / (1 + e^-x); dy/dx = y (1 - y)
template <class T>
struct Sigmoid : Plain<T> {
  using Plain<T>::Plain;
  MLPEAK_INLINE Vec<T> forward(Vec<T> x) const { return sigmoid(x); }
  MLPEAK_INLINE Vec<T> backward(Vec<T> grad, Vec<T> y) const {
    return grad * (y * (set1(T(1)) - y));
  }
};

/// log sigmoid(x) = min(x, 0) - log(1 + e^-|x|); dy/dx = sigmoid(-x)
template <class T>
struct LogSigmoid : Plain<T> {
  using Plain<T>::Plain;
  MLPEAK_INLINE Vec<T> forward(Vec<T> x) const {
    const Vec<T> zero = set1(T(0));
    return min(zero, x) - log1p(exp_negative(x));
  }
  MLPEAK_INLINE Vec<T> backward(Vec<T> grad, Vec<T> x) const {
    return grad * sigmoid(set1(T(0)) - x);
  }
};

/// tanh(x); dy/dx = 1 - y^2
template <class T>
struct Tanh : Plain<T> {
  using Plain<T>::Plain;
  MLPEAK_INLINE Vec<T> forward(Vec<T> x) const { return tanh(x); }
  MLPEAK_INLINE Vec<T> backward(Vec<T> grad, Vec<T> y) const {
    return grad * fnma(y, y, set1(T(1)));
  }
};

/// log(1 + e^(beta x)) / beta, or x where beta x > threshold, beta > 0; dy/dx = sigmoid(beta x) or
/// 1
template <class T>
struct Softplus {
  Vec<T> beta, inverse_beta, threshold;
  MLPEAK_INLINE explicit Softplus(const double* params)
      : beta(set1(T(params[0]))),
        inverse_beta(set1(T(1.0 / params[0]))),
        threshold(set1(T(params[1]))) {}
  MLPEAK_INLINE Vec<T> forward(Vec<T> x) const {
    const Vec<T> zero = set1(T(0));
    const Vec<T> z = beta * x;
    const Vec<T> y = (max(zero, z) + log1p(exp_negative(z))) * inverse_beta;
    return select(lt(threshold, z), x, y);
  }
  MLPEAK_INLINE Vec<T> backward(Vec<T> grad, Vec<T> x) const {
    const Vec<T> z = beta * x;
    return select(lt(threshold, z), grad, grad * sigmoid(z));
  }
};

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
