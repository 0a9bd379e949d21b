// Lanes that change places: transposition, reduction, interleaving.
//
// Owns every list of lane numbers, one for each vector width, in the one spelling that both GCC and Clang can be given.
// Knows no kernel. Invariant: lanes combine in one order, which depends on nothing but their number.
#pragma once

#include "vector.h"

namespace hadal {
namespace HADAL_ISA {

/** Lanes of a and b by number, b's from LANES on. Before version 12, GCC has only its own name for it. */
#if defined(__clang__)
#define HADAL_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define HADAL_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, VI{__VA_ARGS__})
#endif

/** x[r][c] becomes x[c][r]: 4 x 4 blocks inside 128-bit lanes first, then the lanes. */
HADAL_INLINE void transpose(V (&x)[LANES]) {
#if defined(__AVX512F__)
#define LOW(a, b) HADAL_SHUFFLE(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29)
#define HIGH(a, b) HADAL_SHUFFLE(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31)
#define PAIR_LOW(a, b) HADAL_SHUFFLE(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define PAIR_HIGH(a, b) HADAL_SHUFFLE(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
#elif defined(__AVX2__)
#define LOW(a, b) HADAL_SHUFFLE(a, b, 0, 8, 1, 9, 4, 12, 5, 13)
#define HIGH(a, b) HADAL_SHUFFLE(a, b, 2, 10, 3, 11, 6, 14, 7, 15)
#define PAIR_LOW(a, b) HADAL_SHUFFLE(a, b, 0, 1, 8, 9, 4, 5, 12, 13)
#define PAIR_HIGH(a, b) HADAL_SHUFFLE(a, b, 2, 3, 10, 11, 6, 7, 14, 15)
#else
#define LOW(a, b) HADAL_SHUFFLE(a, b, 0, 4, 1, 5)
#define HIGH(a, b) HADAL_SHUFFLE(a, b, 2, 6, 3, 7)
#define PAIR_LOW(a, b) HADAL_SHUFFLE(a, b, 0, 1, 4, 5)
#define PAIR_HIGH(a, b) HADAL_SHUFFLE(a, b, 2, 3, 6, 7)
#endif
#pragma GCC unroll 16
  for (int g = 0; g < LANES; g += 4) {
    V a = LOW(x[g], x[g + 1]), b = HIGH(x[g], x[g + 1]);
    V c = LOW(x[g + 2], x[g + 3]), d = HIGH(x[g + 2], x[g + 3]);
    x[g] = PAIR_LOW(a, c);
    x[g + 1] = PAIR_HIGH(a, c);
    x[g + 2] = PAIR_LOW(b, d);
    x[g + 3] = PAIR_HIGH(b, d);
  }
#undef LOW
#undef HIGH
#undef PAIR_LOW
#undef PAIR_HIGH
#if defined(__AVX512F__)
#define EVEN(a, b) HADAL_SHUFFLE(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27)
#define ODD(a, b) HADAL_SHUFFLE(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31)
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    V a = EVEN(x[i], x[4 + i]), b = ODD(x[i], x[4 + i]);
    V c = EVEN(x[8 + i], x[12 + i]), d = ODD(x[8 + i], x[12 + i]);
    x[i] = EVEN(a, c);
    x[4 + i] = EVEN(b, d);
    x[8 + i] = ODD(a, c);
    x[12 + i] = ODD(b, d);
  }
#undef EVEN
#undef ODD
#elif defined(__AVX2__)
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    V a = x[i], b = x[4 + i];
    x[i] = HADAL_SHUFFLE(a, b, 0, 1, 2, 3, 8, 9, 10, 11);
    x[4 + i] = HADAL_SHUFFLE(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
  }
#endif
}

/** All lanes combined, in every lane: halves first, then quarters, as in `sum`. */
template <class Combine>
HADAL_INLINE V fold(V x, Combine combine) {
#if defined(__AVX512F__)
  x = combine(x, HADAL_SHUFFLE(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  x = combine(x, HADAL_SHUFFLE(x, x, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));
  x = combine(x, HADAL_SHUFFLE(x, x, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
  return combine(x, HADAL_SHUFFLE(x, x, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14));
#elif defined(__AVX2__)
  x = combine(x, HADAL_SHUFFLE(x, x, 4, 5, 6, 7, 0, 1, 2, 3));
  x = combine(x, HADAL_SHUFFLE(x, x, 2, 3, 0, 1, 6, 7, 4, 5));
  return combine(x, HADAL_SHUFFLE(x, x, 1, 0, 3, 2, 5, 4, 7, 6));
#else
  x = combine(x, HADAL_SHUFFLE(x, x, 2, 3, 0, 1));
  return combine(x, HADAL_SHUFFLE(x, x, 1, 0, 3, 2));
#endif
}

/** Lanes 0, 2, 4, ... and 1, 3, 5, ... of x followed by y; and what undoes them: x0 y0 x1 y1 ..., in two halves. */
#if defined(__AVX512F__)
HADAL_INLINE V even_lanes(V x, V y) {
  return HADAL_SHUFFLE(x, y, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
}
HADAL_INLINE V odd_lanes(V x, V y) {
  return HADAL_SHUFFLE(x, y, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
}
HADAL_INLINE V zip_low(V x, V y) {
  return HADAL_SHUFFLE(x, y, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}
HADAL_INLINE V zip_high(V x, V y) {
  return HADAL_SHUFFLE(x, y, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}
#elif defined(__AVX2__)
HADAL_INLINE V even_lanes(V x, V y) { return HADAL_SHUFFLE(x, y, 0, 2, 4, 6, 8, 10, 12, 14); }
HADAL_INLINE V odd_lanes(V x, V y) { return HADAL_SHUFFLE(x, y, 1, 3, 5, 7, 9, 11, 13, 15); }
HADAL_INLINE V zip_low(V x, V y) { return HADAL_SHUFFLE(x, y, 0, 8, 1, 9, 2, 10, 3, 11); }
HADAL_INLINE V zip_high(V x, V y) { return HADAL_SHUFFLE(x, y, 4, 12, 5, 13, 6, 14, 7, 15); }
#else
HADAL_INLINE V even_lanes(V x, V y) { return HADAL_SHUFFLE(x, y, 0, 2, 4, 6); }
HADAL_INLINE V odd_lanes(V x, V y) { return HADAL_SHUFFLE(x, y, 1, 3, 5, 7); }
HADAL_INLINE V zip_low(V x, V y) { return HADAL_SHUFFLE(x, y, 0, 4, 1, 5); }
HADAL_INLINE V zip_high(V x, V y) { return HADAL_SHUFFLE(x, y, 2, 6, 3, 7); }
#endif

}  // namespace HADAL_ISA
}  // namespace hadal
