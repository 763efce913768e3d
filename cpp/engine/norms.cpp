#include "engine/norms.h"

#include <algorithm>

#include "mlpeak/tier.h"
#include "ops/norms.h"
#include "ops/reduce.h"

namespace mlpeak {
namespace engine {
namespace {

constexpr int64_t kColumns = 64;    // of a unit: whole cache lines, and layers of 128 split
constexpr double kByte = 1.0 / 20;  // ns, in cache

int64_t column_units(int64_t columns) {
  return (columns + kColumns - 1) / kColumns;
}

template <class T>
Work passes(int64_t batch, int64_t columns, int count) {
  const double bytes = double(batch) * double(columns) * count * sizeof(T);
  return {0, bytes, bytes * kByte};
}

template <class T>
T* array_or_null(const Frame<T>& frame, int value, int64_t first = 0) {
  return value < 0 ? nullptr : frame.values[value] + first;
}

/// Totals of two sums over rows for up to kColumns columns.
struct Totals {
  double first[kColumns] = {}, second[kColumns] = {};
};

/// add(first row, rows, sums, other sums) adds a chunk of rows to sums that are 0.
template <class T, class Add>
Totals over_chunks(int64_t rows, int64_t columns, Add add) {
  Totals totals;
  for (int64_t r = 0; r < rows; r += kNormChunk) {
    T first[kColumns] = {}, second[kColumns] = {};
    add(r, std::min(kNormChunk, rows - r), first, second);
    for (int64_t j = 0; j < columns; ++j) {
      totals.first[j] += double(first[j]);
      totals.second[j] += double(second[j]);
    }
  }
  return totals;
}

template <class T>
void store_totals(const Frame<T>& frame, int value, int64_t first, int64_t columns,
                  const double* totals, double divisor = 1) {
  if (value < 0) return;
  for (int64_t j = 0; j < columns; ++j) frame.values[value][first + j] = T(totals[j] / divisor);
}

/// Stores a gradient, or updates its parameter with it.
template <class T>
void deliver(const Frame<T>& frame, const Destination& to, int64_t first, int64_t columns,
             const double* totals) {
  if (to.group < 0) return store_totals(frame, to.gradient, first, columns, totals);
  T gradient[kColumns];
  for (int64_t j = 0; j < columns; ++j) gradient[j] = T(totals[j]);
  T* states[3];
  for (int i = 0; i < 3; ++i) states[i] = array_or_null(frame, to.states[i], first);
  kernels<T>().optimizers.update(frame.updates[to.group], 1, columns, columns,
                                 frame.values[to.parameter] + first, gradient, columns, states);
}

}  // namespace

// ---- row norms ----------------------------------------------------------------------------------

template <class T>
void RowNorm<T>::run(const Frame<T>& frame, int64_t begin, int64_t end) const {
  const NormKernels<T>& k = kernels<T>().norms;
  const int64_t rows = end - begin, features = x.columns;
  const T* from = row(frame, x, begin);
  const T* w = array_or_null(frame, weight);
  T* to = row(frame, y, begin);
  T* r = row(frame, rstd, begin);
  if (mean.value < 0 && !backward)
    k.rms_norm(rows, features, from, w, T(eps), to, r);
  else if (mean.value < 0)
    k.rms_norm_backward(rows, features, row(frame, grad, begin), from, w, r, to, nullptr);
  else if (!backward)
    k.layer_norm(rows, features, from, w, array_or_null(frame, bias), T(eps), to,
                 row(frame, mean, begin), r);
  else
    k.layer_norm_backward(rows, features, row(frame, grad, begin), from, w, row(frame, mean, begin),
                          r, to, nullptr, nullptr);
}

template <class T>
std::string RowNorm<T>::text() const {
  return std::string(mean.value < 0 ? "rms_norm" : "layer_norm") + (backward ? "_backward " : " ") +
         std::to_string(x.columns);
}

template <class T>
Work RowNorm<T>::work(int64_t batch) const {
  return passes<T>(batch, x.columns, backward ? 9 : 6);
}

template <class T>
int64_t RowNormSums<T>::units(int64_t, int) const {
  return column_units(x.columns);
}

template <class T>
void RowNormSums<T>::run(const Frame<T>& frame, int64_t unit) const {
  const int64_t first = unit * kColumns, columns = std::min(kColumns, x.columns - first);
  const auto sums = kernels<T>().norms.row_norm_sums;
  const Totals totals = over_chunks<T>(
      frame.batch, columns, [&](int64_t r, int64_t rows, T* weight_sums, T* bias_sums) {
        sums(rows, columns, x.ld, row(frame, grad, r) + first, row(frame, x, r) + first,
             mean.value < 0 ? nullptr : row(frame, mean, r), row(frame, rstd, r), weight_sums,
             bias_sums);
      });
  deliver(frame, weight, first, columns, totals.first);
  deliver(frame, bias, first, columns, totals.second);
}

template <class T>
std::string RowNormSums<T>::text() const {
  return "norm_backward_weight " + std::to_string(x.columns) +
         (weight.group < 0 && bias.group < 0 ? "" : " + update");
}

template <class T>
Work RowNormSums<T>::work(int64_t batch) const {
  return passes<T>(batch, x.columns, 4);
}

// ---- batch norm ---------------------------------------------------------------------------------

template <class T>
int64_t BatchStatistics<T>::units(int64_t, int) const {
  return column_units(x.columns);
}

template <class T>
void BatchStatistics<T>::run(const Frame<T>& frame, int64_t unit) const {
  const int64_t first = unit * kColumns, columns = std::min(kColumns, x.columns - first);
  const int64_t rows = frame.batch;
  T* const means = frame.values[mean] + first;
  T partial[kColumns];
  // one column of many is no array of adjacent elements, which column_sums takes one column for
  if (columns == 1 && x.ld > 1) {
    T pair[2];
    column_sums(row(frame, x, 0) + first - 1, rows, 2, x.ld, pair, partial, double(rows));
    means[0] = pair[1];
  } else {
    column_sums(row(frame, x, 0) + first, rows, columns, x.ld, means, partial, double(rows));
  }
  const auto centred = kernels<T>().norms.centred_sums;
  const Totals totals =
      over_chunks<T>(rows, columns, [&](int64_t r, int64_t count, T* sums, T* squares) {
        centred(count, columns, x.ld, row(frame, x, r) + first, means, sums, squares);
      });
  for (int64_t j = 0; j < columns; ++j)
    finish_statistics(rows, totals.first[j], totals.second[j], momentum, eps, means + j,
                      frame.values[rstd] + first + j, array_or_null(frame, running_mean, first + j),
                      array_or_null(frame, running_var, first + j));
}

template <class T>
Work BatchStatistics<T>::work(int64_t batch) const {
  return passes<T>(batch, x.columns, 3);
}

template <class T>
void RunningStatistics<T>::run(const Frame<T>& frame, int64_t) const {
  for (int64_t j = 0; j < features; ++j) {
    frame.values[mean][j] = frame.values[running_mean][j];
    frame.values[rstd][j] = running_rstd(frame.values[running_var][j], eps);
  }
}

template <class T>
void BatchNorm<T>::run(const Frame<T>& frame, int64_t begin, int64_t end) const {
  const NormKernels<T>& k = kernels<T>().norms;
  const T* w = array_or_null(frame, weight);
  if (backward)
    k.batch_norm_backward(end - begin, x.columns, row(frame, grad, begin), row(frame, x, begin), w,
                          frame.values[mean], frame.values[rstd], array_or_null(frame, mean_grad),
                          array_or_null(frame, mean_product), row(frame, y, begin));
  else
    k.batch_norm(end - begin, x.columns, row(frame, x, begin), w, array_or_null(frame, bias),
                 frame.values[mean], frame.values[rstd], row(frame, y, begin));
}

template <class T>
std::string BatchNorm<T>::text() const {
  return std::string(backward ? "batch_norm_backward " : "batch_norm ") + std::to_string(x.columns);
}

template <class T>
Work BatchNorm<T>::work(int64_t batch) const {
  return passes<T>(batch, x.columns, backward ? 4 : 3);
}

template <class T>
int64_t BatchNormSums<T>::units(int64_t, int) const {
  return column_units(x.columns);
}

template <class T>
void BatchNormSums<T>::run(const Frame<T>& frame, int64_t unit) const {
  const int64_t first = unit * kColumns, columns = std::min(kColumns, x.columns - first);
  const auto sums = kernels<T>().norms.batch_norm_sums;
  const Totals totals = over_chunks<T>(
      frame.batch, columns, [&](int64_t r, int64_t rows, T* weight_sums, T* bias_sums) {
        sums(rows, columns, x.ld, row(frame, grad, r) + first, row(frame, x, r) + first,
             frame.values[mean] + first, frame.values[rstd] + first, weight_sums, bias_sums);
      });
  store_totals(frame, grad_weight, first, columns, totals.first);
  store_totals(frame, grad_bias, first, columns, totals.second);
  store_totals(frame, mean_product, first, columns, totals.first, double(frame.batch));
  store_totals(frame, mean_grad, first, columns, totals.second, double(frame.batch));
}

template <class T>
Work BatchNormSums<T>::work(int64_t batch) const {
  return passes<T>(batch, x.columns, 4);
}

#define MLPEAK_INSTANTIATE(T)           \
  template struct RowNorm<T>;           \
  template struct RowNormSums<T>;       \
  template struct BatchStatistics<T>;   \
  template struct RunningStatistics<T>; \
  template struct BatchNorm<T>;         \
  template struct BatchNormSums<T>;
MLPEAK_INSTANTIATE(float)
MLPEAK_INSTANTIATE(double)
#undef MLPEAK_INSTANTIATE

}  // namespace engine
}  // namespace mlpeak
