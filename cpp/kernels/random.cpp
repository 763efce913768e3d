#include "mlpeak/kernels/random.h"

#include <string.h>

#include "kernels/register.h"
#include "simd/math.h"
#include "simd/trig.h"
#include "simd/vec.h"
#include "simd/widen.h"

namespace mlpeak {
namespace MLPEAK_TIER {
namespace {

// A tile of words stays in L1 (1 KiB) between the loop that makes it and the one that uses it.
// Loops of integers, conversions of integers below 2^24 (2^31 to double), and single + and * are
// exact or correctly rounded however they are vectorised, so they are left to the compiler.
constexpr int kTileBlocks = 64;
constexpr int kTileWords = 4 * kTileBlocks;

using Words = Vec<int64_t>;  // each lane holds one 32-bit word; its upper half is never read
constexpr int kBlocksAtOnce = Vec<double>::kLanes;

/// Ten rounds for the counters (block + j, stream, step), j in [0, kTileBlocks).
void fill_tile(uint32_t block, const RandomKey& key, uint32_t* words) {
  const Words multiplier0 = set1(int64_t(0xD2511F53)), multiplier1 = set1(int64_t(0xCD9E8D57));
  const Words stream = set1(int64_t(key.stream)), low_half = set1(int64_t(0xFFFFFFFF));
  const Words step_low = set1(int64_t(key.step)), step_high = set1(int64_t(key.step >> 32));
  double counter[kTileBlocks], words01[kTileBlocks], words23[kTileBlocks];  // 64 bits, not numbers
  for (int j = 0; j < kTileBlocks; ++j) {
    const uint64_t x = uint32_t(block + uint32_t(j));
    memcpy(counter + j, &x, sizeof(x));
  }
  for (int j = 0; j < kTileBlocks; j += kBlocksAtOnce) {
    Words x0 = to_bits(load(counter + j)), x1 = stream, x2 = step_low, x3 = step_high;
    uint32_t k0 = uint32_t(key.seed), k1 = uint32_t(key.seed >> 32);
#pragma GCC unroll 10
    for (int round = 0; round < 10; ++round) {
      const Words p0 = mul_low_halves(multiplier0, x0), p1 = mul_low_halves(multiplier1, x2);
      x0 = shr<32>(p1) ^ x1 ^ set1(int64_t(k0));
      x1 = p1;
      x2 = shr<32>(p0) ^ x3 ^ set1(int64_t(k1));
      x3 = p0;
      k0 += 0x9E3779B9u;  // Weyl sequences: golden ratio, sqrt(3) - 1
      k1 += 0xBB67AE85u;
    }
    store(words01 + j, from_bits((x0 & low_half) | shl<32>(x1)));
    store(words23 + j, from_bits((x2 & low_half) | shl<32>(x3)));
  }
  for (int j = 0; j < kTileBlocks; ++j) {
    memcpy(words + 4 * j, words01 + j, sizeof(double));
    memcpy(words + 4 * j + 2, words23 + j, sizeof(double));
  }
}

/// Calls body(offset, count, words) for the tiles of [0, n) elements of kWordsEach words.
template <int kWordsEach, class Body>
MLPEAK_INLINE void for_tiles(int64_t n, int64_t first, const RandomKey& key, Body body) {
  constexpr int kTile = kTileWords / kWordsEach;
  uint32_t words[kTileWords];
  for (int64_t i = 0; i < n; i += kTile) {
    fill_tile(uint32_t((first + i) * kWordsEach / 4), key, words);
    body(i, int(n - i < kTile ? n - i : kTile), words);
  }
}

/// 24 bits as a float in [0, 1), exactly.
MLPEAK_INLINE float unit24(uint32_t word) {
  return float(int32_t(word >> 8)) * 0x1p-24f;
}

/// 53 bits as a double integer in [0, 2^53), exactly.
MLPEAK_INLINE double integer53(uint32_t high, uint32_t low) {
  return double(int32_t(high >> 5)) * 0x1p26 + double(int32_t(low >> 6));
}

void words(int64_t n, int64_t first, RandomKey key, uint32_t* out) {
  for_tiles<1>(n, first, key, [=](int64_t i, int count, const uint32_t* w) MLPEAK_LAMBDA_INLINE {
    for (int j = 0; j < count; ++j) out[i + j] = w[j];
  });
}

template <class T>
constexpr int kWordsOf = int(sizeof(T) / sizeof(uint32_t));

MLPEAK_INLINE float unit(const uint32_t* w, int j, float) {
  return unit24(w[j]);
}
MLPEAK_INLINE double unit(const uint32_t* w, int j, double) {
  return integer53(w[2 * j], w[2 * j + 1]) * 0x1p-53;
}

template <class T>
void uniform(int64_t n, int64_t first, RandomKey key, T low, T span, T below, T* out) {
  for_tiles<kWordsOf<T>>(n, first, key,
                         [=](int64_t i, int count, const uint32_t* w) MLPEAK_LAMBDA_INLINE {
                           for (int j = 0; j < count; ++j) {
                             const T x = low + span * unit(w, j, T());
                             out[i + j] = x < below ? x : below;
                           }
                         });
}

/// u in (0, 1] for the radius and v in [0, 1) for the angle of pair k.
MLPEAK_INLINE void box_muller_units(const uint32_t* w, int k, float& u, float& v) {
  // One rounding, in the sum; 2^-33 at least, where the 24 bits of unit24 would end at 2^-24.
  const uint32_t word = w[2 * k];
  u = (float(int32_t(word >> 16)) * 0x1p16f + (float(int32_t(word & 0xFFFF)) + 0.5f)) * 0x1p-32f;
  v = unit24(w[2 * k + 1]);
}
MLPEAK_INLINE void box_muller_units(const uint32_t* w, int k, double& u, double& v) {
  u = (0x1p53 - integer53(w[4 * k], w[4 * k + 1])) * 0x1p-53;
  v = integer53(w[4 * k + 2], w[4 * k + 3]) * 0x1p-53;
}

template <class T>
void normal(int64_t n, int64_t first, RandomKey key, T mean, T std, T* out) {
  constexpr int kPairs = kTileWords / kWordsOf<T> / 2;
  static_assert(kPairs % Vec<T>::kLanes == 0, "whole registers only");
  const Vec<T> vmean = set1(mean), vstd = set1(std);
  for_tiles<kWordsOf<T>>(n, first, key,
                         [=](int64_t i, int count, const uint32_t* w) MLPEAK_LAMBDA_INLINE {
                           T a[kPairs], b[kPairs];
                           for (int k = 0; k < kPairs; ++k) box_muller_units(w, k, a[k], b[k]);
                           for (int k = 0; k < kPairs; k += Vec<T>::kLanes) {
                             const Vec<T> radius = sqrt(set1(T(-2)) * log(load(a + k)));
                             const SinCos<T> angle = sincos_turns(load(b + k));
                             store(a + k, fma(vstd, radius * angle.cos, vmean));
                             store(b + k, fma(vstd, radius * angle.sin, vmean));
                           }
                           for (int k = 0; k < count / 2; ++k) {
                             out[i + 2 * k] = a[k];
                             out[i + 2 * k + 1] = b[k];
                           }
                           if (count % 2) out[i + count - 1] = a[count / 2];
                         });
}

template <class T>
void dropout(int64_t n, int64_t first, RandomKey key, uint32_t drop, T scale, const T* x, T* out) {
  for_tiles<1>(n, first, key, [=](int64_t i, int count, const uint32_t* w) MLPEAK_LAMBDA_INLINE {
    for (int j = 0; j < count; ++j) {
      const T kept = x[i + j] * scale;
      out[i + j] = w[j] < drop ? T(0) : kept;
    }
  });
}

template <class T>
RandomKernels<T> random_kernels() {
  return {words, uniform<T>, normal<T>, dropout<T>};
}

}  // namespace

void register_random(KernelTable& table) {
  table.f32.random = random_kernels<float>();
  table.f64.random = random_kernels<double>();
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
