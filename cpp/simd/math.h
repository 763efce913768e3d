// exp, expm1, log, log1p, tanh, erf and sigmoid on registers, for float and double.
//
// Every function is one frozen sequence of fma, +, -, *, / and integer steps without branches, so
// it gives the same bits in every tier. Subnormals are neither flushed on the way in nor out; NaN
// gives NaN; special values are those of C99, Annex F. Limits are in units in the last place of the
// true result, over all inputs. Largest errors, for float over all bit patterns
// (benchmarks/sweep_math.py), for double in two million samples:
//
//           exp   log   log1p  expm1  tanh  erf   sigmoid
//   float   0.93  0.89  1.60   1.54   1.97  1.11  1.65
//   double  0.86  0.77  1.40   1.57   1.98  1.03  1.65
//
// One structure serves both formats; what differs is in math_f32.h and math_f64.h.
//
// Source of the reductions: J.-M. Muller, Elementary Functions, 3rd ed., chapter 11 (Cody and
// Waite) and W. Kahan's log1p by exponent of 1 + x.
#pragma once

#include "simd/math_f64.h"

namespace mlpeak {
namespace MLPEAK_TIER {

// ---- steps shared by several functions ----------------------------------------------------------

/// x = n ln 2 + r with |r| <= ln(2)/2; `biased` is kRound + kBias + n, so that its last bits hold
/// the exponent of 2^n.
template <class T>
struct ReducedExp {
  Vec<T> high, low, r, n, biased;  // r is high + low, rounded
};

/// |x| must be below 2^20; NaN gives r = NaN.
template <class T>
MLPEAK_INLINE ReducedExp<T> reduce_exp(Vec<T> x) {
  using F = Format<T>;
  const Vec<T> shift = set1(F::kRound + T(F::kBias));
  const Vec<T> biased = fma(x, set1(F::kLog2E), shift);
  const Vec<T> n = biased - shift;
  const Vec<T> high = fnma(n, set1(F::kLn2High), x);  // exact: n ln2High has no bit below its last
  return {high, n * set1(-F::kLn2Low), fnma(n, set1(F::kLn2Low), high), n, biased};
}

/// e^r - 1. For double the rounding of r has to be left out, or tanh would exceed 2 ULP.
MLPEAK_INLINE Vec<float> expm1_of(const ReducedExp<float>& e) {
  return fma(e.r * e.r, exp_tail(e.r), e.r);
}
MLPEAK_INLINE Vec<double> expm1_of(const ReducedExp<double>& e) {
  return e.high + fma(e.r * e.r, exp_tail(e.r), e.low);
}

/// 2^n, for n with 0 < n + bias < 2 bias + 1
template <class T>
MLPEAK_INLINE Vec<T> power_of_two(const ReducedExp<T>& e) {
  return from_bits(shl<Format<T>::kMantissaBits>(to_bits(e.biased)));
}

/// a 2^n, rounded once. NaN in either gives NaN.
template <class T>
MLPEAK_INLINE Vec<T> scale(Vec<T> a, const ReducedExp<T>& e) {
#if defined(MLPEAK_TIER_AVX512) || defined(MLPEAK_TIER_AVX512_BF16)
  return scale_exponent(a, e.n);
#else
  // In two factors: n may lie outside the exponents of normal numbers.
  using F = Format<T>;
  const Vec<Int<T>> twice = to_bits(e.biased) + set1(Int<T>(F::kBias - F::kRoundBits));
  const Vec<Int<T>> half = shr<1>(twice);
  return a * from_bits(shl<F::kMantissaBits>(half)) *
         from_bits(shl<F::kMantissaBits>(twice - half));
#endif
}

/// `magnitude` with the sign of `sign`; magnitude must not be negative.
template <class T>
MLPEAK_INLINE Vec<T> with_sign_of(Vec<T> magnitude, Vec<T> sign) {
  return from_bits(to_bits(magnitude) | (to_bits(sign) & to_bits(set1(T(-0.0)))));
}

/// x = 2^k m with 2/3 <= m < 4/3, from the bits of a normal x > 0: k + bias.
template <class T>
MLPEAK_INLINE Vec<Int<T>> biased_exponent(Vec<Int<T>> bits) {
  using F = Format<T>;
  return shr<F::kMantissaBits>(bits + set1(Int<T>(F::kOneBits - F::kTwoThirdsBits)));
}

/// The number k, given k + bias.
template <class T>
MLPEAK_INLINE Vec<T> exponent_to_number(Vec<Int<T>> biased) {
  using F = Format<T>;
  return from_bits(biased + set1(Int<T>(F::kRoundBits - F::kBias))) - set1(F::kRound);
}

/// `value`, the logarithm of a number in (0, inf), completed: what lies outside becomes NaN below
/// zero, -inf at zero, and itself at inf and NaN.
template <class T>
MLPEAK_INLINE Vec<T> log_special(Vec<T> number, Vec<T> value) {
  const Vec<T> infinity = set1(T(__builtin_inf()));
  const Vec<T> zero = set1(T(0));
  const Vec<T> outside = select(lt(number, zero), set1(T(__builtin_nan(""))), zero - infinity);
  return select(le(number, zero), outside, select(lt(number, infinity), value, number));
}

// ---- the functions ------------------------------------------------------------------------------

/// e^x for x = n ln 2 + r, in range or not.
template <class T>
MLPEAK_INLINE Vec<T> exp(const ReducedExp<T>& e) {
  const Vec<T> one = set1(T(1));
  return scale(fma(fma(exp_tail(e.r), e.r, one), e.r, one), e);
}

/// e^x, at most 1 ULP. exp(-inf) = 0, exp(inf) = inf; results below the normal range are rounded,
/// not flushed.
template <class T>
MLPEAK_INLINE Vec<T> exp(Vec<T> x) {
  using F = Format<T>;
  // The order of arguments lets NaN through: min and max give their second operand.
  return exp(reduce_exp(min(set1(F::kExpHigh), max(set1(F::kExpLow), x))));
}

/// -|x|
template <class T>
MLPEAK_INLINE Vec<T> negative(Vec<T> x) {
  return from_bits(to_bits(x) | to_bits(set1(T(-0.0))));
}

/// e^-|x|, the bits of exp(-|x|).
template <class T>
MLPEAK_INLINE Vec<T> exp_negative(Vec<T> x) {
  return exp(reduce_exp(max(set1(Format<T>::kExpLow), negative(x))));
}

/// e^x - 1, at most 2 ULP. expm1(-0) = -0, expm1(-inf) = -1, expm1(inf) = inf.
template <class T>
MLPEAK_INLINE Vec<T> expm1(Vec<T> x) {
  using F = Format<T>;
  const ReducedExp<T> e = reduce_exp(min(set1(F::kExpHigh), max(set1(F::kExpm1Low), x)));
  // Half the result, since 2^n itself may overflow where the result does not.
  const Vec<T> scale = from_bits(to_bits(power_of_two(e)) - set1(Int<T>(1) << F::kMantissaBits));
  const Vec<T> half = fma(expm1_of(e), scale, scale - set1(T(0.5)));
  return select(lt(abs(x), set1(F::kTiny)), x, half + half);
}

/// The natural logarithm, at most 1 ULP. log(0) = -inf, log(x < 0) = NaN, log(inf) = inf.
template <class T>
MLPEAK_INLINE Vec<T> log(Vec<T> x) {
  using F = Format<T>;
  const Mask<T> subnormal = lt(x, set1(F::kMinNormal));
  const Vec<Int<T>> bits = to_bits(select(subnormal, x * set1(F::kSubnormalScale), x));
  const Vec<Int<T>> biased = biased_exponent<T>(bits);
  const Vec<T> m =
      from_bits(bits - shl<F::kMantissaBits>(biased) + set1(F::kOneBits));  // 2/3 <= m < 4/3
  const Vec<T> k =
      exponent_to_number<T>(biased) - select(subnormal, set1(T(F::kMantissaBits)), set1(T(0)));
  const Vec<T> r = log1p_reduced(m - set1(T(1)), k * set1(F::kLn2Low));
  return log_special(x, fma(k, set1(F::kLn2High), r));
}

/// log(1 + x), at most 2 ULP. log1p(-0) = -0, log1p(-1) = -inf, log1p(x < -1) = NaN.
template <class T>
MLPEAK_INLINE Vec<T> log1p(Vec<T> x) {
  using F = Format<T>;
  const Vec<T> sum = set1(T(1)) + x;
  const Vec<Int<T>> biased = biased_exponent<T>(to_bits(sum));
  const Vec<T> k = exponent_to_number<T>(biased);
  // f = 2^-k (1 + x) - 1, rounded once, from x itself: sum has lost its low bits. 2^(2-k) stands
  // in for 2^-k, which is subnormal for the largest k.
  const Vec<T> scale = from_bits(shl<F::kMantissaBits>(set1(Int<T>(2 * F::kBias + 2)) - biased));
  const Vec<T> quarter = set1(T(0.25));
  const Vec<T> f = fma(quarter * x, scale, fma(quarter, scale, set1(T(-1))));
  const Vec<T> r = log1p_reduced(f, k * set1(F::kLn2Low));
  const Vec<T> value = log_special(sum, fma(k, set1(F::kLn2High), r));
  return select(lt(abs(x), set1(F::kTiny)), x, value);
}

/// reduce_exp(-2 min(|x|, kTanhHigh)). A float leaves out n ln2Low: in tanh it is 0.05 ULP at most.
MLPEAK_INLINE ReducedExp<double> reduce_tanh(Vec<double> x) {
  return reduce_exp(set1(-2.0) * min(set1(Format<double>::kTanhHigh), abs(x)));
}
MLPEAK_INLINE ReducedExp<float> reduce_tanh(Vec<float> x) {
  using F = Format<float>;
  const Vec<float> half = max(set1(-F::kTanhHigh), negative(x));
  const Vec<float> shift = set1(F::kRound + float(F::kBias));
  const Vec<float> biased = fma(half, set1(2 * F::kLog2E), shift);
  const Vec<float> n = biased - shift;
  const Vec<float> r = fnma(n, set1(F::kLn2High), half + half);
  return {r, set1(0.0f), r, n, biased};
}

/// The hyperbolic tangent -E / (2 + E), E = e^(-2|x|) - 1, at most 2 ULP. tanh(-0) = -0,
/// tanh(+-inf) = +-1.
template <class T>
MLPEAK_INLINE Vec<T> tanh(Vec<T> x) {
  const Vec<T> one = set1(T(1));
  const ReducedExp<T> e = reduce_tanh(x);
  const Vec<T> scale = power_of_two(e);
  const Vec<T> expm1 = expm1_of(e);
  return with_sign_of(fnma(expm1, scale, one - scale) / fma(expm1, scale, one + scale), x);
}

/// The error function 2/sqrt(pi) int_0^x exp(-t^2) dt, at most 2 ULP. erf(-0) = -0.
template <class T>
MLPEAK_INLINE Vec<T> erf(Vec<T> x) {
  using F = Format<T>;
  const Vec<T> magnitude = abs(x);
  const Vec<T> small = fma(magnitude, erf_tail(x * x), magnitude);
  const ReducedExp<T> e = reduce_exp(log_erfc(min(set1(F::kErfHigh), magnitude)));
  const Vec<T> scale = power_of_two(e);
  const Vec<T> large = set1(T(1)) - fma(expm1_of(e), scale, scale);
  return with_sign_of(select(lt(magnitude, set1(F::kErfSmall)), small, large), x);
}

/// The normal distribution function Phi(-m) = erfc(m / sqrt 2) / 2 for 0 <= m <= kNormalHigh, where
/// it is 0; its error is below that of rounding 1 - Phi(-m) to 1.
MLPEAK_INLINE Vec<float> normal_tail(Vec<float> m) {
  using F = Format<float>;
  const Vec<float> shift = set1(F::kRound + float(F::kBias));
  const Vec<float> power = log2_normal_tail(m);
  const Vec<float> biased = power + shift;
  const Vec<float> n = biased - shift;
  const Vec<float> r = power - n;  // exact
  const Vec<float> none = set1(0.0f);
  return scale(fma(exp2_tail(r), r, set1(1.0f)), ReducedExp<float>{r, none, r, n, biased});
}
MLPEAK_INLINE Vec<double> normal_tail(Vec<double> m) {
  const Vec<double> half = set1(0.5);
  return fnma(half, erf(m * set1(0.70710678118654752)), half);
}

/// numerator / (1 + e) for 0 <= e <= 1, almost correctly rounded: the quotient's remainder, with
/// the part of 1 + e that the sum lost, is divided once more.
template <class T>
struct OnePlus {
  Vec<T> sum, lost, inverse;
  MLPEAK_INLINE explicit OnePlus(Vec<T> e) {
    const Vec<T> one = set1(T(1));
    sum = one + e;
    lost = e - (sum - one);
    inverse = one / sum;
  }
  MLPEAK_INLINE Vec<T> divides(Vec<T> numerator) const {
    const Vec<T> quotient = numerator * inverse;
    const Vec<T> remainder = fnma(quotient, lost, fnma(quotient, sum, numerator));
    return fma(remainder, inverse, quotient);
  }
};

/// The logistic function 1 / (1 + e^-x), at most 2 ULP. sigmoid(-inf) = 0, sigmoid(inf) = 1.
template <class T>
MLPEAK_INLINE Vec<T> sigmoid(Vec<T> x) {
  const Vec<T> zero = set1(T(0));
  const Vec<T> one = set1(T(1));
  const Vec<T> e = exp_negative(x);  // never above 1, so nothing overflows
  const Vec<T> larger = select(lt(x, zero), e, one);
  return fnma(larger, e / (one + e), larger);
}

/// sigmoid(x) and sigmoid(-x) = 1 - sigmoid(x), each at most 2 ULP, for one exp and one division.
template <class T>
struct SigmoidPair {
  Vec<T> of_x, of_minus_x;
};
template <class T>
MLPEAK_INLINE SigmoidPair<T> sigmoid_pair(Vec<T> x) {
  const Vec<T> e = exp_negative(x);
  const OnePlus<T> denominator(e);
  const Vec<T> large = denominator.divides(set1(T(1)));
  const Vec<T> small = denominator.divides(e);
  const Mask<T> below = lt(x, set1(T(0)));
  return {select(below, small, large), select(below, large, small)};
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
