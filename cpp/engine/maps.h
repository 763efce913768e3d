// z = f(a, b, c) element by element on views: arithmetic with any broadcasting, and with `copy` all
// that moves elements: transposes, slices, concatenations.
#pragma once

#include "engine/elementwise.h"
#include "engine/views.h"

namespace mlpeak {
namespace engine {

template <class T>
struct Map {
  Arithmetic op = Arithmetic::copy;
  Lengths shape;  // at least one dimension, at most kMostDims
  View out;
  std::vector<View> in;  // one to three, as many as `op` takes

  /// Computes the indices [begin, end) of the first dimension.
  void run(const Frame<T>& frame, int64_t begin, int64_t end) const;
  std::string text() const;
  Work work(int64_t batch) const;
};

/// A map whose first dimension is the samples, and whose operands are rows of the same samples or
/// no rows at all.
template <class T>
struct RowMap : RowInstruction<T> {
  Map<T> map;

  void run(const Frame<T>& frame, int64_t begin, int64_t end) const override {
    map.run(frame, begin, end);
  }
  std::string text() const override { return map.text(); }
  Work work(int64_t batch) const override { return map.work(batch); }
};

/// Any map, in parts of its first dimension.
template <class T>
struct WholeMap : WholeInstruction<T> {
  Map<T> map;

  int64_t units(int64_t batch, int threads) const override;
  void run(const Frame<T>& frame, int64_t unit) const override;
  std::string text() const override { return map.text(); }
  Work work(int64_t batch) const override { return map.work(batch); }
};

}  // namespace engine
}  // namespace mlpeak
