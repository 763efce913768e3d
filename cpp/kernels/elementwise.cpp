#include "mlpeak/kernels/elementwise.h"

#include "kernels/activations.h"
#include "kernels/each_register.h"
#include "kernels/register.h"
#include "simd/math.h"

namespace mlpeak {
namespace MLPEAK_TIER {
namespace {

/// Asks for the cache lines that the registers from p on will need a little later. The processor's
/// own prefetcher stops at each page, and every few hundred nanoseconds a page ends.
template <class T>
MLPEAK_INLINE void fetch_ahead(const T* p, int64_t count) {
  constexpr int64_t kAhead = 2048 / sizeof(T), kLine = 64 / sizeof(T);
#pragma GCC unroll 8
  for (int64_t i = 0; i < count; i += kLine) __builtin_prefetch(p + kAhead + i);
}

// Registers go through an operation together. A result waits some fifty cycles for its chain of
// operations, and the processor looks a few hundred instructions ahead, fewer than the chains that
// would keep it busy: unless the compiler mixes them, as CMakeLists.txt asks it to.
template <int R>
struct Together {};

/// Calls whole(i, Together<R>()) for R registers from i on and part(i, mask) for some of a
/// register's elements, so that [0, n) of `out` is written: eight registers together, then four,
/// then one by one.
template <class T, class Whole, class Part>
MLPEAK_INLINE void by_registers(const T* out, int64_t n, Whole whole, Part part) {
  constexpr int kWidth = Vec<T>::kLanes;
  int64_t i = before_line(out, n);
  if (i > 0) part(0, first_n<T>(i));
  for (; i + 8 * kWidth <= n; i += 8 * kWidth) whole(i, Together<8>());
  if (i + 4 * kWidth <= n) {
    whole(i, Together<4>());
    i += 4 * kWidth;
  }
  for (; i + kWidth <= n; i += kWidth) whole(i, Together<1>());
  if (i < n) part(i, first_n<T>(n - i));
}

/// y[i] = f(x[i]) for R registers.
template <int R, class T, class F>
MLPEAK_INLINE void map_together(Together<R>, const T* x, T* y, F f) {
  constexpr int kWidth = Vec<T>::kLanes;
  if (R == 8) {
    fetch_ahead(x, R * kWidth);
    fetch_ahead(y, R * kWidth);
  }
  Vec<T> result[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) result[r] = f(load(x + r * kWidth));
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) store(y + r * kWidth, result[r]);
}
template <int R, class T, class F>
MLPEAK_INLINE void map_together(Together<R>, const T* x, const T* y, T* z, F f) {
  constexpr int kWidth = Vec<T>::kLanes;
  Vec<T> result[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) result[r] = f(load(x + r * kWidth), load(y + r * kWidth));
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) store(z + r * kWidth, result[r]);
}

/// y[i] = f(x[i])
template <class T, class F>
MLPEAK_INLINE void map(const T* x, T* y, int64_t n, F f) {
  by_registers(
      y, n,
      [&](int64_t i, auto together)
          MLPEAK_LAMBDA_INLINE { map_together(together, x + i, y + i, f); },
      [&](int64_t i, Mask<T> mask)
          MLPEAK_LAMBDA_INLINE { store(y + i, f(load(x + i, mask)), mask); });
}

/// z[i] = f(x[i], y[i])
template <class T, class F>
MLPEAK_INLINE void map(const T* x, const T* y, T* z, int64_t n, F f) {
  by_registers(
      z, n,
      [&](int64_t i, auto together)
          MLPEAK_LAMBDA_INLINE { map_together(together, x + i, y + i, z + i, f); },
      [&](int64_t i, Mask<T> mask)
          MLPEAK_LAMBDA_INLINE { store(z + i, f(load(x + i, mask), load(y + i, mask)), mask); });
}

#define MLPEAK_ELEMENTARY(f)                                          \
  template <class T>                                                  \
  void map_##f(const T* x, T* y, int64_t n) {                         \
    map(x, y, n, [](Vec<T> v) MLPEAK_LAMBDA_INLINE { return f(v); }); \
  }
MLPEAK_ELEMENTARY(exp)
MLPEAK_ELEMENTARY(log)
MLPEAK_ELEMENTARY(log1p)
MLPEAK_ELEMENTARY(expm1)
MLPEAK_ELEMENTARY(erf)
#undef MLPEAK_ELEMENTARY

template <class T, template <class> class A>
void activation_forward(const T* x, T* y, int64_t n, const double* params) {
  const A<T> a(params);
  map(x, y, n, [a](Vec<T> v) MLPEAK_LAMBDA_INLINE { return a.forward(v); });
}

template <class T, template <class> class A>
void activation_backward(const T* grad_output, const T* saved, T* grad_input, int64_t n,
                         const double* params) {
  const A<T> a(params);
  map(grad_output, saved, grad_input, n,
      [a](Vec<T> g, Vec<T> s) MLPEAK_LAMBDA_INLINE { return a.backward(g, s); });
}

// ---- pow ----------------------------------------------------------------------------------------

constexpr double kMaxProduct = 64;   // larger integer exponents go through exp and log
constexpr double kInteger = 0x1p53;  // doubles from here on are even integers
constexpr int64_t kBlock = 256;      // floats widened at a time: 2 KiB of double

double magnitude(double x) {
  return x < 0 ? -x : x;
}

/// y = x^k, 2 <= |k| <= kMaxProduct, by squaring; for k < 0 of 1/x, which overflows only where the
/// result does.
void pow_product(const double* x, double* y, int64_t n, int k) {
  const unsigned power = unsigned(k < 0 ? -k : k);
  unsigned top = 1;
  while (2 * top <= power) top *= 2;
  map(x, y, n, [=](Vec<double> v) MLPEAK_LAMBDA_INLINE {
    if (k < 0) v = set1(1.0) / v;
    Vec<double> product = v;
    for (unsigned bit = top / 2; bit > 0; bit /= 2) {
      product = product * product;
      if (power & bit) product = product * v;
    }
    return product;
  });
}

void pow_general(const double* x, double* y, int64_t n, double exponent) {
  const bool huge = magnitude(exponent) >= kInteger;
  const bool integer = huge || double(int64_t(exponent)) == exponent;
  const bool odd = !huge && integer && int64_t(exponent) % 2 != 0;
  const Vec<double> power = set1(exponent);
  const Vec<double> below = integer ? set1(-__builtin_inf()) : set1(0.0);  // NaN from there down
  map(x, y, n, [=](Vec<double> v) MLPEAK_LAMBDA_INLINE {
    const Vec<double> size = abs(v);
    Vec<double> result = exp(power * log(size));
    if (odd) result = with_sign_of(result, v);
    const Mask<double> no_root = lt(v, below) & lt(size, set1(__builtin_inf()));
    return select(no_root, set1(__builtin_nan("")), result);
  });
}

void pow_wide(const double* x, double* y, int64_t n, double exponent) {
  if (magnitude(exponent) <= kMaxProduct && double(int(exponent)) == exponent)
    pow_product(x, y, n, int(exponent));
  else
    pow_general(x, y, n, exponent);
}
void pow_wide(const float* x, float* y, int64_t n, double exponent) {
  double wide[kBlock];
  for (int64_t i = 0; i < n; i += kBlock) {
    const int64_t count = n - i < kBlock ? n - i : kBlock;
    for (int64_t j = 0; j < count; ++j) wide[j] = x[i + j];
    pow_wide(wide, wide, count, exponent);
    for (int64_t j = 0; j < count; ++j) y[i + j] = float(wide[j]);
  }
}

template <class T>
void pow(const T* x, T* y, int64_t n, double exponent) {
  if (exponent == 0)
    map(x, y, n, [](Vec<T>) MLPEAK_LAMBDA_INLINE { return set1(T(1)); });
  else if (exponent == 1)
    map(x, y, n, [](Vec<T> v) MLPEAK_LAMBDA_INLINE { return v; });
  else if (exponent == 2)
    map(x, y, n, [](Vec<T> v) MLPEAK_LAMBDA_INLINE { return v * v; });
  else if (exponent == -1)
    map(x, y, n, [](Vec<T> v) MLPEAK_LAMBDA_INLINE { return set1(T(1)) / v; });
  else if (exponent == 0.5)
    map(x, y, n, [](Vec<T> v) MLPEAK_LAMBDA_INLINE { return sqrt(v); });
  else
    pow_wide(x, y, n, exponent);
}

template <class T, class Operation>
void combine(const T* x, const T* y, T* z, int64_t n) {
  map(x, y, z, n, Operation());
}

struct Add {
  template <class V>
  MLPEAK_INLINE V operator()(V a, V b) const {
    return a + b;
  }
};
struct Subtract {
  template <class V>
  MLPEAK_INLINE V operator()(V a, V b) const {
    return a - b;
  }
};
struct Multiply {
  template <class V>
  MLPEAK_INLINE V operator()(V a, V b) const {
    return a * b;
  }
};
struct Divide {
  template <class V>
  MLPEAK_INLINE V operator()(V a, V b) const {
    return a / b;
  }
};

template <class T>
void fill(ElementwiseKernels<T>& k) {
  k.combine[int(Combination::add)] = combine<T, Add>;
  k.combine[int(Combination::subtract)] = combine<T, Subtract>;
  k.combine[int(Combination::multiply)] = combine<T, Multiply>;
  k.combine[int(Combination::divide)] = combine<T, Divide>;
  k.elementary[int(Elementary::exp)] = map_exp<T>;
  k.elementary[int(Elementary::log)] = map_log<T>;
  k.elementary[int(Elementary::log1p)] = map_log1p<T>;
  k.elementary[int(Elementary::expm1)] = map_expm1<T>;
  k.elementary[int(Elementary::erf)] = map_erf<T>;
  k.pow = pow<T>;
#define MLPEAK_FILL(name, functor, saves, p0, p1, cost)              \
  k.forward[int(Activation::name)] = activation_forward<T, functor>; \
  k.backward[int(Activation::name)] = activation_backward<T, functor>;
  MLPEAK_ACTIVATIONS(MLPEAK_FILL)
#undef MLPEAK_FILL
}

}  // namespace

void register_elementwise(KernelTable& table) {
  fill(table.f32.elementwise);
  fill(table.f64.elementwise);
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
