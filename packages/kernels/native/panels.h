// Panels: matrices laid out as tiles read them.
//
// Owns packing into and widening of panels. Panel p of B [K, N] holds columns 32 p .. 32 p + 31: for each k in order, 32
// floats, or 16 words of two bfloat16 each (column j in the low half, column j + 16 in the high half, so that one load, a
// shift and a mask make both vectors). Columns past the edge are zeros. Invariant: the layout is the same for every
// instruction set.
#pragma once

#include "shuffle.h"
#include "tile.h"

namespace hadal {
namespace HADAL_ISA {

/** Columns of one panel, taken from a matrix whose columns are contiguous ([N, K], leading dimension ld). */
HADAL_INLINE void pack_transposed(const float* w, long long ld, int columns, long long depth, float* panel) {
  for (int first = 0; first < PANEL; first += LANES) {
    int n = columns - first;
    n = n < 0 ? 0 : n > LANES ? LANES : n;
    const float* from = w + first * ld;
    for (long long k = 0; k < depth; k += LANES) {
      int count = depth - k < LANES ? (int)(depth - k) : LANES;
      V rows[LANES];
      if (n == LANES && count == LANES) {
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) rows[i] = load(from + i * ld + k);
      } else {
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) rows[i] = i < n ? load(from + i * ld + k, count) : V{};
      }
      transpose(rows);
      float* to = panel + k * PANEL + first;
      if (count == LANES) {
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) store(to + i * PANEL, rows[i]);
      } else {
        for (int i = 0; i < count; i++) store(to + i * PANEL, rows[i]);
      }
    }
  }
}

/** Panels of `columns` columns, taken from a matrix whose rows are contiguous ([K, N], leading dimension ld). */
HADAL_INLINE void pack_plain(const float* b, long long ld, long long columns, long long depth, float* panels) {
  for (long long k = 0; k < depth; k++) {
    const float* from = b + k * ld;
    float* to = panels + k * PANEL;
    for (long long column = 0; column < columns; column += PANEL, to += depth * PANEL) {
#pragma GCC unroll 8
      for (int first = 0; first < PANEL; first += LANES) {
        long long n = columns - column - first;
        V x = n >= LANES ? load(from + column + first) : n > 0 ? load(from + column + first, (int)n) : V{};
        store(to + first, x);
      }
    }
  }
}

/** Floats of one panel's depth, from its bfloat16 form. */
HADAL_INLINE void widen_panel(const unsigned short* from, long long depth, float* panel) {
  for (long long k = 0; k < depth; k++) {
    for (int first = 0; first < PANEL / 2; first += LANES) {
      VI words = *(const UnalignedVI*)((const int*)from + k * (PANEL / 2) + first);
      store(panel + k * PANEL + first, (V)(words << 16));
      store(panel + k * PANEL + PANEL / 2 + first, (V)(words & splat_int((int)0xffff0000)));
    }
  }
}

/** The bfloat16 form of one panel, rounded to nearest even. */
HADAL_INLINE void narrow_panel(const float* panel, long long depth, unsigned short* to) {
  for (long long k = 0; k < depth; k++) {
    for (int j = 0; j < PANEL / 2; j++) {
      to[k * PANEL + 2 * j] = to_bf16(panel[k * PANEL + j]);
      to[k * PANEL + 2 * j + 1] = to_bf16(panel[k * PANEL + PANEL / 2 + j]);
    }
  }
}

}  // namespace HADAL_ISA
}  // namespace hadal
