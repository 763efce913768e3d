#include "engine/tables.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "mlpeak/tier.h"

namespace mlpeak {
namespace engine {

template <class T>
void Embedding<T>::run(const Frame<T>& frame, int64_t begin, int64_t end) const {
  const int64_t dim = y.columns / picks.count;
  for (int64_t r = begin; r < end; ++r) {
    const int64_t* const picked = picks.at(frame, r);
    for (int64_t c = 0; c < picks.count; ++c)
      std::memcpy(row(frame, y, r) + c * dim, frame.values[table] + picked[c] * dim,
                  size_t(dim) * sizeof(T));
  }
}

template <class T>
Work Embedding<T>::work(int64_t batch) const {
  const double bytes = double(batch) * double(y.columns) * sizeof(T);
  return {0, bytes * 2, double(batch) * 5 + bytes / 10};
}

template <class T>
int64_t EmbeddingBackward<T>::units(int64_t, int) const {
  constexpr int64_t kMost = 8, kLeastElements = 1 << 12;
  return std::max<int64_t>(1, std::min(kMost, rows * grad.columns / picks.count / kLeastElements));
}

template <class T>
void EmbeddingBackward<T>::run(const Frame<T>& frame, int64_t unit) const {
  const int64_t parts = units(frame.batch, frame.threads), dim = grad.columns / picks.count;
  const int64_t first = rows * unit / parts, last = rows * (unit + 1) / parts;
  T* const to = frame.values[grad_table];
  std::fill(to + first * dim, to + last * dim, T(0));
  const auto scatter_add = kernels<T>().embedding.scatter_add;
  // All at once where the picks of one sample follow those of the last.
  const bool together = picks.count == picks.width;
  const int64_t calls = together ? 1 : frame.batch;
  const int64_t count = together ? frame.batch * picks.count : picks.count;
  for (int64_t r = 0; r < calls; ++r)
    scatter_add(count, dim, picks.at(frame, r), first, last, row(frame, grad, r), to);
  if (padding >= first && padding < last)
    std::fill(to + padding * dim, to + (padding + 1) * dim, T(0));
}

template <class T>
Work EmbeddingBackward<T>::work(int64_t batch) const {
  const double dim = double(grad.columns);
  const double bytes = (double(batch) * dim * 3 + double(rows) * dim) * sizeof(T);
  return {0, bytes, bytes / 20 + double(batch)};
}

template <class T>
void RandomInstruction<T>::run(const Frame<T>& frame, int64_t begin, int64_t end) const {
  RandomKey key = frame.random;
  key.step += uint64_t(draw);
  key.stream = stream;
  const int64_t from = begin * y.columns, count = (end - begin) * y.columns;
  if (normal) {
    kernels<T>().random.normal(count, from, key, T(first), T(second), row(frame, y, begin));
    return;
  }
  const T low = T(first), high = T(second);
  kernels<T>().random.uniform(count, from, key, low, high - low, std::nextafter(high, low),
                              row(frame, y, begin));
}

template <class T>
Work RandomInstruction<T>::work(int64_t batch) const {
  const double n = double(batch) * double(y.columns);
  return {0, n * sizeof(T), n * (normal ? 3.0 : 1.5)};
}

#define MLPEAK_INSTANTIATE(T)           \
  template struct Embedding<T>;         \
  template struct EmbeddingBackward<T>; \
  template struct RandomInstruction<T>;
MLPEAK_INSTANTIATE(float)
MLPEAK_INSTANTIATE(double)
#undef MLPEAK_INSTANTIATE

}  // namespace engine
}  // namespace mlpeak
