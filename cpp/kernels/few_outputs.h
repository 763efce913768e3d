// C = A Bᵀ where C has few columns and both factors are adjacent along k: the forward product of a
// layer with few outputs.
//
// Columns so few leave most of a register's lanes unused, and rows in the lanes would first have to
// be transposed, which takes as long as the sums. So here lanes take turns at k: an element's sum
// has the shape that other reductions have (simd/lanes.h). Element i of k, i = 0, 1, ..., goes to
// lane i mod kLaneCount by a fused multiply-add, k is filled up with zeros to whole lanes, and the
// lanes are combined by halving.
#pragma once

#include "kernels/epilogue.h"
#include "simd/lanes.h"
#include "simd/sum_each.h"

namespace mlpeak {
namespace MLPEAK_TIER {
namespace {

// Sums of a tile, of which each has 64 bytes of lanes: enough to hide the FMA's latency.
#if defined(MLPEAK_TIER_AVX512) || defined(MLPEAK_TIER_AVX512_BF16)
constexpr int kLaneSums = 16, kMostOutputs = 5;  // of a tile
#elif defined(MLPEAK_TIER_NEON)
constexpr int kLaneSums = 16, kMostOutputs = 4;
#else
constexpr int kLaneSums = 12, kMostOutputs = 3;
#endif

/// Keeps v in a register, where the compiler would rather load it again for each use.
template <class T>
MLPEAK_INLINE void keep(Vec<T>& v) {
#if defined(__AVX512F__) || defined(MLPEAK_TIER_AVX2)
  __asm__("" : "+v"(v.v));
#elif defined(MLPEAK_TIER_NEON)
  __asm__("" : "+w"(v.v));
#else
  (void)v;
#endif
}

/// Rows of a tile with so many outputs.
constexpr int rows_with(int outputs) {
  return smaller(kLaneSums / outputs, 8);
}

/// A's rows times B's rows (outputs), all adjacent along k, into C.
template <class T, int rows, int outputs>
void lane_tile(int64_t k, const T* a, int64_t lda, const T* b, int64_t ldb, T* c, int64_t ldc) {
  constexpr int kRegs = Lanes<T>::kRegs, kWidth = Vec<T>::kLanes, kLast = rows * outputs;
  constexpr int kSums = (kLast + kWidth - 1) / kWidth * kWidth;  // whole registers of sums
  Lanes<T> lanes[kSums];
#pragma GCC unroll 16
  for (int s = kLast; s < kSums; ++s) lanes[s] = fill_lanes(T(0));
  // The lanes of register r through elements [first, until) of k.
  const auto go_through = [&](int64_t first, int64_t until, int r) MLPEAK_LAMBDA_INLINE {
    Vec<T> sum[rows][outputs];
#pragma GCC unroll 16
    for (int s = 0; s < kLast; ++s)
      sum[s / outputs][s % outputs] = first == 0 ? set1(T(0)) : lanes[s].reg[r];
    const auto step = [&](int64_t p, auto... mask) MLPEAK_LAMBDA_INLINE {
      Vec<T> factor[outputs];
#pragma GCC unroll 16
      for (int o = 0; o < outputs; ++o) {
        factor[o] = load(b + o * ldb + p, mask...);
        keep(factor[o]);
      }
#pragma GCC unroll 16
      for (int i = 0; i < rows; ++i) {
        const Vec<T> x = load(a + i * lda + p, mask...);
#pragma GCC unroll 16
        for (int o = 0; o < outputs; ++o) sum[i][o] = fma(x, factor[o], sum[i][o]);
      }
    };
    const int64_t whole = until / kLaneCount<T> * kLaneCount<T>, lane = r * kWidth;
    for (int64_t p = first; p < whole; p += kLaneCount<T>) step(p + lane);
    if (whole < until) step(whole + lane, first_n<T>(until - whole - lane));
#pragma GCC unroll 16
    for (int s = 0; s < kLast; ++s) lanes[s].reg[r] = sum[s / outputs][s % outputs];
  };
  // Where lanes are several registers, one after the other goes through what L1 holds of k.
  const int64_t part = kRegs == 1 ? k : 512;
  for (int64_t first = 0; first < k; first += part)
    for (int r = 0; r < kRegs; ++r) go_through(first, smaller(k, first + part), r);

  T sums[kSums];
#pragma GCC unroll 16
  for (int s = 0; s < kSums; s += kWidth) {
    Vec<T> each[kWidth];
#pragma GCC unroll 16
    for (int i = 0; i < kWidth; ++i) each[i] = combine_registers(lanes[s + i], Add());
    store(sums + s, sum_each(each));
  }
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 16
    for (int o = 0; o < outputs; ++o) c[i * ldc + o] = sums[i * outputs + o];
}

/// Tiles for every number of outputs up to kMostOutputs, of rows_with() rows and of one row.
template <class T>
struct LaneTiles {
  using Function = void (*)(int64_t, const T*, int64_t, const T*, int64_t, T*, int64_t);
  Function full[kMostOutputs + 1], single[kMostOutputs + 1];
  template <int outputs>
  constexpr void fill() {
    full[outputs] = lane_tile<T, rows_with(outputs), outputs>;
    single[outputs] = lane_tile<T, 1, outputs>;
    if constexpr (outputs > 1) fill<outputs - 1>();
  }
  constexpr LaneTiles() : full{}, single{} { fill<kMostOutputs>(); }
};
template <class T>
constexpr LaneTiles<T> kLaneTiles{};

/// GemmKernels::multiply_few.
template <class T>
void multiply_few(int64_t m, int64_t n, int64_t k, const T* a, int64_t lda, const T* b, T* c,
                  int64_t ldc, const Epilogue<T>& epilogue) {
  const Finish<T> finish(epilogue);
  const int64_t groups = (n + kMostOutputs - 1) / kMostOutputs;
  constexpr int64_t kTogether = 48;  // rows that all groups of outputs read before the next ones
  for (int64_t i = 0; i < m; i += kTogether) {
    const int64_t count = smaller(kTogether, m - i);
    for (int64_t g = 0; g < groups; ++g) {
      const int64_t o = n * g / groups;
      const int outputs = int(n * (g + 1) / groups - o), rows = rows_with(outputs);
      const auto run = (count < rows ? kLaneTiles<T>.single : kLaneTiles<T>.full)[outputs];
      const int64_t height = count < rows ? 1 : rows;
      for (int64_t r = 0; r < count; r += height) {
        const int64_t row = i + smaller(r, count - height);  // the last tile may do rows again
        run(k, a + row * lda, lda, b + o * k, k, c + row * ldc + o, ldc);
      }
    }
    finish.alone(i, count, n, c, ldc);
  }
  if (finish.over_rows) finish.rows(0, m, 0, n, c, ldc);
}

}  // namespace
}  // namespace MLPEAK_TIER
}  // namespace mlpeak
