// Contracts of the serial optimizers kernels (cpp/kernels/optimizers.cpp), one set per tier.
#pragma once

#include <cstdint>

namespace mlpeak {

template <class T>
struct OptimizerKernels {};

}  // namespace mlpeak
