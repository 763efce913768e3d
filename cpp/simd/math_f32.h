// The single-precision half of math.h: constants of the format and the reduced-range polynomials.
//
// Coefficients are listed highest power first, as benchmarks/fit_polynomials.py prints them: least
// squares on Chebyshev nodes, reweighted towards the minimax fit. "Error" is the fit's largest
// error relative to the function, before the rounding of the evaluation itself.
#pragma once

#include "simd/polynomial.h"

namespace mlpeak {
namespace MLPEAK_TIER {

template <class T>
struct Format;

template <>
struct Format<float> {
  static constexpr int kMantissaBits = 23;
  static constexpr int32_t kBias = 127;
  static constexpr int32_t kOneBits = 0x3f800000;
  static constexpr int32_t kTwoThirdsBits = 0x3f2aaaab;
  static constexpr int32_t kRoundBits = 0x4b400000;
  static constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  static constexpr float kMinNormal = 0x1p-126f;
  static constexpr float kSubnormalScale = 0x1p23f;
  static constexpr float kTiny = 0x1p-25f;  // below it x + x^2/2 rounds to x within 1/4 ULP
  static constexpr float kLog2E = 1.44269504f;
  static constexpr float kLn2High = 0.693147182f;  // ln 2 rounded
  static constexpr float kLn2Low = -1.90465421e-9f;
  static constexpr float kExpLow = -104.0f;    // exp rounds to 0 at and below
  static constexpr float kExpHigh = 89.0f;     // exp overflows at and above
  static constexpr float kExpm1Low = -20.0f;   // expm1 rounds to -1 at and below
  static constexpr float kTanhHigh = 10.0f;    // tanh rounds to 1 at and above
  static constexpr float kErfSmall = 0.92f;    // where erf changes from one polynomial to the other
  static constexpr float kErfHigh = 4.0f;      // erf rounds to 1 at and above
  static constexpr float kNormalHigh = 10.5f;  // 2^log2_normal_tail is 0
};

/// (e^r - 1 - r) / r^2 for |r| <= ln(2)/2. Error of e^r - 1: 1.4e-8.
MLPEAK_INLINE Vec<float> exp_tail(Vec<float> r) {
  constexpr float kCoefficients[] = {0.00139002933f, 0.00836611167f, 0.0416668318f, 0.16666548f,
                                     0.5f};
  return polynomial(r, kCoefficients);
}

/// log(1 + f) + c for -1/3 <= f <= 1/3 and a small c: f - f^2/2 + f^3 P(f). Error: 4.7e-9.
MLPEAK_INLINE Vec<float> log1p_reduced(Vec<float> f, Vec<float> c) {
  constexpr float kCoefficients[] = {-0.128854781f, 0.139868826f,  -0.121857464f,
                                     0.140053079f,  -0.166803747f, 0.20010446f,
                                     -0.249998003f, 0.333332151f,  -0.5f};
  return fma(f * f, polynomial(f, kCoefficients), c) + f;
}

/// erf(x)/x - 1 as a polynomial in z = x^2, for |x| <= 0.93. Error of erf: 8.5e-10.
MLPEAK_INLINE Vec<float> erf_tail(Vec<float> z) {
  constexpr float kCoefficients[] = {8.2930128e-05f, -0.0008123187f, 0.00519914785f, -0.0268585328f,
                                     0.112836763f,   -0.376126319f,  0.128379166f};
  return polynomial(z, kCoefficients);
}

/// log(erfc(t)) for 0.92 <= t <= 4. Error of erf = 1 - erfc: 5.0e-11.
MLPEAK_INLINE Vec<float> log_erfc(Vec<float> t) {
  constexpr float kCoefficients[] = {-2.11021852e-05f, 0.000434526795f, -0.00417130021f,
                                     0.0251198951f,    -0.108280621f,   -0.633346558f,
                                     -1.12951505f,     0.000174701578f};
  return polynomial(t, kCoefficients);
}

/// log2(Phi(-m)) for 0 <= m <= 5.5, Phi the normal distribution function; from there to 10.5 it
/// falls to -170, faster than the logarithm. Error, times Phi: 1.3e-8.
MLPEAK_INLINE Vec<float> log2_normal_tail(Vec<float> m) {
  constexpr float kCoefficients[] = {-2.81615303e-06f, 3.91571484e-05f, -0.00018515253f,
                                     -0.000139370721f, 0.00706654135f,  -0.0524983034f,
                                     -0.459207505f,    -1.15110528f,    -1.0f};
  return polynomial(m, kCoefficients);
}

/// (2^r - 1) / r for |r| <= 1/2. Error of 2^r: 4.0e-9.
MLPEAK_INLINE Vec<float> exp2_tail(Vec<float> r) {
  constexpr float kCoefficients[] = {0.000151967324f, 0.00133913092f, 0.00961900223f,
                                     0.0555035882f,   0.240226433f,   0.693147182f};
  return polynomial(r, kCoefficients);
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
