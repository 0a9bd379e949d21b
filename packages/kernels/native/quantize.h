// From floats to the integers of quantized products.
//
// Owns how a row of activations and a panel of weights are rounded; quantized_tile.h owns where the results lie. Every step
// is one correctly rounded operation (no fused multiply-add, no estimate), so all instruction sets write the same bytes.
// A segment that holds a NaN or an infinity gets the scale NaN: its products are NaN, as they would be in floats.
// Magnitudes below TINY count as zero: their reciprocal would overflow.
#pragma once

#include "passes.h"
#include "quantized_tile.h"
#include "shuffle.h"

namespace hadal {
namespace HADAL_ISA {

constexpr float TINY = 1e-36f;
constexpr int INFINITY_BITS = 0x7f800000, NAN_BITS = 0x7fc00000;

HADAL_INLINE VI max_int(VI a, VI b) { return a > b ? a : b; }
HADAL_INLINE V from_bits(int bits) { return (V)splat_int(bits); }

/** To the nearest integer, ties to even, for |x| < 2^22; the integer's float. */
HADAL_INLINE V round_float(V x) {
  const V magic = splat(12582912.0f);
  return (x + magic) - magic;
}

HADAL_INLINE VI round_int(V x) {
  const V magic = splat(12582912.0f);
  return (VI)(x + magic) - (VI)magic;
}

HADAL_INLINE VI add_lanes(VI x) {
  return (VI)fold((V)x, [](V a, V b) HADAL_INLINE_LAMBDA { return (V)((VI)a + (VI)b); });
}

HADAL_INLINE VI max_lanes(VI x) {
  return (VI)fold((V)x, [](V a, V b) HADAL_INLINE_LAMBDA { return (V)max_int((VI)a, (VI)b); });
}

/** The correction of a block or segment whose numbers add up to the lanes of `sums` (lane i: those of k % LANES = i). */
template <Quantized Q>
HADAL_INLINE int correction(VI sums) {
  constexpr int BIAS = Q == Quantized::INT8 ? 128 : 8;
#if defined(__AVX2__) && !defined(__AVX512F__)
  // dot_nibbles keeps two sums of 16 bits: of steps 0 and 1 of the quads, and of steps 2 and 3.
  if (Q == Quantized::INT4) {
    const VI pairs = sums + (VI)HADAL_SHUFFLE((V)sums, (V)sums, 1, 0, 3, 2, 5, 4, 7, 6);
    return (int)((unsigned)(-BIAS * (pairs[0] + pairs[4])) & 0xffff) | (int)((unsigned)(-BIAS * (pairs[2] + pairs[6])) << 16);
  }
#endif
  return -BIAS * add_lanes(sums)[0];
}

/** Segments whose scales are found together, so that no division waits for the one before. */
constexpr int SEGMENTS_AT_ONCE = 16;

struct RowScales {
  float scale[SEGMENTS_AT_ONCE];    // NaN where a number is not finite
  float inverse[SEGMENTS_AT_ONCE];  // 0 where the segment counts as zeros
};

/** Scales of the segments of k floats, at most SEGMENTS_AT_ONCE. */
HADAL_INLINE void find_scales(const float* x, int k, RowScales& to) {
  alignas(64) int tops[SEGMENTS_AT_ONCE] = {};
  for (int k0 = 0; k0 < k; k0 += SEGMENT) {
    const int count = k - k0 < SEGMENT ? k - k0 : SEGMENT;
    VI most = {};
    if (count == SEGMENT) {
#pragma GCC unroll 8
      for (int j = 0; j < SEGMENT; j += LANES) most = max_int(most, (VI)load(x + k0 + j) & 0x7fffffff);
    } else {
      for_vectors(0, count, [&](long long j, auto n) HADAL_INLINE_LAMBDA {
        most = max_int(most, (VI)load(x + k0 + j, n) & 0x7fffffff);
      });
    }
    tops[k0 / SEGMENT] = max_lanes(most)[0];
  }
  for (int i = 0; i < SEGMENTS_AT_ONCE; i += LANES) {
    const VI bits = *(const VI*)(tops + i);
    const V largest = (V)bits;
    const VI finite = bits < INFINITY_BITS, regular = finite & (largest >= splat(TINY));
    const VI scale = (VI)(largest / splat(127.0f)) & regular;
    store(to.scale + i, (V)(scale | (NAN_BITS & ~finite)));
    store(to.inverse + i, (V)((VI)(splat(127.0f) / largest) & regular));
  }
}

/** BLOCK floats (or `count` and zeros) become numbers of X_BYTES each; adds them to `sums` lane by lane. */
template <int X_BYTES>
HADAL_INLINE void quantize_block(const float* x, int count, V inverse, char* numbers, VI& sums) {
#pragma GCC unroll 8
  for (int j = 0; j < BLOCK; j += LANES) {
    const int lanes = count - j;
    const VI q = lanes >= LANES ? round_int(load(x + j) * inverse) : lanes > 0 ? round_int(load(x + j, lanes) * inverse) : VI{};
    sums += q;
    if (X_BYTES == 1) {
      typedef signed char Narrow __attribute__((vector_size(LANES), may_alias));
      *(Narrow*)(numbers + j) = __builtin_convertvector(q, Narrow);
    } else {
      typedef short Narrow __attribute__((vector_size(2 * LANES), may_alias));
      *(Narrow*)(numbers + 2 * j) = __builtin_convertvector(q, Narrow);
    }
  }
}

/** Row `row` of a piece of a strip of `rows` rows: its first k floats, at most SEGMENTS_AT_ONCE segments. */
template <Quantized Q>
HADAL_INLINE void quantize_piece(const float* x, int k, int row, int rows, char* strip) {
  typedef RowLayout<Q> Rows;
  typedef int Word __attribute__((aligned(4), may_alias));
  RowScales scales;
  find_scales(x, k, scales);
  for (int k0 = 0; k0 < k; k0 += SEGMENT) {
    const int segment = k0 / SEGMENT, count = k - k0 < SEGMENT ? k - k0 : SEGMENT;
    __builtin_memcpy(strip + 4 * row, scales.scale + segment, 4);
    const V inverse = splat(scales.inverse[segment]);
    const bool is_zero = scales.inverse[segment] == 0;
    char* corrections = strip + 4 * rows;
    char* to = strip + Rows::HEADER_BYTES * rows + Rows::QUAD_BYTES * row;
    const int blocks = (int)blocks_of(count);
    VI sums = {};
    for (int block = 0; block < blocks; block++) {
      alignas(64) char numbers[BLOCK * Rows::X_BYTES];
      if (Q == Quantized::INT4) sums = VI{};
      // Not by a factor of 0: an infinity times 0 is no number.
      const int left = is_zero ? 0 : count - block * BLOCK;
      if (left >= BLOCK) {
        quantize_block<Rows::X_BYTES>(x + k0 + block * BLOCK, BLOCK, inverse, numbers, sums);
      } else {
        quantize_block<Rows::X_BYTES>(x + k0 + block * BLOCK, left, inverse, numbers, sums);
      }
#pragma GCC unroll 8
      for (int quad = 0; quad < QUADS_A_BLOCK; quad++) {
#pragma GCC unroll 2
        for (int b = 0; b < Rows::QUAD_BYTES; b += 4) *(Word*)(to + b) = *(const Word*)(numbers + quad * Rows::QUAD_BYTES + b);
        to += Rows::QUAD_BYTES * rows;
      }
      if (Q == Quantized::INT4) *(Word*)(corrections + 4 * (block * rows + row)) = correction<Q>(sums);
    }
    if (Q == Quantized::INT8) *(Word*)(corrections + 4 * row) = correction<Q>(sums);
    strip += (Rows::HEADER_BYTES + blocks * BLOCK * Rows::X_BYTES) * rows;
  }
}

/**
 * A strip, from `rows` rows of k floats: numbers of -127 .. 127 in steps of a 127th of the largest magnitude of their segment.
 * Rows lie side by side, four numbers of each, so it is written piece by piece: a whole one leaves the first-level cache
 * between two rows.
 */
template <Quantized Q>
HADAL_INLINE void quantize_strip(const float* x, long long ldx, int rows, long long k, char* strip) {
  constexpr int PIECE = SEGMENTS_AT_ONCE * SEGMENT;
  for (long long k0 = 0; k0 < k; k0 += PIECE) {
    const int count = k - k0 < PIECE ? (int)(k - k0) : PIECE;
    for (int row = 0; row < rows; row++) quantize_piece<Q>(x + row * ldx + k0, count, row, rows, strip);
    strip += RowLayout<Q>::row_bytes(count) * rows;
  }
}

/** The next bfloat16 at or above each lane (none negative), as floats: a scale rounded down could not reach the largest weight. */
HADAL_INLINE V raise_to_bf16(V x) { return (V)(((VI)x + 0xffff) & (int)0xffff0000); }

HADAL_INLINE void store_scales(char* to, V scales) {
  const VI bits = (VI)scales;
  for (int i = 0; i < LANES; i++) {
    const unsigned short half = (unsigned short)((unsigned)bits[i] >> 16);
    __builtin_memcpy(to + 2 * i, &half, 2);
  }
}

/** A scale in bfloat16 that divides magnitudes of up to `largest` into 127 steps; `valid`: whether there is one. */
HADAL_INLINE V scale_of(VI largest_bits, VI& valid) {
  const V scale = raise_to_bf16((V)largest_bits / splat(127.0f));
  const VI finite = largest_bits < INFINITY_BITS;
  valid = finite & (scale >= splat(TINY));
  return (V)(((VI)scale & valid) | (NAN_BITS & ~finite));
}

/** 1 / x in valid lanes, 0 elsewhere. */
HADAL_INLINE V inverse_of(V x, VI valid) { return (V)((VI)(splat(1.0f) / x) & valid); }

/** Columns `column` .. column + LANES of a segment of `blocks` blocks; `panel` holds its floats k by k. */
HADAL_INLINE void quantize_int8(const float* panel, int column, int blocks, char* to) {
  const float* from = panel + column;
  VI most = {};
  for (int k = 0; k < blocks * BLOCK; k++) most = max_int(most, (VI)load(from + k * PANEL) & 0x7fffffff);
  VI valid;
  const V scale = scale_of(most, valid);
  const V inverse = inverse_of(scale, valid);
  store_scales(to + 2 * column, scale);
  int* words = (int*)(to + header_bytes(Quantized::INT8)) + column;
  for (int quad = 0; quad < blocks * QUADS_A_BLOCK; quad++) {
    VI word = {};
#pragma GCC unroll 4
    for (int i = 0; i < QUAD; i++) {
      const VI q = round_int(load(from + (quad * QUAD + i) * PANEL) * inverse) & valid;
      word |= (q + 128) << (8 * i);
    }
    *(UnalignedVI*)(words + quad * PANEL) = word;
  }
}

/** A block's largest weight divided by its step: candidates of which the one with the least squared error is taken. */
constexpr float INT4_CANDIDATES[] = {-8.0f, -8.6f, -7.4f, 7.4f, 6.8f};

HADAL_INLINE V clamp_nibble(V q) { return min(max(q, splat(-8.0f)), splat(7.0f)); }

/** The step (of either sign) in which 32 weights of each column are best written as -8 .. 7; zero where `valid` is not set. */
HADAL_INLINE V int4_step(const float* from, VI& finite) {
  V largest = {}, magnitude = {};
  VI most = {};
  for (int k = 0; k < BLOCK; k++) {
    const V w = load(from + k * PANEL);
    most = max_int(most, (VI)w & 0x7fffffff);
    const VI larger = abs(w) > magnitude;
    magnitude = larger ? abs(w) : magnitude;
    largest = larger ? w : largest;
  }
  finite = most < INFINITY_BITS;
  const VI valid = finite & (magnitude >= splat(TINY));
  // Relative to the largest: steps become constants, and squares cannot overflow.
  const V inverse = inverse_of(largest, valid);
  V relative[BLOCK];
  for (int k = 0; k < BLOCK; k++) relative[k] = load(from + k * PANEL) * inverse;
  V least = splat(1e30f), best = {};
  for (const float candidate : INT4_CANDIDATES) {
    const V levels = splat(candidate), step = splat(1.0f / candidate);
    V error = {};
    for (int k = 0; k < BLOCK; k++) {
      const V miss = relative[k] - clamp_nibble(round_float(relative[k] * levels)) * step;
      error = error + miss * miss;
    }
    const VI better = error < least;
    least = better ? error : least;
    best = better ? levels : best;
  }
  // The step that suits the chosen integers best (least squares).
  V products = {}, squares = {};
  for (int k = 0; k < BLOCK; k++) {
    const V q = clamp_nibble(round_float(relative[k] * best));
    products = products + relative[k] * q;
    squares = squares + q * q;
  }
  return (V)((VI)(largest * (products / squares)) & valid);
}

HADAL_INLINE void quantize_int4(const float* panel, int column, int blocks, char* to) {
  const float* from = panel + column;
  V steps[BLOCKS] = {};
  VI most = {}, finite = splat_int(-1);
  for (int block = 0; block < blocks; block++) {
    VI block_finite;
    steps[block] = int4_step(from + block * BLOCK * PANEL, block_finite);
    finite &= block_finite;
    most = max_int(most, (VI)steps[block] & 0x7fffffff);
  }
  VI valid;
  const V scale = scale_of(most | (~finite & INFINITY_BITS), valid);
  const V inverse = inverse_of(scale, valid);
  store_scales(to + 2 * column, scale);
  for (int block = 0; block < blocks; block++) {
    const V whole = round_float(steps[block] * inverse);
    const VI multiple = round_int(steps[block] * inverse) & valid;
    const V level = inverse_of(whole * scale, valid & (multiple != 0));
    signed char* into = (signed char*)to + SCALE_BYTES + block * PANEL + column;
    for (int i = 0; i < LANES; i++) into[i] = (signed char)multiple[i];
    // Columns of a panel's upper half share bytes with those of the lower, which are written first.
    const int shift = column < PANEL / 2 ? 0 : 4;
    char* weights = to + header_bytes(Quantized::INT4) + block * block_bytes(Quantized::INT4) + column % (PANEL / 2) * QUAD;
    for (int quad = 0; quad < QUADS_A_BLOCK; quad++) {
      VI word = {};
#pragma GCC unroll 4
      for (int i = 0; i < QUAD; i++) {
        const V w = load(from + (block * BLOCK + quad * QUAD + i) * PANEL);
        const VI q = round_int(clamp_nibble(round_float(w * level))) & valid;
        word |= (q + 8) << (8 * i + shift);
      }
      UnalignedVI* at = (UnalignedVI*)(weights + quad * quad_bytes(Quantized::INT4));
      *at = shift == 0 ? word : *at | word;
    }
  }
}

/** One segment of a panel, from its floats k by k (zeros past the matrix's edges). */
HADAL_INLINE void quantize_segment(Quantized q, const float* panel, int blocks, char* to) {
  if (q == Quantized::INT4) __builtin_memset(to + SCALE_BYTES, 0, STEP_BYTES);
  for (int column = 0; column < PANEL; column += LANES) {
    if (q == Quantized::INT8) {
      quantize_int8(panel, column, blocks, to);
    } else {
      quantize_int4(panel, column, blocks, to);
    }
  }
}

}  // namespace HADAL_ISA
}  // namespace hadal
