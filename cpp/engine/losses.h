// The instructions of the losses: each row's loss and gradient, and the totals over the batch.
//
// The divisor of a mean is the batch size, or, with weights or ignored targets, an array value of
// one double that LossDivisor fills a stage earlier.
#pragma once

#include <memory>

#include "engine/instruction.h"
#include "ops/losses.h"

namespace mlpeak {
namespace engine {

/// What divides a total: a sum divides by 1, a mean by `divisor`'s number or by batch * row_size.
struct Mean {
  Reduction reduction = Reduction::mean;
  int divisor = -1;
  int64_t row_size = 1;
  int upstream = -1;  // the loss's own gradient, an array value of one T; -1 for 1

  template <class T>
  double total(const Frame<T>& frame) const;
  /// upstream / total, as the eager losses round it.
  template <class T>
  T scale(const Frame<T>& frame) const;
};

/// A loss over classes: loss (a column) and grad, either with value -1 if it is not wanted.
template <class T>
struct ClassLossInstruction : RowInstruction<T> {
  ClassLossKind kind;
  Operand input;
  int target = -1;  // integer value, or
  Operand probabilities;
  int class_weight = -1;  // array value
  Operand sample_weight;
  int64_t ignore_index = -100;
  double label_smoothing = 0;
  Mean mean;
  Operand grad_output;  // a column, for Reduction::none; or -1
  Operand loss, grad;

  ClassLossRows<T> rows(const Frame<T>& frame, int64_t begin, int64_t end) const;
  void run(const Frame<T>& frame, int64_t begin, int64_t end) const override;
  std::string text() const override;
  Work work(int64_t batch) const override;
};

/// The total of a column of class losses.
template <class T>
struct ClassLossTotal : WholeInstruction<T> {
  Operand loss;
  Mean mean;
  int out;

  int64_t units(int64_t, int) const override { return 1; }
  void run(const Frame<T>& frame, int64_t unit) const override;
  std::string text() const override;
  Work work(int64_t batch) const override;
};

/// The operands of an element-wise loss; all of them have rows that are adjacent.
template <class T>
struct LossOperands {
  LossKind kind;
  LossOptions options;
  Operand input, target;
  Operand extra;         // rows, or
  int extra_array = -1;  // an array value of extra_size elements
  int64_t extra_size = 0;
  Operand sample_weight;

  ElementwiseLossArgs<T> args(const Frame<T>& frame, int64_t begin, int64_t end) const;
  double nanoseconds(int64_t batch) const;
};

/// Its gradient, or, with `values`, the loss of each element.
template <class T>
struct ElementwiseLossInstruction : RowInstruction<T> {
  LossOperands<T> operands;
  Mean mean;
  Operand grad_output;  // for Reduction::none, or -1
  Operand values;
  Operand grad, grad_extra;

  void run(const Frame<T>& frame, int64_t begin, int64_t end) const override;
  std::string text() const override;
  Work work(int64_t batch) const override;
};

template <class T>
struct ElementwiseLossTotal : WholeInstruction<T> {
  LossOperands<T> operands;
  Mean mean;
  int out;

  int64_t units(int64_t, int) const override { return 1; }
  void run(const Frame<T>& frame, int64_t unit) const override;
  std::string text() const override;
  Work work(int64_t batch) const override;
};

/// The divisor of a mean with weights or ignored targets, as a double.
template <class T>
struct LossDivisor : WholeInstruction<T> {
  std::shared_ptr<ClassLossInstruction<T>> classes;  // or
  LossOperands<T> operands;
  int out;

  int64_t units(int64_t, int) const override { return 1; }
  void run(const Frame<T>& frame, int64_t unit) const override;
  std::string text() const override { return "loss divisor"; }
  Work work(int64_t batch) const override { return {0, 8.0 * double(batch), double(batch)}; }
};

}  // namespace engine
}  // namespace mlpeak
