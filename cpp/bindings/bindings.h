// One init function per binding file.
#pragma once

#include <pybind11/pybind11.h>

namespace mlpeak {
namespace bindings {

void init_config(pybind11::module_& m);
void init_linear(pybind11::module_& m);
void init_activations(pybind11::module_& m);
void init_reduce(pybind11::module_& m);
void init_losses(pybind11::module_& m);
void init_class_losses(pybind11::module_& m);
void init_norms(pybind11::module_& m);
void init_embedding(pybind11::module_& m);
void init_optimizers(pybind11::module_& m);
void init_random(pybind11::module_& m);
void init_peak(pybind11::module_& m);
void init_program(pybind11::module_& m);
void init_step(pybind11::module_& m);

}  // namespace bindings
}  // namespace mlpeak
