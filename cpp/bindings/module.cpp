// The extension module mlpeak._core: registers each topic's functions and nothing else.
#include <pybind11/pybind11.h>

#include "bindings/bindings.h"

PYBIND11_MODULE(_core, m) {
  m.doc() = "The compiled kernels of mlpeak. Public names live in mlpeak.kernels.";
  using namespace mlpeak::bindings;
  init_config(m);
  init_linear(m);
  init_activations(m);
  init_reduce(m);
  init_losses(m);
  init_class_losses(m);
  init_norms(m);
  init_embedding(m);
  init_optimizers(m);
  init_random(m);
  init_peak(m);
  init_program(m);
  init_step(m);
}
