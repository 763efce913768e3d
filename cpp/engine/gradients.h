// Instructions between the gradients of a step and their update: sums over several steps, clipping
// by the joint norm; and the moving average of the parameters after it.
//
// All of them work on array values, in units of kSegment elements.
#pragma once

#include <vector>

#include "engine/instruction.h"

namespace mlpeak {
namespace engine {

/// Elements of a unit: whole chunks of ops/reduce.h's sums.
constexpr int64_t kSegment = 4 * 4096;

/// An instruction on every element of one array.
template <class T>
struct ArrayInstruction : WholeInstruction<T> {
  Operand array;

  int64_t units(int64_t, int) const override { return (array.columns + kSegment - 1) / kSegment; }
  void run(const Frame<T>& frame, int64_t unit) const override;
  std::string text() const override;
  Work work(int64_t batch) const override;

 protected:
  virtual const char* name() const = 0;
  virtual void apply(const Frame<T>& frame, int64_t begin, int64_t end) const = 0;
};

/// sum += gradient over the steps that share an update; after the last, divided by their number.
template <class T>
struct GradientSum : ArrayInstruction<T> {
  int sum;

 protected:
  const char* name() const override { return "accumulate"; }
  void apply(const Frame<T>& frame, int64_t begin, int64_t end) const override;
};

/// The squares of a gradient, added by chunks: `partial` holds one T for each.
template <class T>
struct SquareSums : ArrayInstruction<T> {
  int partial;

  int64_t scratch(int64_t, int64_t) const override { return kSegment; }

 protected:
  const char* name() const override { return "squares"; }
  void apply(const Frame<T>& frame, int64_t begin, int64_t end) const override;
};

/// The factor of nn.utils.clip_grad_norm_, from the SquareSums of all gradients.
template <class T>
struct ClipFactor : WholeInstruction<T> {
  std::vector<Operand> partials;
  double max_norm;
  int factor;

  int64_t units(int64_t, int) const override { return 1; }
  void run(const Frame<T>& frame, int64_t unit) const override;
  std::string text() const override { return "clip factor"; }
  Work work(int64_t batch) const override;
  int64_t scratch(int64_t, int64_t) const override { return int64_t(partials.size()); }
};

/// array *= factor, a number.
template <class T>
struct Scale : ArrayInstruction<T> {
  int factor;

 protected:
  const char* name() const override { return "clip"; }
  void apply(const Frame<T>& frame, int64_t begin, int64_t end) const override;
};

/// average += (array - average) (1 - decay), as torch.optim.swa_utils averages.
template <class T>
struct MovingAverage : ArrayInstruction<T> {
  int average;
  double decay;

 protected:
  const char* name() const override { return "average"; }
  void apply(const Frame<T>& frame, int64_t begin, int64_t end) const override;
};

}  // namespace engine
}  // namespace mlpeak
