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

/// Rows 2i and 2i + 1, interleaved in 128-bit quarters: their lower halves in pairs[2i], their
/// upper halves in pairs[2i + 1].
MLPEAK_INLINE void interleave_rows(const float* from, int64_t from_ld, __m512 pairs[16]) {
  for (int i = 0; i < 16; i += 2) {
    const __m512 a = _mm512_loadu_ps(from + i * from_ld);
    const __m512 b = _mm512_loadu_ps(from + (i + 1) * from_ld);
    pairs[i] = _mm512_unpacklo_ps(a, b);
    pairs[i + 1] = _mm512_unpackhi_ps(a, b);
  }
}

/// Columns c, 4 + c, 8 + c and 12 + c of interleaved rows.
template <bool kPast>
MLPEAK_INLINE void put_columns(const __m512 pairs[16], int c, float* to, int64_t to_ld) {
  __m512 group[4];  // quarter q of group[g] is column 4q + c of rows 4g to 4g + 3
  for (int g = 0; g < 4; ++g) {
    const __m512d a = _mm512_castps_pd(pairs[4 * g + c / 2]);
    const __m512d b = _mm512_castps_pd(pairs[4 * g + 2 + c / 2]);
    group[g] = _mm512_castpd_ps(c % 2 ? _mm512_unpackhi_pd(a, b) : _mm512_unpacklo_pd(a, b));
  }
  const __m512 even01 = _mm512_shuffle_f32x4(group[0], group[1], 0x88);
  const __m512 odd01 = _mm512_shuffle_f32x4(group[0], group[1], 0xdd);
  const __m512 even23 = _mm512_shuffle_f32x4(group[2], group[3], 0x88);
  const __m512 odd23 = _mm512_shuffle_f32x4(group[2], group[3], 0xdd);
  put<kPast>(to + c * to_ld, Vec<float>{_mm512_shuffle_f32x4(even01, even23, 0x88)});
  put<kPast>(to + (4 + c) * to_ld, Vec<float>{_mm512_shuffle_f32x4(odd01, odd23, 0x88)});
  put<kPast>(to + (8 + c) * to_ld, Vec<float>{_mm512_shuffle_f32x4(even01, even23, 0xdd)});
  put<kPast>(to + (12 + c) * to_ld, Vec<float>{_mm512_shuffle_f32x4(odd01, odd23, 0xdd)});
}

template <bool kPast = false>
MLPEAK_INLINE void transpose_part(int part, const float* from, int64_t from_ld, float* to,
                                  int64_t to_ld) {
  __m512 pairs[16];
  interleave_rows(from, from_ld, pairs);
  put_columns<kPast>(pairs, part, to, to_ld);
}

template <bool kPast = false>
MLPEAK_INLINE void transpose_block(const float* from, int64_t from_ld, float* to, int64_t to_ld) {
  __m512 pairs[16];
  interleave_rows(from, from_ld, pairs);
  for (int c = 0; c < 4; ++c) put_columns<kPast>(pairs, c, to, to_ld);
}

template <bool kPast = false>
MLPEAK_INLINE void transpose_part(int c, const double* from, int64_t from_ld, double* to,
                                  int64_t to_ld) {
  __m512d group[4];  // quarter q of group[g] is column 2q + c of rows 2g, 2g + 1
  for (int g = 0; g < 4; ++g) {
    const __m512d a = _mm512_loadu_pd(from + 2 * g * from_ld);
    const __m512d b = _mm512_loadu_pd(from + (2 * g + 1) * from_ld);
    group[g] = c ? _mm512_unpackhi_pd(a, b) : _mm512_unpacklo_pd(a, b);
  }
  const __m512d even01 = _mm512_shuffle_f64x2(group[0], group[1], 0x88);
  const __m512d odd01 = _mm512_shuffle_f64x2(group[0], group[1], 0xdd);
  const __m512d even23 = _mm512_shuffle_f64x2(group[2], group[3], 0x88);
  const __m512d odd23 = _mm512_shuffle_f64x2(group[2], group[3], 0xdd);
  put<kPast>(to + c * to_ld, Vec<double>{_mm512_shuffle_f64x2(even01, even23, 0x88)});
  put<kPast>(to + (2 + c) * to_ld, Vec<double>{_mm512_shuffle_f64x2(odd01, odd23, 0x88)});
  put<kPast>(to + (4 + c) * to_ld, Vec<double>{_mm512_shuffle_f64x2(even01, even23, 0xdd)});
  put<kPast>(to + (6 + c) * to_ld, Vec<double>{_mm512_shuffle_f64x2(odd01, odd23, 0xdd)});
}

template <bool kPast = false>
MLPEAK_INLINE void transpose_block(const double* from, int64_t from_ld, double* to, int64_t to_ld) {
  for (int c = 0; c < 2; ++c) transpose_part<kPast>(c, from, from_ld, to, to_ld);
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
