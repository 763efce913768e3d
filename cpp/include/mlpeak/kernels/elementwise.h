// Contracts of the serial elementwise kernels (cpp/kernels/elementwise.cpp), one set per tier.
#pragma once

#include <cstdint>

namespace mlpeak {

template <class T>
struct ElementwiseKernels {};

}  // namespace mlpeak
