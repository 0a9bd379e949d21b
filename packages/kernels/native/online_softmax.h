// Softmax over keys that come block after block, and the exponential under it.
//
// Owns the weighing of a tile's scores against their largest, and the running maxima by which a block joins the sums so
// far (Milakov & Gimelshein 2018, arXiv 1805.02867). Knows nothing of keys, values or where the scores come from.
// Invariant: a row's weights depend on its own scores, whatever rows share the tile.
#pragma once

#include "passes.h"
#include "shuffle.h"

namespace hadal {
namespace HADAL_ISA {

typedef long long Int;

/** Keys in a block: their scores fill whole vectors on every instruction set. */
constexpr int KEYS = 64;

/** Rows of a register tile: with four vectors of columns they fill 32 registers, with two 16. */
constexpr int ROWS = 6;

// Vectors that hold one number for each row of a tile.
constexpr int STATE_VECTORS = (ROWS + LANES - 1) / LANES;
constexpr int STATE = STATE_VECTORS * LANES;

HADAL_INLINE V spread_max(V x) {
  return fold(x, [](V a, V b) HADAL_INLINE_LAMBDA { return max(a, b); });
}
HADAL_INLINE V spread_sum(V x) {
  return fold(x, [](V a, V b) HADAL_INLINE_LAMBDA { return a + b; });
}

/** exp(x) for x <= 0, to about 1 ulp; 0 below -87.3, where the exponent would leave the normal numbers. NaN stays NaN.
 *  Degree 6 by Remez' exchange, exact at 0; ln 2 in one part suffices, as the float is nearer to it than usual. */
HADAL_INLINE V exp_negative(V x) {
  const V magic = splat(12582912.0f);
  V shifted = fma(x, splat(1.44269504088896341f), magic);
  V n = shifted - magic;
  V r = fma(n, splat(-0.693147180559945f), x);
  V p = splat(0.0013843559427186847f);
  p = fma(p, r, splat(0.008374235592782497f));
  p = fma(p, r, splat(0.041668009012937546f));
  p = fma(p, r, splat(0.16666430234909058f));
  p = fma(p, r, splat(0.4999999403953552f));
  p = fma(p, r, splat(1.0f));
  p = fma(p, r, splat(1.0f));
  // The integer n in the low bits of `shifted` goes straight into the exponent; a NaN's low bits are zeros.
  V y = (V)((VI)p + ((VI)shifted << 23));
  return x < splat(-87.3f) ? V{} : y;
}

/** Largest scores of a tile's rows, and what a row's sums so far and its new block count by. */
struct Merge {
  V top[STATE_VECTORS];
  float keep[STATE], take[STATE];
};

/** A tile's scores become weights, exp(score - the row's largest); row r sees its first visible[r] keys. */
HADAL_INLINE void weigh(float* scores, Int rows, const Int* visible, V* tops, float* block_sums) {
  V lane;
  for (int i = 0; i < LANES; i++) lane[i] = (float)i;
  const V hidden = splat(-__builtin_inff());
  // Gathered lane by lane: a vector load would stall on six single stores.
  for (int i = 0; i < STATE_VECTORS; i++) tops[i] = hidden;
  for (Int r = 0; r < rows; r++) {
    if (visible[r] <= 0) continue;
    float* x = scores + r * KEYS;
    if (visible[r] < KEYS) {
      for (int j = 0; j < KEYS; j += LANES) store(x + j, lane < splat((float)(visible[r] - j)) ? load(x + j) : hidden);
    }
    V top = hidden;
#pragma GCC unroll 16
    for (int j = 0; j < KEYS; j += LANES) top = max(top, load(x + j));
    top = spread_max(top);
    for (int i = 0; i < STATE_VECTORS; i++) tops[i] = lane == splat((float)(r - i * LANES)) ? top : tops[i];
  }
  float top_of[STATE];
  for (int i = 0; i < STATE_VECTORS; i++) store(top_of + i * LANES, tops[i]);
  for (Int r = 0; r < rows; r++) {
    float* x = scores + r * KEYS;
    V sum = V{};
    if (visible[r] <= 0) {
      clear_row(x, KEYS);
    } else {
      const V top = splat(top_of[r]);
#pragma GCC unroll 16
      for (int j = 0; j < KEYS; j += LANES) {
        V weight = exp_negative(load(x + j) - top);
        sum = sum + weight;
        store(x + j, weight);
      }
    }
    store(block_sums + r * LANES, sum);
  }
}

/** Raises the running maxima to this block's, and says what both sides then shrink by. */
HADAL_INLINE void raise(float* running, Merge& m) {
  for (int i = 0; i < STATE_VECTORS; i++) {
    V before = load(running + i * LANES);
    V after = max(before, m.top[i]);
    store(running + i * LANES, after);
    store(m.keep + i * LANES, exp_negative(before - after));
    store(m.take + i * LANES, exp_negative(m.top[i] - after));
  }
}

}  // namespace HADAL_ISA
}  // namespace hadal
