// The AVX-512 instructions that cpp/ uses, in terms of AVX2 and FMA, so that the AVX-512 tiers can
// be tested on a machine without them (avx512.sh). What each does is from the Intel Intrinsics
// Guide; those that treat a register's 128-bit quarters alike are two AVX2 instructions.
//
// The compiler's own header is included first: it brings the types and the AVX2 instructions. Its
// functions want AVX-512 from the compiler, so each name is then defined as one of those below.
#pragma once
#pragma GCC system_header  // GCC warns of passing __m512 without AVX-512; all of this is inlined

#include_next <immintrin.h>

namespace emulated {

#define EMULATED inline __attribute__((always_inline))

// R's two halves, of type H.
template <class R>
struct HalfOf;
template <>
struct HalfOf<__m512> {
  using type = __m256;
};
template <>
struct HalfOf<__m512d> {
  using type = __m256d;
};
template <>
struct HalfOf<__m512i> {
  using type = __m256i;
};
template <class R>
struct Halves {
  typename HalfOf<R>::type low, high;
};

template <class R>
EMULATED Halves<R> halves(R a) {
  Halves<R> both;
  __builtin_memcpy(&both, &a, sizeof a);
  return both;
}
template <class R>
EMULATED R whole(typename HalfOf<R>::type low, typename HalfOf<R>::type high) {
  const Halves<R> both{low, high};
  R a;
  __builtin_memcpy(&a, &both, sizeof a);
  return a;
}
template <class To, class From>
EMULATED To same_bits(From a) {
  static_assert(sizeof(To) == sizeof(From), "a register has one size");
  To b;
  __builtin_memcpy(&b, &a, sizeof a);
  return b;
}

// ---- two AVX2 instructions each -----------------------------------------------------------------

#define AVX512_UNARY(name, R)                                     \
  EMULATED R name(R a) {                                          \
    const auto x = halves(a);                                     \
    return whole<R>(_mm256_##name(x.low), _mm256_##name(x.high)); \
  }
#define AVX512_BINARY(name, R)                                                   \
  EMULATED R name(R a, R b) {                                                    \
    const auto x = halves(a), y = halves(b);                                     \
    return whole<R>(_mm256_##name(x.low, y.low), _mm256_##name(x.high, y.high)); \
  }
#define AVX512_TERNARY(name, R)                                                                 \
  EMULATED R name(R a, R b, R c) {                                                              \
    const auto x = halves(a), y = halves(b), z = halves(c);                                     \
    return whole<R>(_mm256_##name(x.low, y.low, z.low), _mm256_##name(x.high, y.high, z.high)); \
  }

AVX512_UNARY(sqrt_ps, __m512)
AVX512_UNARY(sqrt_pd, __m512d)
AVX512_BINARY(add_ps, __m512)
AVX512_BINARY(add_pd, __m512d)
AVX512_BINARY(sub_ps, __m512)
AVX512_BINARY(sub_pd, __m512d)
AVX512_BINARY(mul_ps, __m512)
AVX512_BINARY(mul_pd, __m512d)
AVX512_BINARY(div_ps, __m512)
AVX512_BINARY(div_pd, __m512d)
AVX512_BINARY(min_ps, __m512)
AVX512_BINARY(min_pd, __m512d)
AVX512_BINARY(max_ps, __m512)
AVX512_BINARY(max_pd, __m512d)
AVX512_BINARY(unpacklo_ps, __m512)
AVX512_BINARY(unpacklo_pd, __m512d)
AVX512_BINARY(unpackhi_ps, __m512)
AVX512_BINARY(unpackhi_pd, __m512d)
AVX512_BINARY(add_epi32, __m512i)
AVX512_BINARY(add_epi64, __m512i)
AVX512_BINARY(sub_epi32, __m512i)
AVX512_BINARY(sub_epi64, __m512i)
AVX512_BINARY(mul_epu32, __m512i)
AVX512_TERNARY(fmadd_ps, __m512)
AVX512_TERNARY(fmadd_pd, __m512d)
AVX512_TERNARY(fnmadd_ps, __m512)
AVX512_TERNARY(fnmadd_pd, __m512d)

#undef AVX512_UNARY
#undef AVX512_BINARY
#undef AVX512_TERNARY

EMULATED __m512i and_si512(__m512i a, __m512i b) {
  return a & b;
}
EMULATED __m512i or_si512(__m512i a, __m512i b) {
  return a | b;
}
EMULATED __m512i xor_si512(__m512i a, __m512i b) {
  return a ^ b;
}

// ---- with masks, one bit a lane ----------------------------------------------------------------

// S: ps or pd; E: epi32 or epi64; X: int of a lane's size; T, R, M: lane, register and mask; L:
// lanes of half a register
#define AVX512_MASKED(S, E, X, T, R, M, L)                                                        \
  EMULATED Halves<__m512i> lanes_of_##S(M m) { /* all bits of a lane whose bit in m is set */     \
    X lane[2 * L];                                                                                \
    for (int i = 0; i < 2 * L; ++i) lane[i] = X(m >> i & 1) ? X(-1) : X(0);                       \
    Halves<__m512i> both;                                                                         \
    __builtin_memcpy(&both, lane, sizeof both);                                                   \
    return both;                                                                                  \
  }                                                                                               \
  EMULATED R maskz_loadu_##S(M m, const void* p) {                                                \
    const auto on = lanes_of_##S(m);                                                              \
    const T* from = static_cast<const T*>(p);                                                     \
    return whole<R>(_mm256_maskload_##S(from, on.low), _mm256_maskload_##S(from + L, on.high));   \
  }                                                                                               \
  EMULATED void mask_storeu_##S(void* p, M m, R a) {                                              \
    const auto on = lanes_of_##S(m);                                                              \
    const auto x = halves(a);                                                                     \
    T* to = static_cast<T*>(p);                                                                   \
    _mm256_maskstore_##S(to, on.low, x.low);                                                      \
    _mm256_maskstore_##S(to + L, on.high, x.high);                                                \
  }                                                                                               \
  EMULATED R mask_blend_##S(M m, R a, R b) {                                                      \
    const auto on = lanes_of_##S(m);                                                              \
    const auto x = halves(a), y = halves(b);                                                      \
    return whole<R>(_mm256_blendv_##S(x.low, y.low, _mm256_castsi256_##S(on.low)),                \
                    _mm256_blendv_##S(x.high, y.high, _mm256_castsi256_##S(on.high)));            \
  }                                                                                               \
  EMULATED __m512i mask_blend_##E(M m, __m512i a, __m512i b) {                                    \
    return same_bits<__m512i>(mask_blend_##S(m, same_bits<R>(a), same_bits<R>(b)));               \
  }                                                                                               \
  template <int kPredicate>                                                                       \
  EMULATED M cmp_##S##_mask(R a, R b) {                                                           \
    const auto x = halves(a), y = halves(b);                                                      \
    return M(_mm256_movemask_##S(_mm256_cmp_##S(x.low, y.low, kPredicate)) |                      \
             _mm256_movemask_##S(_mm256_cmp_##S(x.high, y.high, kPredicate)) << L);               \
  }                                                                                               \
  EMULATED M cmpgt_##E##_mask(__m512i a, __m512i b) {                                             \
    const auto x = halves(a), y = halves(b);                                                      \
    const auto bits = [](__m256i greater) {                                                       \
      return _mm256_movemask_##S(_mm256_castsi256_##S(greater));                                  \
    };                                                                                            \
    return M(bits(_mm256_cmpgt_##E(x.low, y.low)) | bits(_mm256_cmpgt_##E(x.high, y.high)) << L); \
  }                                                                                               \
  EMULATED R abs_##S(R a) {                                                                       \
    const auto x = halves(a);                                                                     \
    const auto sign = _mm256_set1_##S(T(-0.0));                                                   \
    return whole<R>(_mm256_andnot_##S(sign, x.low), _mm256_andnot_##S(sign, x.high));             \
  }                                                                                               \
  template <int kBits>                                                                            \
  EMULATED __m512i slli_##E(__m512i a) {                                                          \
    const auto x = halves(a);                                                                     \
    return whole<__m512i>(_mm256_slli_##E(x.low, kBits), _mm256_slli_##E(x.high, kBits));         \
  }                                                                                               \
  template <int kBits>                                                                            \
  EMULATED __m512i srli_##E(__m512i a) {                                                          \
    const auto x = halves(a);                                                                     \
    return whole<__m512i>(_mm256_srli_##E(x.low, kBits), _mm256_srli_##E(x.high, kBits));         \
  }                                                                                               \
  EMULATED R set1_##S(T x) {                                                                      \
    return whole<R>(_mm256_set1_##S(x), _mm256_set1_##S(x));                                      \
  }                                                                                               \
  EMULATED R loadu_##S(const void* p) {                                                           \
    R a;                                                                                          \
    __builtin_memcpy(&a, p, sizeof a);                                                            \
    return a;                                                                                     \
  }                                                                                               \
  EMULATED void storeu_##S(void* p, R a) {                                                        \
    __builtin_memcpy(p, &a, sizeof a);                                                            \
  }                                                                                               \
  EMULATED void stream_##S(void* p, R a) {                                                        \
    const auto x = halves(a);                                                                     \
    _mm256_stream_##S(static_cast<T*>(p), x.low);                                                 \
    _mm256_stream_##S(static_cast<T*>(p) + L, x.high);                                            \
  }                                                                                               \
  EMULATED R scalef_##S(R a, R b) { /* a 2^floor(b), of finite b */                               \
    T x[2 * L], n[2 * L];                                                                         \
    storeu_##S(x, a);                                                                             \
    storeu_##S(n, b);                                                                             \
    for (int i = 0; i < 2 * L; ++i) x[i] = scaled(x[i], n[i]);                                    \
    return loadu_##S(x);                                                                          \
  }

/// x 2^floor(n), rounded once.
template <class T>
EMULATED T scaled(T x, T n) {
  if (n != n) return n;
  const double whole = __builtin_floor(n > 9999 ? 9999 : n < -9999 ? -9999 : double(n));
  return sizeof(T) == 4 ? T(__builtin_ldexpf(float(x), int(whole)))
                        : T(__builtin_ldexp(double(x), int(whole)));
}

AVX512_MASKED(ps, epi32, int32_t, float, __m512, __mmask16, 8)
AVX512_MASKED(pd, epi64, int64_t, double, __m512d, __mmask8, 4)

#undef AVX512_MASKED

EMULATED __m512i set1_epi32(int32_t x) {
  return whole<__m512i>(_mm256_set1_epi32(x), _mm256_set1_epi32(x));
}
EMULATED __m512i set1_epi64(int64_t x) {
  return whole<__m512i>(_mm256_set1_epi64x(x), _mm256_set1_epi64x(x));
}
EMULATED __m512 setzero_ps() {
  return set1_ps(0);
}
EMULATED __m512i load_si512(const void* p) {
  return same_bits<__m512i>(loadu_ps(p));
}
EMULATED void storeu_si512(void* p, __m512i a) {
  storeu_ps(p, same_bits<__m512>(a));
}

// ---- across the quarters ------------------------------------------------------------------------

/// Two quarters of a, then two of b, by two bits of kWhich each.
template <int kWhich, class R>
EMULATED R shuffle_quarters(R a, R b) {
  R c;
  for (int q = 0; q < 4; ++q)
    __builtin_memcpy(reinterpret_cast<char*>(&c) + 16 * q,
                     reinterpret_cast<const char*>(q < 2 ? &a : &b) + 16 * (kWhich >> 2 * q & 3),
                     16);
  return c;
}
/// The 128 bits of q, a Q, in the first quarter of R, whose others are zero here.
template <class R, class Q>
EMULATED R first_quarter(Q q) {
  R a = {};
  __builtin_memcpy(&a, &q, sizeof q);
  return a;
}
/// q in each quarter.
template <class R, class Q>
EMULATED R four_quarters(Q q) {
  R a;
  for (int i = 0; i < 4; ++i) __builtin_memcpy(reinterpret_cast<char*>(&a) + 16 * i, &q, 16);
  return a;
}
EMULATED __m512 mask_broadcast_f32x4(__m512 a, __mmask16 m, __m128 q) {
  return mask_blend_ps(m, a, four_quarters<__m512>(q));
}
EMULATED __m512d mask_broadcast_f64x2(__m512d a, __mmask8 m, __m128d q) {
  return mask_blend_pd(m, a, four_quarters<__m512d>(q));
}
template <int kWhich>
EMULATED __m512 permute_ps(__m512 a) {
  const auto x = halves(a);
  return whole<__m512>(_mm256_permute_ps(x.low, kWhich), _mm256_permute_ps(x.high, kWhich));
}
template <int kWhich>
EMULATED __m512 shuffle_ps(__m512 a, __m512 b) {
  const auto x = halves(a), y = halves(b);
  return whole<__m512>(_mm256_shuffle_ps(x.low, y.low, kWhich),
                       _mm256_shuffle_ps(x.high, y.high, kWhich));
}
template <int kWhich>
EMULATED __m512d permute_pd(__m512d a) {  // a bit of kWhich for each lane
  const auto x = halves(a);
  return whole<__m512d>(_mm256_permute_pd(x.low, kWhich & 15),
                        _mm256_permute_pd(x.high, kWhich >> 4));
}
EMULATED __m512i permutexvar_epi16(__m512i order, __m512i a) {
  uint16_t from[32], which[32], to[32];
  storeu_si512(from, a);
  storeu_si512(which, order);
  for (int i = 0; i < 32; ++i) to[i] = from[which[i] & 31];
  return load_si512(to);
}

// ---- bfloat16 -----------------------------------------------------------------------------------

/// The bfloat16 nearest to x, ties to even; subnormal numbers are zero, a NaN is made quiet.
EMULATED uint16_t to_bfloat16(float x) {
  const uint32_t bits = same_bits<uint32_t>(x), size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) return uint16_t(bits >> 16 | 0x40);
  if (size < 0x00800000u) return uint16_t(bits >> 16 & 0x8000);
  return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/// b's 16 floats in the lower half, a's in the upper.
EMULATED __m512bh cvtne2ps_pbh(__m512 a, __m512 b) {
  float from[32];
  uint16_t to[32];
  storeu_ps(from, b);
  storeu_ps(from + 16, a);
  for (int i = 0; i < 32; ++i) to[i] = to_bfloat16(from[i]);
  return same_bits<__m512bh>(load_si512(to));
}

/// sum + a's odd halves times b's, then + the even halves' products: fused, round to nearest,
/// subnormal numbers being zero, which here is the mode of the thread.
EMULATED __m512 dpbf16_ps(__m512 sum, __m512bh a, __m512bh b) {
  const __m512i x = same_bits<__m512i>(a), y = same_bits<__m512i>(b);
  const auto odd = [](__m512i pair) {
    return same_bits<__m512>(and_si512(pair, set1_epi32(int32_t(0xffff0000u))));
  };
  const auto even = [](__m512i pair) { return same_bits<__m512>(slli_epi32<16>(pair)); };
  return fmadd_ps(even(x), even(y), fmadd_ps(odd(x), odd(y), sum));
}

#undef EMULATED

}  // namespace emulated

#define _mm512_abs_ps emulated::abs_ps
#define _mm512_add_ps emulated::add_ps
#define _mm512_div_ps emulated::div_ps
#define _mm512_fmadd_ps emulated::fmadd_ps
#define _mm512_fnmadd_ps emulated::fnmadd_ps
#define _mm512_loadu_ps emulated::loadu_ps
#define _mm512_mask_blend_ps emulated::mask_blend_ps
#define _mm512_mask_storeu_ps emulated::mask_storeu_ps
#define _mm512_maskz_loadu_ps emulated::maskz_loadu_ps
#define _mm512_max_ps emulated::max_ps
#define _mm512_min_ps emulated::min_ps
#define _mm512_mul_ps emulated::mul_ps
#define _mm512_scalef_ps emulated::scalef_ps
#define _mm512_set1_ps emulated::set1_ps
#define _mm512_sqrt_ps emulated::sqrt_ps
#define _mm512_storeu_ps emulated::storeu_ps
#define _mm512_stream_ps emulated::stream_ps
#define _mm512_sub_ps emulated::sub_ps
#define _mm512_unpackhi_ps emulated::unpackhi_ps
#define _mm512_unpacklo_ps emulated::unpacklo_ps
#define _mm512_add_epi32 emulated::add_epi32
#define _mm512_sub_epi32 emulated::sub_epi32
#define _mm512_set1_epi32 emulated::set1_epi32
#define _mm512_mask_blend_epi32 emulated::mask_blend_epi32
#define _mm512_cmpgt_epi32_mask emulated::cmpgt_epi32_mask
#define _mm512_abs_pd emulated::abs_pd
#define _mm512_add_pd emulated::add_pd
#define _mm512_div_pd emulated::div_pd
#define _mm512_fmadd_pd emulated::fmadd_pd
#define _mm512_fnmadd_pd emulated::fnmadd_pd
#define _mm512_loadu_pd emulated::loadu_pd
#define _mm512_mask_blend_pd emulated::mask_blend_pd
#define _mm512_mask_storeu_pd emulated::mask_storeu_pd
#define _mm512_maskz_loadu_pd emulated::maskz_loadu_pd
#define _mm512_max_pd emulated::max_pd
#define _mm512_min_pd emulated::min_pd
#define _mm512_mul_pd emulated::mul_pd
#define _mm512_scalef_pd emulated::scalef_pd
#define _mm512_set1_pd emulated::set1_pd
#define _mm512_sqrt_pd emulated::sqrt_pd
#define _mm512_storeu_pd emulated::storeu_pd
#define _mm512_stream_pd emulated::stream_pd
#define _mm512_sub_pd emulated::sub_pd
#define _mm512_unpackhi_pd emulated::unpackhi_pd
#define _mm512_unpacklo_pd emulated::unpacklo_pd
#define _mm512_add_epi64 emulated::add_epi64
#define _mm512_sub_epi64 emulated::sub_epi64
#define _mm512_set1_epi64 emulated::set1_epi64
#define _mm512_mask_blend_epi64 emulated::mask_blend_epi64
#define _mm512_cmpgt_epi64_mask emulated::cmpgt_epi64_mask
#define _mm512_and_si512 emulated::and_si512
#define _mm512_or_si512 emulated::or_si512
#define _mm512_xor_si512 emulated::xor_si512
#define _mm512_mul_epu32 emulated::mul_epu32
#define _mm512_load_si512 emulated::load_si512
#define _mm512_storeu_si512 emulated::storeu_si512
#define _mm512_setzero_ps emulated::setzero_ps
#define _mm512_permutexvar_epi16 emulated::permutexvar_epi16
#define _mm512_cvtne2ps_pbh emulated::cvtne2ps_pbh
#define _mm512_dpbf16_ps emulated::dpbf16_ps

// constants of an instruction are template arguments
#define _mm512_cmp_ps_mask(a, b, predicate) emulated::cmp_ps_mask<predicate>(a, b)
#define _mm512_permute_ps(a, which) emulated::permute_ps<which>(a)
#define _mm512_shuffle_ps(a, b, which) emulated::shuffle_ps<which>(a, b)
#define _mm512_cmp_pd_mask(a, b, predicate) emulated::cmp_pd_mask<predicate>(a, b)
#define _mm512_permute_pd(a, which) emulated::permute_pd<which>(a)
#define _mm512_slli_epi32(a, bits) emulated::slli_epi32<bits>(a)
#define _mm512_srli_epi32(a, bits) emulated::srli_epi32<bits>(a)
#define _mm512_slli_epi64(a, bits) emulated::slli_epi64<bits>(a)
#define _mm512_srli_epi64(a, bits) emulated::srli_epi64<bits>(a)
#define _mm512_shuffle_f32x4(a, b, which) emulated::shuffle_quarters<which>(a, b)
#define _mm512_shuffle_f64x2(a, b, which) emulated::shuffle_quarters<which>(a, b)

#define _mm512_mask_broadcast_f32x4 emulated::mask_broadcast_f32x4
#define _mm512_mask_broadcast_f64x2 emulated::mask_broadcast_f64x2
#define _mm512_castps128_ps512 emulated::first_quarter<__m512>
#define _mm512_castpd128_pd512 emulated::first_quarter<__m512d>

// reinterpretations
#define _mm512_castps_si512 emulated::same_bits<__m512i>
#define _mm512_castpd_si512 emulated::same_bits<__m512i>
#define _mm512_castsi512_ps emulated::same_bits<__m512>
#define _mm512_castsi512_pd emulated::same_bits<__m512d>
#define _mm512_castps_pd emulated::same_bits<__m512d>
#define _mm512_castpd_ps emulated::same_bits<__m512>
