#include "engine/gradients.h"

#include <algorithm>
#include <cmath>

#include "mlpeak/tier.h"
#include "ops/reduce.h"

namespace mlpeak {
namespace engine {

template <class T>
void ArrayInstruction<T>::run(const Frame<T>& frame, int64_t unit) const {
  const int64_t begin = unit * kSegment;
  apply(frame, begin, std::min(array.columns, begin + kSegment));
}

template <class T>
std::string ArrayInstruction<T>::text() const {
  return std::string(name()) + " " + std::to_string(array.columns);
}

template <class T>
Work ArrayInstruction<T>::work(int64_t) const {
  const double elements = double(array.columns);
  return {0, 3 * elements * sizeof(T), 0.2 * elements};
}

template <class T>
void GradientSum<T>::apply(const Frame<T>& frame, int64_t begin, int64_t end) const {
  const T* const gradient = frame.values[this->array.value];
  T* const total = frame.values[sum];
  if (frame.phase == 0)
    std::copy(gradient + begin, gradient + end, total + begin);
  else
    for (int64_t i = begin; i < end; ++i) total[i] += gradient[i];
  const T steps = T(frame.accumulate);
  if (frame.phase + 1 == frame.accumulate)
    for (int64_t i = begin; i < end; ++i) total[i] /= steps;
}

template <class T>
void SquareSums<T>::apply(const Frame<T>& frame, int64_t begin, int64_t end) const {
  const T* const x = frame.values[this->array.value];
  for (int64_t i = begin; i < end; ++i) frame.scratch[i - begin] = x[i] * x[i];
  for (int64_t i = begin; i < end; i += kSumChunk)
    frame.values[partial][i / kSumChunk] =
        sum_adjacent(frame.scratch + (i - begin), std::min(kSumChunk, end - i), 1.0);
}

template <class T>
void ClipFactor<T>::run(const Frame<T>& frame, int64_t) const {
  T* const squares = frame.scratch;
  for (size_t g = 0; g < partials.size(); ++g) {
    double total = 0;
    for (int64_t c = 0; c < partials[g].columns; ++c)
      total += double(frame.values[partials[g].value][c]);
    const T norm = T(std::sqrt(double(T(total))));
    squares[g] = norm * norm;
  }
  const double norm = std::sqrt(double(sum_adjacent(squares, int64_t(partials.size()), 1.0)));
  const double wanted = max_norm / (norm + 1e-6);
  frame.values[factor][0] = T(wanted > 1.0 ? 1.0 : wanted);
}

template <class T>
Work ClipFactor<T>::work(int64_t) const {
  return {0, 0, 20.0 * double(partials.size())};
}

template <class T>
void Scale<T>::apply(const Frame<T>& frame, int64_t begin, int64_t end) const {
  T* const x = frame.values[this->array.value];
  const T f = frame.values[factor][0];
  for (int64_t i = begin; i < end; ++i) x[i] *= f;
}

template <class T>
void MovingAverage<T>::apply(const Frame<T>& frame, int64_t begin, int64_t end) const {
  const T* const x = frame.values[this->array.value];
  T* const a = frame.values[average];
  const T weight = T(1 - decay);
  for (int64_t i = begin; i < end; ++i) a[i] += (x[i] - a[i]) * weight;
}

#define MLPEAK_INSTANTIATE(T)          \
  template struct ArrayInstruction<T>; \
  template struct GradientSum<T>;      \
  template struct SquareSums<T>;       \
  template struct ClipFactor<T>;       \
  template struct Scale<T>;            \
  template struct MovingAverage<T>;
MLPEAK_INSTANTIATE(float)
MLPEAK_INSTANTIATE(double)
#undef MLPEAK_INSTANTIATE

}  // namespace engine
}  // namespace mlpeak
