// Rows of a table: picked by index, and summed back by index.
#pragma once

#include <cstdint>

namespace mlpeak {

/// y[i] = x[indices[i]] for rows of row_bytes bytes, whatever they hold. Indices are in range.
void gather_rows(int64_t count, int64_t row_bytes, const int64_t* indices, const void* x, void* y);

/// grad_weight (rows, dim) = 0, then grad_weight[indices[i], :] += grad_output[i, :] in the order
/// of i; row `padding` stays 0 (-1: none). Indices are in range.
template <class T>
void embedding_backward(int64_t count, int64_t rows, int64_t dim, const int64_t* indices,
                        int64_t padding, const T* grad_output, T* grad_weight);

}  // namespace mlpeak
