#include "mlpeak/kernels/optimizers.h"

#include "kernels/each_register.h"
#include "kernels/register.h"
#include "kernels/updates.h"

namespace mlpeak {
namespace MLPEAK_TIER {
namespace {

template <class T, class Update>
MLPEAK_INLINE void update_all(int64_t n, T* param, const T* grad, T* const* states,
                              const Update& update) {
  each_register<T>(n, [&](int64_t i, auto... mask) MLPEAK_LAMBDA_INLINE {
    Vec<T> state[Update::kStates + 1];  // C++ has no empty arrays
    for (int k = 0; k < Update::kStates; ++k) state[k] = load(states[k] + i, mask...);
    const Vec<T> p = update(load(param + i, mask...), load(grad + i, mask...), state);
    store(param + i, p, mask...);
    for (int k = 0; k < Update::kStates; ++k) store(states[k] + i, state[k], mask...);
  });
}

template <class T>
void sgd(int64_t n, T* param, const T* grad, T* momentum_buffer, const SgdScalars<T>& s) {
  if (momentum_buffer)
    update_all(n, param, grad, &momentum_buffer, SgdMomentum<T>(s));
  else
    update_all(n, param, grad, &momentum_buffer, Sgd<T>(s));
}

template <class T>
void adam(int64_t n, T* param, const T* grad, T* exp_avg, T* exp_avg_sq, T* max_exp_avg_sq,
          const AdamScalars<T>& s) {
  T* const states[] = {exp_avg, exp_avg_sq, max_exp_avg_sq};
  if (max_exp_avg_sq)
    update_all(n, param, grad, states, Adam<T, true>(s));
  else
    update_all(n, param, grad, states, Adam<T>(s));
}

template <class T>
void rmsprop(int64_t n, T* param, const T* grad, T* square_avg, T* momentum_buffer, T* grad_avg,
             const RmspropScalars<T>& s) {
  T* const states[] = {square_avg, momentum_buffer ? momentum_buffer : grad_avg, grad_avg};
  if (momentum_buffer && grad_avg)
    update_all(n, param, grad, states, Rmsprop<T, true, true>(s));
  else if (momentum_buffer)
    update_all(n, param, grad, states, Rmsprop<T, true, false>(s));
  else if (grad_avg)
    update_all(n, param, grad, states, Rmsprop<T, false, true>(s));
  else
    update_all(n, param, grad, states, Rmsprop<T, false, false>(s));
}

template <class T>
void adagrad(int64_t n, T* param, const T* grad, T* state_sum, const AdagradScalars<T>& s) {
  update_all(n, param, grad, &state_sum, Adagrad<T>(s));
}

template <class T>
OptimizerKernels<T> optimizer_kernels() {
  return {sgd<T>, adam<T>, rmsprop<T>, adagrad<T>};
}

}  // namespace

void register_optimizers(KernelTable& table) {
  table.f32.optimizers = optimizer_kernels<float>();
  table.f64.optimizers = optimizer_kernels<double>();
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
