// The instructions of a linear layer y = f(x Wᵀ + b): forward, the gradient of x, and the gradients
// of W and b with their updates.
#pragma once

#include <memory>
#include <vector>

#include "engine/columns.h"
#include "engine/instruction.h"
#include "mlpeak/activation.h"
#include "mlpeak/precision.h"
#include "runtime/arena.h"

namespace mlpeak {
namespace engine {

/// An activation with its parameters.
struct ActivationCall {
  Activation id = Activation::identity;
  double params[2] = {0, 0};
};

/// A weight (out, in) and its packed copies, if any, which the program keeps up to date.
template <class T>
class Weight {
 public:
  /// `value` is the weight as the user sees it. Throws std::bad_alloc.
  Weight(int value, int64_t out, int64_t in, bool forward, bool backward, Precision precision);
  /// Packs both copies again, after the weight was changed from outside.
  void pack(const T* weight);
  void pack_forward(const T* weight);
  void pack_backward(const T* weight);
  /// The program updates the weight in each step, and renews its copies with it, or keeps none.
  void set_updated();

  const int value;
  const int64_t out, in;
  const Precision precision;  // of the layer's three products
  /// Null if forward products read the weight as it is.
  T* forward() const { return static_cast<T*>(forward_.data()); }
  /// Null if the gradient of the input reads the weight as it is.
  T* backward() const { return static_cast<T*>(backward_.data()); }
  bool has_copies() const { return forward() || backward(); }
  /// Whether a team shares its forward product by columns, and each thread updates rows of its own.
  /// Not where there are copies: those of a weight that does not change stay in all caches.
  bool by_columns(int64_t batch, int threads) const {
    return !has_copies() && shared_by_columns(batch, out, in, threads);
  }

 private:
  AlignedMemory forward_, backward_;
};

/// y = f(x Wᵀ + b); bias is -1 for none; pre receives the value before f, -1 for nowhere.
template <class T>
struct Linear : RowInstruction<T> {
  const Weight<T>* weight;
  Operand x, y;
  int bias;
  Operand pre;
  ActivationCall activation;

  void run(const Frame<T>& frame, int64_t begin, int64_t end) const override;
  bool by_columns(int64_t batch, int threads) const override;
  void run_columns(const Frame<T>& frame, int64_t begin, int64_t end, int thread) const override;
  std::string text() const override;
  Work work(int64_t batch) const override;
  int64_t scratch(int64_t rows, int64_t batch) const override;

 private:
  /// Columns [first, last) of rows [begin, end).
  void run_part(const Frame<T>& frame, int64_t begin, int64_t end, int64_t first,
                int64_t last) const;
};

/// grad_x = g W, then through the backward of f where `saved` is not -1.
template <class T>
struct LinearBackwardInput : RowInstruction<T> {
  const Weight<T>* weight;
  Operand grad, grad_x;
  Operand saved;
  ActivationCall activation;

  void run(const Frame<T>& frame, int64_t begin, int64_t end) const override;
  bool by_columns(int64_t batch, int threads) const override;
  void run_columns(const Frame<T>& frame, int64_t begin, int64_t end, int thread) const override;
  std::string text() const override;
  Work work(int64_t batch) const override;
  int64_t scratch(int64_t rows, int64_t batch) const override;

 private:
  /// Columns [first, last) of rows [begin, end).
  void run_part(const Frame<T>& frame, int64_t begin, int64_t end, int64_t first,
                int64_t last) const;
};

/// Where a gradient goes: into an array, or at once into the update of a parameter.
struct Destination {
  int gradient = -1;  // value
  int group = -1;     // whose update is applied, or -1
  int parameter = -1;
  int states[3] = {-1, -1, -1};  // values, in the order of OptimizerKernels
};

/// dW = gᵀ x over the batch, one unit a part of the columns (and, where these are few, rows) of W;
/// or of the rows of each thread, where the layer is shared by columns.
template <class T>
struct LinearBackwardWeight : WholeInstruction<T> {
  Weight<T>* weight;
  Operand grad, x;
  Destination destination;

  int64_t units(int64_t batch, int threads) const override;
  void run(const Frame<T>& frame, int64_t unit) const override;
  bool has_owners(int64_t batch, int threads) const override;
  std::string text() const override;
  Work work(int64_t batch) const override;
  int64_t scratch(int64_t rows, int64_t batch) const override;
};

/// db = the sum of g's rows, as ops/reduce.h adds them.
template <class T>
struct LinearBackwardBias : WholeInstruction<T> {
  Operand grad;
  Destination destination;

  int64_t units(int64_t batch, int threads) const override;
  void run(const Frame<T>& frame, int64_t unit) const override;
  std::string text() const override;
  Work work(int64_t batch) const override;
  int64_t scratch(int64_t rows, int64_t batch) const override;
};

}  // namespace engine
}  // namespace mlpeak
