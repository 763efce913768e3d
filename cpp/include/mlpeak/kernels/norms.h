// Contracts of the serial norms kernels (cpp/kernels/norms.cpp), one set per tier.
#pragma once

#include <cstdint>

namespace mlpeak {

template <class T>
struct NormKernels {};

}  // namespace mlpeak
