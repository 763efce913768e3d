// Contracts of the serial random kernels (cpp/kernels/random.cpp), one set per tier.
//
// All draw from one sequence of 32-bit words per key: word i is word i mod 4 of Philox4x32-10 with
// key = seed and counter = (i / 4, stream, low half of step, high half of step). A result depends
// on the key and on its element's index only, so that any range may be computed by anyone.
// `first` is the index of out[0] in the whole array and a multiple of 4; n may be anything.
//
// Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11, section 4.3.
#pragma once

#include <stdint.h>

namespace mlpeak {

struct RandomKey {
  uint64_t seed;
  uint64_t step;
  uint32_t stream;
};

/// Words in one (seed, stream, step): 2^32 counters of four.
constexpr int64_t kMaxRandomWords = int64_t(1) << 34;

template <class T>
struct RandomKernels {
  /// out[i] = word first + i, i in [0, n).
  void (*words)(int64_t n, int64_t first, RandomKey key, uint32_t* out);

  /// out[i] = min(low + span * u, below), u in [0, 1) with all the bits of T: float takes the top
  /// 24 bits of word i; double the top 27 of word 2i and 26 of word 2i + 1. Exact but for the two
  /// roundings of low + span * u, which `below` keeps under the upper end.
  void (*uniform)(int64_t n, int64_t first, RandomKey key, T low, T span, T below, T* out);

  /// Elements 2k and 2k + 1 are mean + std * sqrt(-2 log u) * (cos 2 pi v, sin 2 pi v): Box &
  /// Muller, Ann. Math. Stat. 29 (1958). float: u = (word 2k + 1/2) / 2^32, v the 24 bits of word
  /// 2k + 1; double: u = 1 - the 53 bits of words 4k, 4k + 1, v those of 4k + 2, 4k + 3.
  /// With mean 0, std 1: within 6 ulp.
  void (*normal)(int64_t n, int64_t first, RandomKey key, T mean, T std, T* out);

  /// out[i] = word i < drop ? +0 : x[i] * scale. out may be x.
  void (*dropout)(int64_t n, int64_t first, RandomKey key, uint32_t drop, T scale, const T* x,
                  T* out);
};

}  // namespace mlpeak
