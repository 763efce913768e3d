// Instructions that treat each element, or each row, by itself.
#pragma once

#include "engine/instruction.h"
#include "engine/linear.h"

namespace mlpeak {
namespace engine {

/// y = f(x), or with `grad` grad_x = grad f'(saved); y may be x, grad_x may be grad.
template <class T>
struct ActivationInstruction : RowInstruction<T> {
  ActivationCall activation;
  bool backward = false;
  Operand x;  // or what forward saved
  Operand grad;
  Operand y;

  void run(const Frame<T>& frame, int64_t begin, int64_t end) const override;
  std::string text() const override;
  Work work(int64_t batch) const override;
};

/// softmax and log_softmax over the columns; operands have adjacent rows.
template <class T>
struct SoftmaxInstruction : RowInstruction<T> {
  bool logarithm = false, backward = false;
  Operand x;  // or forward's y
  Operand grad;
  Operand y;

  void run(const Frame<T>& frame, int64_t begin, int64_t end) const override;
  std::string text() const override;
  Work work(int64_t batch) const override;
};

/// y = x / (1 - p) where kept; its own backward. Columns, or rows where they are adjacent, are
/// multiples of 4 (a draw is four numbers), so that a block begins with a draw.
template <class T>
struct DropoutInstruction : RowInstruction<T> {
  double p;
  int draw;  // offset from the step's first draw
  Operand x, y;

  void run(const Frame<T>& frame, int64_t begin, int64_t end) const override;
  std::string text() const override;
  Work work(int64_t batch) const override;
};

enum class Arithmetic {
  add,
  subtract,
  multiply,
  divide,
  maximum,
  minimum,
  negative,
  absolute,
  sign,
  square,
  sqrt,
  reciprocal,
  copy,
  less,
  less_equal,
  greater,
  greater_equal,
  equal,
  not_equal,
  floor,
  ceil,
  trunc,
  rint,
  remainder,
  isnan,
  isinf,
  isfinite,
  signbit,
  both,
  either,
  one_of,
  invert,
  where,
};
Arithmetic find_arithmetic(const std::string& name);
const char* text_of(Arithmetic op);

/// How an operand spreads over a row value: as it is, one row for all, one column, one number.
enum class Spread { rows, row, column, number };
struct SpreadOperand {
  Spread spread = Spread::rows;
  Operand operand;  // of an array value only `value` counts
};

/// z = f(x, y), or f(x), correctly rounded as NumPy computes it; comparisons give 1 or 0.
template <class T>
struct ArithmeticInstruction : RowInstruction<T> {
  Arithmetic op;
  SpreadOperand x, y;
  Operand z;

  void run(const Frame<T>& frame, int64_t begin, int64_t end) const override;
  std::string text() const override;
  Work work(int64_t batch) const override;
};

/// y = f(x) for the functions of ElementwiseKernels::elementary, or x^exponent.
template <class T>
struct ElementaryInstruction : RowInstruction<T> {
  bool power = false;
  Elementary function = Elementary::exp;
  double exponent = 1;
  Operand x, y;

  void run(const Frame<T>& frame, int64_t begin, int64_t end) const override;
  std::string text() const override;
  Work work(int64_t batch) const override;
};

}  // namespace engine
}  // namespace mlpeak
