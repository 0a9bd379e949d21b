// Integer arithmetic of quantized products: dot products of unsigned weights with signed activations.
//
// Owns three ways to sum the products of four neighbouring bytes, none of which can saturate or overflow, so that all of
// them, and so all instruction sets, give the same integers. `dot` takes bytes as they are (AVX-512 VNNI). `dot_nibbles`
// takes weights of 0 .. 15 and sums in 16 bits (AVX2). `dot_wide` takes both sides widened to 16 bits, and serves everywhere;
// on Zen 3 it is as fast as vpmaddubsw, whose sum of two products of bytes does not fit 16 bits. Knows no layout.
#pragma once

#include "vector.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace hadal {
namespace HADAL_ISA {

/** Of the width of V. A quad is four neighbouring bytes (along k); a vector holds the quads of LANES columns. */
typedef unsigned char VB __attribute__((vector_size(4 * LANES), may_alias));
typedef short VS __attribute__((vector_size(4 * LANES), may_alias));
typedef unsigned char UnalignedVB __attribute__((vector_size(4 * LANES), aligned(1), may_alias));
typedef int UnalignedInt __attribute__((aligned(1), may_alias));
typedef long long UnalignedLong __attribute__((aligned(1), may_alias));
typedef long long VL __attribute__((vector_size(4 * LANES), may_alias));

HADAL_INLINE VB load_bytes(const void* p) { return *(const UnalignedVB*)p; }
/** The four bytes at p in every lane. */
HADAL_INLINE VI splat_quad(const char* p) { return splat_int(*(const UnalignedInt*)p); }

HADAL_INLINE VB low_nibbles(VB x) { return x & (unsigned char)15; }
HADAL_INLINE VB high_nibbles(VB x) { return (VB)((VI)x >> 4) & (unsigned char)15; }

#if defined(__AVX512VNNI__)

/** sum[lane] + w . x over the quad of each lane; w unsigned, x signed. */
HADAL_INLINE VI dot(VI sum, VB w, VI x) { return (VI)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)w, (__m512i)x); }

/** sum[lane] + x * step for x that fits 16 bits and a step with zeros above its 16: half the cost of a product of 32 bits. */
HADAL_INLINE VI add_scaled(VI sum, VI x, VI step) { return (VI)_mm512_dpwssd_epi32((__m512i)sum, (__m512i)x, (__m512i)step); }

#else

/** The four 16-bit numbers at p, again and again. */
HADAL_INLINE VS splat_wide_quad(const char* p) {
  const VL x = *(const UnalignedLong*)p - VL{};
  return (VS)x;
}

/** a[2 i] b[2 i] + a[2 i + 1] b[2 i + 1]. */
HADAL_INLINE VI multiply_add_pairs(VS a, VS b) {
#if defined(__AVX2__)
  return (VI)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
  return (VI)_mm_madd_epi16((__m128i)a, (__m128i)b);
#elif defined(__ARM_NEON)
  const int16x8_t x = (int16x8_t)a, y = (int16x8_t)b;
  return (VI)vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_s16(vget_high_s16(x), vget_high_s16(y)));
#else
  // Little endian: the pair's first number is the low half.
  const VI even = ((VI)a << 16 >> 16) * ((VI)b << 16 >> 16);
  return even + ((VI)a >> 16) * ((VI)b >> 16);
#endif
}

/** The first and the second half of each 16-byte block of x, widened: `low` holds columns 0 and 1 of each four, `high` 2 and 3. */
HADAL_INLINE void widen(VB x, VS& low, VS& high) {
  VB first, second;
#pragma GCC unroll 64
  for (int i = 0; i < 4 * LANES; i++) {
    const int from = i / 16 * 16 + i % 16 / 2;
    first[i] = (unsigned char)(i % 2 == 0 ? from : 4 * LANES);
    second[i] = (unsigned char)(i % 2 == 0 ? from + 8 : 4 * LANES);
  }
  low = (VS)__builtin_shuffle(x, VB{}, first);
  high = (VS)__builtin_shuffle(x, VB{}, second);
}

/** One sum for each column from the two that `multiply_add_pairs` leaves for each, in the order of `widen`. */
HADAL_INLINE VI add_halves(VI low, VI high) {
  VI even, odd;
#pragma GCC unroll 16
  for (int i = 0; i < LANES; i++) {
    const int from = i / 4 * 4 + i % 2 * 2 + (i % 4 < 2 ? 0 : LANES);
    even[i] = from;
    odd[i] = from + 1;
  }
  return __builtin_shuffle(low, high, even) + __builtin_shuffle(low, high, odd);
}

#endif

#if defined(__AVX2__) && !defined(__AVX512F__)

/** sum[i] + w[2 i] x[2 i] + w[2 i + 1] x[2 i + 1] in 16 bits, w at most 15, so that eight such sums fit: 8 * 2 * 15 * 127 < 2^15. */
HADAL_INLINE VS dot_nibbles(VS sum, VB w, VI x) { return sum + (VS)_mm256_maddubs_epi16((__m256i)w, (__m256i)x); }

#endif

}  // namespace HADAL_ISA
}  // namespace hadal
