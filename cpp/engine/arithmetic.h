// The element-wise operations of programs, as functions of one to three numbers. Truth values are 1
// and 0. What is not a comparison is correctly rounded, as NumPy computes it.
#pragma once

#include <cmath>

#include "engine/elementwise.h"

namespace mlpeak {
namespace engine {

/// NumPy's maximum: NaN if either is.
template <class T>
T largest(T a, T b) {
  return a > b || a != a ? a : b;
}
template <class T>
T smallest(T a, T b) {
  return a < b || a != a ? a : b;
}

/// The remainder with the sign of b, as Python and NumPy define it.
template <class T>
T remainder_of(T a, T b) {
  T r = std::fmod(a, b);
  if (b == 0) return r;
  if (r == 0) return std::copysign(T(0), b);
  return (b < 0) != (r < 0) ? r + b : r;
}

/// use(f) for the function f(a, b, c) of `op`; those of fewer numbers ignore the rest.
template <class T, class Use>
void with_arithmetic(Arithmetic op, Use&& use) {
  switch (op) {
    case Arithmetic::add:
      return use([](T a, T b, T) { return a + b; });
    case Arithmetic::subtract:
      return use([](T a, T b, T) { return a - b; });
    case Arithmetic::multiply:
      return use([](T a, T b, T) { return a * b; });
    case Arithmetic::divide:
      return use([](T a, T b, T) { return a / b; });
    case Arithmetic::maximum:
      return use([](T a, T b, T) { return largest(a, b); });
    case Arithmetic::minimum:
      return use([](T a, T b, T) { return smallest(a, b); });
    case Arithmetic::negative:
      return use([](T a, T, T) { return -a; });
    case Arithmetic::absolute:
      return use([](T a, T, T) { return std::fabs(a); });
    case Arithmetic::sign:
      return use([](T a, T, T) { return a > 0 ? T(1) : a < 0 ? T(-1) : a == 0 ? T(0) : a; });
    case Arithmetic::square:
      return use([](T a, T, T) { return a * a; });
    case Arithmetic::sqrt:
      return use([](T a, T, T) { return std::sqrt(a); });
    case Arithmetic::reciprocal:
      return use([](T a, T, T) { return T(1) / a; });
    case Arithmetic::copy:
      return use([](T a, T, T) { return a; });
    case Arithmetic::less:
      return use([](T a, T b, T) { return T(a < b); });
    case Arithmetic::less_equal:
      return use([](T a, T b, T) { return T(a <= b); });
    case Arithmetic::greater:
      return use([](T a, T b, T) { return T(a > b); });
    case Arithmetic::greater_equal:
      return use([](T a, T b, T) { return T(a >= b); });
    case Arithmetic::equal:
      return use([](T a, T b, T) { return T(a == b); });
    case Arithmetic::not_equal:
      return use([](T a, T b, T) { return T(a != b); });
    case Arithmetic::floor:
      return use([](T a, T, T) { return std::floor(a); });
    case Arithmetic::ceil:
      return use([](T a, T, T) { return std::ceil(a); });
    case Arithmetic::trunc:
      return use([](T a, T, T) { return std::trunc(a); });
    case Arithmetic::rint:
      return use([](T a, T, T) { return std::nearbyint(a); });
    case Arithmetic::remainder:
      return use([](T a, T b, T) { return remainder_of(a, b); });
    case Arithmetic::isnan:
      return use([](T a, T, T) { return T(std::isnan(a)); });
    case Arithmetic::isinf:
      return use([](T a, T, T) { return T(std::isinf(a)); });
    case Arithmetic::isfinite:
      return use([](T a, T, T) { return T(std::isfinite(a)); });
    case Arithmetic::signbit:
      return use([](T a, T, T) { return T(std::signbit(a)); });
    case Arithmetic::both:
      return use([](T a, T b, T) { return T(a != 0 && b != 0); });
    case Arithmetic::either:
      return use([](T a, T b, T) { return T(a != 0 || b != 0); });
    case Arithmetic::one_of:
      return use([](T a, T b, T) { return T((a != 0) != (b != 0)); });
    case Arithmetic::invert:
      return use([](T a, T, T) { return T(a == 0); });
    case Arithmetic::where:
      return use([](T a, T b, T c) { return a != 0 ? b : c; });
  }
}

}  // namespace engine
}  // namespace mlpeak
