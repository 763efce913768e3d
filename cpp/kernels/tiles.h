// The register tile of the matrix products.
//
// A tile of C, kRows x kVectors registers, stays in registers while k runs; each k takes kVectors
// loads of B, kRows broadcasts of A and kRows * kVectors fused multiply-adds, which are
// independent of each other: enough of them hide the FMA's latency (4 cycles, 2 a cycle: 8; 24
// leaves room for the loads).
#pragma once

#include <cstdint>

#include "mlpeak/kernels/gemm.h"
#include "simd/pairs.h"
#include "simd/vec.h"

namespace mlpeak {
namespace MLPEAK_TIER {
namespace {

#if defined(MLPEAK_TIER_AVX512) || defined(MLPEAK_TIER_AVX512_BF16) || defined(MLPEAK_TIER_NEON)
constexpr int kRows = 6, kVectors = 4;  // 24 sums + 4 of B + 1 of A = 29 of 32 registers
constexpr int kUnrolled = 1;
constexpr bool kFewRegisters = false;
#elif defined(MLPEAK_TIER_AVX2)
constexpr int kRows = 6, kVectors = 2;  // 12 sums + 2 of B + 1 of A = 15 of 16 registers
constexpr int kUnrolled = 4;  // a step is 20 instructions in 6 cycles: its loop's 5 would be many
constexpr bool kFewRegisters = true;
#else
constexpr int kRows = 2, kVectors = 4;
constexpr int kUnrolled = 1;
constexpr bool kFewRegisters = false;
#endif

// Two dozen stores of 64 bytes one after the other hold up the next tile's sums. So a tile of more
// such registers than kStoredAtOnce goes through its last steps by so many rows at a time, and
// stores each while it adds up the next ones.
constexpr int kStoredRows = 2, kLastSteps = 4;
constexpr int kStoredAtOnce = sizeof(Vec<float>) == 64 ? 16 : kRows * kVectors;

constexpr int kWideRows = 2;  // 2 x 8 sums + 8 of B + 1 of A = 25 registers

template <class E>
constexpr int kColumns = kVectors * Vec<E>::kLanes;

// E is what a product multiplies, a step of k at a time: a float, a double, or a Pair of bf16 that
// holds two elements of k. Sum<E> is what it adds up and what C holds.
template <class E>
constexpr int64_t kDepth = 1;
template <>
constexpr int64_t kDepth<Pair> = 2;
template <class E>
int64_t steps_of(int64_t k) {
  return (k + kDepth<E> - 1) / kDepth<E>;
}

// A block of k is at most this deep, since each reloads C. A strip of A (kRows x kMaxDepth, 12 KiB)
// stays in L1 while its tiles run; a panel of B (128 KiB, 32 on AVX2) comes through L1 from L2 fast
// enough.
constexpr int64_t kMaxDepth = 512;
// The packed block of A: 240 KiB in fp32 at most, which leaves room in an L2 of 512 KiB.
constexpr int64_t kBlockRows = 120;
// All of so many rows of A make one block where B is packed panel by panel, in time for its tiles.
constexpr int64_t kRowsAhead = kFewRegisters ? kBlockRows : 256;
// The packed block of B: 2 MiB in fp32 at most; it is streamed, once for each block of A.
constexpr int64_t kBlockColumns = 1024;
// Or so narrow that it stays in L2 (bytes), where all of A is small enough (bytes) to be read again
// for each block.
constexpr int64_t kNarrowBlock = kFewRegisters ? 256 * 1024 : 0;
constexpr int64_t kReadAgain = 2 * 1024 * 1024;

constexpr int64_t kLevel1 = 32 * 1024;  // bytes
// What surely stays in L2 from one step of a training to the next.
constexpr int64_t kLevel2 = 512 * 1024;

int64_t round_up(int64_t x, int64_t to) {
  return (x + to - 1) / to * to;
}
template <class T>
constexpr T smaller(T a, T b) {
  return a < b ? a : b;
}

/// Whether each register of a matrix's rows, ld apart, lies in one cache line.
template <class E>
bool begins_lines(const E* matrix, int64_t ld) {
  return (reinterpret_cast<uintptr_t>(matrix) | uintptr_t(ld) * sizeof(E)) % 64 == 0;
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

/// What a tile does with its sums before it stores them: the parts of an epilogue that cost so
/// little that they hide behind the next tile's sums.
template <class T>
struct TileEnd {
  const T* bias;  // of the tile's first column, or null
  bool relu;
  const T* gate;  // the tile's corner of an array of C's shape: sums are kept where it is positive
  int64_t gate_ld;
};

/// Other work for the time that a tile's sums leave: step() runs at each step of k; where kParts is
/// not 0, `rounds` times part(0) to part(kParts - 1) and next() run, a few steps between two parts.
struct Nothing {
  static constexpr int kParts = 0;
  MLPEAK_INLINE void step() {}
};

/// Brings memory into the cache: `advance` bytes a step of k and, if asked, the tile of C that
/// comes next.
template <bool kTile>
struct Fetch {
  static constexpr int kParts = kTile ? kVectors : 0;
  static constexpr int kRegister = Vec<float>::kLanes * int(sizeof(float));
  int rounds;  // rows of C
  const char* at;
  int64_t advance;
  const char* c;
  int64_t ldc;  // bytes

  MLPEAK_INLINE void part(int v) const {
    if (v == 0) __builtin_prefetch(c, 1);
    __builtin_prefetch(c + v * kRegister + kRegister - 1, 1);  // C need not begin with a line
  }
  MLPEAK_INLINE void next() { c += ldc; }
  MLPEAK_INLINE void step() {
    __builtin_prefetch(at);
    at += advance;
  }
};

/// How a tile's rows of C end and lie: with a part of a register, in whole ones, or in whole ones
/// each of which is a cache line.
enum Ends : int { kPart, kWhole, kLines };

/// rows x (vectors registers) of C over k steps. A's element (i, p) is a[i * a_row + p * a_col],
/// B's register v at step p is b[p * ldb + v * lanes]; registers from kVectors on are those of the
/// next panel, which begins `panel` elements further. Where C ends with a part of a register, the
/// last one of each row is masked: on AVX2 a masked store costs ten plain ones. `end` is null but
/// for the last block of k.
template <class E, int rows, int vectors, Ends ends, class Meanwhile, class T = Sum<E>>
MLPEAK_INLINE void tile_with(int64_t k, const E* a, int64_t a_row, int64_t a_col, const E* b,
                             int64_t ldb, int64_t panel, T* c, int64_t ldc, Mask<T> last,
                             bool first_block, const TileEnd<T>* end, Meanwhile meanwhile) {
  constexpr int kWidth = Vec<T>::kLanes;
  constexpr bool full = ends != kPart;
  Vec<T> sum[rows][vectors];
  const T* before = c;
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i, before += ldc)
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) {
      if (first_block)
        sum[i][v] = set1(T(0));
      else
        sum[i][v] =
            full || v + 1 < vectors ? load(before + v * kWidth) : load(before + v * kWidth, last);
    }
  // One step of rows [first, until), from x of A and y of B.
  const auto step = [&](int first, int until, const E* x, const E* y) MLPEAK_LAMBDA_INLINE {
    Vec<E> line[vectors];
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v)
      line[v] = load(y + (v < kVectors ? v * kWidth : panel + (v - kVectors) * kWidth));
#pragma GCC unroll 16
    for (int i = first; i < until; ++i) {
      const Vec<E> factor = set1(x[i * a_row]);
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v) sum[i][v] = fma(factor, line[v], sum[i][v]);
    }
  };
  // The last steps read B once for each of their rows, which costs more than it saves where a
  // register of B lies in two lines.
  const bool by_rows =
      ends == kLines && rows * vectors > kStoredAtOnce && k >= kLastSteps && begins_lines(b, ldb);
  const int64_t together = by_rows ? k - kLastSteps : k;
  int64_t p = 0;
  const auto steps_to = [&](int64_t until) MLPEAK_LAMBDA_INLINE {
#pragma GCC unroll kUnrolled
    for (; p < until; ++p, a += a_col, b += ldb) {
      step(0, rows, a, b);
      meanwhile.step();
    }
  };
  if constexpr (Meanwhile::kParts > 0) {
    constexpr int64_t kTimes = kRows * Meanwhile::kParts;
    const int64_t steps = k > kTimes ? k / kTimes : 1;
    for (int r = 0; r < meanwhile.rounds; ++r) {
#pragma GCC unroll 4
      for (int part = 0; part < Meanwhile::kParts; ++part) {
        steps_to(smaller(together, p + steps));
        meanwhile.part(part);
      }
      meanwhile.next();
    }
  }
  const auto finish = [&](int first, int until) MLPEAK_LAMBDA_INLINE {
    if (end && end->bias) {
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v) {
        const Vec<T> bias = full || v + 1 < vectors ? load(end->bias + v * kWidth)
                                                    : load(end->bias + v * kWidth, last);
#pragma GCC unroll 16
        for (int i = first; i < until; ++i) sum[i][v] = sum[i][v] + bias;
      }
    }
    if (end && end->relu) {
#pragma GCC unroll 16
      for (int i = first; i < until; ++i)
#pragma GCC unroll 16
        for (int v = 0; v < vectors; ++v) sum[i][v] = max(set1(T(0)), sum[i][v]);
    }
    if (end && end->gate) {
#pragma GCC unroll 16
      for (int i = first; i < until; ++i)
#pragma GCC unroll 16
        for (int v = 0; v < vectors; ++v) {
          const T* gate = end->gate + i * end->gate_ld + v * kWidth;
          const Vec<T> y = full || v + 1 < vectors ? load(gate) : load(gate, last);
          sum[i][v] = select(lt(set1(T(0)), y), sum[i][v], set1(T(0)));
        }
    }
#pragma GCC unroll 16
    for (int i = first; i < until; ++i, c += ldc)
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v) {
        if (full || v + 1 < vectors)
          store(c + v * kWidth, sum[i][v]);
        else
          store(c + v * kWidth, sum[i][v], last);
      }
  };
  steps_to(together);
  if (!by_rows) return finish(0, rows);
#pragma GCC unroll 4
  for (int first = 0; first < rows; first += kStoredRows) {
    const E *x = a, *y = b;
#pragma GCC unroll 4
    for (int i = 0; i < kLastSteps; ++i, x += a_col, y += ldb) {
      step(first, smaller(first + kStoredRows, rows), x, y);
      if (first == 0) meanwhile.step();
    }
    if (first > 0) finish(first - kStoredRows, first);  // after the loads of the rows below it
  }
  finish((rows - 1) / kStoredRows * kStoredRows, rows);
}

template <class E, int rows, int vectors, Ends ends, class T = Sum<E>>
void tile(int64_t k, const E* a, int64_t a_row, int64_t a_col, const E* b, int64_t ldb,
          int64_t panel, T* c, int64_t ldc, Mask<T> last, bool first_block, const TileEnd<T>* end) {
  tile_with<E, rows, vectors, ends>(k, a, a_row, a_col, b, ldb, panel, c, ldc, last, first_block,
                                    end, Nothing());
}

/// A tile of whole registers that fetches meanwhile.
template <class E, int rows, int vectors, bool kTile, class T = Sum<E>>
void fetching_tile(int64_t k, const E* a, int64_t a_row, int64_t a_col, const E* b, int64_t ldb,
                   T* c, int64_t ldc, bool first_block, const TileEnd<T>* end, Fetch<kTile> fetch) {
  tile_with<E, rows, vectors, kWhole>(k, a, a_row, a_col, b, ldb, 0, c, ldc,
                                      first_n<T>(Vec<T>::kLanes), first_block, end, fetch);
}

template <class E, class T = Sum<E>>
using TileFunction = void (*)(int64_t, const E*, int64_t, int64_t, const E*, int64_t, int64_t, T*,
                              int64_t, Mask<T>, bool, const TileEnd<T>*);

/// The tile of every size up to kRows x kVectors, for the edges of C; and, for so few rows that one
/// panel has too few sums to hide the FMA's latency, tiles of two panels. The first index is how
/// rows end.
template <class E>
struct Tiles {
  TileFunction<E> of[3][kRows + 1][kVectors + 1];
  TileFunction<E> wide[kWideRows + 1];
  template <int rows, int vectors>
  constexpr void fill() {
    of[kPart][rows][vectors] = tile<E, rows, vectors, kPart>;
    of[kWhole][rows][vectors] = tile<E, rows, vectors, kWhole>;
    of[kLines][rows][vectors] =
        tile<E, rows, vectors, (rows * vectors > kStoredAtOnce ? kLines : kWhole)>;
    if constexpr (vectors > 1)
      fill<rows, vectors - 1>();
    else if constexpr (rows > 1)
      fill<rows - 1, kVectors>();
  }
  constexpr Tiles() : of{}, wide{} {
    fill<kRows, kVectors>();
    wide[1] = tile<E, 1, 2 * kVectors, kWhole>;
    wide[2] = tile<E, 2, 2 * kVectors, kWhole>;
  }
};
template <class E>
constexpr Tiles<E> kTiles{};

}  // namespace
}  // namespace MLPEAK_TIER
}  // namespace mlpeak
