// Sums over one axis of a C-contiguous array, in an order that depends on its shape alone.
#pragma once

#include <cstdint>

namespace mlpeak {

/// Adjacent elements whose sum the tiers' kernels make; the sums of such chunks are added in
/// double.
constexpr int64_t kSumChunk = 4096;

/// out[o, i] = (x[o, 0, i] + ... + x[o, count-1, i]) / divisor, x is (outer, count, inner).
/// The axis is cut into chunks of kSumChunk elements (inner = 1) or 512 rows (inner > 1); chunk
/// totals are added in order in double, divided there, and rounded to T once.
template <class T>
void sum_axis(const T* x, int64_t outer, int64_t count, int64_t inner, double divisor, T* out);

/// The sum of sum_axis for one row of n adjacent elements, by the calling thread alone.
template <class T>
T sum_adjacent(const T* x, int64_t n, double divisor);

/// out[j] = the sum of x[:, j] / divisor, x being (rows, columns) with rows ld apart: the sum of
/// sum_axis, by the calling thread alone. One column has adjacent elements (ld 1). `workspace`
/// holds `columns` elements.
template <class T>
void column_sums(const T* x, int64_t rows, int64_t columns, int64_t ld, T* out, T* workspace,
                 double divisor = 1);

}  // namespace mlpeak
