// Contracts of the serial rows kernels (cpp/kernels/rows.cpp), one set per tier.
#pragma once

#include <cstdint>

namespace mlpeak {

template <class T>
struct RowKernels {};

}  // namespace mlpeak
