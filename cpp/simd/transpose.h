// Transposing a block of kLanes x kLanes elements in registers, for packing a transposed operand:
// it moves data and computes nothing, so tiers may differ in how. With kPast the results are stored
// past the caches. A block may also be done in kTransposeParts parts, between other work.
#pragma once

#include "simd/vec.h"

namespace mlpeak {
namespace MLPEAK_TIER {

template <bool kPast, class T>
MLPEAK_INLINE void put(T* p, Vec<T> v) {
  if constexpr (kPast)
    stream(p, v);
  else
    store(p, v);
}

#if defined(MLPEAK_TIER_AVX512) || defined(MLPEAK_TIER_AVX512_BF16) || defined(MLPEAK_TIER_AVX2)

/// column[p] = row[0][p], row[1][p] ... row[7][p] for p in [0, 8).
MLPEAK_INLINE void transpose_8x8(const float* const row[8], __m256 column[8]) {
  for (int p = 0; p < 8; p += 4) {
    // Halves of two rows meet in a register as they are loaded: shuffles have fewer units.
    __m256 halves[4];  // of rows r and r + 4
    for (int r = 0; r < 4; ++r)
      halves[r] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(row[r] + p)),
                                       _mm_loadu_ps(row[r + 4] + p), 1);
    for (int c = 0; c < 4; c += 2) {
      const auto pair_of = [c](__m256 a, __m256 b) {
        return _mm256_castps_pd(c ? _mm256_unpackhi_ps(a, b) : _mm256_unpacklo_ps(a, b));
      };
      const __m256d upper = pair_of(halves[0], halves[1]);
      const __m256d lower = pair_of(halves[2], halves[3]);
      column[p + c] = _mm256_castpd_ps(_mm256_unpacklo_pd(upper, lower));
      column[p + c + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(upper, lower));
    }
  }
}

#endif

// transpose_block: to[p * to_ld + i] = from[i * from_ld + p] for i, p in [0, kLanes).
// transpose_part: the same for some p, which `part` in [0, kTransposeParts) says.

#if defined(MLPEAK_TIER_AVX512) || defined(MLPEAK_TIER_AVX512_BF16)

template <class T>
constexpr int kTransposeParts = Vec<T>::kLanes / 4;

/// The 128 bits at p and at the three places that are `apart` elements further each. They meet in a
/// register as they are loaded: shuffles have fewer units.
MLPEAK_INLINE __m512 quarters(const float* p, int64_t apart) {
  __m512 q = _mm512_castps128_ps512(_mm_loadu_ps(p));
  q = _mm512_mask_broadcast_f32x4(q, 0x00f0, _mm_loadu_ps(p + apart));
  q = _mm512_mask_broadcast_f32x4(q, 0x0f00, _mm_loadu_ps(p + 2 * apart));
  return _mm512_mask_broadcast_f32x4(q, 0xf000, _mm_loadu_ps(p + 3 * apart));
}
MLPEAK_INLINE __m512d quarters(const double* p, int64_t apart) {
  __m512d q = _mm512_castpd128_pd512(_mm_loadu_pd(p));
  q = _mm512_mask_broadcast_f64x2(q, 0x0c, _mm_loadu_pd(p + apart));
  q = _mm512_mask_broadcast_f64x2(q, 0x30, _mm_loadu_pd(p + 2 * apart));
  return _mm512_mask_broadcast_f64x2(q, 0xc0, _mm_loadu_pd(p + 3 * apart));
}

/// Columns 4 part to 4 part + 3.
template <bool kPast = false>
MLPEAK_INLINE void transpose_part(int part, const float* from, int64_t from_ld, float* to,
                                  int64_t to_ld) {
  __m512 row[4];  // quarter q of row[r] is of row 4q + r
  for (int r = 0; r < 4; ++r) row[r] = quarters(from + r * from_ld + 4 * part, 4 * from_ld);
  to += 4 * part * to_ld;
  for (int c = 0; c < 4; c += 2, to += 2 * to_ld) {
    const auto pair_of = [c](__m512 a, __m512 b) {
      return _mm512_castps_pd(c ? _mm512_unpackhi_ps(a, b) : _mm512_unpacklo_ps(a, b));
    };
    const __m512d upper = pair_of(row[0], row[1]), lower = pair_of(row[2], row[3]);
    put<kPast>(to, Vec<float>{_mm512_castpd_ps(_mm512_unpacklo_pd(upper, lower))});
    put<kPast>(to + to_ld, Vec<float>{_mm512_castpd_ps(_mm512_unpackhi_pd(upper, lower))});
  }
}

/// Columns 4 part to 4 part + 3.
template <bool kPast = false>
MLPEAK_INLINE void transpose_part(int part, const double* from, int64_t from_ld, double* to,
                                  int64_t to_ld) {
  to += 4 * part * to_ld;
  for (int c = 4 * part; c < 4 * part + 4; c += 2, to += 2 * to_ld) {
    // quarter q of even is of row 2q, of odd of the one after it
    const __m512d even = quarters(from + c, 2 * from_ld);
    const __m512d odd = quarters(from + from_ld + c, 2 * from_ld);
    put<kPast>(to, Vec<double>{_mm512_unpacklo_pd(even, odd)});
    put<kPast>(to + to_ld, Vec<double>{_mm512_unpackhi_pd(even, odd)});
  }
}

template <bool kPast = false, class T>
MLPEAK_INLINE void transpose_block(const T* from, int64_t from_ld, T* to, int64_t to_ld) {
  for (int part = 0; part < kTransposeParts<T>; ++part)
    transpose_part<kPast>(part, from, from_ld, to, to_ld);
}

#else

#if defined(MLPEAK_TIER_AVX2)

template <bool kPast = false>
MLPEAK_INLINE void transpose_block(const float* from, int64_t from_ld, float* to, int64_t to_ld) {
  const float* row[8];
  for (int i = 0; i < 8; ++i) row[i] = from + i * from_ld;
  __m256 column[8];
  transpose_8x8(row, column);
  for (int c = 0; c < 8; ++c) put<kPast>(to + c * to_ld, Vec<float>{column[c]});
}

template <bool kPast = false>
MLPEAK_INLINE void transpose_block(const double* from, int64_t from_ld, double* to, int64_t to_ld) {
  for (int p = 0; p < 4; p += 2) {
    __m256d halves[2];  // of rows r and r + 2
    for (int r = 0; r < 2; ++r)
      halves[r] = _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(from + r * from_ld + p)),
                                       _mm_loadu_pd(from + (r + 2) * from_ld + p), 1);
    put<kPast>(to + p * to_ld, Vec<double>{_mm256_unpacklo_pd(halves[0], halves[1])});
    put<kPast>(to + (p + 1) * to_ld, Vec<double>{_mm256_unpackhi_pd(halves[0], halves[1])});
  }
}

#else

template <bool kPast = false, class T>
MLPEAK_INLINE void transpose_block(const T* from, int64_t from_ld, T* to, int64_t to_ld) {
  for (int p = 0; p < Vec<T>::kLanes; ++p)
    for (int i = 0; i < Vec<T>::kLanes; ++i) to[p * to_ld + i] = from[i * from_ld + p];
}

#endif

template <class T>
constexpr int kTransposeParts = 1;

template <bool kPast = false, class T>
MLPEAK_INLINE void transpose_part(int, const T* from, int64_t from_ld, T* to, int64_t to_ld) {
  transpose_block<kPast>(from, from_ld, to, to_ld);
}

#endif

/// Elements that copy_short moves at once, and that a write of transpose_rows may go beyond its
/// end.
constexpr int64_t kCopied = 8;

/// to[0:kCopied] = from[0:kCopied]
template <class T>
MLPEAK_INLINE void copy_short(const T* from, T* to) {
  constexpr int kWidth = Vec<T>::kLanes;
  if constexpr (kWidth > kCopied) {
    __builtin_memcpy(to, from, kCopied * sizeof(T));
  } else {
    Vec<T> part[kCopied / kWidth];
    for (int i = 0; i < kCopied / kWidth; ++i) part[i] = load(from + i * kWidth);
    for (int i = 0; i < kCopied / kWidth; ++i) store(to + i * kWidth, part[i]);
  }
}

/// to[p * rows + r] = from[r * ld + p] for r < rows <= 8 and p < q, where q <= k is returned; up to
/// kCopied elements beyond to[q * rows] are overwritten too.
template <class T>
MLPEAK_INLINE int64_t transpose_rows(int, int64_t, const T*, int64_t, T*) {
  return 0;
}

#if defined(MLPEAK_TIER_AVX512) || defined(MLPEAK_TIER_AVX512_BF16) || defined(MLPEAK_TIER_AVX2)

template <>
MLPEAK_INLINE int64_t transpose_rows(int rows, int64_t k, const float* from, int64_t ld,
                                     float* to) {
  const float* row[8];
  for (int r = 0; r < 8; ++r) row[r] = from + (r < rows ? r : 0) * ld;
  int64_t p = 0;
  for (; p + 8 <= k; p += 8) {
    __m256 column[8];
    transpose_8x8(row, column);
    for (int c = 0; c < 8; ++c, to += rows) _mm256_storeu_ps(to, column[c]);
    for (int r = 0; r < 8; ++r) row[r] += 8;
  }
  return p;
}

#endif

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
