// Contracts of the serial reduce kernels (cpp/kernels/reduce.cpp), one set per tier.
#pragma once

#include <cstdint>

namespace mlpeak {

template <class T>
struct ReduceKernels {};

}  // namespace mlpeak
