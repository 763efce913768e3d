#include "mlpeak/kernels/optimizers.h"

#include "kernels/each_register.h"
#include "kernels/register.h"
#include "kernels/updates.h"

namespace mlpeak {
namespace MLPEAK_TIER {
namespace {

/// A block of parameters: `rows` rows of `columns`, ld apart; those of the gradient grad_ld apart.
template <class T>
struct Block {
  int64_t rows, columns, ld;
  T* param;
  const T* grad;
  int64_t grad_ld;
  T* const* states;
};

template <class T, class Rule>
MLPEAK_INLINE void update_all(const Block<T>& b, const Rule& rule) {
  T* states[Rule::kStates + 1];  // C++ has no empty arrays
  for (int k = 0; k < Rule::kStates; ++k) states[k] = b.states[k];
  for (int64_t r = 0; r < b.rows; ++r) {
    T* const param = b.param + r * b.ld;
    const T* const grad = b.grad + r * b.grad_ld;
    each_register_of(param, b.columns, [&](int64_t i, auto... mask) MLPEAK_LAMBDA_INLINE {
      Vec<T> state[Rule::kStates + 1];
      for (int k = 0; k < Rule::kStates; ++k) state[k] = load(states[k] + r * b.ld + i, mask...);
      const Vec<T> p = rule(load(param + i, mask...), load(grad + i, mask...), state);
      store(param + i, p, mask...);
      for (int k = 0; k < Rule::kStates; ++k) store(states[k] + r * b.ld + i, state[k], mask...);
    });
  }
}

template <class T>
void rmsprop_block(Block<T> b, const RmspropScalars<T>& s) {
  T* const momentum_buffer = b.states[1];
  T* const grad_avg = b.states[2];
  T* const states[] = {b.states[0], momentum_buffer ? momentum_buffer : grad_avg, grad_avg};
  b.states = states;
  if (momentum_buffer && grad_avg)
    update_all(b, Rmsprop<T, true, true>(s));
  else if (momentum_buffer)
    update_all(b, Rmsprop<T, true, false>(s));
  else if (grad_avg)
    update_all(b, Rmsprop<T, false, true>(s));
  else
    update_all(b, Rmsprop<T, false, false>(s));
}

template <class T>
void update(const Update<T>& u, int64_t rows, int64_t columns, int64_t ld, T* param, const T* grad,
            int64_t grad_ld, T* const* states) {
  const Block<T> block = {rows, columns, ld, param, grad, grad_ld, states};
  switch (u.rule) {
    case Rule::sgd:
      return update_all(block, Sgd<T>(u.sgd));
    case Rule::sgd_momentum:
      return update_all(block, SgdMomentum<T>(u.sgd));
    case Rule::adam:
      return is_plain(u.adam) ? update_all(block, Adam<T, false, true>(u.adam))
                              : update_all(block, Adam<T>(u.adam));
    case Rule::amsgrad:
      return update_all(block, Adam<T, true>(u.adam));
    case Rule::rmsprop:
      return rmsprop_block(block, u.rmsprop);
    case Rule::adagrad:
      return update_all(block, Adagrad<T>(u.adagrad));
  }
}

template <class T>
void sgd(int64_t n, T* param, const T* grad, T* momentum_buffer, const SgdScalars<T>& s) {
  Update<T> u = {};
  u.rule = momentum_buffer ? Rule::sgd_momentum : Rule::sgd;
  u.sgd = s;
  update(u, 1, n, n, param, grad, n, &momentum_buffer);
}

template <class T>
void adam(int64_t n, T* param, const T* grad, T* exp_avg, T* exp_avg_sq, T* max_exp_avg_sq,
          const AdamScalars<T>& s) {
  T* const states[] = {exp_avg, exp_avg_sq, max_exp_avg_sq};
  Update<T> u = {};
  u.rule = max_exp_avg_sq ? Rule::amsgrad : Rule::adam;
  u.adam = s;
  update(u, 1, n, n, param, grad, n, states);
}

template <class T>
void rmsprop(int64_t n, T* param, const T* grad, T* square_avg, T* momentum_buffer, T* grad_avg,
             const RmspropScalars<T>& s) {
  T* const states[] = {square_avg, momentum_buffer, grad_avg};
  Update<T> u = {};
  u.rule = Rule::rmsprop;
  u.rmsprop = s;
  update(u, 1, n, n, param, grad, n, states);
}

template <class T>
void adagrad(int64_t n, T* param, const T* grad, T* state_sum, const AdagradScalars<T>& s) {
  Update<T> u = {};
  u.rule = Rule::adagrad;
  u.adagrad = s;
  update(u, 1, n, n, param, grad, n, &state_sum);
}

template <class T>
OptimizerKernels<T> optimizer_kernels() {
  return {sgd<T>, adam<T>, rmsprop<T>, adagrad<T>, update<T>};
}

}  // namespace

void register_optimizers(KernelTable& table) {
  table.f32.optimizers = optimizer_kernels<float>();
  table.f64.optimizers = optimizer_kernels<double>();
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
