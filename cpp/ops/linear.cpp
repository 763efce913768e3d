#include "ops/linear.h"

#include "mlpeak/tier.h"
#include "ops/elementwise.h"
#include "ops/gemm.h"
#include "ops/reduce.h"

namespace mlpeak {

template <class T>
void linear_forward(int64_t batch, int64_t in, int64_t out, const T* x, const T* w, const T* b,
                    Activation activation, T* y, T* pre) {
  Epilogue<T> epilogue;
  epilogue.bias = b;
  epilogue.pre = pre;
  if (activation != Activation::identity) {
    epilogue.activation = kernels<T>().elementwise.forward[int(activation)];
    epilogue.params = info(activation).params;
  }
  gemm<T>(batch, out, in, {x, in, 1}, {w, 1, in}, y, out, epilogue);
}

template <class T>
void linear_backward(const LinearBackward<T>& call) {
  const int64_t batch = call.batch, in = call.in, out = call.out;
  const T* grad_z = call.grad_output;
  if (call.activation != Activation::identity) {
    activation_backward(call.activation, call.grad_output, call.saved, call.grad_z, batch * out,
                        info(call.activation).params);
    grad_z = call.grad_z;
  }
  gemm<T>(batch, in, out, {grad_z, out, 1}, {call.w, in, 1}, call.grad_x, in);
  gemm<T>(out, in, batch, {grad_z, 1, out}, {call.x, in, 1}, call.grad_w, in);
  sum_axis(grad_z, 1, batch, out, 1.0, call.grad_b);
}

#define MLPEAK_INSTANTIATE(T)                                                           \
  template void linear_forward(int64_t, int64_t, int64_t, const T*, const T*, const T*, \
                               Activation, T*, T*);                                     \
  template void linear_backward(const LinearBackward<T>&);
MLPEAK_INSTANTIATE(float)
MLPEAK_INSTANTIATE(double)
#undef MLPEAK_INSTANTIATE

}  // namespace mlpeak
