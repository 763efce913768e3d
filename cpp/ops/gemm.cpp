#include "ops/gemm.h"

#include <algorithm>

#include "mlpeak/tier.h"
#include "runtime/arena.h"
#include "runtime/threads.h"

namespace mlpeak {
namespace {

struct Grid {
  int rows, columns;
};

int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/// The split of C into rows x columns shares whose largest share costs least: its multiply-adds,
/// counted in whole tiles, plus packing its columns of B (about 16 multiply-adds' time an element).
Grid best_grid(int threads, int64_t m, int64_t n, int64_t tile_rows, int64_t tile_columns) {
  constexpr double kPackCost = 16;
  Grid best{1, 1};
  double best_cost = 0;
  for (int rows = 1; rows <= threads; ++rows) {
    const int columns = threads / rows;
    const double share_m = double(ceil_div(ceil_div(m, tile_rows), rows) * tile_rows);
    const double share_n = double(ceil_div(ceil_div(n, tile_columns), columns) * tile_columns);
    const double cost = (share_m + kPackCost) * share_n;
    if (rows == 1 || cost < best_cost) {
      best = {rows, columns};
      best_cost = cost;
    }
  }
  return best;
}

}  // namespace

template <class T>
void gemm(int64_t m, int64_t n, int64_t k, MatrixView<T> a, MatrixView<T> b, T* c, int64_t ldc,
          const Epilogue<T>& epilogue) {
  if (m <= 0 || n <= 0) return;
  const GemmKernels<T>& kernel = kernels<T>().gemm;
  const int64_t size = kernel.workspace_size(m, n, k);

  // A multiply-add costs about 1/32 ns in fp32 with AVX-512, an element of B about 0.5 ns to pack.
  const double nanoseconds =
      double(m) * double(n) * double(k) * sizeof(T) / 128 + 0.5 * double(n) * double(k);
  const int threads = nanoseconds < kSerialNanoseconds ? 1 : num_threads();
  if (threads <= 1) {
    kernel.multiply(m, n, k, a, b, c, ldc, epilogue, scratch<T>(size));
    return;
  }

  const Grid grid = best_grid(threads, m, n, kernel.tile_rows, kernel.tile_columns);
  struct Job {
    const GemmKernels<T>& kernel;
    int64_t m, n, k;
    MatrixView<T> a, b;
    T* c;
    int64_t ldc;
    const Epilogue<T>& epilogue;
    Grid grid;
    T* workspace;
    int64_t workspace_stride;
  };
  const int shares = grid.rows * grid.columns;
  const int64_t stride = ceil_div(size, 64) * 64;
  Job job{kernel, m, n, k, a, b, c, ldc, epilogue, grid, scratch<T>(shares * stride), stride};
  run_team(
      shares,
      [](void* context, int share) {
        const Job& j = *static_cast<Job*>(context);
        const auto bound = [](int64_t count, int64_t tile, int part, int parts) {
          return std::min(count, ceil_div(count, tile) * part / parts * tile);
        };
        const int row = share / j.grid.columns, column = share % j.grid.columns;
        const int64_t i0 = bound(j.m, j.kernel.tile_rows, row, j.grid.rows);
        const int64_t i1 = bound(j.m, j.kernel.tile_rows, row + 1, j.grid.rows);
        const int64_t j0 = bound(j.n, j.kernel.tile_columns, column, j.grid.columns);
        const int64_t j1 = bound(j.n, j.kernel.tile_columns, column + 1, j.grid.columns);
        if (i0 >= i1 || j0 >= j1) return;
        const int64_t corner = i0 * j.ldc + j0;
        Epilogue<T> epilogue = j.epilogue;
        if (epilogue.bias) epilogue.bias += j0;
        if (epilogue.pre) epilogue.pre += corner;
        j.kernel.multiply(i1 - i0, j1 - j0, j.k, {j.a.data + i0 * j.a.row, j.a.row, j.a.col},
                          {j.b.data + j0 * j.b.col, j.b.row, j.b.col}, j.c + corner, j.ldc,
                          epilogue, j.workspace + share * j.workspace_stride);
      },
      &job);
}

template void gemm(int64_t, int64_t, int64_t, MatrixView<float>, MatrixView<float>, float*, int64_t,
                   const Epilogue<float>&);
template void gemm(int64_t, int64_t, int64_t, MatrixView<double>, MatrixView<double>, double*,
                   int64_t, const Epilogue<double>&);

}  // namespace mlpeak
