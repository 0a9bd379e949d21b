// What attention's forward and backward pass share: small products, packed blocks, and the tables of sequences.
//
// Owns the register tile over blocks of 64 keys, the packing around it, and the reading of `sequences` and `blockStarts`.
// Its products are a few dozen rows and columns out of packed scratch, so it has a tile of its own instead of the matrix
// product's panels. Invariant: an element of a product is one chain of fused multiply-adds in ascending order, whatever
// tile it falls into.
#pragma once

#include "online_softmax.h"

namespace hadal {
namespace HADAL_ISA {

/** Vectors of columns in a register tile. */
#if defined(__AVX512F__) || defined(HADAL_NEON)
constexpr int VECTORS = 4;
#else
constexpr int VECTORS = 2;
#endif

HADAL_INLINE Int min_of(Int a, Int b) { return a < b ? a : b; }
HADAL_INLINE Int max_of(Int a, Int b) { return a > b ? a : b; }
HADAL_INLINE Int blocks_of(Int n, Int size) { return (n + size - 1) / size; }
/** Columns of a packed row: whole vectors. */
HADAL_INLINE Int padded(Int n) { return blocks_of(n, LANES) * LANES; }

// ---- Register tiles -----------------------------------------------------------------------------------------------------

/** What happens to a product's sums: they replace C, continue C's own chain, or C = C * keep[row] + sums * take[row]. */
enum class Into { replace, extend, merge };

/** sums[r, j] over k in order of a[r * a_row + k * a_step] * b[k * b_row + j]; b and c in packed rows. */
struct Product {
  const float* a;
  Int a_row, a_step;
  const float* b;
  Int b_row;
  float* c;
  Int c_row;
  Int depth;
  const float* keep = nullptr;
  const float* take = nullptr;
};

template <Into INTO, int R, int C>
__attribute__((noinline)) static void tile(const Product& p, Int column) {
  V sums[R][C];
  float* c = p.c + column;
#pragma GCC unroll 6
  for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
    for (int j = 0; j < C; j++) sums[r][j] = INTO == Into::extend ? load(c + r * p.c_row + j * LANES) : V{};
  }
  const float* a = p.a;
  const float* b = p.b + column;
  const Int a_row = p.a_row, a_step = p.a_step, b_row = p.b_row;
#pragma GCC unroll 2
  for (Int k = p.depth; k > 0; k--) {
    V y[C];
#pragma GCC unroll 4
    for (int j = 0; j < C; j++) y[j] = load(b + j * LANES);
#pragma GCC unroll 6
    for (int r = 0; r < R; r++) {
      V x = splat(a[r * a_row]);
#pragma GCC unroll 4
      for (int j = 0; j < C; j++) sums[r][j] = fma(x, y[j], sums[r][j]);
    }
    a += a_step;
    b += b_row;
  }
#pragma GCC unroll 6
  for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
    for (int j = 0; j < C; j++) {
      float* to = c + r * p.c_row + j * LANES;
      if (INTO == Into::merge) {
        store(to, fma(sums[r][j], splat(p.take[r]), load(to) * splat(p.keep[r])));
      } else {
        store(to, sums[r][j]);
      }
    }
  }
}

template <Into INTO, int R>
static void tiles(const Product& p, Int vectors) {
  Int j = 0;
  for (; j + VECTORS <= vectors; j += VECTORS) tile<INTO, R, VECTORS>(p, j * LANES);
  switch (vectors - j) {
    case 3:
      return tile<INTO, R, VECTORS == 4 ? 3 : 1>(p, j * LANES);
    case 2:
      return tile<INTO, R, VECTORS == 4 ? 2 : 1>(p, j * LANES);
    case 1:
      return tile<INTO, R, 1>(p, j * LANES);
  }
}

/** The product of 1 to ROWS rows and any number of vectors of columns. */
template <Into INTO>
static void multiply(Int rows, Int vectors, const Product& p) {
  switch (rows) {
    case 6:
      return tiles<INTO, 6>(p, vectors);
    case 5:
      return tiles<INTO, 5>(p, vectors);
    case 4:
      return tiles<INTO, 4>(p, vectors);
    case 3:
      return tiles<INTO, 3>(p, vectors);
    case 2:
      return tiles<INTO, 2>(p, vectors);
    case 1:
      return tiles<INTO, 1>(p, vectors);
  }
}

// ---- Packing ------------------------------------------------------------------------------------------------------------

/** A bfloat16 number, as caches hold them. */
typedef unsigned short Bf16;

/** Asks for rows that will be read, or written, soon. Heads lie apart, so the hardware does not see them coming. */
template <class E>
HADAL_INLINE void prefetch_rows(const E* from, Int stride, Int rows, Int width) {
  for (Int r = 0; r < rows; r++) {
    for (Int d = 0; d < width; d += 64 / (Int)sizeof(E)) __builtin_prefetch(from + r * stride + d, 0, 2);
  }
}

/** Where a block of rows lies, and where the one that will be packed next does (its own place if there is none). */
template <class E>
struct Source {
  const E* from;
  const E* next;
  Int stride;
};

/** The two bfloat16 numbers of every lane as floats: the lower ones to a row of keys, the upper ones to the next. */
HADAL_INLINE void store_pair(V x, float* row) {
  store(row, (V)((VI)x << 16));
  store(row + KEYS, (V)((VI)x & (int)0xffff0000));
}

/** to[d][key] = from[key * stride + d] for a block of 64 keys, zeros from `rows` on. */
[[maybe_unused]] static inline void pack_transposed(const Source<float>& s, Int rows, Int width, float* to) {
  for (Int key = 0; key < KEYS; key += LANES) {
    for (Int d = 0; d < width; d += LANES) {
      V x[LANES];
      const Int columns = min_of(LANES, width - d), at = key * s.stride + d;
      if (columns == LANES && key + LANES <= rows) {
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) {
          x[i] = load(s.from + at + i * s.stride);
          __builtin_prefetch(s.next + at + i * s.stride, 0, 2);
        }
      } else {
        for (int i = 0; i < LANES; i++) x[i] = key + i < rows ? load(s.from + at + i * s.stride, (int)columns) : V{};
      }
      transpose(x);
      float* target = to + d * KEYS + key;
      if (columns == LANES) {
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) store(target + i * KEYS, x[i]);
      } else {
        for (int i = 0; i < columns; i++) store(target + i * KEYS, x[i]);
      }
    }
  }
}

/** The same from bfloat16: a lane carries two neighbouring numbers through the transposition. */
static inline void pack_transposed(const Source<Bf16>& s, Int rows, Int width, float* to) {
  typedef float Pairs __attribute__((vector_size(4 * LANES), aligned(2), may_alias));
  const Int pairs = width / 2;
  for (Int key = 0; key < KEYS; key += LANES) {
    for (Int p = 0; p < pairs; p += LANES) {
      V x[LANES];
      const Int columns = min_of(LANES, pairs - p), at = key * s.stride + 2 * p;
      if (columns == LANES && key + LANES <= rows) {
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) {
          x[i] = *(const Pairs*)(s.from + at + i * s.stride);
          __builtin_prefetch(s.next + at + i * s.stride, 0, 2);
        }
      } else {
        for (int i = 0; i < LANES; i++) {
          x[i] = key + i < rows ? load((const float*)(s.from + at + i * s.stride), (int)columns) : V{};
        }
      }
      transpose(x);
      float* target = to + 2 * p * KEYS + key;
      if (columns == LANES) {
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) store_pair(x[i], target + 2 * i * KEYS);
      } else {
        for (int i = 0; i < columns; i++) store_pair(x[i], target + 2 * i * KEYS);
      }
    }
    for (Int i = 0; width % 2 == 1 && i < LANES; i++) {
      to[(width - 1) * KEYS + key + i] = key + i < rows ? from_bf16(s.from[(key + i) * s.stride + width - 1]) : 0;
    }
  }
}

/** to[d] = from[d] * factor, padded with zeros to whole vectors. */
HADAL_INLINE void pack_row(const float* from, Int width, float factor, float* to) {
  V f = splat(factor);
  Int d = 0;
  for (; d + LANES <= width; d += LANES) store(to + d, load(from + d) * f);
  if (d < width) store(to + d, load(from + d, (int)(width - d)) * f);
}

HADAL_INLINE void pack_row(const Bf16* from, Int width, float factor, float* to) {
  V f = splat(factor);
  Int d = 0;
  for (; d + LANES <= width; d += LANES) store(to + d, load_bf16(from + d) * f);
  if (d < width) store(to + d, load_bf16(from + d, (int)(width - d)) * f);
}

/** to[row][d] = from[row * stride + d] * factor, rows padded. */
template <class E>
[[maybe_unused]] static void pack_rows(const Source<E>& s, Int rows, Int width, float factor, float* to) {
  for (Int r = 0; r < rows; r++) {
    prefetch_rows(s.next + r * s.stride, 0, 1, width);
    pack_row(s.from + r * s.stride, width, factor, to + r * padded(width));
  }
}

/** Hands out 64-byte aligned pieces of a thread's scratch. */
struct Bump {
  char* next;
  float* floats(Int n) {
    float* p = (float*)next;
    next += (n * 4 + 63) / 64 * 64;
    return p;
  }
};

// ---- Sequences ----------------------------------------------------------------------------------------------------------

struct Sizes {
  Int S, H, Hkv, dk, dv, q_stride, k_stride, v_stride, out_stride, NQ, key_rows, block_count;
  float scale;
};

HADAL_INLINE Sizes sizes_of(const Arg* a) {
  return {a[0].i, a[1].i, a[2].i, a[3].i, a[4].i, a[5].i, a[6].i, a[7].i, a[8].i, a[9].i, a[10].i, a[11].i, (float)a[12].f};
}

struct Tables {
  const int *sequences, *block_starts;
};

struct Sequence {
  Int q_start, q_count, key_count, first_block;
  const int* starts;
  Int key_blocks() const { return blocks_of(key_count, KEYS); }
  Int keys_in(Int block) const { return min_of(KEYS, key_count - block * KEYS); }
};

/** Sequence s, or an empty one where the tables would lead outside the tensors. */
[[maybe_unused]] static Sequence sequence_at(const Tables& tables, Int s, const Sizes& z) {
  const int* row = tables.sequences + 4 * s;
  const Sequence none = {0, 0, 0, 0, tables.block_starts};
  const Sequence q = {row[0], row[1], row[2], row[3], tables.block_starts + row[3]};
  if (q.q_start < 0 || q.q_count < 0 || q.key_count < q.q_count || q.first_block < 0) return none;
  if (q.q_start + q.q_count > z.NQ || q.first_block + q.key_blocks() > z.block_count) return none;
  for (Int b = 0; b < q.key_blocks(); b++) {
    if (q.starts[b] < 0 || q.starts[b] + q.keys_in(b) > z.key_rows) return none;
  }
  return q;
}

// ---- Rows of no sequence ------------------------------------------------------------------------------------------------

/** Calls clear(row) for every row in this thread's share of `rows` that no mark(begin, end) has named. */
template <class Mark, class Clear>
HADAL_INLINE void clear_others(const Context& c, Int rows, Mark mark, Clear clear) {
  constexpr Int MOST = 1 << 16;
  bool* seen = (bool*)c.scratch;
  Share s = share(c, rows);
  for (Int begin = s.begin; begin < s.end; begin += MOST) {
    const Int end = min_of(begin + MOST, s.end);
    __builtin_memset(seen, 0, (unsigned long)(end - begin));
    mark([=](Int from, Int to) {
      for (Int r = from > begin ? from : begin; r < to && r < end; r++) seen[r - begin] = true;
    });
    for (Int r = begin; r < end; r++) {
      if (!seen[r - begin]) clear(r);
    }
  }
}

}  // namespace HADAL_ISA
}  // namespace hadal
