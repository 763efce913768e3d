// Contracts of the serial random kernels (cpp/kernels/random.cpp), one set per tier.
#pragma once

#include <cstdint>

namespace mlpeak {

template <class T>
struct RandomKernels {};

}  // namespace mlpeak
