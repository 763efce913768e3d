// C = A B by register tiles.
//
// A tile of C, kRows x kVectors registers, stays in registers while k runs; each k takes kVectors
// loads of B, kRows broadcasts of A and kRows * kVectors fused multiply-adds, which are
// independent of each other: enough of them hide the FMA's latency (4 cycles, 2 a cycle: 8; 24
// leaves room for the loads). Around it, the loops of Goto and van de Geijn ("Anatomy of
// high-performance matrix multiplication", ACM TOMS 34(3), 2008): a block of B is packed into
// panels as wide as the tile, a block of A into strips as high, so that the inner loop reads both
// with stride one. A block of k continues the chain of the block before it from C.
#include "mlpeak/kernels/gemm.h"

#include "kernels/register.h"
#include "simd/transpose.h"
#include "simd/vec.h"

namespace mlpeak {
namespace MLPEAK_TIER {
namespace {

#if defined(MLPEAK_TIER_AVX512) || defined(MLPEAK_TIER_AVX512_BF16) || defined(MLPEAK_TIER_NEON)
constexpr int kRows = 6, kVectors = 4;  // 24 sums + 4 of B + 1 of A = 29 of 32 registers
#elif defined(MLPEAK_TIER_AVX2)
constexpr int kRows = 6, kVectors = 2;  // 12 sums + 2 of B + 1 of A = 15 of 16 registers
#else
constexpr int kRows = 2, kVectors = 4;
#endif

constexpr int kWideRows = 2;  // 2 x 8 sums + 8 of B + 1 of A = 25 registers

template <class T>
constexpr int kColumns = kVectors * Vec<T>::kLanes;

// A block of k is at most this deep: a panel of B (kMaxDepth x kColumns, 20 KiB on AVX2) and a
// strip of A (kRows x kMaxDepth, 8 KiB) share L1 while a strip's tiles run.
constexpr int64_t kMaxDepth = 320;
// The packed block of A: 300 KiB in fp32 at most, which leaves room in an L2 of 512 KiB.
constexpr int64_t kBlockRows = 240;
// The packed block of B: 640 KiB in fp32 at most; it is streamed, once for each block of A.
constexpr int64_t kBlockColumns = 512;

constexpr int64_t kPackSlack = 16;  // elements that packing a strip may write beyond its end

int64_t round_up(int64_t x, int64_t to) {
  return (x + to - 1) / to * to;
}
template <class T>
constexpr T smaller(T a, T b) {
  return a < b ? a : b;
}

/// How deep the blocks of k are: as few as kMaxDepth allows, and equal, since each costs a reload
/// of C. Whole cache lines of floats, but for the last.
int64_t block_depth(int64_t k) {
  const int64_t blocks = (k + kMaxDepth - 1) / kMaxDepth;
  return blocks <= 1 ? (k > 0 ? k : 1) : round_up((k + blocks - 1) / blocks, 16);
}

/// Rows [0, m) cut into strips of nearly equal height, at most kRows: three strips of 5 rows take
/// less time than two of 6 and one of 3, whose sums are too few to hide the FMA's latency.
struct Strips {
  int64_t count, height, taller;  // the first `taller` strips have height + 1 rows

  explicit Strips(int64_t m)
      : count((m + kRows - 1) / kRows),
        height(count ? m / count : 0),
        taller(count ? m % count : 0) {}
  int rows(int64_t strip) const { return int(strip < taller ? height + 1 : height); }
};

/// rows x (vectors registers) of C over k steps. A's element (i, p) is a[i * a_row + p * a_col],
/// B's register v at step p is b[p * ldb + v * lanes]; registers from kVectors on are those of the
/// next panel, which begins `panel` elements further. Unless `full`, the last register of each row
/// of C is masked: on AVX2 a masked store costs ten plain ones.
template <class T, int rows, int vectors, bool full>
void tile(int64_t k, const T* a, int64_t a_row, int64_t a_col, const T* b, int64_t ldb,
          int64_t panel, T* c, int64_t ldc, Mask<T> last, bool first_block) {
  constexpr int kWidth = Vec<T>::kLanes;
  Vec<T> sum[rows][vectors];
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) {
      if (first_block)
        sum[i][v] = set1(T(0));
      else
        sum[i][v] = full || v + 1 < vectors ? load(c + i * ldc + v * kWidth)
                                            : load(c + i * ldc + v * kWidth, last);
    }
  for (int64_t p = 0; p < k; ++p) {
    Vec<T> line[vectors];
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v)
      line[v] = load(b + (v < kVectors ? v * kWidth : panel + (v - kVectors) * kWidth));
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const Vec<T> x = set1(a[i * a_row]);
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v) sum[i][v] = fma(x, line[v], sum[i][v]);
    }
    a += a_col;
    b += ldb;
  }
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) {
      if (full || v + 1 < vectors)
        store(c + i * ldc + v * kWidth, sum[i][v]);
      else
        store(c + i * ldc + v * kWidth, sum[i][v], last);
    }
}

template <class T>
using TileFunction = void (*)(int64_t, const T*, int64_t, int64_t, const T*, int64_t, int64_t, T*,
                              int64_t, Mask<T>, bool);

/// The tile of every size up to kRows x kVectors, for the edges of C; and, for so few rows that one
/// panel has too few sums to hide the FMA's latency, tiles of two panels. The first index says
/// whether the last register is whole.
template <class T>
struct Tiles {
  TileFunction<T> of[2][kRows + 1][kVectors + 1];
  TileFunction<T> wide[kWideRows + 1];
  template <int rows, int vectors>
  constexpr void fill() {
    of[0][rows][vectors] = tile<T, rows, vectors, false>;
    of[1][rows][vectors] = tile<T, rows, vectors, true>;
    if constexpr (vectors > 1)
      fill<rows, vectors - 1>();
    else if constexpr (rows > 1)
      fill<rows - 1, kVectors>();
  }
  constexpr Tiles() : of{}, wide{} {
    fill<kRows, kVectors>();
    wide[1] = tile<T, 1, 2 * kVectors, true>;
    wide[2] = tile<T, 2, 2 * kVectors, true>;
  }
};
template <class T>
constexpr Tiles<T> kTiles{};

/// Packs B[0:k, 0:n] into panels of kColumns columns, each k x kColumns with rows adjacent. The
/// last panel is filled up with zeros to whole registers; what is beyond is never read.
template <class T>
void pack_panels(int64_t k, int64_t n, const T* b, int64_t row, int64_t col, T* out) {
  constexpr int64_t kWidth = kColumns<T>, kLanes = Vec<T>::kLanes;
  for (int64_t j = 0; j < n; j += kWidth, b += kWidth * col, out += k * kWidth) {
    const int64_t width = smaller(kWidth, n - j);
    for (int64_t i = 0; i < width; i += kLanes) {  // a register's width of columns
      const T* from = b + i * col;
      T* to = out + i;
      const int64_t lanes = smaller(kLanes, width - i);
      int64_t p = 0;
      if (col == 1) {
        const Mask<T> mask = first_n<T>(lanes);
        for (; p < k; ++p) store(to + p * kWidth, load(from + p * row, mask));
      } else if (row == 1 && lanes == kLanes) {  // transposed: columns of B are adjacent along k
        for (; p + kLanes <= k; p += kLanes)
          transpose_block(from + p, col, to + p * kWidth, kWidth);
      }
      for (; p < k; ++p)
        for (int64_t lane = 0; lane < kLanes; ++lane)
          to[p * kWidth + lane] = lane < lanes ? from[p * row + lane * col] : T(0);
    }
  }
}

/// Packs A[0:m, 0:k] into Strips(m), each k x rows; room for kPackSlack elements more.
template <class T>
void pack_strips(int64_t m, int64_t k, const T* a, int64_t row, int64_t col, T* out) {
  const Strips strips(m);
  for (int64_t s = 0; s < strips.count; ++s) {
    const int height = strips.rows(s);
    int64_t p = 0;
    if (col == 1)
      p = transpose_rows(height, k, a, row, out);
    else if (row == 1 && col >= kCopied)
      for (; p + 1 < k; ++p) copy_short(a + p * col, out + p * height);
    for (; p < k; ++p)
      for (int r = 0; r < height; ++r) out[p * height + r] = a[r * row + p * col];
    a += height * row;
    out += height * k;
  }
}

/// Applies the epilogue to one row segment of C, columns [j, j + count).
template <class T>
void finish(T* c, int64_t offset, int64_t j, int64_t count, const Epilogue<T>& epilogue) {
  constexpr int kWidth = Vec<T>::kLanes;
  for (int64_t i = 0; i < count && (epilogue.bias || epilogue.pre); i += kWidth) {
    const Mask<T> mask = first_n<T>(count - i);
    Vec<T> x = load(c + offset + i, mask);
    if (epilogue.bias) x = x + load(epilogue.bias + j + i, mask);
    store(c + offset + i, x, mask);
    if (epilogue.pre) store(epilogue.pre + offset + i, x, mask);
  }
  if (epilogue.activation) epilogue.activation(c + offset, c + offset, count, epilogue.params);
}

template <class T>
int64_t packed_b_size(int64_t n, int64_t k) {
  return round_up(smaller(n, kBlockColumns), kColumns<T>) * block_depth(k);
}

template <class T>
int64_t workspace_size(int64_t m, int64_t n, int64_t k) {
  return packed_b_size<T>(n, k) + smaller(m, kBlockRows) * block_depth(k) + kPackSlack;
}

/// Where the panels of one block of B stand: panel j begins at data + j * step, its rows are ld
/// apart.
template <class T>
struct Block {
  const T* data;
  int64_t step, ld;
};

/// Where the rows of a block of A stand: packed in strips, or as they are.
template <class T>
struct RowSource {
  const T* data;
  int64_t row, col;
  bool packed;

  const T* at(int64_t i, int64_t kc) const { return data + (packed ? i * kc : i * row); }
  int64_t row_stride() const { return packed ? 1 : row; }
  int64_t step(int rows) const { return packed ? rows : col; }
};

template <class T>
void multiply_any(int64_t m, int64_t n, int64_t k, MatrixView<T> a, const MatrixView<T>* b,
                  const PackedPanels<T>* packed, T* c, int64_t ldc, const Epilogue<T>& epilogue,
                  T* workspace) {
  constexpr int64_t kPanel = kColumns<T>;
  constexpr int64_t kLanes = Vec<T>::kLanes;
  const int64_t depth = block_depth(k);
  T* const packed_b = workspace;
  T* const packed_a = workspace + packed_b_size<T>(n, k);
  // A strip of A is read once for each panel of B, so packing it pays from the third panel on, and
  // only where it is not read along adjacent elements or its rows are a page apart: many such rows
  // fall on few sets of the caches. A panel of B is read once for each strip of A.
  const bool scattered = a.col != 1 || (a.row * int64_t(sizeof(T)) >= 4096 && m > 64);
  const bool pack_a = n > 2 * kPanel && m > kWideRows && scattered;
  const bool pack_b = b && (b->col != 1 || m > 2 * kRows);
  const bool has_epilogue = epilogue.bias || epilogue.pre || epilogue.activation;

  for (int64_t jc = 0; jc < n; jc += kBlockColumns) {
    const int64_t nc = smaller(kBlockColumns, n - jc);
    const int64_t edge = nc / kPanel * kPanel;  // the first column of the incomplete panel, if any
    int64_t pc = 0;
    do {  // once even for k = 0: C is then epilogue(0)
      const int64_t kc = smaller(depth, k - pc);
      Block<T> full{packed_b, kc, kPanel};
      Block<T> rest = full;
      if (packed) {
        full.data =
            packed->data + pc * round_up(packed->columns, kPanel) + (packed->first + jc) * kc;
        rest = full;
      } else {
        const T* block_b = b->data + pc * b->row + jc * b->col;
        if (pack_b) {
          pack_panels(kc, nc, block_b, b->row, b->col, packed_b);
        } else {
          full = {block_b, 1, b->row};
          if (edge < nc)
            pack_panels(kc, nc - edge, block_b + edge, b->row, b->col, packed_b + edge * kc);
        }
      }

      for (int64_t ic = 0; ic < m; ic += kBlockRows) {
        const int64_t mc = smaller(kBlockRows, m - ic);
        const T* block_a = a.data + ic * a.row + pc * a.col;
        if (pack_a) pack_strips(mc, kc, block_a, a.row, a.col, packed_a);
        const Strips strips(mc);
        const RowSource<T> source{pack_a ? packed_a : block_a, a.row, a.col, pack_a};

        for (int64_t j = 0; j < nc;) {
          const Block<T>& block = j < edge ? full : rest;
          const bool wide = m <= kWideRows && j + 2 * kPanel <= edge;
          const int64_t width = wide ? 2 * kPanel : smaller(kPanel, nc - j);
          const int vectors = int((width + kLanes - 1) / kLanes);
          const Mask<T> last = first_n<T>(width - (vectors - 1) * kLanes);

          const bool whole = width == vectors * kLanes;
          for (int64_t s = 0, i = 0; s < strips.count; i += strips.rows(s), ++s) {
            const int rows = strips.rows(s);
            T* corner = c + (ic + i) * ldc + jc + j;
            const auto run = wide ? kTiles<T>.wide[rows] : kTiles<T>.of[whole][rows][vectors];
            run(kc, source.at(i, kc), source.row_stride(), source.step(rows),
                block.data + j * block.step, block.ld, kPanel * block.step, corner, ldc, last,
                pc == 0);
            if (has_epilogue && pc + kc >= k)
              for (int r = 0; r < rows; ++r)
                finish(c, (ic + i + r) * ldc + jc + j, jc + j, width, epilogue);
          }
          j += width;
        }
      }
      pc += depth;
    } while (pc < k);
  }
}

template <class T>
void multiply(int64_t m, int64_t n, int64_t k, MatrixView<T> a, MatrixView<T> b, T* c, int64_t ldc,
              const Epilogue<T>& epilogue, T* workspace) {
  multiply_any<T>(m, n, k, a, &b, nullptr, c, ldc, epilogue, workspace);
}

template <class T>
void multiply_packed(int64_t m, int64_t n, int64_t k, MatrixView<T> a, PackedPanels<T> b, T* c,
                     int64_t ldc, const Epilogue<T>& epilogue, T* workspace) {
  multiply_any<T>(m, n, k, a, nullptr, &b, c, ldc, epilogue, workspace);
}

template <class T>
int64_t packed_size(int64_t n, int64_t k) {
  return round_up(n, kColumns<T>) * k;
}

template <class T>
void pack(int64_t n, int64_t k, MatrixView<T> b, T* out) {
  const int64_t depth = block_depth(k);
  for (int64_t pc = 0; pc < k; pc += depth)
    pack_panels(smaller(depth, k - pc), n, b.data + pc * b.row, b.row, b.col,
                out + pc * round_up(n, kColumns<T>));
}

template <class T>
GemmKernels<T> gemm_kernels() {
  return {multiply<T>, multiply_packed<T>, workspace_size<T>, pack<T>, packed_size<T>,
          kRows,       kColumns<T>};
}

}  // namespace

void register_gemm(KernelTable& table) {
  table.f32.gemm = gemm_kernels<float>();
  table.f64.gemm = gemm_kernels<double>();
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
