#include "engine/maps.h"

#include <algorithm>

#include "engine/arithmetic.h"

namespace mlpeak {
namespace engine {
namespace {

constexpr int kOperands = 4;        // z, a, b, c
constexpr int64_t kUnit = 1 << 14;  // elements that are worth a unit of their own
constexpr int64_t kMostUnits = 16;

template <class T>
struct Loop {
  int dims;
  int64_t shape[kMostDims];
  int64_t strides[kMostDims][kOperands];
};

template <class T, class F>
void nest(const Loop<T>& loop, int dim, T* z, const T* a, const T* b, const T* c, F f) {
  const int64_t n = loop.shape[dim];
  const int64_t* const s = loop.strides[dim];
  if (dim + 1 < loop.dims) {
    for (int64_t i = 0; i < n; ++i)
      nest(loop, dim + 1, z + i * s[0], a + i * s[1], b + i * s[2], c + i * s[3], f);
  } else if (s[0] == 1 && s[1] == 1 && s[2] == 1 && s[3] == 0) {
    for (int64_t i = 0; i < n; ++i) z[i] = f(a[i], b[i], *c);
  } else if (s[0] == 1 && s[1] == 1 && s[2] == 0 && s[3] == 0) {
    const T y = *b, x = *c;
    for (int64_t i = 0; i < n; ++i) z[i] = f(a[i], y, x);
  } else {
    for (int64_t i = 0; i < n; ++i) z[i * s[0]] = f(a[i * s[1]], b[i * s[2]], c[i * s[3]]);
  }
}

}  // namespace

template <class T>
void Map<T>::run(const Frame<T>& frame, int64_t begin, int64_t end) const {
  // An operand that f does not take stands for any number that is there: the result.
  static const T kNothing = 0;
  const T* data[kOperands] = {&kNothing, &kNothing, &kNothing, &kNothing};
  Loop<T> loop = {};
  loop.dims = int(shape.size());
  for (int d = 0; d < loop.dims; ++d) loop.shape[d] = shape[size_t(d)].at(frame.batch);
  const Bound<T> result(frame, out);
  for (int d = 0; d < loop.dims; ++d) loop.strides[d][0] = result.strides[d];
  for (size_t i = 0; i < in.size(); ++i) {
    const Bound<T> operand(frame, in[i]);
    for (int d = 0; d < loop.dims; ++d) loop.strides[d][i + 1] = operand.strides[d];
    data[i + 1] = operand.data + begin * operand.strides[0];
  }
  loop.shape[0] = end - begin;
  // Dimensions that follow one another in memory in all operands are one.
  while (loop.dims > 1) {
    const int d = loop.dims - 1;
    bool together = true;
    for (int i = 0; i < kOperands; ++i)
      together = together && loop.strides[d - 1][i] == loop.shape[d] * loop.strides[d][i];
    if (!together) break;
    loop.shape[d - 1] *= loop.shape[d];
    for (int i = 0; i < kOperands; ++i) loop.strides[d - 1][i] = loop.strides[d][i];
    --loop.dims;
  }
  with_arithmetic<T>(op, [&](auto f) {
    nest(loop, 0, result.data + begin * result.strides[0], data[1], data[2], data[3], f);
  });
}

template <class T>
std::string Map<T>::text() const {
  return text_of(op);
}

template <class T>
Work Map<T>::work(int64_t batch) const {
  const double n = elements(shape, batch);
  return {0, n * double(in.size() + 1) * sizeof(T), n * 0.5};
}

template <class T>
int64_t WholeMap<T>::units(int64_t batch, int) const {
  const int64_t wanted = std::min(kMostUnits, 1 + int64_t(elements(map.shape, batch)) / kUnit);
  return std::max<int64_t>(1, std::min(wanted, map.shape[0].at(batch)));
}

template <class T>
void WholeMap<T>::run(const Frame<T>& frame, int64_t unit) const {
  const int64_t n = map.shape[0].at(frame.batch), parts = units(frame.batch, frame.threads);
  map.run(frame, n * unit / parts, n * (unit + 1) / parts);
}

#define MLPEAK_INSTANTIATE(T) \
  template struct Map<T>;     \
  template struct RowMap<T>;  \
  template struct WholeMap<T>;
MLPEAK_INSTANTIATE(float)
MLPEAK_INSTANTIATE(double)
#undef MLPEAK_INSTANTIATE

}  // namespace engine
}  // namespace mlpeak
