#include "engine/axes.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "engine/arithmetic.h"
#include "mlpeak/tier.h"
#include "ops/reduce.h"

namespace mlpeak {
namespace engine {
namespace {

constexpr const char* kAlong[] = {"sum",
                                  "mean",
                                  "maximum",
                                  "minimum",
                                  "count",
                                  "argmax",
                                  "argmin",
                                  "argsort",
                                  "add.accumulate",
                                  "multiply.accumulate",
                                  "take",
                                  "add.at",
                                  "softmax",
                                  "log_softmax",
                                  "softmax_backward",
                                  "log_softmax_backward"};

/// f(x of one line, y of it, stride) for each line along the axis; y has `result` elements.
template <class T, class F>
void each_line(const T* x, T* y, int64_t outer, int64_t count, int64_t inner, int64_t result, F f) {
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t i = 0; i < inner; ++i)
      f(x + o * count * inner + i, y + o * result * inner + i, inner);
}

/// Where the first element stands that better(it, all others) or is NaN.
template <class T, class Better>
int64_t best(const T* x, int64_t count, int64_t stride, Better better) {
  int64_t at = 0;
  for (int64_t i = 1; i < count; ++i) {
    const T a = x[at * stride], b = x[i * stride];
    if (a != a) break;
    if (better(b, a) || b != b) at = i;
  }
  return at;
}

/// The stable order of a line by insertion into sorted runs, NaN last: no memory but `order`.
template <class T>
void sort_line(const T* x, T* order, int64_t count, int64_t stride) {
  const auto before = [&](int64_t i, int64_t j) {
    const T a = x[i * stride], b = x[j * stride];
    return a < b || (b != b && a == a);
  };
  for (int64_t i = 0; i < count; ++i) {
    int64_t low = 0, high = i;  // the first place whose element comes after x[i]
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (before(i, int64_t(order[middle * stride])))
        high = middle;
      else
        low = middle + 1;
    }
    for (int64_t j = i; j > low; --j) order[j * stride] = order[(j - 1) * stride];
    order[low * stride] = T(i);
  }
}

}  // namespace

Along find_along(const std::string& name) {
  int i = 0;
  for (const char* known : kAlong) {
    if (name == known) return Along(i);
    ++i;
  }
  return Along(-1);
}

template <class T>
int64_t AxisCall<T>::result_size(int64_t count, int64_t inner) const {
  switch (what) {
    case Along::sum:
    case Along::mean:
    case Along::maximum:
    case Along::minimum:
    case Along::count:
    case Along::argmax:
    case Along::argmin:
      return inner;
    case Along::take:
      return int64_t(indices.size()) * inner;
    default:
      return count * inner;
  }
}

template <class T>
void AxisCall<T>::run(const T* x, const T* second, T* y, int64_t outer, int64_t count,
                      int64_t inner, T* scratch) const {
  const RowKernels<T>& rows = kernels<T>().rows;
  const auto lines = [&](auto f) {
    each_line(x, y, outer, count, inner, result_size(count, 1), f);
  };
  const auto reduce = [&](auto f) {
    lines([&](const T* from, T* to, int64_t stride) {
      T value = from[0];
      for (int64_t i = 1; i < count; ++i) value = f(value, from[i * stride]);
      *to = value;
    });
  };
  const auto accumulate = [&](auto f) {
    lines([&](const T* from, T* to, int64_t stride) {
      T value = from[0];
      to[0] = value;
      for (int64_t i = 1; i < count; ++i) to[i * stride] = value = f(value, from[i * stride]);
    });
  };
  switch (what) {
    case Along::sum:
    case Along::mean: {
      const double divisor = what == Along::mean ? double(count) : 1.0;
      for (int64_t o = 0; o < outer; ++o)
        if (inner == 1)
          y[o] = sum_adjacent(x + o * count, count, divisor);
        else
          column_sums(x + o * count * inner, count, inner, inner, y + o * inner, scratch, divisor);
      return;
    }
    case Along::maximum:
      return reduce([](T a, T b) { return largest(a, b); });
    case Along::minimum:
      return reduce([](T a, T b) { return smallest(a, b); });
    case Along::count:
      return lines([&](const T* from, T* to, int64_t stride) {
        int64_t n = 0;
        for (int64_t i = 0; i < count; ++i) n += from[i * stride] != 0;
        *to = T(n);
      });
    case Along::argmax:
      return lines([&](const T* from, T* to, int64_t stride) {
        *to = T(best(from, count, stride, [](T a, T b) { return a > b; }));
      });
    case Along::argmin:
      return lines([&](const T* from, T* to, int64_t stride) {
        *to = T(best(from, count, stride, [](T a, T b) { return a < b; }));
      });
    case Along::argsort:
      return lines([&](const T* from, T* to, int64_t s) { sort_line(from, to, count, s); });
    case Along::accumulate_add:
      return accumulate([](T a, T b) { return a + b; });
    case Along::accumulate_multiply:
      return accumulate([](T a, T b) { return a * b; });
    case Along::take:
      return lines([&](const T* from, T* to, int64_t stride) {
        for (size_t i = 0; i < indices.size(); ++i)
          to[int64_t(i) * stride] = from[indices[i] * stride];
      });
    case Along::add_at:
      std::memcpy(y, x, size_t(outer * count * inner) * sizeof(T));
      for (int64_t o = 0; o < outer; ++o)
        for (size_t i = 0; i < indices.size(); ++i)
          for (int64_t j = 0; j < inner; ++j)
            y[(o * count + indices[i]) * inner + j] +=
                second[(o * int64_t(indices.size()) + int64_t(i)) * inner + j];
      return;
    case Along::softmax:
      return rows.softmax(x, y, outer, count);
    case Along::log_softmax:
      return rows.log_softmax(x, y, outer, count);
    case Along::softmax_backward:
      return rows.softmax_backward(x, second, y, outer, count);
    case Along::log_softmax_backward:
      return rows.log_softmax_backward(x, second, y, outer, count);
  }
}

template <class T>
std::string AxisCall<T>::text() const {
  return kAlong[int(what)];
}

template <class T>
Work AxisCall<T>::work(int64_t batch) const {
  const double n = elements({outer, count, inner}, batch);
  return {0, n * 2 * sizeof(T), n * (what <= Along::mean ? 0.2 : 1.0)};
}

template <class T>
void RowAxis<T>::run(const Frame<T>& frame, int64_t begin, int64_t end) const {
  const int64_t outer = call.outer.fixed, count = call.count.fixed, inner = call.inner.fixed;
  const bool adjacent =
      x.ld == x.columns && y.ld == y.columns && (second.value < 0 || second.ld == second.columns);
  const int64_t step = adjacent ? end - begin : 1;
  for (int64_t r = begin; r < end; r += step)
    call.run(row(frame, x, r), second.value < 0 ? nullptr : row(frame, second, r), row(frame, y, r),
             outer * step, count, inner, frame.scratch);
}

template <class T>
Work RowAxis<T>::work(int64_t batch) const {
  Work w = call.work(1);
  w.bytes *= double(batch);
  w.nanoseconds *= double(batch);
  return w;
}

template <class T>
int64_t RowAxis<T>::scratch(int64_t, int64_t) const {
  return call.inner.fixed;
}

template <class T>
void WholeAxis<T>::run(const Frame<T>& frame, int64_t) const {
  call.run(frame.values[x], second < 0 ? nullptr : frame.values[second], frame.values[y],
           call.outer.at(frame.batch), call.count.at(frame.batch), call.inner.at(frame.batch),
           frame.scratch);
}

template <class T>
int64_t WholeAxis<T>::scratch(int64_t, int64_t batch) const {
  return call.inner.at(batch);
}

// ---- products -----------------------------------------------------------------------------------

namespace {

/// Rows of C for a unit: whole tiles, at most 16 units.
template <class T>
int64_t unit_rows(int64_t m) {
  const int64_t tile = kernels<T>().gemm.tile_rows;
  return std::max(4 * tile, (m + 16 * tile - 1) / (16 * tile) * tile);
}

}  // namespace

template <class T>
int64_t MatrixProduct<T>::units(int64_t batch, int) const {
  const int64_t rows = unit_rows<T>(m.at(batch));
  return std::max<int64_t>(1, (m.at(batch) + rows - 1) / rows);
}

template <class T>
void MatrixProduct<T>::run(const Frame<T>& frame, int64_t unit) const {
  const int64_t all = m.at(frame.batch), columns = n.at(frame.batch), depth = k.at(frame.batch);
  const int64_t first = unit * unit_rows<T>(all);
  const int64_t rows = std::min(unit_rows<T>(all), all - first);
  const int64_t down = transpose_a ? 1 : depth, right = transpose_a ? all : 1;
  const MatrixView<T> left = {frame.values[a] + first * down, down, right};
  const MatrixView<T> other = {frame.values[b], transpose_b ? 1 : columns, transpose_b ? depth : 1};
  T* const out = frame.values[c] + first * columns;
  if (layer && has_few_outputs(columns, depth))
    kernels<T>().gemm.multiply_few(rows, columns, depth, left.data, depth, other.data, out, columns,
                                   {});
  else
    kernels<T>().gemm.multiply(rows, columns, depth, left, other, out, columns, {}, frame.scratch);
}

template <class T>
Work MatrixProduct<T>::work(int64_t batch) const {
  const double flops = 2.0 * elements({m, n, k}, batch);
  return {flops, 0, flops / 100 * sizeof(T) / 4};
}

template <class T>
int64_t MatrixProduct<T>::scratch(int64_t, int64_t batch) const {
  const GemmKernels<T>& gemm = kernels<T>().gemm;
  const int64_t all = m.at(batch), columns = n.at(batch);
  const int64_t size = gemm.workspace_size(all, columns, k.at(batch));
  if (k.per_sample == 0) return size;
  // a last, smaller batch is a sum over less
  return std::max(size, gemm.workspace_size(all, columns, gemm.block_depth));
}

#define MLPEAK_INSTANTIATE(T)   \
  template struct AxisCall<T>;  \
  template struct RowAxis<T>;   \
  template struct WholeAxis<T>; \
  template struct MatrixProduct<T>;
MLPEAK_INSTANTIATE(float)
MLPEAK_INSTANTIATE(double)
#undef MLPEAK_INSTANTIATE

}  // namespace engine
}  // namespace mlpeak
