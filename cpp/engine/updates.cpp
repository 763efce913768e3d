#include "engine/updates.h"

#include <algorithm>

#include "mlpeak/tier.h"

namespace mlpeak {
namespace engine {
namespace {

constexpr int64_t kPart = 8192;          // elements of a unit: its arrays fit in L2
constexpr double kUpdatedPerByte = 0.1;  // ns, of Adam
constexpr double kPackedPerByte = 0.1;

}  // namespace

template <class T>
int64_t UpdateInstruction<T>::units(int64_t, int) const {
  return std::max<int64_t>(1, (size + kPart - 1) / kPart);
}

template <class T>
void UpdateInstruction<T>::run(const Frame<T>& frame, int64_t unit) const {
  const int64_t first = unit * kPart, count = std::min(kPart, size - first);
  T* states[3];
  for (int i = 0; i < 3; ++i)
    states[i] = destination.states[i] < 0 ? nullptr : frame.values[destination.states[i]] + first;
  kernels<T>().optimizers.update(frame.updates[destination.group], 1, count, count,
                                 frame.values[destination.parameter] + first,
                                 frame.values[destination.gradient] + first, count, states);
}

template <class T>
std::string UpdateInstruction<T>::text() const {
  return "update " + std::to_string(size);
}

template <class T>
Work UpdateInstruction<T>::work(int64_t) const {
  const double bytes = double(size) * sizeof(T);
  return {0, bytes * 7, bytes * kUpdatedPerByte};
}

template <class T>
void PackInstruction<T>::run(const Frame<T>& frame, int64_t unit) const {
  const T* const from = frame.values[weight->value];
  if (unit == 0)
    weight->pack_forward(from);
  else
    weight->pack_backward(from);
}

template <class T>
std::string PackInstruction<T>::text() const {
  return "pack " + std::to_string(weight->in) + " -> " + std::to_string(weight->out);
}

template <class T>
Work PackInstruction<T>::work(int64_t) const {
  const double bytes = 2.0 * double(weight->in) * double(weight->out) * sizeof(T);
  return {0, bytes * 2, bytes * kPackedPerByte};
}

template <class T>
void BatchNumber<T>::run(const Frame<T>& frame, int64_t) const {
  const double batch = double(frame.batch);
  frame.values[out][0] = T(inverse ? scale / (divisor * batch) : scale * batch);
}

#define MLPEAK_INSTANTIATE(T)           \
  template struct UpdateInstruction<T>; \
  template struct PackInstruction<T>;   \
  template struct BatchNumber<T>;
MLPEAK_INSTANTIATE(float)
MLPEAK_INSTANTIATE(double)
#undef MLPEAK_INSTANTIATE

}  // namespace engine
}  // namespace mlpeak
