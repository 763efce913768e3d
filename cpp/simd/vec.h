// The SIMD shim: one set of names over every tier.
//
// A kernel file includes this header and is compiled once per tier, with MLPEAK_TIER naming the
// namespace. All vector code is written against
//
//   Vec<T>       one native register of T in {float, double}; Vec<T>::kLanes elements
//   Vec<Int<T>>  the same lanes as integers (int32_t for float, int64_t for double)
//   Mask<T>      one flag a lane
//
//   load(p) store(p, v)                    unaligned, whole register
//   stream(p, v)                           to aligned memory past the caches, where a register is a
//                                          line; finish_streams() before another thread may read
//   first_n<T>(n)                          mask of the first n lanes; n is clamped to [0, kLanes]
//   load(p, m) store(p, v, m)              masked; lanes that are off read as 0 and touch no memory
//   set1(x)                                x in every lane
//   + - * /  sqrt abs                      correctly rounded; never rsqrt or rcp
//   fma(a,b,c) = ab + c, fnma = c - ab     one rounding
//   min(a,b) = a<b ? a : b, max likewise   so a NaN in either gives b
//   lt le eq  & | ! any(m)                 ordered comparisons (false on NaN), mask logic
//   is_nan(v)  select(m, a, b)             m ? a : b
//   to_bits from_bits                      reinterpret
//   Int: set1 + - & | ^ shl<k> shr<k> (logical)   gt (signed compare)
//
// Results of these operations are IEEE-exact, so a kernel written with them gives the same bits on
// every tier as long as its order of operations does not depend on kLanes. lanes.h holds the
// reductions, whose order is fixed at 64 bytes of lanes.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifndef MLPEAK_TIER
#error "kernel sources are compiled per tier: MLPEAK_TIER must name one"
#endif

#define MLPEAK_INLINE inline __attribute__((always_inline))
#define MLPEAK_LAMBDA_INLINE __attribute__((always_inline))

namespace mlpeak {
namespace MLPEAK_TIER {

template <class T>
struct Vec;
template <class T>
struct Mask;

template <class T>
struct IntOf;
template <>
struct IntOf<float> {
  using type = int32_t;
};
template <>
struct IntOf<double> {
  using type = int64_t;
};
template <class T>
using Int = typename IntOf<T>::type;

template <class T>
Mask<T> first_n(int64_t n);

}  // namespace MLPEAK_TIER
}  // namespace mlpeak

#if defined(MLPEAK_TIER_AVX512) || defined(MLPEAK_TIER_AVX512_BF16)
#include "simd/vec_avx512.h"
#elif defined(MLPEAK_TIER_AVX2)
#include "simd/vec_avx2.h"
#elif defined(MLPEAK_TIER_NEON)
#include "simd/vec_neon.h"
#else
#include "simd/vec_scalar.h"
#endif

#if !defined(MLPEAK_TIER_AVX512) && !defined(MLPEAK_TIER_AVX512_BF16)
namespace mlpeak {
namespace MLPEAK_TIER {

template <class T>
MLPEAK_INLINE void stream(T* p, Vec<T> v) {
  store(p, v);
}
MLPEAK_INLINE void finish_streams() {}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
#endif
