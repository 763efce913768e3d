// The instructions that change parameters after their gradients stand in arrays, and the numbers
// that follow the batch size.
#pragma once

#include "engine/instruction.h"
#include "engine/linear.h"

namespace mlpeak {
namespace engine {

/// The optimizer's update of a parameter of `size` elements; `destination` has its gradient too.
template <class T>
struct UpdateInstruction : WholeInstruction<T> {
  Destination destination;
  int64_t size = 0;

  int64_t units(int64_t batch, int threads) const override;
  void run(const Frame<T>& frame, int64_t unit) const override;
  std::string text() const override;
  Work work(int64_t batch) const override;
};

/// Packs a weight again, in one unit the copy for forward, in the other that for backward.
template <class T>
struct PackInstruction : WholeInstruction<T> {
  Weight<T>* weight;

  int64_t units(int64_t, int) const override { return 2; }
  void run(const Frame<T>& frame, int64_t unit) const override;
  std::string text() const override;
  Work work(int64_t batch) const override;
};

/// scale * batch, or scale / (divisor * batch), computed in double.
template <class T>
struct BatchNumber : WholeInstruction<T> {
  double scale = 1;
  bool inverse = false;
  double divisor = 1;
  int out = -1;

  int64_t units(int64_t, int) const override { return 1; }
  void run(const Frame<T>& frame, int64_t unit) const override;
  std::string text() const override { return "number"; }
  Work work(int64_t) const override { return {0, sizeof(T), 1}; }
};

}  // namespace engine
}  // namespace mlpeak
