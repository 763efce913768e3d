// The machine's limits, measured: what every benchmark is a share of.
#pragma once

#include <cstdint>

namespace mlpeak {

/// The most floating-point operations a second (an FMA is two) of the tier in use, on num_threads()
/// threads at once: the best of slices of about a millisecond within `milliseconds`.
template <class T>
double fma_peak(double milliseconds);

/// The most bytes a second that y = y + s x reads and writes on num_threads() threads, where x and
/// y have `bytes` bytes together: the best pass within `milliseconds`. Throws std::bad_alloc.
double memory_bandwidth(int64_t bytes, double milliseconds);

/// Bytes of a core's second-level cache; 1 MiB where the system does not say.
int64_t level2_cache_bytes();

}  // namespace mlpeak
