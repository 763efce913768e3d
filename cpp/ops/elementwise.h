// The elementwise operations on whole arrays, split over threads. Contracts are those of the
// kernels (mlpeak/kernels/elementwise.h): every element is its own, so threads change nothing.
#pragma once

#include <cstdint>
#include <string>

#include "mlpeak/kernels/elementwise.h"

namespace mlpeak {

/// The activation called `name`, or null.
const ActivationInfo* find_activation(const std::string& name);

/// "identity, relu, ...": what an error message lists.
std::string activation_names();

template <class T>
void elementary(Elementary f, const T* x, T* y, int64_t n);

template <class T>
void pow(const T* x, T* y, int64_t n, double exponent);

template <class T>
void activation_forward(Activation a, const T* x, T* y, int64_t n, const double* params);

template <class T>
void activation_backward(Activation a, const T* grad_output, const T* saved, T* grad_input,
                         int64_t n, const double* params);

}  // namespace mlpeak
