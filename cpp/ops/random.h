// The random operations on whole arrays: ranges of elements over threads.
#pragma once

#include <cstdint>

#include "mlpeak/kernels/random.h"

namespace mlpeak {

/// out[i] = word first + i.
void random_words(int64_t n, int64_t first, RandomKey key, uint32_t* out);

/// n numbers in [low, high); all are low where low == high.
template <class T>
void random_uniform(int64_t n, RandomKey key, T low, T high, T* out);

template <class T>
void random_normal(int64_t n, RandomKey key, T mean, T std, T* out);

/// x / (1 - p), or +0 with probability p, a multiple of 2^-32. out may be x. It is also the
/// backward: the same key draws the same mask.
template <class T>
void dropout(int64_t n, RandomKey key, double p, const T* x, T* out);

/// The same for the elements [first, first + n), by the calling thread; first is a multiple of 4.
template <class T>
void dropout_range(int64_t n, int64_t first, RandomKey key, double p, const T* x, T* out);

/// A random order of 0 .. n - 1, n < 2^32, each equally likely. Serial: each swap needs the last.
void permutation(int64_t n, RandomKey key, int64_t* out);

}  // namespace mlpeak
