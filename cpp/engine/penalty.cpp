#include "engine/penalty.h"

#include "ops/losses.h"

namespace mlpeak {
namespace engine {

template <class T>
void PenalisedLoss<T>::run(const Frame<T>& frame, int64_t) const {
  const double total = class_loss_sum<T>(row(frame, loss, 0), frame.batch);
  double squares = 0;
  for (const Operand& partial : partials)
    for (int64_t i = 0; i < partial.columns; ++i) squares += double(frame.values[partial.value][i]);
  frame.values[out][0] = T(scale * total / mean.total(frame) + 0.5 * frame.penalty * squares);
}

template <class T>
Work PenalisedLoss<T>::work(int64_t batch) const {
  return {0, double(batch) * sizeof(T), double(batch) + 50};
}

template struct PenalisedLoss<float>;
template struct PenalisedLoss<double>;

}  // namespace engine
}  // namespace mlpeak
