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
/// counted in whole tiles, plus packing its columns of B (about 16 multiply-adds' time an element),
/// plus the cache lines in which two shares of a row meet, each of which goes from core to core
/// (about 100 ns, 3000 multiply-adds' time).
Grid best_grid(int threads, int64_t m, int64_t n, int64_t k, int64_t tile_rows,
               int64_t tile_columns) {
  constexpr double kPackCost = 16, kLineCost = 3000;
  Grid best{1, 1};
  double best_cost = 0;
  for (int rows = 1; rows <= threads; ++rows) {
    const int columns = threads / rows;
    const double share_m = double(ceil_div(ceil_div(m, tile_rows), rows) * tile_rows);
    const double share_n = double(ceil_div(ceil_div(n, tile_columns), columns) * tile_columns);
    const double lines = columns > 1 ? share_m : 0;
    const double cost = (share_m + kPackCost) * share_n * double(k) + kLineCost * lines;
    if (rows == 1 || cost < best_cost) {
      best = {rows, columns};
      best_cost = cost;
    }
  }
  return best;
}

/// One product; B as it is, packed ahead, or the rows of few outputs.
template <class T>
struct Product {
  const GemmKernels<T>& kernel;
  int64_t m, n, k;
  MatrixView<T> a;
  const MatrixView<T>* b;
  const PackedPanels<T>* packed;
  const T* few;
  T* c;
  int64_t ldc;
  const Epilogue<T>& epilogue;

  /// Computes C[i0:i1, j0:j1].
  void share(int64_t i0, int64_t i1, int64_t j0, int64_t j1, T* workspace) const {
    if (i0 >= i1 || j0 >= j1) return;
    const int64_t corner = i0 * ldc + j0;
    const MatrixView<T> rows{a.data + i0 * a.row, a.row, a.col};
    Epilogue<T> own = epilogue;
    if (own.bias) own.bias += j0;
    if (own.pre) own.pre += corner;
    if (own.saved) own.saved += i0 * own.saved_ld + j0;
    if (few)
      kernel.multiply_few(i1 - i0, j1 - j0, k, rows.data, rows.row, few + j0 * k, c + corner, ldc,
                          own);
    else if (packed)
      kernel.multiply_packed(i1 - i0, j1 - j0, k, rows,
                             {packed->data, packed->columns, packed->first + j0}, c + corner, ldc,
                             own, workspace);
    else
      kernel.multiply(i1 - i0, j1 - j0, k, rows, {b->data + j0 * b->col, b->row, b->col},
                      c + corner, ldc, own, workspace);
  }
};

template <class T>
void run(const Product<T>& p) {
  if (p.m <= 0 || p.n <= 0) return;
  const int64_t size = p.kernel.workspace_size(p.m, p.n, p.k);
  // A multiply-add costs about 1/32 ns in fp32 with AVX-512, an element of B about 0.25 ns to pack
  // and 0.05 ns to read.
  const double nanoseconds = double(p.m) * double(p.n) * double(p.k) * sizeof(T) / 128 +
                             (p.packed ? 0.05 : 0.3) * double(p.n) * double(p.k);
  const int threads = nanoseconds < kSerialNanoseconds ? 1 : num_threads();
  if (threads <= 1) return p.share(0, p.m, 0, p.n, scratch<T>(size));

  const int64_t tile_rows = p.kernel.tile_rows, tile_columns = p.kernel.tile_columns;
  struct Job {
    const Product<T>& product;
    Grid grid;
    T* workspace;
    int64_t stride;
  };
  const Grid grid = best_grid(threads, p.m, p.n, p.k, tile_rows, tile_columns);
  const int shares = grid.rows * grid.columns;
  const int64_t stride = team_stride<T>(size);
  Job job{p, grid, scratch<T>(shares * stride), stride};
  guard_parts(job.workspace, stride * int64_t(sizeof(T)), shares);
  run_team(
      shares,
      [](void* context, int share) {
        const Job& job = *static_cast<Job*>(context);
        const Product<T>& p = job.product;
        const auto bound = [](int64_t count, int64_t tile, int part, int parts) {
          return std::min(count, ceil_div(count, tile) * part / parts * tile);
        };
        const int row = share / job.grid.columns, column = share % job.grid.columns;
        p.share(bound(p.m, p.kernel.tile_rows, row, job.grid.rows),
                bound(p.m, p.kernel.tile_rows, row + 1, job.grid.rows),
                bound(p.n, p.kernel.tile_columns, column, job.grid.columns),
                bound(p.n, p.kernel.tile_columns, column + 1, job.grid.columns),
                job.workspace + share * job.stride);
      },
      &job);
}

}  // namespace

template <class T>
void gemm(int64_t m, int64_t n, int64_t k, MatrixView<T> a, MatrixView<T> b, T* c, int64_t ldc,
          const Epilogue<T>& epilogue, Precision precision) {
  run(Product<T>{kernels<T>().products(precision), m, n, k, a, &b, nullptr, nullptr, c, ldc,
                 epilogue});
}

template <class T>
void gemm_packed(int64_t m, int64_t n, int64_t k, MatrixView<T> a, PackedPanels<T> b, T* c,
                 int64_t ldc, const Epilogue<T>& epilogue, Precision precision) {
  run(Product<T>{kernels<T>().products(precision), m, n, k, a, nullptr, &b, nullptr, c, ldc,
                 epilogue});
}

template <class T>
void gemm_few(int64_t m, int64_t n, int64_t k, const T* a, const T* b, T* c,
              const Epilogue<T>& epilogue) {
  run(Product<T>{kernels<T>().gemm, m, n, k, {a, k, 1}, nullptr, nullptr, b, c, n, epilogue});
}

#define MLPEAK_INSTANTIATE(T)                                                              \
  template void gemm(int64_t, int64_t, int64_t, MatrixView<T>, MatrixView<T>, T*, int64_t, \
                     const Epilogue<T>&, Precision);                                       \
  template void gemm_packed(int64_t, int64_t, int64_t, MatrixView<T>, PackedPanels<T>, T*, \
                            int64_t, const Epilogue<T>&, Precision);                       \
  template void gemm_few(int64_t, int64_t, int64_t, const T*, const T*, T*, const Epilogue<T>&);
MLPEAK_INSTANTIATE(float)
MLPEAK_INSTANTIATE(double)
#undef MLPEAK_INSTANTIATE

}  // namespace mlpeak
