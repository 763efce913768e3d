#include "mlpeak/kernels/reduce.h"

#include "kernels/register.h"
#include "simd/lanes.h"

namespace mlpeak {
namespace MLPEAK_TIER {
namespace {

template <class T>
T sum(const T* x, int64_t n) {
  return sum_lanes<T>(
      n, [=](int64_t i, auto... mask) MLPEAK_LAMBDA_INLINE { return load(x + i, mask...); });
}

/// `vectors` registers of column sums; several columns at once hide the addition's latency.
template <class T, int vectors>
void column_block(const T* x, int64_t rows, int64_t ld, T* out, Mask<T> last) {
  constexpr int kWidth = Vec<T>::kLanes;
  const Mask<T> all = first_n<T>(kWidth);
  Vec<T> total[vectors];
  for (int v = 0; v < vectors; ++v) total[v] = set1(T(0));
  for (int64_t i = 0; i < rows; ++i, x += ld)
    for (int v = 0; v < vectors; ++v)
      total[v] = total[v] + load(x + v * kWidth, v + 1 < vectors ? all : last);
  for (int v = 0; v < vectors; ++v) store(out + v * kWidth, total[v], v + 1 < vectors ? all : last);
}

template <class T>
void column_sums(const T* x, int64_t rows, int64_t columns, int64_t ld, T* out) {
  constexpr int kWidth = Vec<T>::kLanes;
  int64_t j = 0;
  for (; j + 4 * kWidth <= columns; j += 4 * kWidth)
    column_block<T, 4>(x + j, rows, ld, out + j, first_n<T>(kWidth));
  for (; j < columns; j += kWidth)
    column_block<T, 1>(x + j, rows, ld, out + j, first_n<T>(columns - j));
}

}  // namespace

void register_reduce(KernelTable& table) {
  table.f32.reduce = {sum<float>, column_sums<float>};
  table.f64.reduce = {sum<double>, column_sums<double>};
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
