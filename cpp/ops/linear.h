// The fully connected layer y = f(x Wᵀ + b) on whole arrays, forward and backward.
#pragma once

#include <cstdint>

#include "mlpeak/activation.h"
#include "mlpeak/tier.h"
#include "runtime/arena.h"

namespace mlpeak {

/// A weight (out, in) packed for linear_forward on one tier, or as it is if it has few outputs: a
/// copy, which does not follow changes of the original.
template <class T>
class PackedWeight {
 public:
  /// Throws std::bad_alloc.
  PackedWeight(int64_t out, int64_t in, const T* w, Precision precision);

  int64_t out() const { return out_; }
  int64_t in() const { return in_; }
  Precision precision() const { return precision_; }
  const Tier& tier() const { return *tier_; }
  PackedPanels<T> panels() const { return {static_cast<const T*>(memory_.data()), out_, 0}; }

 private:
  int64_t out_, in_;
  Precision precision_;
  const Tier* tier_;
  AlignedMemory memory_;
};

/// y = f(pre), pre = x Wᵀ + b. x (batch, in), b (out,) or null, y (batch, out); pre (batch, out) is
/// stored where it is not null. W (out, in) comes as it is in `w` or, where that is null, packed.
/// The activation takes its default parameters.
template <class T>
struct LinearForward {
  int64_t batch, in, out;
  const T* x;
  const T* w;
  const PackedWeight<T>* packed;
  const T* b;
  Activation activation;
  T* y;
  T* pre;
  Precision precision;  // that of a packed weight, if there is one
};
template <class T>
void linear_forward(const LinearForward<T>& call);

/// The gradients of a linear layer; all arrays C-contiguous and apart from each other.
template <class T>
struct LinearBackward {
  int64_t batch, in, out;
  const T* grad_output;  // (batch, out)
  const T* x;            // (batch, in)
  const T* w;            // (out, in)
  const T* saved;        // (batch, out): y or pre, whichever the activation saves; unused: null
  Activation activation;
  T* grad_z;  // (batch, out): scratch, grad_output through the activation
  T* grad_x;  // (batch, in)
  T* grad_w;  // (out, in)
  T* grad_b;  // (out,)
  Precision precision;
};
template <class T>
void linear_backward(const LinearBackward<T>& call);

}  // namespace mlpeak
