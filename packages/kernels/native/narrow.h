// Products of a few rows with packed weights: as fast as the weights can be read.
//
// Owns the loop that takes several panels at once, so that one row still has enough independent chains and the memory
// enough streams; a tile of one row would wait for its own multiply-adds. Invariant: tile.h's chain over k, so a row's bits
// are the same in both.
#pragma once

#include "tile.h"

namespace hadal {
namespace HADAL_ISA {

HADAL_INLINE long long min_of(long long a, long long b) { return a < b ? a : b; }

constexpr int PANEL_VECTORS = PANEL / LANES;

#if defined(__AVX512F__) || defined(HADAL_NEON)
constexpr int NARROW_ACCUMULATORS = 24;
#elif defined(__AVX2__)
constexpr int NARROW_ACCUMULATORS = 12;
#else
constexpr int NARROW_ACCUMULATORS = 8;
#endif

/** Panels taken at once with so many rows: 4, 2, 1, or none when the accumulators would not fit the registers. */
constexpr int narrow_panels(int rows) {
  int fit = NARROW_ACCUMULATORS / (rows * PANEL_VECTORS);
  return fit >= 4 ? 4 : fit >= 2 ? 2 : fit;
}

constexpr int NARROW_ROWS = NARROW_ACCUMULATORS / PANEL_VECTORS < 4 ? NARROW_ACCUMULATORS / PANEL_VECTORS : 4;

/** How far ahead of its use a panel is fetched. */
constexpr int NARROW_AHEAD_BYTES = 1024;

struct NarrowArgs {
  long long depth;
  const float* x;
  long long ldx;
  const char* b;
  long long panel_bytes;
  float* c;
  long long ldc;
  long long columns;  // of all panels, those that C has
  bool accumulate;
};

template <int ROWS, int PANELS, Element E>
static void narrow(const NarrowArgs& t) {
  constexpr int ROW_BYTES = PANEL * (E == Element::F32 ? 4 : 2);
  V acc[PANELS][PANEL_VECTORS][ROWS];
#pragma GCC unroll 4
  for (int p = 0; p < PANELS; p++) {
#pragma GCC unroll 8
    for (int v = 0; v < PANEL_VECTORS; v++) {
      const int lanes = lanes_within((int)min_of(t.columns - p * PANEL, PANEL), v);
#pragma GCC unroll 4
      for (int i = 0; i < ROWS; i++) {
        acc[p][v][i] = t.accumulate ? load(t.c + i * t.ldc + p * PANEL + v * LANES, lanes) : V{};
      }
    }
  }
  const char* b[PANELS];
#pragma GCC unroll 4
  for (int p = 0; p < PANELS; p++) b[p] = t.b + p * t.panel_bytes;
  for (long long k = 0; k < t.depth; k++) {
    V x[ROWS];
#pragma GCC unroll 4
    for (int i = 0; i < ROWS; i++) x[i] = splat(t.x[i * t.ldx + k]);
#pragma GCC unroll 4
    for (int p = 0; p < PANELS; p++) {
#pragma GCC unroll 2
      for (int line = 0; line < ROW_BYTES; line += 64) __builtin_prefetch(b[p] + NARROW_AHEAD_BYTES + line, 0, 3);
#pragma GCC unroll 8
      for (int v = 0; v < PANEL_VECTORS; v++) {
        V w;
        if (E == Element::F32) {
          w = load((const float*)b[p] + v * LANES);
        } else {
          VI words = *(const UnalignedVI*)((const int*)b[p] + v * LANES % (PANEL / 2));
          w = (V)(v * LANES < PANEL / 2 ? words << 16 : words & splat_int((int)0xffff0000));
        }
#pragma GCC unroll 4
        for (int i = 0; i < ROWS; i++) acc[p][v][i] = fma(x[i], w, acc[p][v][i]);
      }
      b[p] += ROW_BYTES;
    }
  }
#pragma GCC unroll 4
  for (int p = 0; p < PANELS; p++) {
#pragma GCC unroll 8
    for (int v = 0; v < PANEL_VECTORS; v++) {
      const int lanes = lanes_within((int)min_of(t.columns - p * PANEL, PANEL), v);
#pragma GCC unroll 4
      for (int i = 0; i < ROWS; i++) store(t.c + i * t.ldc + p * PANEL + v * LANES, acc[p][v][i], lanes);
    }
  }
}

/** All panels of t, in groups of as many as fit the registers. */
template <int ROWS, Element E>
static void narrow_all(NarrowArgs t) {
  constexpr int PANELS = narrow_panels(ROWS);
  while (t.columns > 0) {
    const int taken = t.columns > (PANELS - 1) * PANEL ? PANELS : 1;
    if (taken == PANELS) {
      narrow<ROWS, PANELS, E>(t);
    } else {
      narrow<ROWS, 1, E>(t);
    }
    t.b += taken * t.panel_bytes;
    t.c += taken * PANEL;
    t.columns -= taken * PANEL;
  }
}

/** Rows 1 .. NARROW_ROWS. */
template <Element E>
HADAL_INLINE void narrow_product(int rows, const NarrowArgs& t) {
  switch (rows) {
    case 1: narrow_all<1, E>(t); break;
#if defined(__AVX512F__) || defined(HADAL_NEON) || defined(__AVX2__)
    case 2: narrow_all<2, E>(t); break;
    case 3: narrow_all<3, E>(t); break;
#endif
#if defined(__AVX512F__)
    case 4: narrow_all<4, E>(t); break;
#endif
  }
}

}  // namespace HADAL_ISA
}  // namespace hadal
