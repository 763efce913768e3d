#include "ops/random.h"

#include <cmath>
#include <cstring>

#include "mlpeak/tier.h"
#include "runtime/threads.h"

namespace mlpeak {
namespace {

// Bounds between threads fall on whole cache lines and whole Philox tiles.
constexpr int64_t kAlign = 1024;

// Nanoseconds a 32-bit word costs on one core with what is made of it, AVX2.
constexpr double kUniformCost = 1.0, kNormalCost = 2.0, kDropoutCost = 1.0;

template <class T>
double words(int64_t n) {
  return double(n) * (sizeof(T) / sizeof(uint32_t));
}

}  // namespace

void random_words(int64_t n, int64_t first, RandomKey key, uint32_t* out) {
  const auto kernel = kernels<float>().random.words;
  // The kernel begins at a whole block: up to three words before it are made aside.
  const int64_t skip = first % 4;
  if (skip) {
    uint32_t block[4];
    kernel(4, first - skip, key, block);
    const int64_t head = n < 4 - skip ? n : 4 - skip;
    std::memcpy(out, block + skip, size_t(head) * sizeof(uint32_t));
    n -= head, first += head, out += head;
  }
  parallel_for(n, kAlign, kUniformCost * double(n), [=](int64_t begin, int64_t end) {
    kernel(end - begin, first + begin, key, out + begin);
  });
}

template <class T>
void random_uniform(int64_t n, RandomKey key, T low, T high, T* out) {
  const auto kernel = kernels<T>().random.uniform;
  const T below = std::nextafter(high, low);
  parallel_for(n, kAlign, kUniformCost * words<T>(n), [=](int64_t begin, int64_t end) {
    kernel(end - begin, begin, key, low, high - low, below, out + begin);
  });
}

template <class T>
void random_normal(int64_t n, RandomKey key, T mean, T std, T* out) {
  const auto kernel = kernels<T>().random.normal;
  parallel_for(n, kAlign, kNormalCost * words<T>(n), [=](int64_t begin, int64_t end) {
    kernel(end - begin, begin, key, mean, std, out + begin);
  });
}

template <class T>
void dropout_range(int64_t n, int64_t first, RandomKey key, double p, const T* x, T* out) {
  const int64_t drop = int64_t(std::floor(p * 0x1p32 + 0.5));
  if (drop > UINT32_MAX) {  // no word is as large: all are dropped
    std::memset(out, 0, size_t(n) * sizeof(T));
    return;
  }
  kernels<T>().random.dropout(n, first, key, uint32_t(drop), T(1 / (1 - p)), x, out);
}

template <class T>
void dropout(int64_t n, RandomKey key, double p, const T* x, T* out) {
  parallel_for(n, kAlign, kDropoutCost * double(n), [=](int64_t begin, int64_t end) {
    dropout_range(end - begin, begin, key, p, x + begin, out + begin);
  });
}

namespace {

/// 64-bit numbers of the sequence, low word first.
class Draws {
 public:
  explicit Draws(RandomKey key) : key_(key) {}

  uint64_t next() {
    if (used_ == kWords) {
      kernels<float>().random.words(kWords, first_, key_, words_);
      first_ += kWords;
      used_ = 0;
    }
    const uint64_t low = words_[used_], high = words_[used_ + 1];
    used_ += 2;
    return low | high << 32;
  }

  /// Uniform in [0, size): the high half of draw * size. 2^64 mod size of the products are one too
  /// many for some results; those are the ones whose low half is below it, and they are drawn again
  /// (Lemire, "Fast random integer generation in an interval", TOMACS 29, 2019, algorithm 5).
  uint64_t below(uint64_t size) {
    unsigned __int128 product = static_cast<unsigned __int128>(next()) * size;
    if (uint64_t(product) < size) {  // else no remainder can be above it: saves the division
      const uint64_t rejected = (0 - size) % size;
      while (uint64_t(product) < rejected) product = static_cast<unsigned __int128>(next()) * size;
    }
    return uint64_t(product >> 64);
  }

 private:
  static constexpr int kWords = 1024;
  RandomKey key_;
  int64_t first_ = 0;
  int used_ = kWords;
  uint32_t words_[kWords];
};

}  // namespace

void permutation(int64_t n, RandomKey key, int64_t* out) {
  Draws draws(key);
  for (int64_t i = 0; i < n; ++i) out[i] = i;
  for (int64_t i = n - 1; i > 0; --i) {
    const int64_t j = int64_t(draws.below(uint64_t(i) + 1));
    const int64_t swapped = out[i];
    out[i] = out[j];
    out[j] = swapped;
  }
}

#define MLPEAK_INSTANTIATE(T)                                         \
  template void random_uniform<T>(int64_t, RandomKey, T, T, T*);      \
  template void random_normal<T>(int64_t, RandomKey, T, T, T*);       \
  template void dropout<T>(int64_t, RandomKey, double, const T*, T*); \
  template void dropout_range<T>(int64_t, int64_t, RandomKey, double, const T*, T*);
MLPEAK_INSTANTIATE(float)
MLPEAK_INSTANTIATE(double)
#undef MLPEAK_INSTANTIATE

}  // namespace mlpeak
