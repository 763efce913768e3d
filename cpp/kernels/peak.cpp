// What the machine can do at most: arithmetic in registers, and streams of memory.
#include "kernels/each_register.h"
#include "kernels/register.h"
#include "simd/vec.h"

namespace mlpeak {
namespace MLPEAK_TIER {
namespace {

// A core keeps latency x ports FMAs in flight: 4 x 2 on Intel since Skylake and on Zen, 4 x 4 on
// Arm's large cores. 12 chains and two constants are what AVX2's 16 registers hold; the tiers with
// 32 registers take 24.
#if defined(MLPEAK_TIER_AVX512) || defined(MLPEAK_TIER_AVX512_BF16) || defined(MLPEAK_TIER_NEON)
constexpr int kChains = 24;
#else
constexpr int kChains = 12;
#endif

template <class T>
T fma_chains(int64_t rounds, T a, T b) {
  const Vec<T> va = set1(a), vb = set1(b);
  Vec<T> c[kChains];
#pragma GCC unroll 24
  for (int i = 0; i < kChains; ++i) c[i] = set1(T(i));
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 24
    for (int i = 0; i < kChains; ++i) c[i] = fma(va, c[i], vb);
  }
  Vec<T> sum = c[0];
#pragma GCC unroll 24
  for (int i = 1; i < kChains; ++i) sum = sum + c[i];
  T lanes[Vec<T>::kLanes];
  store(lanes, sum);
  return lanes[0];
}

template <class T>
void update(int64_t n, T s, const T* x, T* y) {
  const Vec<T> vs = set1(s);
  each_register<T>(n, [&](int64_t i, auto... mask) MLPEAK_LAMBDA_INLINE {
    store(y + i, fma(vs, load(x + i, mask...), load(y + i, mask...)), mask...);
  });
}

template <class T>
PeakKernels<T> peak_kernels() {
  return {fma_chains<T>, 2 * kChains * Vec<T>::kLanes, update<T>};
}

}  // namespace

void register_peak(KernelTable& table) {
  table.f32.peak = peak_kernels<float>();
  table.f64.peak = peak_kernels<double>();
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
