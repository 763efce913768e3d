#include "ops/embedding.h"

#include <algorithm>
#include <cstring>

#include "mlpeak/tier.h"
#include "runtime/threads.h"

namespace mlpeak {
namespace {

/// kBytes known to the compiler make a copy of a register; 0: row_bytes.
template <int kBytes>
void copy_rows(int64_t begin, int64_t end, int64_t row_bytes, const int64_t* indices, const char* x,
               char* y) {
  const size_t bytes = size_t(kBytes ? kBytes : row_bytes);
  for (int64_t i = begin; i < end; ++i)
    std::memcpy(y + size_t(i) * bytes, x + size_t(indices[i]) * bytes, bytes);
}

}  // namespace

void gather_rows(int64_t count, int64_t row_bytes, const int64_t* indices, const void* x, void* y) {
  if (row_bytes == 0) return;
  const auto copy = row_bytes == 4 ? copy_rows<4> : row_bytes == 8 ? copy_rows<8> : copy_rows<0>;
  // a copy runs at about 10 bytes a nanosecond, and a row costs a cache miss of some 5 ns on top
  const double nanoseconds = double(count) * (5 + double(row_bytes) / 10);
  parallel_for(count, 16, nanoseconds, [&](int64_t begin, int64_t end) {
    copy(begin, end, row_bytes, indices, static_cast<const char*>(x), static_cast<char*>(y));
  });
}

template <class T>
void embedding_backward(int64_t count, int64_t rows, int64_t dim, const int64_t* indices,
                        int64_t padding, const T* grad_output, T* grad_weight) {
  const auto scatter_add = kernels<T>().embedding.scatter_add;
  const double elements = double(count) * double(dim) * 3 + double(rows) * double(dim);
  // Each thread owns a range of the table's rows and reads all indices: no two write one row.
  parallel_for(rows, 1, elements * sizeof(T) / 20 + double(count),
               [&](int64_t first, int64_t last) {
                 std::fill(grad_weight + first * dim, grad_weight + last * dim, T(0));
                 scatter_add(count, dim, indices, first, last, grad_output, grad_weight);
                 if (padding >= first && padding < last)
                   std::fill(grad_weight + padding * dim, grad_weight + (padding + 1) * dim, T(0));
               });
}

template void embedding_backward(int64_t, int64_t, int64_t, const int64_t*, int64_t, const float*,
                                 float*);
template void embedding_backward(int64_t, int64_t, int64_t, const int64_t*, int64_t, const double*,
                                 double*);

}  // namespace mlpeak
