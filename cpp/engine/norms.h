// The instructions of the normalisations. What they share with the eager ones are the kernels and
// the order of sums (ops/norms.h): chunks of 64 rows, whose totals are added in double.
#pragma once

#include "engine/instruction.h"
#include "engine/linear.h"

namespace mlpeak {
namespace engine {

/// layer_norm or, without a mean, rms_norm; backward, the gradient of x alone. Rows are adjacent.
template <class T>
struct RowNorm : RowInstruction<T> {
  bool backward = false;
  double eps = 0;
  Operand x, grad;             // grad: backward
  int weight = -1, bias = -1;  // array values
  Operand mean, rstd;          // columns; mean is absent for rms_norm
  Operand y;                   // or the gradient of x

  void run(const Frame<T>& frame, int64_t begin, int64_t end) const override;
  std::string text() const override;
  Work work(int64_t batch) const override;
};

/// The gradients of a row norm's weight and bias with their updates, in parts of the columns.
template <class T>
struct RowNormSums : WholeInstruction<T> {
  Operand x, grad, mean, rstd;
  Destination weight, bias;  // where gradients go; nowhere for one that is not wanted

  int64_t units(int64_t batch, int threads) const override;
  void run(const Frame<T>& frame, int64_t unit) const override;
  std::string text() const override;
  Work work(int64_t batch) const override;
};

/// The mean and rstd of a batch, which update the running statistics (both or neither -1).
template <class T>
struct BatchStatistics : WholeInstruction<T> {
  Operand x;
  double momentum = 0, eps = 0;
  int running_mean = -1, running_var = -1;
  int mean = -1, rstd = -1;

  int64_t units(int64_t batch, int threads) const override;
  void run(const Frame<T>& frame, int64_t unit) const override;
  std::string text() const override { return "batch_norm statistics"; }
  Work work(int64_t batch) const override;
};

/// The mean and rstd of evaluation, from the running statistics.
template <class T>
struct RunningStatistics : WholeInstruction<T> {
  int64_t features = 0;
  double eps = 0;
  int running_mean = -1, running_var = -1;
  int mean = -1, rstd = -1;

  int64_t units(int64_t, int) const override { return 1; }
  void run(const Frame<T>& frame, int64_t unit) const override;
  std::string text() const override { return "batch_norm running statistics"; }
  Work work(int64_t) const override { return {0, 0, double(features) * 5}; }
};

/// y = (x - mean) * rstd * weight + bias with statistics of columns; backward, the gradient of x,
/// with the means that BatchNormSums made or without.
template <class T>
struct BatchNorm : RowInstruction<T> {
  bool backward = false;
  Operand x, grad, y;
  int weight = -1, bias = -1;
  int mean = -1, rstd = -1;
  int mean_grad = -1, mean_product = -1;  // of the gradient, and of the gradient times h

  void run(const Frame<T>& frame, int64_t begin, int64_t end) const override;
  std::string text() const override;
  Work work(int64_t batch) const override;
};

/// The sums of batch norm's backward: the gradients of weight and bias, -1 for those not wanted,
/// and in training the means that the gradient of x needs.
template <class T>
struct BatchNormSums : WholeInstruction<T> {
  Operand x, grad;
  int mean = -1, rstd = -1;
  int grad_weight = -1, grad_bias = -1;
  int mean_grad = -1, mean_product = -1;

  int64_t units(int64_t batch, int threads) const override;
  void run(const Frame<T>& frame, int64_t unit) const override;
  std::string text() const override { return "batch_norm sums"; }
  Work work(int64_t batch) const override;
};

}  // namespace engine
}  // namespace mlpeak
