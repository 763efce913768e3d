#include "ops/linear.h"

#include <algorithm>

#include "mlpeak/tier.h"
#include "ops/elementwise.h"
#include "ops/gemm.h"
#include "ops/reduce.h"

namespace mlpeak {

namespace {

template <class T>
int64_t packed_size(int64_t out, int64_t in, Precision precision) {
  return has_few_outputs(out, in, precision)
             ? out * in
             : kernels<T>().products(precision).packed_size(out, in);
}

}  // namespace

template <class T>
PackedWeight<T>::PackedWeight(int64_t out, int64_t in, const T* w, Precision precision)
    : out_(out),
      in_(in),
      precision_(precision),
      tier_(&current_tier()),
      memory_(size_t(packed_size<T>(out, in, precision)) * sizeof(T)) {
  T* const packed = static_cast<T*>(memory_.data());
  if (has_few_outputs(out, in, precision))
    std::copy_n(w, out * in, packed);
  else
    kernels<T>().products(precision).pack(out, in, {w, 1, in}, packed);
}

template <class T>
void linear_forward(const LinearForward<T>& call) {
  Epilogue<T> epilogue;
  epilogue.bias = call.b;
  epilogue.pre = call.pre;
  epilogue.activation = call.activation;
  epilogue.params = info(call.activation).params;
  const MatrixView<T> x{call.x, call.in, 1};
  if (has_few_outputs(call.out, call.in, call.precision))
    gemm_few<T>(call.batch, call.out, call.in, call.x,
                call.packed ? call.packed->panels().data : call.w, call.y, epilogue);
  else if (call.packed)
    gemm_packed<T>(call.batch, call.out, call.in, x, call.packed->panels(), call.y, call.out,
                   epilogue, call.precision);
  else
    gemm<T>(call.batch, call.out, call.in, x, {call.w, 1, call.in}, call.y, call.out, epilogue,
            call.precision);
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
  gemm<T>(batch, in, out, {grad_z, out, 1}, {call.w, in, 1}, call.grad_x, in, {}, call.precision);
  gemm<T>(out, in, batch, {grad_z, 1, out}, {call.x, in, 1}, call.grad_w, in, {}, call.precision);
  sum_axis(grad_z, 1, batch, out, 1.0, call.grad_b);
}

#define MLPEAK_INSTANTIATE(T)                            \
  template class PackedWeight<T>;                        \
  template void linear_forward(const LinearForward<T>&); \
  template void linear_backward(const LinearBackward<T>&);
MLPEAK_INSTANTIATE(float)
MLPEAK_INSTANTIATE(double)
#undef MLPEAK_INSTANTIATE

}  // namespace mlpeak
