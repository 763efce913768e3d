// What runs along one axis of an array (outer, count, inner) with adjacent elements: sums in the
// order of ops/reduce.h, largest and smallest elements, running sums, sorting, picking by index,
// softmax.
#pragma once

#include <vector>

#include "engine/views.h"

namespace mlpeak {
namespace engine {

enum class Along {
  sum,  // divided by the divisor, or by count
  mean,
  maximum,
  minimum,
  count,  // how many are not 0
  argmax,
  argmin,
  argsort,  // stable, NaN last
  accumulate_add,
  accumulate_multiply,
  take,     // (outer, indices, inner)
  add_at,   // y = x, then y[:, indices] += second in order; x is (outer, count, inner)
  softmax,  // inner = 1, as the next three
  log_softmax,
  softmax_backward,  // x is the gradient, second forward's result
  log_softmax_backward,
};
Along find_along(const std::string& name);

template <class T>
struct AxisCall {
  Along what = Along::sum;
  Length outer{1, 0}, count, inner{1, 0};
  std::vector<int64_t> indices;

  /// Elements of a slice of the result, for one of x.
  int64_t result_size(int64_t count, int64_t inner) const;
  void run(const T* x, const T* second, T* y, int64_t outer, int64_t count, int64_t inner,
           T* scratch) const;
  std::string text() const;
  Work work(int64_t batch) const;
};

/// Along an axis within each row: `outer` slices a row.
template <class T>
struct RowAxis : RowInstruction<T> {
  AxisCall<T> call;
  Operand x, second, y;

  void run(const Frame<T>& frame, int64_t begin, int64_t end) const override;
  std::string text() const override { return call.text(); }
  Work work(int64_t batch) const override;
  int64_t scratch(int64_t rows, int64_t batch) const override;
};

/// Along any axis of values with adjacent elements.
template <class T>
struct WholeAxis : WholeInstruction<T> {
  AxisCall<T> call;
  int x = -1, second = -1, y = -1;

  int64_t units(int64_t, int) const override { return 1; }
  void run(const Frame<T>& frame, int64_t unit) const override;
  std::string text() const override { return call.text(); }
  Work work(int64_t batch) const override { return call.work(batch); }
  int64_t scratch(int64_t rows, int64_t batch) const override;
};

/// C (m, n) = A B on matrices that are no layer's weight; or, where `layer` is set, of a layer
/// whose weight B is computed: its transpose_b is set too.
template <class T>
struct MatrixProduct : WholeInstruction<T> {
  Length m, n, k;
  int a = -1, b = -1, c = -1;
  bool transpose_a = false, transpose_b = false, layer = false;

  int64_t units(int64_t batch, int threads) const override;
  void run(const Frame<T>& frame, int64_t unit) const override;
  std::string text() const override { return "matmul"; }
  Work work(int64_t batch) const override;
  int64_t scratch(int64_t rows, int64_t batch) const override;
};

}  // namespace engine
}  // namespace mlpeak
