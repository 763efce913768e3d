#include "ops/elementwise.h"

#include "mlpeak/tier.h"
#include "runtime/threads.h"

namespace mlpeak {
namespace {

constexpr int64_t kAlign =
    1024;  // elements, whole cache lines: no two threads write to the same one
constexpr double kElementaryNanoseconds = 0.8;  // a float on AVX2
constexpr double kPowNanoseconds = 4.0;

/// body(begin, end) on contiguous parts of [0, n); an element of double costs two floats.
template <class T, class Body>
void for_elements(int64_t n, double nanoseconds, Body body) {
  parallel_for(n, kAlign, double(n) * nanoseconds * (sizeof(T) / sizeof(float)), body);
}

}  // namespace

const ActivationInfo* find_activation(const std::string& name) {
  for (const ActivationInfo& a : kActivations)
    if (name == a.name) return &a;
  return nullptr;
}

std::string activation_names() {
  std::string names;
  for (const ActivationInfo& a : kActivations)
    names += (names.empty() ? "" : ", ") + std::string(a.name);
  return names;
}

template <class T>
void elementary(Elementary f, const T* x, T* y, int64_t n) {
  const auto kernel = kernels<T>().elementwise.elementary[int(f)];
  for_elements<T>(n, kElementaryNanoseconds,
                  [=](int64_t begin, int64_t end) { kernel(x + begin, y + begin, end - begin); });
}

template <class T>
void pow(const T* x, T* y, int64_t n, double exponent) {
  const auto kernel = kernels<T>().elementwise.pow;
  for_elements<T>(n, kPowNanoseconds, [=](int64_t begin, int64_t end) {
    kernel(x + begin, y + begin, end - begin, exponent);
  });
}

template <class T>
void activation_forward(Activation a, const T* x, T* y, int64_t n, const double* params) {
  const auto kernel = kernels<T>().elementwise.forward[int(a)];
  for_elements<T>(n, info(a).nanoseconds, [=](int64_t begin, int64_t end) {
    kernel(x + begin, y + begin, end - begin, params);
  });
}

template <class T>
void activation_backward(Activation a, const T* grad_output, const T* saved, T* grad_input,
                         int64_t n, const double* params) {
  const auto kernel = kernels<T>().elementwise.backward[int(a)];
  for_elements<T>(n, info(a).nanoseconds, [=](int64_t begin, int64_t end) {
    kernel(grad_output + begin, saved + begin, grad_input + begin, end - begin, params);
  });
}

#define MLPEAK_INSTANTIATE(T)                                                         \
  template void elementary(Elementary, const T*, T*, int64_t);                        \
  template void pow(const T*, T*, int64_t, double);                                   \
  template void activation_forward(Activation, const T*, T*, int64_t, const double*); \
  template void activation_backward(Activation, const T*, const T*, T*, int64_t, const double*);
MLPEAK_INSTANTIATE(float)
MLPEAK_INSTANTIATE(double)
#undef MLPEAK_INSTANTIATE

}  // namespace mlpeak
