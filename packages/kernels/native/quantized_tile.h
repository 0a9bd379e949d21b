// The micro-kernel of quantized products: a few rows times one panel of 32 columns.
//
// Owns the layout of quantized panels and of quantized rows, and the innermost loops; quantize.h fills both. Depth is cut
// into segments of 128 steps, a segment into blocks of 32, a block into quads of 4. Panel p of W [N, K] holds rows
// 32 p .. 32 p + 31 of W, segment after segment:
//   INT8: 32 scales (bfloat16), then for each quad 32 columns of 4 bytes, w + 128.
//   INT4: 32 scales (bfloat16), for each of 4 blocks 32 steps (signed bytes: a block's scale is scale * step), then for each
//         quad 64 bytes, w + 8: column j in the low halves of bytes 4 j .., column j + 16 in the high halves.
// Invariant: c[i][j] = sum over segments, in order, of (float)(integer sum) * w's scale * x's scale, each rounded once; the
// integers are exact. So a product's bits depend neither on how it was cut into tiles nor on the instruction set.
#pragma once

#include "integer.h"
#include "tile.h"

namespace hadal {
namespace HADAL_ISA {

enum class Quantized { INT8, INT4 };

constexpr int QUAD = 4, BLOCK = 32, SEGMENT = 128;
constexpr int BLOCKS = SEGMENT / BLOCK, QUADS_A_BLOCK = BLOCK / QUAD;
constexpr int SCALE_BYTES = PANEL * 2, STEP_BYTES = BLOCKS * PANEL;

#if defined(__AVX512VNNI__)
constexpr int QUANTIZED_ROWS = 12;  // 24 sums of 32 registers
#elif defined(__AVX2__)
constexpr int QUANTIZED_ROWS = 6;  // 12 of 16
#else
constexpr int QUANTIZED_ROWS = 4;
#endif

/** What stands before a segment's weights, and what its blocks and quads take. */
constexpr long long header_bytes(Quantized q) { return q == Quantized::INT8 ? SCALE_BYTES : SCALE_BYTES + STEP_BYTES; }
constexpr long long block_bytes(Quantized q) { return PANEL * BLOCK / (q == Quantized::INT8 ? 1 : 2); }
constexpr long long quad_bytes(Quantized q) { return block_bytes(q) / QUADS_A_BLOCK; }

HADAL_INLINE long long blocks_of(long long k) { return (k + BLOCK - 1) / BLOCK; }
HADAL_INLINE long long segments_of(long long k) { return (k + SEGMENT - 1) / SEGMENT; }

/** Bytes of a panel of depth k. */
HADAL_INLINE long long panel_bytes(Quantized q, long long k) {
  return segments_of(k) * header_bytes(q) + blocks_of(k) * block_bytes(q);
}

/**
 * How a strip of rows lies, h rows side by side, segment after segment: h scales (float), the corrections (h for INT8, h for
 * each of the 4 blocks for INT4), then for each quad h times its 4 numbers, of X_BYTES each. A correction is what must be
 * added because weights are stored with a bias: -128 or -8 times the sum of the numbers, in the form that the sums have.
 */
template <Quantized Q>
struct RowLayout {
#if defined(__AVX512VNNI__)
  static constexpr int X_BYTES = 1;
#elif defined(__AVX2__)
  static constexpr int X_BYTES = Q == Quantized::INT8 ? 2 : 1;
#else
  static constexpr int X_BYTES = 2;
#endif
  static constexpr int CORRECTIONS = Q == Quantized::INT8 ? 1 : BLOCKS;
  static constexpr int HEADER_BYTES = 4 + 4 * CORRECTIONS;
  static constexpr int QUAD_BYTES = QUAD * X_BYTES;

  static long long row_bytes(long long k) { return segments_of(k) * HEADER_BYTES + blocks_of(k) * BLOCK * X_BYTES; }
};

struct QuantizedTileArgs {
  long long blocks;  // of the whole depth
  const char* x;     // a strip
  const char* w;     // a panel
  float* c;
  long long ldc;
  int columns;  // of the panel's 32, those that C has
};

/** How far ahead of their use weights are fetched, when a few rows leave nothing to do but to read them. */
constexpr int QUANTIZED_AHEAD_BYTES = 2048;

/**
 * A group is what one vector of weights serves: LANES columns of INT8, or two times LANES columns of INT4, 16 apart. A pass
 * over a segment takes as many groups as their sums fit the registers.
 */
constexpr int GROUP_BYTES = 4 * LANES;
constexpr int groups_of(Quantized q) { return (int)quad_bytes(q) / GROUP_BYTES; }
constexpr int vectors_of(Quantized q) { return q == Quantized::INT8 ? 1 : 2; }

#if defined(__AVX512VNNI__)
constexpr int groups_a_pass(Quantized q, int) { return groups_of(q); }
#elif defined(__AVX2__)
constexpr int groups_a_pass(Quantized q, int rows) { return rows == 1 ? groups_of(q) : rows <= 3 ? 2 : 1; }
#else
constexpr int groups_a_pass(Quantized q, int rows) { return rows == 1 ? (q == Quantized::INT8 ? 4 : 2) : 1; }
#endif

/** Weights of GROUPS groups, of one quad. */
template <int ROWS, int GROUPS>
HADAL_INLINE void load_groups(const char* w, VB out[GROUPS]) {
#pragma GCC unroll 8
  for (int g = 0; g < GROUPS; g++) {
    out[g] = load_bytes(w + g * GROUP_BYTES);
    if (ROWS <= 4 && g * GROUP_BYTES % 64 == 0) __builtin_prefetch(w + g * GROUP_BYTES + QUANTIZED_AHEAD_BYTES, 0, 3);
  }
}

#if defined(__AVX512VNNI__)

/** LANES steps, each as 16 bits below 16 zeros: what `add_scaled` takes. */
HADAL_INLINE VI load_steps(const char* steps) {
  return (VI)_mm512_maskz_cvtepi8_epi32((__mmask16)-1, _mm_loadu_si128((const __m128i*)steps)) & 0xffff;
}

/** sums[g][i]: columns of group g, row i, over a segment. */
template <int ROWS, int GROUPS>
HADAL_INLINE void sum_int8(const char* w, const char* corrections, const char* x, int blocks, VI sums[GROUPS][ROWS]) {
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; i++) {
#pragma GCC unroll 2
    for (int g = 0; g < GROUPS; g++) sums[g][i] = splat_quad(corrections + 4 * i);
  }
  for (int quad = 0; quad < blocks * QUADS_A_BLOCK; quad++) {
    VB groups[GROUPS];
    load_groups<ROWS, GROUPS>(w, groups);
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++) {
      const VI y = splat_quad(x + 4 * i);
#pragma GCC unroll 2
      for (int g = 0; g < GROUPS; g++) sums[g][i] = dot(sums[g][i], groups[g], y);
    }
    w += quad_bytes(Quantized::INT8);
    x += 4 * ROWS;
  }
}

/** totals[2 g][i] and totals[2 g + 1][i]: the lower and upper columns of group g, row i, over a segment. */
template <int ROWS, int GROUPS>
HADAL_INLINE void sum_int4(const char* w, const char* steps, const char* corrections, const char* x, int blocks,
                           VI totals[2 * GROUPS][ROWS]) {
  static_assert(GROUPS == 1, "a vector of nibbles holds a whole panel");
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; i++) totals[0][i] = totals[1][i] = VI{};
  for (int block = 0; block < blocks; block++) {
    VI low[ROWS], high[ROWS];
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++) low[i] = high[i] = splat_quad(corrections + 4 * (block * ROWS + i));
    const char* const end = w + block_bytes(Quantized::INT4);
#pragma GCC unroll 1
    for (; w != end; w += quad_bytes(Quantized::INT4), x += 4 * ROWS) {
      VB both[1];
      load_groups<ROWS, 1>(w, both);
      const VB first = low_nibbles(both[0]), second = high_nibbles(both[0]);
#pragma GCC unroll 16
      for (int i = 0; i < ROWS; i++) {
        const VI y = splat_quad(x + 4 * i);
        low[i] = dot(low[i], first, y);
        high[i] = dot(high[i], second, y);
      }
    }
    const VI first = load_steps(steps + block * PANEL), second = load_steps(steps + block * PANEL + PANEL / 2);
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++) {
      totals[0][i] = add_scaled(totals[0][i], low[i], first);
      totals[1][i] = add_scaled(totals[1][i], high[i], second);
    }
  }
}

#else

template <int ROWS, int GROUPS>
HADAL_INLINE void sum_int8(const char* w, const char* corrections, const char* x, int blocks, VI sums[GROUPS][ROWS]) {
  VI low[GROUPS][ROWS], high[GROUPS][ROWS];
#pragma GCC unroll 4
  for (int g = 0; g < GROUPS; g++) {
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; i++) low[g][i] = high[g][i] = VI{};
  }
  for (int quad = 0; quad < blocks * QUADS_A_BLOCK; quad++) {
    VB groups[GROUPS];
    load_groups<ROWS, GROUPS>(w, groups);
#pragma GCC unroll 4
    for (int g = 0; g < GROUPS; g++) {
      VS first, second;
      widen(groups[g], first, second);
#pragma GCC unroll 8
      for (int i = 0; i < ROWS; i++) {
        const VS y = splat_wide_quad(x + 8 * i);
        low[g][i] += multiply_add_pairs(first, y);
        high[g][i] += multiply_add_pairs(second, y);
      }
    }
    w += quad_bytes(Quantized::INT8);
    x += 8 * ROWS;
  }
#pragma GCC unroll 8
  for (int i = 0; i < ROWS; i++) {
#pragma GCC unroll 4
    for (int g = 0; g < GROUPS; g++) sums[g][i] = add_halves(low[g][i], high[g][i]) + splat_quad(corrections + 4 * i);
  }
}

#if defined(__AVX2__)

/** Each of LANES steps twice, in 16 bits: what multiplies the two sums that `dot_nibbles` leaves for a column. */
HADAL_INLINE VS load_steps(const char* steps) {
  const __m128i x = _mm_loadl_epi64((const __m128i*)steps);
  return (VS)_mm256_cvtepi8_epi16(_mm_unpacklo_epi8(x, x));
}

template <int ROWS, int GROUPS>
HADAL_INLINE void sum_int4(const char* w, const char* steps, const char* corrections, const char* x, int blocks,
                           VI totals[2 * GROUPS][ROWS]) {
#pragma GCC unroll 8
  for (int i = 0; i < ROWS; i++) {
#pragma GCC unroll 4
    for (int g = 0; g < 2 * GROUPS; g++) totals[g][i] = VI{};
  }
  for (int block = 0; block < blocks; block++) {
    VS low[GROUPS][ROWS], high[GROUPS][ROWS];
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; i++) {
#pragma GCC unroll 2
      for (int g = 0; g < GROUPS; g++) low[g][i] = high[g][i] = (VS)splat_quad(corrections + 4 * i);
    }
#pragma GCC unroll 2
    for (int quad = 0; quad < QUADS_A_BLOCK; quad++) {
      VB groups[GROUPS];
      load_groups<ROWS, GROUPS>(w, groups);
#pragma GCC unroll 2
      for (int g = 0; g < GROUPS; g++) {
        const VB first = low_nibbles(groups[g]), second = high_nibbles(groups[g]);
#pragma GCC unroll 8
        for (int i = 0; i < ROWS; i++) {
          const VI y = splat_quad(x + 4 * i);
          low[g][i] = dot_nibbles(low[g][i], first, y);
          high[g][i] = dot_nibbles(high[g][i], second, y);
        }
      }
      w += quad_bytes(Quantized::INT4);
      x += 4 * ROWS;
    }
#pragma GCC unroll 2
    for (int g = 0; g < GROUPS; g++) {
      const VS first = load_steps(steps + g * LANES), second = load_steps(steps + g * LANES + PANEL / 2);
#pragma GCC unroll 8
      for (int i = 0; i < ROWS; i++) {
        totals[2 * g][i] += multiply_add_pairs(low[g][i], first);
        totals[2 * g + 1][i] += multiply_add_pairs(high[g][i], second);
      }
    }
    steps += PANEL;
    corrections += 4 * ROWS;
  }
}

#else

HADAL_INLINE VI load_steps(const char* steps) {
  typedef signed char Narrow __attribute__((vector_size(LANES), aligned(1), may_alias));
  return __builtin_convertvector(*(const Narrow*)steps, VI);
}

template <int ROWS, int GROUPS>
HADAL_INLINE void sum_int4(const char* w, const char* steps, const char* corrections, const char* x, int blocks,
                           VI totals[2 * GROUPS][ROWS]) {
#pragma GCC unroll 4
  for (int i = 0; i < ROWS; i++) {
#pragma GCC unroll 4
    for (int g = 0; g < 2 * GROUPS; g++) totals[g][i] = VI{};
  }
  for (int block = 0; block < blocks; block++) {
    VI sums[2 * GROUPS][2][ROWS] = {};
    for (int quad = 0; quad < QUADS_A_BLOCK; quad++) {
      VB groups[GROUPS];
      load_groups<ROWS, GROUPS>(w, groups);
#pragma GCC unroll 4
      for (int g = 0; g < 2 * GROUPS; g++) {
        VS first, second;
        widen(g % 2 == 0 ? low_nibbles(groups[g / 2]) : high_nibbles(groups[g / 2]), first, second);
#pragma GCC unroll 4
        for (int i = 0; i < ROWS; i++) {
          const VS y = splat_wide_quad(x + 8 * i);
          sums[g][0][i] += multiply_add_pairs(first, y);
          sums[g][1][i] += multiply_add_pairs(second, y);
        }
      }
      w += quad_bytes(Quantized::INT4);
      x += 8 * ROWS;
    }
#pragma GCC unroll 4
    for (int g = 0; g < 2 * GROUPS; g++) {
      const VI step = load_steps(steps + g / 2 * LANES + g % 2 * (PANEL / 2));
#pragma GCC unroll 4
      for (int i = 0; i < ROWS; i++) {
        totals[g][i] += (add_halves(sums[g][0][i], sums[g][1][i]) + splat_quad(corrections + 4 * i)) * step;
      }
    }
    steps += PANEL;
    corrections += 4 * ROWS;
  }
}

#endif
#endif

template <Quantized Q, int ROWS>
static void quantized_tile(const QuantizedTileArgs& t) {
  constexpr int GROUPS = groups_a_pass(Q, ROWS), VECTORS = vectors_of(Q);
  typedef RowLayout<Q> Rows;
  float c[ROWS][PANEL] = {};
  const char* w = t.w;
  const char* x = t.x;
  for (long long left = t.blocks; left > 0; left -= BLOCKS) {
    const int blocks = left < BLOCKS ? (int)left : BLOCKS;
    const char* corrections = x + 4 * ROWS;
    const char* numbers = x + Rows::HEADER_BYTES * ROWS;
    const char* weights = w + header_bytes(Q);
    for (int first = 0; first < groups_of(Q); first += GROUPS) {
      VI sums[GROUPS * VECTORS][ROWS];
      if constexpr (Q == Quantized::INT8) {
        sum_int8<ROWS, GROUPS>(weights + first * GROUP_BYTES, corrections, numbers, blocks, sums);
      } else {
        sum_int4<ROWS, GROUPS>(weights + first * GROUP_BYTES, w + SCALE_BYTES + first * LANES, corrections, numbers, blocks, sums);
      }
#pragma GCC unroll 4
      for (int v = 0; v < GROUPS * VECTORS; v++) {
        const int column = (first + v / VECTORS) * LANES + v % VECTORS * (PANEL / 2);
        const V scale = load_bf16((const unsigned short*)w + column);
#pragma GCC unroll 16
        for (int i = 0; i < ROWS; i++) {
          float* to = c[i] + column;
          store(to, load(to) + to_float(sums[v][i]) * scale * splat(((const float*)x)[i]));
        }
      }
    }
    w = weights + blocks * block_bytes(Q);
    x = numbers + blocks * QUADS_A_BLOCK * Rows::QUAD_BYTES * ROWS;
  }
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; i++) {
    for (int column = 0; column < PANEL; column += LANES) {
      store(t.c + i * t.ldc + column, load(c[i] + column), lanes_within(t.columns, column / LANES));
    }
  }
}

typedef void (*QuantizedTile)(const QuantizedTileArgs&);

/** The tile for 1 .. QUANTIZED_ROWS rows. */
template <Quantized Q>
HADAL_INLINE QuantizedTile quantized_tile_of(int rows) {
#define TILE(n) quantized_tile<Q, n>
#if defined(__AVX512VNNI__)
  static constexpr QuantizedTile tiles[] = {TILE(1), TILE(2), TILE(3), TILE(4),  TILE(5),  TILE(6),
                                            TILE(7), TILE(8), TILE(9), TILE(10), TILE(11), TILE(12)};
#elif defined(__AVX2__)
  static constexpr QuantizedTile tiles[] = {TILE(1), TILE(2), TILE(3), TILE(4), TILE(5), TILE(6)};
#else
  static constexpr QuantizedTile tiles[] = {TILE(1), TILE(2), TILE(3), TILE(4)};
#endif
#undef TILE
  static_assert(sizeof tiles / sizeof *tiles == QUANTIZED_ROWS, "one tile for each height");
  return tiles[rows - 1];
}

}  // namespace HADAL_ISA
}  // namespace hadal
