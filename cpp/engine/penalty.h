// The reported loss of a step with an L2 penalty, as scikit-learn's multi-layer perceptrons report
// it.
#pragma once

#include <vector>

#include "engine/instruction.h"
#include "engine/losses.h"

namespace mlpeak {
namespace engine {

/// out = scale * (the sum of a column of losses) / mean + penalty / 2 * (the sum of all partials),
/// added in double in a fixed order; partials are those of SquareSums on the penalised parameters,
/// a stage earlier than their update.
template <class T>
struct PenalisedLoss : WholeInstruction<T> {
  Operand loss;
  Mean mean;
  double scale = 1;
  std::vector<Operand> partials;
  int out;

  int64_t units(int64_t, int) const override { return 1; }
  void run(const Frame<T>& frame, int64_t unit) const override;
  std::string text() const override { return "penalised loss"; }
  Work work(int64_t batch) const override;
};

}  // namespace engine
}  // namespace mlpeak
