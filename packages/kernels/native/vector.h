// Vectors as wide as the instruction set a kernel unit is being compiled for.
//
// Owns loads and stores with tails, fused multiply-add, reductions in a fixed order, bfloat16 conversion and exp. Knows no
// kernel. Everything lives in a namespace named after the instruction set, so that two compilations of one unit never
// share a symbol. Invariant: a lane's result does not depend on which lane it is or on how many lanes are in use.
#pragma once

#include "kernel.h"

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#ifndef HADAL_ISA
#error "kernel units are compiled with -DHADAL_ISA=<name of the instruction set>"
#endif

#define HADAL_INLINE static inline __attribute__((always_inline, unused))

namespace hadal {
namespace HADAL_ISA {

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX2__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

/** LANES floats, and integers of the same width: comparisons of V give VI lanes of 0 or -1, usable in `mask ? a : b`. */
typedef float V __attribute__((vector_size(4 * LANES), may_alias));
typedef int VI __attribute__((vector_size(4 * LANES), may_alias));
typedef unsigned short VH __attribute__((vector_size(2 * LANES), may_alias));
typedef float UnalignedV __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int UnalignedVI __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef unsigned short UnalignedVH __attribute__((vector_size(2 * LANES), aligned(2), may_alias));

HADAL_INLINE V splat(float x) { return x - V{}; }
HADAL_INLINE VI splat_int(int x) { return x - VI{}; }
HADAL_INLINE V as_float(VI x) { return (V)x; }
HADAL_INLINE VI as_int(V x) { return (VI)x; }
HADAL_INLINE V to_float(VI x) { return __builtin_convertvector(x, V); }

HADAL_INLINE V load(const float* p) { return *(const UnalignedV*)p; }
HADAL_INLINE void store(float* p, V x) { *(UnalignedV*)p = x; }

#if defined(__AVX2__) && !defined(__AVX512F__)
HADAL_INLINE __m256i tail_mask(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
#endif

/** The first n floats (0 <= n <= LANES), zeros in the other lanes; touches no byte past them. */
HADAL_INLINE V load(const float* p, int n) {
#if defined(__AVX512F__)
  return (V)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#elif defined(__AVX2__)
  return (V)_mm256_maskload_ps(p, tail_mask(n));
#else
  V x = {};
  for (int i = 0; i < n; i++) x[i] = p[i];
  return x;
#endif
}

/** Stores the first n lanes (0 <= n <= LANES). */
HADAL_INLINE void store(float* p, V x, int n) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)x);
#elif defined(__AVX2__)
  _mm256_maskstore_ps(p, tail_mask(n), (__m256)x);
#else
  for (int i = 0; i < n; i++) p[i] = x[i];
#endif
}

/** LANES bfloat16 numbers, widened exactly. */
HADAL_INLINE V load_bf16(const unsigned short* p) {
#if defined(__AVX512F__)
  const __mmask16 all = (__mmask16)-1;
  return (V)_mm512_maskz_slli_epi32(all, _mm512_maskz_cvtepu16_epi32(all, _mm256_loadu_si256((const __m256i*)p)), 16);
#elif defined(__AVX2__)
  return (V)_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)p)), 16);
#else
  return (V)(__builtin_convertvector(*(const UnalignedVH*)p, VI) << 16);
#endif
}

HADAL_INLINE V load_bf16(const unsigned short* p, int n) {
  if (n == LANES) return load_bf16(p);
  VI x = {};
  for (int i = 0; i < n; i++) x[i] = (int)((unsigned)p[i] << 16);
  return (V)x;
}

/** Round to nearest even; a NaN stays a NaN. */
HADAL_INLINE unsigned short to_bf16(float x) {
  unsigned bits;
  __builtin_memcpy(&bits, &x, 4);
  if (x != x) return (unsigned short)((bits >> 16) | 0x40);
  return (unsigned short)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

HADAL_INLINE float from_bf16(unsigned short x) {
  unsigned bits = (unsigned)x << 16;
  float y;
  __builtin_memcpy(&y, &bits, 4);
  return y;
}

/** a * b + c in one rounding where the instruction set has it (all but portable), in every lane alike. */
HADAL_INLINE V fma(V a, V b, V c) {
#if defined(__AVX512F__)
  return (V)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
  return (V)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__ARM_NEON) && defined(HADAL_NEON)
  return (V)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
  return a * b + c;
#endif
}

/** The same operation on single floats: equal bits to one lane of the vector form. */
HADAL_INLINE float fma(float a, float b, float c) {
#if defined(__FMA__) || defined(__AVX512F__) || defined(HADAL_NEON)
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}

/** a > b ? a : b, so the second of the two when either is NaN. */
HADAL_INLINE V max(V a, V b) {
#if defined(__AVX512F__)
  return (V)_mm512_maskz_max_ps((__mmask16)-1, (__m512)a, (__m512)b);
#elif defined(__AVX2__)
  return (V)_mm256_max_ps((__m256)a, (__m256)b);
#else
  return a > b ? a : b;
#endif
}

/** a < b ? a : b, so the second of the two when either is NaN. */
HADAL_INLINE V min(V a, V b) {
#if defined(__AVX512F__)
  return (V)_mm512_maskz_min_ps((__mmask16)-1, (__m512)a, (__m512)b);
#elif defined(__AVX2__)
  return (V)_mm256_min_ps((__m256)a, (__m256)b);
#else
  return a < b ? a : b;
#endif
}

HADAL_INLINE V abs(V x) { return (V)((VI)x & 0x7fffffff); }

/** 1 / sqrt(x), correctly rounded twice (no estimate: estimates differ between processors). */
HADAL_INLINE float reciprocal_root(float x) { return 1.0f / __builtin_sqrtf(x); }

/** Sum of all lanes, halves first: (x0 + x8) + (x4 + x12) ... always the same tree. */
HADAL_INLINE float sum(V x) {
  float lanes[LANES];
  __builtin_memcpy(lanes, &x, sizeof x);
  for (int width = LANES / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; i++) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}

/** Largest lane. */
HADAL_INLINE float max_of(V x) {
  float best = x[0];
  for (int i = 1; i < LANES; i++) best = x[i] > best ? x[i] : best;
  return best;
}

/** exp(x) to about 1 ulp: range reduction by ln 2 in two parts and a polynomial of degree 6 (Cephes expf).
 *  Below -104 it is 0, above 88.73 infinity; denormal results are right, NaN stays NaN. */
HADAL_INLINE V exp(V x) {
  // In this order a NaN passes through both.
  V clamped = min(splat(89.0f), max(splat(-104.0f), x));
  // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer.
  const V magic = splat(12582912.0f);
  V shifted = fma(clamped, splat(1.44269504088896341f), magic);
  V n = shifted - magic;
  V r = fma(n, splat(-0.693359375f), clamped);
  r = fma(n, splat(2.12194440e-4f), r);
  V p = splat(1.9875691500e-4f);
  p = fma(p, r, splat(1.3981999507e-3f));
  p = fma(p, r, splat(8.3334519073e-3f));
  p = fma(p, r, splat(4.1665795894e-2f));
  p = fma(p, r, splat(1.6666665459e-1f));
  p = fma(p, r, splat(5.0000001201e-1f));
  p = fma(p, r * r, r + splat(1.0f));
#if defined(__AVX512F__)
  return (V)_mm512_maskz_scalef_ps((__mmask16)-1, (__m512)p, (__m512)n);
#else
  // 2^n in two factors, because n reaches -150 and a float's exponent only -126.
  VI exponent = (VI)shifted - (VI)magic;
  VI half = exponent >> 1;
  return p * (V)((half + 127) << 23) * (V)((exponent - half + 127) << 23);
#endif
}

HADAL_INLINE float exp(float x) { return exp(splat(x))[0]; }

/** 1 / (1 + exp(-x)). */
HADAL_INLINE V sigmoid(V x) { return splat(1.0f) / (splat(1.0f) + exp(-x)); }
HADAL_INLINE float sigmoid(float x) { return sigmoid(splat(x))[0]; }

/** This thread's contiguous share [begin, end) of n items, in multiples of `grain`. */
struct Share {
  long long begin, end;
};
HADAL_INLINE Share share(const Context& c, long long n, long long grain = 1) {
  long long units = (n + grain - 1) / grain;
  long long begin = units * c.thread / c.threads * grain;
  long long end = units * (c.thread + 1) / c.threads * grain;
  return {begin < n ? begin : n, end < n ? end : n};
}

}  // namespace HADAL_ISA
}  // namespace hadal
