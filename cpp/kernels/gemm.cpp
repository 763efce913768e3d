// C = A B by register tiles (kernels/tiles.h).
//
// Around the tile, the loops of Goto and van de Geijn ("Anatomy of high-performance matrix
// multiplication", ACM TOMS 34(3), 2008): a block of B is packed into panels as wide as the tile, a
// block of A into strips as high, so that the inner loop reads both with stride one. A block of k
// continues the chain of the block before it from C.
//
// Of two blocks, either a panel meets all strips before the next panel does, or a strip all panels.
// A panel of many registers wants to be reused at once. A narrow one does not: there a block of B
// is made to stay in L2, and a strip in L1 while B's panels and C's columns go by in memory's
// order, which other users of the outer caches disturb least.
#include "mlpeak/kernels/gemm.h"

#include "kernels/few_outputs.h"
#include "kernels/pack_ahead.h"
#include "kernels/register.h"
#include "kernels/transposed.h"

namespace mlpeak {
namespace MLPEAK_TIER {
namespace {

template <class E>
int64_t packed_b_size(int64_t n, int64_t k) {
  return round_up(smaller(n, kBlockColumns), kColumns<E>) * block_depth(steps_of<E>(k));
}

/// How many rows A may have to be kept packed for all blocks of B, which are narrow then.
template <class E>
int64_t rows_read_again(int64_t k) {
  const int64_t row = steps_of<E>(k) * int64_t(sizeof(E));
  return kNarrowBlock > 0 && row > 0 ? kReadAgain / row : 0;
}

/// No smaller for more rows: a thread's share of C has fewer than the workspace was made for.
template <class E>
int64_t packed_a_size(int64_t m, int64_t k) {
  const int64_t again = rows_read_again<E>(k), most = again > kRowsAhead ? again : kRowsAhead;
  return round_up(smaller(m, most) * block_depth(steps_of<E>(k)) + kPackSlack, 16);
}

/// Packed B, packed A and, for pairs, the block of either that was rounded last.
template <class E>
int64_t workspace_size(int64_t m, int64_t n, int64_t k) {
  const int64_t widest = smaller(m > n ? m : n, kBlockColumns);
  const int64_t rounded = kDepth<E> > 1 ? widest * block_depth(steps_of<E>(k)) : 0;
  const int64_t size = packed_b_size<E>(n, k) + packed_a_size<E>(m, k) + rounded;
  const int64_t turned = transposed_size<E>(n, k);
  return size > turned ? size : turned;
}

/// Where the panels of one block of B stand: panel j begins at data + j * step, its rows are ld
/// apart.
template <class E>
struct Block {
  const E* data;
  int64_t step, ld;
};

/// Where the rows of a block of A stand: packed in strips, or as they are.
template <class E>
struct RowSource {
  const E* data;
  int64_t row, col;
  bool packed;

  const E* at(int64_t i, int64_t kc) const { return data + (packed ? i * kc : i * row); }
  int64_t row_stride() const { return packed ? 1 : row; }
  int64_t step(int rows) const { return packed ? rows : col; }
};

/// A block of A times a block of B, added to their part of C.
template <class E, class T = Sum<E>>
struct BlockProduct {
  static constexpr int64_t kPanel = kColumns<E>, kLanes = Vec<E>::kLanes;

  RowSource<E> a;
  Strips strips;
  Block<E> whole, rest;  // B's whole panels, and the last one if it is not
  int64_t k, columns;
  T* c;  // the corner of this part, which is element (row, column) of the whole C
  int64_t ldc, row, column;
  bool first;               // of the blocks of k: C is not read
  const Finish<T>* finish;  // null but for the last block of k

  bool is_whole(int64_t j) const { return j + kPanel <= columns; }
  const E* at(int64_t j) const {
    const Block<E>& b = is_whole(j) ? whole : rest;
    return b.data + j * b.step;
  }

  /// Strip s, which begins at row i, times the `width` columns from j on.
  void tile(int64_t s, int64_t i, int64_t j, int64_t width) const { tile(s, i, j, width, at(j)); }
  void tile(int64_t s, int64_t i, int64_t j, int64_t width, const E* panel) const {
    const Block<E>& b = is_whole(j) ? whole : rest;
    const int rows = strips.rows(s), vectors = int((width + kLanes - 1) / kLanes);
    const Ends ends = width < vectors * kLanes ? kPart : begins_lines(c, ldc) ? kLines : kWhole;
    const Mask<T> last = first_n<T>(width - (vectors - 1) * kLanes);
    const TileEnd<T> end = finish ? finish->tile(row + i, column + j) : TileEnd<T>{};
    const auto run = width > kPanel ? kTiles<E>.wide[rows] : kTiles<E>.of[ends][rows][vectors];
    run(k, a.at(i, k), a.row_stride(), a.step(rows), panel, b.ld, kPanel * b.step, c + i * ldc + j,
        ldc, last, first, finish ? &end : nullptr);
  }

  /// The same for a whole panel and a strip that is not short, which has time to fetch its part of
  /// the panel that comes next, or the next tile of C.
  template <bool kTile>
  void fetching(int64_t s, int64_t i, int64_t j, bool fetch_b) const {
    const int rows = strips.rows(s);
    const int64_t part = fetch_b ? k * kPanel * int64_t(sizeof(E)) / strips.count : 0;
    const char* coming =
        reinterpret_cast<const char*>(whole.data + (fetch_b ? j + kPanel : j) * whole.step);
    const T* next = s + 1 < strips.count ? c + (i + rows) * ldc + j : c + j + kPanel;
    const TileEnd<T> end = finish ? finish->tile(row + i, column + j) : TileEnd<T>{};
    const auto run = rows == kRows ? fetching_tile<E, kRows, kVectors, kTile>
                                   : fetching_tile<E, kRows - 1, kVectors, kTile>;
    run(k, a.at(i, k), a.row_stride(), a.step(rows), whole.data + j * whole.step, whole.ld,
        c + i * ldc + j, ldc, first, finish ? &end : nullptr,
        {rows, coming + s * part, part / k, reinterpret_cast<const char*>(next),
         ldc * int64_t(sizeof(T))});
  }

  /// The same for a whole panel, whose strips each pack their part of the one that comes next.
  template <bool kTransposes>
  void packing(int64_t s, int64_t i, const E* panel, int64_t j, const Unpacked<E>& coming) const {
    const int rows = strips.rows(s);
    const int64_t all = PackAhead<E, kTransposes>::all(k);
    const int64_t begin = all * s / strips.count, until = all * (s + 1) / strips.count;
    if (rows < kRows - 1) {
      PackAhead<E, kTransposes>(coming, begin, until).run();
      return tile(s, i, j, kPanel, panel);
    }
    const TileEnd<T> end = finish ? finish->tile(row + i, column + j) : TileEnd<T>{};
    const auto run = rows == kRows ? packing_tile<E, kRows, kTransposes>
                                   : packing_tile<E, kRows - 1, kTransposes>;
    run(k, a.at(i, k), a.row_stride(), a.step(rows), panel, kPanel, c + i * ldc + j, ldc, first,
        finish ? &end : nullptr, coming, begin, until);
  }

  /// Packs b's panels meanwhile, which take turns in two places; the first one is there.
  void packing_panels(MatrixView<E> b, E* places) const {
    const auto place = [&](int64_t j) { return places + j % (2 * kPanel) * k; };
    for (int64_t j = 0; j < columns; j += kPanel) {
      const int64_t next = j + kPanel, left = smaller(kPanel, columns - next);
      const Unpacked<E> coming = {b.data + next * b.col, b.row, b.col, k, place(next)};
      const bool meanwhile = left == kPanel && k >= PackAhead<E, true>::kLeast;
      if (left > 0 && !meanwhile)
        pack_panels(k, left, coming.data, coming.row, coming.col, coming.out);
      for (int64_t s = 0, i = 0; s < strips.count; i += strips.rows(s), ++s) {
        if (!meanwhile)
          tile(s, i, j, smaller(kPanel, columns - j), place(j));
        else if (b.col == 1)
          packing<false>(s, i, place(j), j, coming);
        else
          packing<true>(s, i, place(j), j, coming);
      }
    }
  }

  void strip_by_strip() const {
    for (int64_t s = 0, i = 0; s < strips.count; i += strips.rows(s), ++s)
      for (int64_t j = 0; j < columns; j += kPanel) tile(s, i, j, smaller(kPanel, columns - j));
  }

  /// `wide`: two panels at a time, where there are so many.
  void panel_by_panel(bool wide, bool fetch_b, bool fetch_c) const {
    for (int64_t j = 0, width; j < columns; j += width) {
      width = smaller(wide && is_whole(j + kPanel) ? 2 * kPanel : kPanel, columns - j);
      const bool fetches = (fetch_b || fetch_c) && width == kPanel;
      for (int64_t s = 0, i = 0; s < strips.count; i += strips.rows(s), ++s) {
        if (!fetches || strips.rows(s) < kRows - 1)
          tile(s, i, j, width);
        else if (fetch_c)
          fetching<true>(s, i, j, fetch_b);
        else
          fetching<false>(s, i, j, fetch_b);
      }
    }
  }
};

template <class E, class T = Sum<E>>
void multiply_any(int64_t m, int64_t n, int64_t k, MatrixView<T> a, const MatrixView<T>* b,
                  const PackedPanels<T>* packed, T* c, int64_t ldc, const Epilogue<T>& epilogue,
                  T* workspace) {
  constexpr int64_t kPanel = kColumns<E>;
  const Finish<T> finish(epilogue);
  const bool by_rows = b && reads_b_as_it_is<E>(m, n, k, *b);
  if (is_narrow<E>(m, n) || by_rows)
    return multiply_transposed<E>(m, n, k, a, b, packed, c, ldc, finish, workspace);

  const int64_t steps = steps_of<E>(k);
  const int64_t depth = block_depth(steps);
  E* const packed_b = reinterpret_cast<E*>(workspace);
  E* const packed_a = packed_b + packed_b_size<E>(n, k);
  E* const rounded = packed_a + packed_a_size<E>(m, k);
  // A strip of A is read once for each panel of B, so packing it pays from the third panel on, and
  // only where it is not read along adjacent elements or its rows are a page apart: many such rows
  // fall on few sets of the caches. A panel of B is read once for each strip of A.
  const bool scattered = a.col != 1 || (a.row * int64_t(sizeof(T)) >= 4096 && m > 64);
  const bool pack_a = n > 2 * kPanel && m > kWideRows && scattered;
  const bool pack_b = b && !is_as_packed<E>(m, n, k, *b);
  const bool narrow = pack_b && m <= rows_read_again<E>(k);
  // Where registers are many, tiles have time to pack the next panel: not those of few strips,
  // where adjacent rows had better be packed through all panels, and more rows than one block of A
  // had better find all panels packed.
  const bool ahead = pack_b && !kFewRegisters && kDepth<E> == 1 && m <= kRowsAhead &&
                     (b->col == 1 ? m > 4 * kRows : b->row == 1 && m > 2 * kRows);
  const int64_t columns =
      narrow ? smaller(kBlockColumns, round_up(kNarrowBlock / int64_t(sizeof(E)) / depth, kPanel))
             : kBlockColumns;
  // Panels of a packed B beyond L2 come from L3, slowly where a strip waits for them.
  const int64_t block_b = packed ? n * steps : smaller(n, kBlockColumns) * depth;
  const bool fetch_b = (packed || pack_b) && block_b * int64_t(sizeof(E)) > kLevel2;
  // So do the lines of a C beyond L2, for which loads wait, and the queue of stores.
  const bool fetch_c = m * n * int64_t(sizeof(T)) > kLevel2;
  const int64_t blocks = ahead ? 1 : (m + kBlockRows - 1) / kBlockRows;
  const int64_t height = blocks <= 1 ? m : round_up((m + blocks - 1) / blocks, kRows);

  for (int64_t left = 0; left < n; left += kBlockColumns) {
    const int64_t right = smaller(left + kBlockColumns, n);
    int64_t pc = 0;
    do {  // once even for k = 0: C is then epilogue(0)
      const int64_t kc = smaller(depth, steps - pc);
      const int64_t first_k = pc * kDepth<E>, count_k = smaller(kc * kDepth<E>, k - first_k);
      const bool last_block = pc + kc >= steps;
      for (int64_t jc = left; jc < right; jc += columns) {
        const int64_t nc = smaller(columns, right - jc);
        const int64_t edge = nc / kPanel * kPanel;  // where an incomplete panel begins
        Block<E> whole{packed_b, kc, kPanel};
        Block<E> rest = whole;
        MatrixView<E> unpacked = {};
        if (packed) {
          whole.data = reinterpret_cast<const E*>(packed->data) +
                       pc * round_up(packed->columns, kPanel) + (packed->first + jc) * kc;
          rest = whole;
        } else {
          // the block's transpose, whose rows run along k
          const T* corner = b->data + first_k * b->row + jc * b->col;
          const auto block = operand(MatrixView<T>{corner, b->col, b->row}, nc, count_k, rounded);
          if (pack_b) {
            pack_panels(kc, ahead ? smaller(nc, kPanel) : nc, block.data, block.col, block.row,
                        packed_b);
            unpacked = {block.data, block.col, block.row};
          } else {
            whole = {block.data, 1, block.col};
            if (edge < nc)
              pack_panels(kc, nc - edge, block.data + edge, block.col, block.row,
                          packed_b + edge * kc);
          }
        }

        for (int64_t ic = 0; ic < m; ic += height) {
          const int64_t mc = smaller(height, m - ic);
          E* const strips = packed_a + (narrow ? ic * kc : 0);
          RowSource<E> rows{strips, 0, 0, true};
          if (!pack_a || !narrow || jc == left) {
            const auto block =
                operand(MatrixView<T>{a.data + ic * a.row + first_k * a.col, a.row, a.col}, mc,
                        count_k, rounded);
            if (pack_a)
              pack_strips(mc, kc, block.data, block.row, block.col, strips);
            else
              rows = {block.data, block.row, block.col, false};
          }
          const BlockProduct<E> product{rows,
                                        Strips(mc),
                                        whole,
                                        rest,
                                        kc,
                                        nc,
                                        c + ic * ldc + jc,
                                        ldc,
                                        ic,
                                        jc,
                                        pc == 0,
                                        finish.in_tile && last_block ? &finish : nullptr};
          if (ahead)
            product.packing_panels(unpacked, packed_b);
          else if (narrow)
            product.strip_by_strip();
          else
            product.panel_by_panel(m <= kWideRows, fetch_b, fetch_c);
          if (finish.over_rows && last_block) finish.rows(ic, mc, jc, nc, c, ldc);
        }
      }
      pc += depth;
    } while (pc < steps);
  }
}

template <class E, class T = Sum<E>>
void multiply(int64_t m, int64_t n, int64_t k, MatrixView<T> a, MatrixView<T> b, T* c, int64_t ldc,
              const Epilogue<T>& epilogue, T* workspace) {
  const Subnormals<E> subnormals;
  multiply_any<E, T>(m, n, k, a, &b, nullptr, c, ldc, epilogue, workspace);
}

template <class E, class T = Sum<E>>
void multiply_packed(int64_t m, int64_t n, int64_t k, MatrixView<T> a, PackedPanels<T> b, T* c,
                     int64_t ldc, const Epilogue<T>& epilogue, T* workspace) {
  const Subnormals<E> subnormals;
  multiply_any<E, T>(m, n, k, a, nullptr, &b, c, ldc, epilogue, workspace);
}

template <class E>
int64_t packed_size(int64_t n, int64_t k) {
  return round_up(n, kColumns<E>) * steps_of<E>(k);
}

template <class E, class T = Sum<E>>
void pack(int64_t n, int64_t k, MatrixView<T> b, T* out) {
  const int64_t steps = steps_of<E>(k), depth = block_depth(steps),
                stride = round_up(n, kColumns<E>);
  E* const packed = reinterpret_cast<E*>(out);
  for (int64_t pc = 0; pc < steps; pc += depth) {
    const int64_t kc = smaller(depth, steps - pc), first_k = pc * kDepth<E>;
    for (int64_t j = 0; j < n; j += kColumns<E>) {
      alignas(64) E rounded[kDepth<E> > 1 ? kMaxDepth * kColumns<E> : 1];
      const int64_t width = smaller(int64_t(kColumns<E>), n - j);
      const auto block = operand(MatrixView<T>{b.data + first_k * b.row + j * b.col, b.col, b.row},
                                 width, smaller(kc * kDepth<E>, k - first_k), rounded);
      pack_panels(kc, width, block.data, block.col, block.row, packed + pc * stride + j * kc);
    }
  }
}

template <class E, class T = Sum<E>>
GemmKernels<T> gemm_kernels() {
  GemmKernels<T> kernels = {
      multiply<E>, multiply_packed<E>, workspace_size<E>,    nullptr, pack<E>, packed_size<E>,
      kRows,       kColumns<E>,        kMaxDepth * kDepth<E>};
  if constexpr (kDepth<E> == 1) kernels.multiply_few = multiply_few<T>;
  return kernels;
}

}  // namespace

void register_gemm(KernelTable& table) {
  table.f32.gemm = gemm_kernels<float>();
  table.f64.gemm = gemm_kernels<double>();
  table.f32.gemm_bf16 = gemm_kernels<Pair>();
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
