// Contracts of the serial losses kernels (cpp/kernels/losses.cpp), one set per tier.
#pragma once

#include <cstdint>

namespace mlpeak {

template <class T>
struct LossKernels {};

}  // namespace mlpeak
