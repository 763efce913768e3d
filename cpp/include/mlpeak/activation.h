// The elementwise activations of the package: the one list that bindings, the epilogues of the
// matrix product and the compiled program share. Their formulas are in cpp/kernels/activations.h.
#pragma once

#include <stdint.h>

namespace mlpeak {

// X(name, functor, what backward needs of forward, default parameters, nanoseconds a float on AVX2)
#define MLPEAK_ACTIVATIONS(X)                    \
  X(identity, Identity, output, 0, 0, 0.1)       \
  X(relu, Relu, output, 0, 0, 0.1)               \
  X(leaky_relu, LeakyRelu, output, 0.01, 0, 0.1) \
  X(elu, Elu, output, 1.0, 0, 0.6)               \
  X(selu, Selu, output, 0, 0, 0.6)               \
  X(gelu, Gelu, input, 0, 0, 0.9)                \
  X(gelu_tanh, GeluTanh, input, 0, 0, 1.0)       \
  X(silu, Silu, input, 0, 0, 0.9)                \
  X(mish, Mish, input, 0, 0, 0.9)                \
  X(sigmoid, Sigmoid, output, 0, 0, 0.9)         \
  X(log_sigmoid, LogSigmoid, input, 0, 0, 1.4)   \
  X(tanh, Tanh, output, 0, 0, 0.9)               \
  X(softplus, Softplus, input, 1.0, 20.0, 1.4)

enum class Activation {
#define MLPEAK_ENUMERATOR(name, functor, saves, p0, p1, cost) name,
  MLPEAK_ACTIVATIONS(MLPEAK_ENUMERATOR)
#undef MLPEAK_ENUMERATOR
};

enum class Saves { input, output };

struct ActivationInfo {
  Activation id;
  const char* name;
  const char* backward_name;
  Saves saves;
  double params[2];    // defaults, in the order of the functor's constructor
  double nanoseconds;  // an element on one core, to decide whether threads pay
};

constexpr ActivationInfo kActivations[] = {
#define MLPEAK_INFO(name, functor, saves, p0, p1, cost) \
  {Activation::name, #name, #name "_backward", Saves::saves, {p0, p1}, cost},
    MLPEAK_ACTIVATIONS(MLPEAK_INFO)
#undef MLPEAK_INFO
};

constexpr int kActivationCount = sizeof(kActivations) / sizeof(kActivations[0]);

constexpr const ActivationInfo& info(Activation activation) {
  return kActivations[int(activation)];
}

}  // namespace mlpeak
