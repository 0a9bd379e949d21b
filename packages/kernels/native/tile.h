// The micro-kernel of every matrix product: a few rows times one panel of 32 columns.
//
// Owns the innermost loop and nothing above it. The panel width is the same for all instruction sets, so packed weights are
// too; a tile covers a panel in one or more passes, as many columns wide as its accumulators fit the registers. Invariant:
// c[i][j] is one chain of fused multiply-adds over k in ascending order, begun from zero or from the stored c[i][j]; so a
// product's bits do not depend on how it was cut into tiles.
#pragma once

#include "vector.h"

namespace hadal {
namespace HADAL_ISA {

/** Columns of a panel: a panel holds, for each k, 32 neighbouring columns (zeros past the matrix's edge). */
constexpr int PANEL = 32;

#if defined(__AVX512F__)
constexpr int TILE_ROWS = 14, TILE_VECTORS = 2;  // 28 accumulators of 32 registers
#elif defined(__AVX2__)
constexpr int TILE_ROWS = 6, TILE_VECTORS = 2;  // 12 of 16
#elif defined(HADAL_NEON)
constexpr int TILE_ROWS = 4, TILE_VECTORS = 4;  // 16 of 32; a strip is one vector wide
#else
constexpr int TILE_ROWS = 4, TILE_VECTORS = 2;  // 8 of 16; products without FMA need registers too
#endif
constexpr int TILE_COLUMNS = TILE_VECTORS * LANES;

/** Most steps of k in one block: deeper ones save passes over C, but strips of A should stay in the first-level cache. */
#if defined(__AVX512F__)
constexpr int BLOCK_DEPTH = 256;
#else
constexpr int BLOCK_DEPTH = 256;
#endif

/** Floats between the rows of a copied strip of A; the odd cache line keeps its rows out of each other's cache sets. */
constexpr int STRIP_STRIDE = BLOCK_DEPTH + 16;

/** Floats between the steps of k of a strip copied from a transposed A: one vector. */
constexpr int STRIP_WIDTH = LANES;
static_assert(TILE_ROWS <= STRIP_WIDTH, "a strip of a transposed A is one vector wide");

/** How many steps of k ahead of its use a row of the panel is fetched. */
constexpr int PREFETCH_ROWS = 8;

/** Steps of k between two visits to the movers. */
constexpr int CHUNK = 16;

/**
 * Copies a matrix piece by piece into the layout of the next block, while tiles compute on the current one: the copy's
 * loads and stores fill the gaps that multiply-adds leave, and memory has time to deliver.
 *
 * Every row of the source is cut into pieces `from_step` apart; piece p of row r, VECTORS vectors wide, goes to
 * to + p * to_step + r * to_row. What lies past `row_floats` becomes zeros. With `to` null, pieces are only fetched.
 */
template <int VECTORS>
struct Mover {
  const float* from = nullptr;
  float* to = nullptr;
  long long row_floats = 0, from_step = 0, from_row = 0, to_step = 0, to_row = 0;
  long long rows = 0;  // left
  long long ahead = 0;  // distance in floats of what is fetched with each piece
  int pieces_a_visit = 0;
  // Of the current row.
  const float* at = nullptr;
  float* into = nullptr;
  long long left = 0;

  void start(long long row_count, long long visits) {
    rows = row_floats > 0 ? row_count : 0;
    at = from;
    into = to;
    left = row_floats;
    const long long pieces = rows * ((row_floats + from_step - 1) / from_step);
    pieces_a_visit = visits > 0 ? (int)((pieces + visits - 1) / visits) : 0;
  }

  inline __attribute__((always_inline)) void step() {
    V x[VECTORS];
#pragma GCC unroll 8
    for (int v = 0; v < VECTORS; v++) {
      const long long lanes = left - v * LANES;
      x[v] = load(at + v * LANES, lanes >= LANES ? LANES : lanes > 0 ? (int)lanes : 0);
      if (v * LANES % 16 == 0) __builtin_prefetch(at + v * LANES + ahead, 0, 3);
    }
#pragma GCC unroll 8
    for (int v = 0; v < VECTORS; v++) store(into + v * LANES, x[v]);
    at += from_step;
    into += to_step;
    left -= from_step;
    if (left <= 0) {
      from += from_row;
      to += to_row;
      at = from;
      into = to;
      left = row_floats;
      rows--;
    }
  }

  inline __attribute__((always_inline)) void visit() {
    if (rows <= 0) return;
    const float* p = at;
    float* q = into;
    long long rest = left;
    for (int i = 0; i < pieces_a_visit; i++) {
#pragma GCC unroll 8
      for (int v = 0; v < VECTORS; v++) {
        if (v * LANES % 16 == 0) __builtin_prefetch(p + v * LANES + ahead, 0, 3);
      }
      if (to != nullptr) {
        V x[VECTORS];
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; v++) {
          const long long lanes = rest - v * LANES;
          x[v] = load(p + v * LANES, lanes >= LANES ? LANES : lanes > 0 ? (int)lanes : 0);
        }
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; v++) store(q + v * LANES, x[v]);
      }
      p += from_step;
      q += to_step;
      rest -= from_step;
      if (rest <= 0) {
        from += from_row;
        if (to != nullptr) to += to_row;
        p = from;
        q = to;
        rest = row_floats;
        if (--rows == 0) break;
      }
    }
    at = p;
    into = q;
    left = rest;
  }

  void finish() {
    if (to == nullptr) rows = 0;
    while (rows > 0) step();
  }
};

struct TileArgs {
  long long depth;
  const float* a;
  const void* b;
  long long b_step;  // elements from k to k + 1
  float* c;
  long long ldc;
  int columns;  // of the panel's 32, those that C has
  bool accumulate;
  Mover<1>* next_a;
  Mover<PANEL / LANES>* next_b;
};

/** How a strip of A lies: its rows STRIP_STRIDE apart, or its columns (k by k) STRIP_WIDTH apart. */
enum class Strip { ROWS, COLUMNS };

/** How B's elements lie: floats, or two bfloat16 in 32 bits, column j below column j + 16. */
enum class Element { F32, BF16 };

/** Columns first .. first + TILE_COLUMNS of the panel's row at b. */
template <Element E>
HADAL_INLINE void load_panel(const void* b, int first, V out[TILE_VECTORS]) {
  if (E == Element::F32) {
#pragma GCC unroll 4
    for (int v = 0; v < TILE_VECTORS; v++) out[v] = load((const float*)b + first + v * LANES);
  } else {
#pragma GCC unroll 4
    for (int v = 0; v < TILE_VECTORS; v++) {
      int column = first + v * LANES;
      VI words = *(const UnalignedVI*)((const int*)b + column % (PANEL / 2));
      out[v] = (V)(column < PANEL / 2 ? words << 16 : words & splat_int((int)0xffff0000));
    }
  }
}

/** Lanes of vector v that lie within the first `columns` columns. */
HADAL_INLINE int lanes_within(int columns, int v) {
  int n = columns - v * LANES;
  return n < 0 ? 0 : n > LANES ? LANES : n;
}

/** Columns FIRST .. FIRST + TILE_COLUMNS of the panel. */
template <int ROWS, Strip S, Element E, int FIRST>
HADAL_INLINE void tile_pass(const TileArgs& t) {
  constexpr int B_BYTES = E == Element::F32 ? 4 : 2;
  constexpr int PREFETCH_BYTES = E == Element::F32 && TILE_COLUMNS == PANEL ? 128 : 64;
  const int columns = t.columns - FIRST;
  const bool whole = columns >= TILE_COLUMNS;
  float* c = t.c + FIRST;
  V acc[ROWS][TILE_VECTORS];
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; i++) {
#pragma GCC unroll 4
    for (int v = 0; v < TILE_VECTORS; v++) {
      if (!t.accumulate) {
        acc[i][v] = V{};
      } else if (whole) {
        acc[i][v] = load(c + i * t.ldc + v * LANES);
      } else {
        acc[i][v] = load(c + i * t.ldc + v * LANES, lanes_within(columns, v));
      }
    }
  }

  if (FIRST == 0 && t.accumulate) {
    // The next tile's C.
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++) {
      __builtin_prefetch(c + i * t.ldc + PANEL, 0, 3);
      __builtin_prefetch(c + i * t.ldc + PANEL + 16, 0, 3);
    }
  }
  const float* a = t.a;
  const char* b = (const char*)t.b;
  const long long b_bytes = t.b_step * B_BYTES;
  for (long long chunk = 0; chunk < t.depth; chunk += CHUNK) {
    t.next_a->visit();
    t.next_b->visit();
    auto step = [&]() __attribute__((always_inline)) {
#pragma GCC unroll 2
      for (int line = 0; line < PREFETCH_BYTES; line += 64) {
        __builtin_prefetch(b + PREFETCH_ROWS * b_bytes + (E == Element::F32 ? FIRST * 4 : 0) + line, 0, 3);
      }
      V x[TILE_VECTORS];
      load_panel<E>(b, FIRST, x);
#pragma GCC unroll 16
      for (int i = 0; i < ROWS; i++) {
        V y = splat(S == Strip::ROWS ? a[i * STRIP_STRIDE] : a[i]);
#pragma GCC unroll 4
        for (int v = 0; v < TILE_VECTORS; v++) acc[i][v] = fma(y, x[v], acc[i][v]);
      }
      a += S == Strip::ROWS ? 1 : STRIP_WIDTH;
      b += b_bytes;
    };
    if (chunk + CHUNK <= t.depth) {
#pragma GCC unroll 2
      for (int k = 0; k < CHUNK; k++) step();
    } else {
      for (long long k = chunk; k < t.depth; k++) step();
    }
  }

#pragma GCC unroll 16
  for (int i = 0; i < ROWS; i++) {
#pragma GCC unroll 4
    for (int v = 0; v < TILE_VECTORS; v++) {
      if (whole) {
        store(c + i * t.ldc + v * LANES, acc[i][v]);
      } else {
        store(c + i * t.ldc + v * LANES, acc[i][v], lanes_within(columns, v));
      }
    }
  }
}

template <int ROWS, Strip S, Element E, int FIRST = 0>
static void tile(const TileArgs& t) {
  tile_pass<ROWS, S, E, FIRST>(t);
  if constexpr (FIRST + TILE_COLUMNS < PANEL) {
    if (t.columns > FIRST + TILE_COLUMNS) tile<ROWS, S, E, FIRST + TILE_COLUMNS>(t);
  }
}

typedef void (*TileFunction)(const TileArgs&);

/** The tile for 1 .. TILE_ROWS rows. */
template <Strip S, Element E>
HADAL_INLINE TileFunction tile_of(int rows) {
#if defined(__AVX512F__)
  static constexpr TileFunction functions[] = {
      tile<1, S, E>, tile<2, S, E>, tile<3, S, E>,  tile<4, S, E>,  tile<5, S, E>,  tile<6, S, E>,  tile<7, S, E>,
      tile<8, S, E>, tile<9, S, E>, tile<10, S, E>, tile<11, S, E>, tile<12, S, E>, tile<13, S, E>, tile<14, S, E>,
  };
#elif defined(__AVX2__)
  static constexpr TileFunction functions[] = {tile<1, S, E>, tile<2, S, E>, tile<3, S, E>,
                                               tile<4, S, E>, tile<5, S, E>, tile<6, S, E>};
#else
  static constexpr TileFunction functions[] = {tile<1, S, E>, tile<2, S, E>, tile<3, S, E>, tile<4, S, E>};
#endif
  static_assert(sizeof functions / sizeof *functions == TILE_ROWS, "one tile for each height");
  return functions[rows - 1];
}

}  // namespace HADAL_ISA
}  // namespace hadal
