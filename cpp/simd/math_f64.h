// The double-precision half of math.h: constants of the format and the reduced-range polynomials.
//
// Fitted as in math_f32.h, by benchmarks/fit_polynomials.py, with coefficients rounded to double.
#pragma once

#include "simd/math_f32.h"

namespace mlpeak {
namespace MLPEAK_TIER {

template <>
struct Format<double> {
  static constexpr int kMantissaBits = 52;
  static constexpr int64_t kBias = 1023;
  static constexpr int64_t kOneBits = 0x3ff0000000000000;
  static constexpr int64_t kTwoThirdsBits = 0x3fe5555555555555;
  static constexpr int64_t kRoundBits = 0x4338000000000000;
  static constexpr double kRound = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr double kMinNormal = 0x1p-1022;
  static constexpr double kSubnormalScale = 0x1p52;
  static constexpr double kTiny = 0x1p-54;
  static constexpr double kLog2E = 1.4426950408889634;
  static constexpr double kLn2High = 0.69314718055994529;
  static constexpr double kLn2Low = 2.3190468138462996e-17;
  static constexpr double kExpLow = -746.0;
  static constexpr double kExpHigh = 710.0;
  static constexpr double kExpm1Low = -40.0;
  static constexpr double kTanhHigh = 20.0;
  static constexpr double kErfSmall = 1.0;
  static constexpr double kErfHigh = 6.0;
  static constexpr double kNormalHigh = 9.0;
};

/// (e^r - 1 - r) / r^2 for |r| <= ln(2)/2. Error of e^r - 1: 3.0e-19.
MLPEAK_INLINE Vec<double> exp_tail(Vec<double> r) {
  constexpr double kCoefficients[] = {2.0893586085217423e-09,
                                      2.5109115376287531e-08,
                                      2.7557339276588909e-07,
                                      2.7557243944596656e-06,
                                      2.4801587253746806e-05,
                                      0.00019841269886443951,
                                      0.0013888888888915734,
                                      0.0083333333333214729,
                                      0.041666666666666623,
                                      0.16666666666666677,
                                      0.5};
  return polynomial(r, kCoefficients);
}

/// log(1 + f) + c for -1/3 <= f <= 1/3 and a small c, by the series of 2 atanh(s), s = f / (2 + f):
/// f - (f^2/2 - s (f^2/2 + z R(z))), z = s^2, where only the small terms carry rounding errors.
/// Error of R: 2.8e-19 / z.
MLPEAK_INLINE Vec<double> log1p_reduced(Vec<double> f, Vec<double> c) {
  constexpr double kCoefficients[] = {0.13839747679959913, 0.13174069416217657, 0.1539108525043428,
                                      0.18181666640002522, 0.22222224284983591, 0.28571428555912676,
                                      0.40000000000056446, 0.66666666666666596};
  const Vec<double> s = f / (set1(2.0) + f);
  const Vec<double> z = s * s;
  const Vec<double> half_square = set1(0.5) * f * f;
  const Vec<double> tail = fma(s, fma(z, polynomial(z, kCoefficients), half_square), c);
  return f - (half_square - tail);
}

/// erf(x)/x - 1 as a polynomial in z = x^2, for |x| <= 1. Error of erf: 1.3e-17.
MLPEAK_INLINE Vec<double> erf_tail(Vec<double> z) {
  constexpr double kCoefficients[] = {
      -7.7685190508775349e-10, 1.3704645539510071e-08,  -1.6204719152348039e-07,
      1.64469025897818e-06,    -1.4924691636016982e-05, 0.00012055292359428447,
      -0.00085483258822310047, 0.0052239776049468672,   -0.026866170642932889,
      0.11283791670942667,     -0.3761263890318346,     0.12837916709551256};
  return polynomial(z, kCoefficients);
}

/// log(erfc(t)) for 1 <= t <= 6. Error of erf = 1 - erfc: 1.2e-18.
MLPEAK_INLINE Vec<double> log_erfc(Vec<double> t) {
  constexpr double kCoefficients[] = {
      1.0492381220369118e-12,  -4.7944978090391411e-11, 1.0254132094688933e-09,
      -1.3623386467281081e-08, 1.2567851609838909e-07,  -8.5041993140503615e-07,
      4.326359877811947e-06,   -1.6511606654493345e-05, 4.5031120883482033e-05,
      -7.0353341960054927e-05, -4.4844958391312749e-05, 0.00064120294903879937,
      -0.0017690326831598692,  0.00028051490120370329,  0.019078139373993507,
      -0.10274724501356686,    -0.63662849116088771,    -1.1283773288277688,
      -1.7965957220183301e-07};
  return polynomial(t, kCoefficients);
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
