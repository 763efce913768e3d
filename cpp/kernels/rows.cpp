#include "mlpeak/kernels/rows.h"

#include "kernels/each_register.h"
#include "kernels/register.h"
#include "simd/lanes.h"
#include "simd/math.h"

namespace mlpeak {
namespace MLPEAK_TIER {
namespace {

template <class T>
MLPEAK_INLINE T row_max(const T* x, int64_t n) {
  return max_lanes<T>(n,
                      [=](int64_t i, auto... m) MLPEAK_LAMBDA_INLINE { return load(x + i, m...); });
}

template <class T>
void softmax(const T* x, T* y, int64_t rows, int64_t columns) {
  for (int64_t row = 0; row < rows && columns > 0; ++row, x += columns, y += columns) {
    const Vec<T> largest = set1(row_max(x, columns));
    const T sum = sum_lanes<T>(columns, [=](int64_t i, auto... m) MLPEAK_LAMBDA_INLINE {
      const Vec<T> e = exp(load(x + i, m...) - largest);
      store(y + i, e, m...);
      return e;
    });
    const Vec<T> scale = set1(T(1) / sum);
    each_register<T>(columns, [=](int64_t i, auto... m) MLPEAK_LAMBDA_INLINE {
      store(y + i, load(y + i, m...) * scale, m...);
    });
  }
}

template <class T>
void softmax_backward(const T* grad_output, const T* y, T* grad_input, int64_t rows,
                      int64_t columns) {
  for (int64_t row = 0; row < rows; ++row) {
    const Vec<T> dot = set1(sum_lanes<T>(columns, [=](int64_t i, auto... m) MLPEAK_LAMBDA_INLINE {
      return load(grad_output + i, m...) * load(y + i, m...);
    }));
    each_register<T>(columns, [=](int64_t i, auto... m) MLPEAK_LAMBDA_INLINE {
      store(grad_input + i, load(y + i, m...) * (load(grad_output + i, m...) - dot), m...);
    });
    grad_output += columns, y += columns, grad_input += columns;
  }
}

template <class T>
void log_softmax(const T* x, T* y, int64_t rows, int64_t columns) {
  for (int64_t row = 0; row < rows && columns > 0; ++row, x += columns, y += columns) {
    const Vec<T> largest = set1(row_max(x, columns));
    const T sum = sum_lanes<T>(columns, [=](int64_t i, auto... m) MLPEAK_LAMBDA_INLINE {
      return exp(load(x + i, m...) - largest);
    });
    const Vec<T> log_sum = log(set1(sum));
    each_register<T>(columns, [=](int64_t i, auto... m) MLPEAK_LAMBDA_INLINE {
      store(y + i, load(x + i, m...) - largest - log_sum, m...);
    });
  }
}

template <class T>
void log_softmax_backward(const T* grad_output, const T* y, T* grad_input, int64_t rows,
                          int64_t columns) {
  for (int64_t row = 0; row < rows; ++row) {
    const Vec<T> sum = set1(sum_lanes<T>(columns, [=](int64_t i, auto... m) MLPEAK_LAMBDA_INLINE {
      return load(grad_output + i, m...);
    }));
    each_register<T>(columns, [=](int64_t i, auto... m) MLPEAK_LAMBDA_INLINE {
      store(grad_input + i, fnma(exp(load(y + i, m...)), sum, load(grad_output + i, m...)), m...);
    });
    grad_output += columns, y += columns, grad_input += columns;
  }
}

template <class T>
void fill(RowKernels<T>& k) {
  k.softmax = softmax<T>;
  k.softmax_backward = softmax_backward<T>;
  k.log_softmax = log_softmax<T>;
  k.log_softmax_backward = log_softmax_backward<T>;
}

}  // namespace

void register_rows(KernelTable& table) {
  fill(table.f32.rows);
  fill(table.f64.rows);
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
