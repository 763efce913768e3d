// Contracts of the serial gemm kernels (cpp/kernels/gemm.cpp), one set per tier.
#pragma once

#include <cstdint>

namespace mlpeak {

template <class T>
struct GemmKernels {};

}  // namespace mlpeak
