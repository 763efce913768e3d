// Sine and cosine of a fraction of a turn, in one frozen order of fma steps.
#pragma once

#include "simd/vec.h"

namespace mlpeak {
namespace MLPEAK_TIER {

// With r in [-1/8, 1/8] and t = r^2: sin(2 pi r) = r (2 pi + t S(t)), cos(2 pi r) = 1 + t C(t).
// S and C interpolate at Chebyshev nodes of t in [0, 1/64], computed with 200 bits; what they leave
// out is below 2^-31 (float) and 2^-62 (double) of the result. 2 pi is kept in two parts.
template <class T>
struct TurnPolynomials;
template <>
struct TurnPolynomials<float> {
  static constexpr int kSin = 4, kCos = 4;
  static constexpr float kTwoPiHigh = 0x1.921fb6p+2f, kTwoPiLow = -0x1.777a5cp-23f;
  static constexpr float sin[kSin] = {-0x1.4abbcep+5f, 0x1.466bc2p+6f, -0x1.32ce1ep+6f,
                                      0x1.4cb762p+5f};
  static constexpr float cos[kCos] = {-0x1.3bd3ccp+4f, 0x1.03c1eap+6f, -0x1.55cb98p+6f,
                                      0x1.db6492p+5f};
};
template <>
struct TurnPolynomials<double> {
  static constexpr int kSin = 7, kCos = 7;
  static constexpr double kTwoPiHigh = 0x1.921fb54442d18p+2, kTwoPiLow = 0x1.1a62633145c07p-52;
  static constexpr double sin[kSin] = {
      -0x1.4abbce625be53p+5, 0x1.466bc6775aae1p+6, -0x1.32d2cce62b872p+6, 0x1.50783486facaap+5,
      -0x1.e3074d2614b2dp+3, 0x1.e8f036bcd3237p+1, -0x1.6cc577dadd922p-1};
  static constexpr double cos[kCos] = {
      -0x1.3bd3cc9be45dep+4, 0x1.03c1f081b5ac0p+6, -0x1.55d3c7e3cb241p+6, 0x1.e1f5068688d5bp+5,
      -0x1.a6d1eef479be1p+4, 0x1.f9ce245cada0bp+2, -0x1.b2f3eb054afcdp+0};
};

template <class T>
struct SinCos {
  Vec<T> sin, cos;
};

/// sin(2 pi u) and cos(2 pi u) for u in [0, 1), each within 1.5 ulp; exact at multiples of 1/4.
template <class T>
MLPEAK_INLINE SinCos<T> sincos_turns(Vec<T> u) {
  using P = TurnPolynomials<T>;
  constexpr bool kFloat = sizeof(T) == 4;
  // Added to 4u, 1.5 * 2^(mantissa bits) leaves round(4u) in the low bits. u - round(4u) / 4 is
  // exact: a multiple of the last place of u and no larger than u.
  const Vec<T> magic = set1(kFloat ? T(0x1.8p23) : T(0x1.8p52));
  const Vec<T> shifted = fma(u, set1(T(4)), magic);
  const Vec<Int<T>> quarter = to_bits(shifted);
  const Vec<T> r = fnma(shifted - magic, set1(T(0.25)), u);
  const Vec<T> t = r * r;

  Vec<T> s = set1(P::sin[P::kSin - 1]), c = set1(P::cos[P::kCos - 1]);
  for (int i = P::kSin - 2; i >= 0; --i) s = fma(s, t, set1(P::sin[i]));
  for (int i = P::kCos - 2; i >= 0; --i) c = fma(c, t, set1(P::cos[i]));
  s = fma(r, set1(P::kTwoPiHigh), r * fma(s, t, set1(P::kTwoPiLow)));
  c = fma(c, t, set1(T(1)));

  // A quarter turn on: (sin, cos) -> (cos, -sin). The sign of the sine is bit 1 of the quarter,
  // that of the cosine bit 1 of the next one.
  const Vec<Int<T>> one = set1(Int<T>(1)), two = set1(Int<T>(2));
  const Mask<T> odd = gt(quarter & one, set1(Int<T>(0)));
  constexpr int kToSign = kFloat ? 30 : 62;
  const Vec<Int<T>> sin_sign = shl<kToSign>(quarter & two);
  const Vec<Int<T>> cos_sign = shl<kToSign>((quarter + one) & two);
  return {from_bits(to_bits(select(odd, c, s)) ^ sin_sign),
          from_bits(to_bits(select(odd, s, c)) ^ cos_sign)};
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
