// Softmax and log_softmax over the rows of (rows, columns), rows split over threads. Contracts are
// those of the kernels (mlpeak/kernels/rows.h): a row's result depends on nothing but the row.
#pragma once

#include <cstdint>

namespace mlpeak {

template <class T>
void softmax(const T* x, T* y, int64_t rows, int64_t columns);
template <class T>
void softmax_backward(const T* grad_output, const T* y, T* grad_input, int64_t rows,
                      int64_t columns);
template <class T>
void log_softmax(const T* x, T* y, int64_t rows, int64_t columns);
template <class T>
void log_softmax_backward(const T* grad_output, const T* y, T* grad_input, int64_t rows,
                          int64_t columns);

}  // namespace mlpeak
