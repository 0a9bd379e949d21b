// The micro-kernel of quantized products: a few rows times a panel of 32 columns, or two.
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

/** Rows of a strip at most, as many as their sums leave registers for; INT4 has sums of blocks beside those of segments. */
#if defined(__AVX512VNNI__)
constexpr int rows_of(Quantized q) { return q == Quantized::INT8 ? 12 : 6; }  // 24 sums of 32 registers
#elif defined(__AVX2__)
constexpr int rows_of(Quantized) { return 6; }  // 12 of 16
#else
constexpr int rows_of(Quantized) { return 4; }
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
  long long w_step;  // bytes from it to the next one, for tiles of several
  float* c;          // the panels' columns side by side
  long long ldc;
  int columns;  // of the panels' 32 each, those that C has
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

/**
 * Panels that a tile takes at once. With a few rows there is little to do but to wait for weights: two panels are two streams
 * from memory and twice as many sums that do not wait for one another.
 */
#if defined(__AVX512VNNI__)
constexpr int NARROW_ROWS_AT_ONCE = 4;
#else
constexpr int NARROW_ROWS_AT_ONCE = 0;
#endif
constexpr int panels_at_once(int rows) { return rows <= NARROW_ROWS_AT_ONCE ? 2 : 1; }

/** Where group g of all panels' groups begins, in a quad. */
template <Quantized Q>
HADAL_INLINE long long group_at(int g, long long w_step) {
  return g / groups_of(Q) * w_step + g % groups_of(Q) * GROUP_BYTES;
}

/** Weights of GROUPS groups, of one quad. */
template <Quantized Q, int ROWS, int GROUPS>
HADAL_INLINE void load_groups(const char* w, long long w_step, VB out[GROUPS]) {
#pragma GCC unroll 8
  for (int g = 0; g < GROUPS; g++) {
    const char* from = w + group_at<Q>(g, w_step);
    out[g] = load_bytes(from);
    if (ROWS <= 4 && g * GROUP_BYTES % 64 == 0) __builtin_prefetch(from + QUANTIZED_AHEAD_BYTES, 0, 3);
  }
}

#if defined(__AVX512VNNI__)

/** LANES steps, each as 16 bits below 16 zeros: what `add_scaled` takes. */
HADAL_INLINE VI load_steps(const char* steps) {
  return (VI)_mm512_maskz_cvtepi8_epi32((__mmask16)-1, _mm_loadu_si128((const __m128i*)steps)) & 0xffff;
}

/** sums[g][i]: columns of group g, row i, over a segment. */
template <int ROWS, int GROUPS>
HADAL_INLINE void sum_int8(const char* w, long long w_step, const char* corrections, const char* x, int blocks,
                           VI sums[GROUPS][ROWS]) {
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; i++) {
#pragma GCC unroll 4
    for (int g = 0; g < GROUPS; g++) sums[g][i] = splat_quad(corrections + 4 * i);
  }
  for (int quad = 0; quad < blocks * QUADS_A_BLOCK; quad++) {
    VB groups[GROUPS];
    load_groups<Quantized::INT8, ROWS, GROUPS>(w, w_step, groups);
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++) {
      const VI y = splat_quad(x + 4 * i);
#pragma GCC unroll 4
      for (int g = 0; g < GROUPS; g++) sums[g][i] = dot(sums[g][i], groups[g], y);
    }
    w += quad_bytes(Quantized::INT8);
    x += 4 * ROWS;
  }
}

/** totals[2 g][i] and totals[2 g + 1][i]: the lower and upper columns of group g, row i, over a segment. */
template <int ROWS, int GROUPS>
HADAL_INLINE void sum_int4(const char* w, const char* steps, long long w_step, const char* corrections, const char* x,
                           int blocks, VI totals[2 * GROUPS][ROWS]) {
  static_assert(groups_of(Quantized::INT4) == 1, "a vector of nibbles holds a whole panel");
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; i++) {
#pragma GCC unroll 4
    for (int g = 0; g < 2 * GROUPS; g++) totals[g][i] = VI{};
  }
  for (int block = 0; block < blocks; block++) {
    VI low[GROUPS][ROWS], high[GROUPS][ROWS];
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++) {
#pragma GCC unroll 2
      for (int g = 0; g < GROUPS; g++) low[g][i] = high[g][i] = splat_quad(corrections + 4 * (block * ROWS + i));
    }
    const char* const end = w + block_bytes(Quantized::INT4);
#pragma GCC unroll 1
    for (; w != end; w += quad_bytes(Quantized::INT4), x += 4 * ROWS) {
      VB both[GROUPS];
      load_groups<Quantized::INT4, ROWS, GROUPS>(w, w_step, both);
#pragma GCC unroll 2
      for (int g = 0; g < GROUPS; g++) {
        const VB first = low_nibbles(both[g]), second = high_nibbles(both[g]);
#pragma GCC unroll 16
        for (int i = 0; i < ROWS; i++) {
          const VI y = splat_quad(x + 4 * i);
          low[g][i] = dot(low[g][i], first, y);
          high[g][i] = dot(high[g][i], second, y);
        }
      }
    }
#pragma GCC unroll 2
    for (int g = 0; g < GROUPS; g++) {
      const char* at = steps + block * PANEL + g * w_step;
      const VI first = load_steps(at), second = load_steps(at + PANEL / 2);
#pragma GCC unroll 16
      for (int i = 0; i < ROWS; i++) {
        totals[2 * g][i] = add_scaled(totals[2 * g][i], low[g][i], first);
        totals[2 * g + 1][i] = add_scaled(totals[2 * g + 1][i], high[g][i], second);
      }
    }
  }
}

#else

template <int ROWS, int GROUPS>
HADAL_INLINE void sum_int8(const char* w, long long w_step, const char* corrections, const char* x, int blocks,
                           VI sums[GROUPS][ROWS]) {
  VI low[GROUPS][ROWS], high[GROUPS][ROWS];
#pragma GCC unroll 4
  for (int g = 0; g < GROUPS; g++) {
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; i++) low[g][i] = high[g][i] = VI{};
  }
  for (int quad = 0; quad < blocks * QUADS_A_BLOCK; quad++) {
    VB groups[GROUPS];
    load_groups<Quantized::INT8, ROWS, GROUPS>(w, w_step, groups);
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
HADAL_INLINE void sum_int4(const char* w, const char* steps, long long w_step, const char* corrections, const char* x,
                           int blocks, VI totals[2 * GROUPS][ROWS]) {
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
      load_groups<Quantized::INT4, ROWS, GROUPS>(w, w_step, groups);
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
HADAL_INLINE void sum_int4(const char* w, const char* steps, long long w_step, const char* corrections, const char* x,
                           int blocks, VI totals[2 * GROUPS][ROWS]) {
#pragma GCC unroll 4
  for (int i = 0; i < ROWS; i++) {
#pragma GCC unroll 4
    for (int g = 0; g < 2 * GROUPS; g++) totals[g][i] = VI{};
  }
  for (int block = 0; block < blocks; block++) {
    VI sums[2 * GROUPS][2][ROWS] = {};
    for (int quad = 0; quad < QUADS_A_BLOCK; quad++) {
      VB groups[GROUPS];
      load_groups<Quantized::INT4, ROWS, GROUPS>(w, w_step, groups);
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
  constexpr int PANELS = panels_at_once(ROWS), VECTORS = vectors_of(Q);
  constexpr int GROUPS = PANELS > 1 ? PANELS * groups_of(Q) : groups_a_pass(Q, ROWS);
  typedef RowLayout<Q> Rows;
  float c[ROWS][PANELS * PANEL] = {};
  const char* w = t.w;
  const char* x = t.x;
  for (long long left = t.blocks; left > 0; left -= BLOCKS) {
    const int blocks = left < BLOCKS ? (int)left : BLOCKS;
    const char* corrections = x + 4 * ROWS;
    const char* numbers = x + Rows::HEADER_BYTES * ROWS;
    const char* weights = w + header_bytes(Q);
    for (int first = 0; first < PANELS * groups_of(Q); first += GROUPS) {
      VI sums[GROUPS * VECTORS][ROWS];
      if constexpr (Q == Quantized::INT8) {
        sum_int8<ROWS, GROUPS>(weights + first * GROUP_BYTES, t.w_step, corrections, numbers, blocks, sums);
      } else {
        sum_int4<ROWS, GROUPS>(weights + first * GROUP_BYTES, w + SCALE_BYTES + first * LANES, t.w_step, corrections, numbers,
                               blocks, sums);
      }
#pragma GCC unroll 8
      for (int v = 0; v < GROUPS * VECTORS; v++) {
        const int group = first + v / VECTORS, panel = group / groups_of(Q);
        const int column = group % groups_of(Q) * LANES + v % VECTORS * (PANEL / 2);
        const V scale = load_bf16((const unsigned short*)(w + panel * t.w_step) + column);
#pragma GCC unroll 16
        for (int i = 0; i < ROWS; i++) {
          float* to = c[i] + panel * PANEL + column;
          store(to, load(to) + to_float(sums[v][i]) * scale * splat(((const float*)x)[i]));
        }
      }
    }
    w = weights + blocks * block_bytes(Q);
    x = numbers + blocks * QUADS_A_BLOCK * Rows::QUAD_BYTES * ROWS;
  }
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; i++) {
    for (int column = 0; column < PANELS * PANEL; column += LANES) {
      store(t.c + i * t.ldc + column, load(c[i] + column), lanes_within(t.columns, column / LANES));
    }
  }
}

typedef void (*QuantizedTile)(const QuantizedTileArgs&);

/** The tile for 1 .. rows_of(Q) rows, which takes panels_at_once(rows) panels. */
template <Quantized Q>
HADAL_INLINE QuantizedTile quantized_tile_of(int rows) {
#define TILE(n) quantized_tile<Q, n>
#if defined(__AVX512VNNI__)
  if constexpr (rows_of(Q) == 12) {
    static constexpr QuantizedTile tall[] = {TILE(7), TILE(8), TILE(9), TILE(10), TILE(11), TILE(12)};
    if (rows > 6) return tall[rows - 7];
  }
  static constexpr QuantizedTile tiles[] = {TILE(1), TILE(2), TILE(3), TILE(4), TILE(5), TILE(6)};
#elif defined(__AVX2__)
  static constexpr QuantizedTile tiles[] = {TILE(1), TILE(2), TILE(3), TILE(4), TILE(5), TILE(6)};
#else
  static constexpr QuantizedTile tiles[] = {TILE(1), TILE(2), TILE(3), TILE(4)};
#endif
#undef TILE
  return tiles[rows - 1];
}

}  // namespace HADAL_ISA
}  // namespace hadal
