#include "ops/rows.h"

#include "mlpeak/tier.h"
#include "runtime/threads.h"

namespace mlpeak {
namespace {

constexpr double kRowNanoseconds = 30;       // the two reductions of a short row
constexpr double kElementNanoseconds = 1.0;  // a float on AVX2

/// kernel(..., rows of the part, columns) on contiguous parts of the rows.
template <class T, class Kernel>
void for_rows(int64_t rows, int64_t columns, Kernel kernel) {
  const double row = kRowNanoseconds + double(columns) * kElementNanoseconds * (sizeof(T) / 4);
  parallel_for(rows, 1, double(rows) * row,
               [=](int64_t begin, int64_t end) { kernel(begin * columns, end - begin); });
}

}  // namespace

template <class T>
void softmax(const T* x, T* y, int64_t rows, int64_t columns) {
  const auto kernel = kernels<T>().rows.softmax;
  for_rows<T>(rows, columns,
              [=](int64_t at, int64_t count) { kernel(x + at, y + at, count, columns); });
}

template <class T>
void softmax_backward(const T* grad_output, const T* y, T* grad_input, int64_t rows,
                      int64_t columns) {
  const auto kernel = kernels<T>().rows.softmax_backward;
  for_rows<T>(rows, columns, [=](int64_t at, int64_t count) {
    kernel(grad_output + at, y + at, grad_input + at, count, columns);
  });
}

template <class T>
void log_softmax(const T* x, T* y, int64_t rows, int64_t columns) {
  const auto kernel = kernels<T>().rows.log_softmax;
  for_rows<T>(rows, columns,
              [=](int64_t at, int64_t count) { kernel(x + at, y + at, count, columns); });
}

template <class T>
void log_softmax_backward(const T* grad_output, const T* y, T* grad_input, int64_t rows,
                          int64_t columns) {
  const auto kernel = kernels<T>().rows.log_softmax_backward;
  for_rows<T>(rows, columns, [=](int64_t at, int64_t count) {
    kernel(grad_output + at, y + at, grad_input + at, count, columns);
  });
}

#define MLPEAK_INSTANTIATE(T)                                               \
  template void softmax(const T*, T*, int64_t, int64_t);                    \
  template void softmax_backward(const T*, const T*, T*, int64_t, int64_t); \
  template void log_softmax(const T*, T*, int64_t, int64_t);                \
  template void log_softmax_backward(const T*, const T*, T*, int64_t, int64_t);
MLPEAK_INSTANTIATE(float)
MLPEAK_INSTANTIATE(double)
#undef MLPEAK_INSTANTIATE

}  // namespace mlpeak
