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
};

/// (e^r - 1 - r) / r^2 for |r| <= ln(2)/2. Error of e^r - 1: 5.3e-19.
MLPEAK_INLINE Vec<double> exp_tail(Vec<double> r) {
  constexpr double kCoefficients[] = {2.0911601020133196e-09,
                                      2.5109654605513146e-08,
                                      2.7557282233280834e-07,
                                      2.7557243471280541e-06,
                                      2.480158732343757e-05,
                                      0.0001984126988590053,
                                      0.0013888888888875831,
                                      0.0083333333333219205,
                                      0.041666666666666713,
                                      0.16666666666666677,
                                      0.5};
  return polynomial(r, kCoefficients);
}

/// log(1 + f) + c for -1/3 <= f <= 1/3 and a small c, by the series of 2 atanh(s), s = f / (2 + f):
/// f - (f^2/2 - s (f^2/2 + z R(z))), z = s^2, where only the small terms carry rounding errors.
/// Error of R: 2.8e-19 / z.
MLPEAK_INLINE Vec<double> log1p_reduced(Vec<double> f, Vec<double> c) {
  constexpr double kCoefficients[] = {0.13842694511438847, 0.13173648066078592, 0.15391109173174455,
                                      0.18181665956592993, 0.22222224295202844, 0.28571428555838307,
                                      0.40000000000056646, 0.66666666666666596};
  const Vec<double> s = f / (set1(2.0) + f);
  const Vec<double> z = s * s;
  const Vec<double> half_square = set1(0.5) * f * f;
  const Vec<double> tail = fma(s, fma(z, polynomial(z, kCoefficients), half_square), c);
  return f - (half_square - tail);
}

/// (tanh(x) - x) / x^3 as a polynomial in z = x^2, for |x| <= 0.55. Error of tanh: 2.1e-17.
MLPEAK_INLINE Vec<double> tanh_tail(Vec<double> z) {
  constexpr double kCoefficients[] = {5.101187025661764e-05,  -0.00021028855829708469,
                                      0.00057912857123045545, -0.0014532139173483785,
                                      0.0035917191239998735,  -0.0088631944329648927,
                                      0.021869485969489798,   -0.053968253875854959,
                                      0.13333333333168243,    -0.3333333333333231};
  return polynomial(z, kCoefficients);
}

/// erf(x)/x - 1 as a polynomial in z = x^2, for |x| <= 1. Error of erf: 1.5e-17.
MLPEAK_INLINE Vec<double> erf_tail(Vec<double> z) {
  constexpr double kCoefficients[] = {
      -7.6042077656167252e-10, 1.3615515302640012e-08,  -1.6183858705478562e-07,
      1.6444147073409564e-06,  -1.4924466076317658e-05, 0.00012055280536762646,
      -0.00085483254863671085, 0.0052239775967574502,   -0.026866170641960656,
      0.11283791670936955,     -0.37612638903183343,    0.12837916709551256};
  return polynomial(z, kCoefficients);
}

/// log(erfc(t)) for 1 <= t <= 6. Error of erf = 1 - erfc: 2.3e-17.
MLPEAK_INLINE Vec<double> log_erfc(Vec<double> t) {
  constexpr double kCoefficients[] = {
      6.9610637699575768e-13,  -3.3994089162390888e-11, 7.7051505912816214e-10,
      -1.0762668978498567e-08, 1.0359023243643906e-07,  -7.2589262040538523e-07,
      3.7955040041856455e-06,  -1.4763525990212378e-05, 4.0528777817970746e-05,
      -6.1229776184928457e-05, -5.9394003138501741e-05, 0.00065936147287560761,
      -0.0017865581393000239,  0.00029332396084061319,  0.01907129083319754,
      -0.10274472029094411,    -0.63662906419177878,    -1.1283772686013109,
      -1.7962549690091522e-07};
  return polynomial(t, kCoefficients);
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
