#include "ops/reduce.h"

#include <algorithm>
#include <vector>

#include "mlpeak/tier.h"
#include "runtime/threads.h"

namespace mlpeak {
namespace {

constexpr int64_t kRowChunk = 512;
constexpr int64_t kColumnBlock = 256;  // columns whose sums are formed together

template <class T>
T finish(const T* partial, int64_t chunks, int64_t stride, double divisor) {
  double total = 0;
  for (int64_t c = 0; c < chunks; ++c) total += double(partial[c * stride]);
  return T(total / divisor);
}

}  // namespace

template <class T>
void sum_axis(const T* x, int64_t outer, int64_t count, int64_t inner, double divisor, T* out) {
  const ReduceKernels<T>& kernel = kernels<T>().reduce;
  const double nanoseconds = double(outer) * double(count) * double(inner) * sizeof(T) / 32;
  const int64_t length = inner == 1 ? kSumChunk : kRowChunk;
  const int64_t chunks = std::max<int64_t>(1, (count + length - 1) / length);
  const int64_t blocks = (inner + kColumnBlock - 1) / kColumnBlock;
  std::vector<T> partial(size_t(outer * chunks * inner));
  // A task is one block of columns of one chunk of one slice, in this order.
  parallel_for(outer * chunks * blocks, 1, nanoseconds, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t t = task / blocks, j = task % blocks * kColumnBlock;
      const int64_t first = t % chunks * length;
      const int64_t rows = std::min(length, count - first);
      const T* block = x + (t / chunks * count + first) * inner + j;
      if (inner == 1)
        partial[size_t(t)] = kernel.sum(block, rows);
      else
        kernel.column_sums(block, rows, std::min(kColumnBlock, inner - j), inner,
                           partial.data() + t * inner + j);
    }
  });
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t i = 0; i < inner; ++i)
      out[o * inner + i] = finish(partial.data() + o * chunks * inner + i, chunks, inner, divisor);
}

template <class T>
T sum_adjacent(const T* x, int64_t n, double divisor) {
  double total = 0;
  for (int64_t i = 0; i < n; i += kSumChunk)
    total += double(kernels<T>().reduce.sum(x + i, std::min(kSumChunk, n - i)));
  return T(total / divisor);
}

template <class T>
void column_sums(const T* x, int64_t rows, int64_t columns, int64_t ld, T* out, T* workspace,
                 double divisor) {
  const auto kernel = kernels<T>().reduce.column_sums;
  // Up to one chunk the total is the chunk's; beyond, totals are doubles: in blocks on the stack.
  if (columns == 1) {
    out[0] = sum_adjacent(x, rows, divisor);
    return;
  }
  double total[kColumnBlock];
  for (int64_t j = 0; j < columns; j += kColumnBlock) {
    const int64_t count = std::min(kColumnBlock, columns - j);
    for (int64_t c = 0; c < count; ++c) total[c] = 0;
    for (int64_t i = 0; i < rows; i += kRowChunk) {
      kernel(x + i * ld + j, std::min(kRowChunk, rows - i), count, ld, workspace);
      for (int64_t c = 0; c < count; ++c) total[c] += double(workspace[c]);
    }
    for (int64_t c = 0; c < count; ++c) out[j + c] = T(total[c] / divisor);
  }
}

template float sum_adjacent(const float*, int64_t, double);
template double sum_adjacent(const double*, int64_t, double);
template void column_sums(const float*, int64_t, int64_t, int64_t, float*, float*, double);
template void column_sums(const double*, int64_t, int64_t, int64_t, double*, double*, double);
template void sum_axis(const float*, int64_t, int64_t, int64_t, double, float*);
template void sum_axis(const double*, int64_t, int64_t, int64_t, double, double*);

}  // namespace mlpeak
