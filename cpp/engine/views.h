// Views of values as NumPy has them: an offset and a stride for each dimension, where lengths,
// offsets and strides may follow the batch size.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/instruction.h"

namespace mlpeak {
namespace engine {

/// fixed + per_sample * batch.
struct Length {
  int64_t fixed = 0, per_sample = 0;

  int64_t at(int64_t batch) const { return fixed + per_sample * batch; }
};

using Lengths = std::vector<Length>;
constexpr int kMostDims = 8;

/// Elements of a value: that at index i is the value's element offset + sum of i[d] * strides[d].
struct View {
  int value = -1;
  Length offset;
  Lengths strides;
};

/// View and shape for one batch size.
template <class T>
struct Bound {
  T* data;
  int64_t strides[kMostDims];

  Bound(const Frame<T>& frame, const View& view)
      : data(frame.values[view.value] + view.offset.at(frame.batch)) {
    for (size_t d = 0; d < view.strides.size(); ++d) strides[d] = view.strides[d].at(frame.batch);
  }
};

inline double elements(const Lengths& shape, int64_t batch) {
  double n = 1;
  for (const Length& length : shape) n *= double(length.at(batch));
  return n;
}

}  // namespace engine
}  // namespace mlpeak
