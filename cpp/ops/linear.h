// The fully connected layer y = f(x Wᵀ + b) on whole arrays, forward and backward.
#pragma once

#include <cstdint>

#include "mlpeak/activation.h"

namespace mlpeak {

/// y = f(pre), pre = x Wᵀ + b. x (batch, in), w (out, in), b (out,) or null, y (batch, out);
/// pre (batch, out) is stored where it is not null. The activation takes its default parameters.
template <class T>
void linear_forward(int64_t batch, int64_t in, int64_t out, const T* x, const T* w, const T* b,
                    Activation activation, T* y, T* pre);

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
};
template <class T>
void linear_backward(const LinearBackward<T>& call);

}  // namespace mlpeak
