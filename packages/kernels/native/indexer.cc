// The lightning indexer: scores of keys, and the choice of the best. Contract and twins: indexer.ts.
#include "best.h"
#include "gathered.h"

namespace hadal {
namespace HADAL_ISA {

namespace {

// Queries of a task, which share the transposition of a block of keys, and blocks of a task.
constexpr Int QUERIES = 8;
constexpr Int BLOCKS = 8;

constexpr unsigned BUCKETS = 2048;

// No list of blocks is read where only lengths matter.
constexpr Int ANY_BLOCKS = 1LL << 40;

struct Scoring {
  const float *q, *weights, *keys;
  Windows windows;
  float* scores;
  Int H, D, first_row, stride, enough;
  float factor;
};

/** Copies of QUERIES queries and of a block of keys. */
struct Copies {
  float *q, *keys, *tile;
};

/** Queries [first, first + count) of a sequence against its windows [begin, end). */
void score(const Scoring& z, const Copies& f, const Span& s, Int first, Int count, Int begin, Int end) {
  const Int width = padded(z.D);
  for (Int i = 0; i < count * z.H; i++) {
    pack_row(z.q + ((s.q_start + first) * z.H + i) * z.D, z.D, 1.0f, f.q + i * width);
  }
  for (Int block = begin; block < end; block += KEYS) {
    const float* rows[KEYS];
    Int keys = min_of(KEYS, end - block);
    for (Int j = 0; j < keys; j++) {
      // A row outside the store reads as the first one: its score is nobody's, but it must be somebody's memory.
      rows[j] = z.keys + max_of(0, z.windows.row(s, block + j)) * z.D;
    }
    pack_gathered(rows, keys, z.D, f.keys);
    for (Int query = 0; query < count; query++) {
      const Int seen = min_of(z.windows.among(s.position(first + query) + 1), z.stride);
      if (seen <= z.enough || seen <= block) continue;
      const Int row = s.q_start + first + query;
      V sums[KEYS / LANES] = {};
      for (Int h = 0; h < z.H; h += ROWS) {
        const Int heads = min_of(ROWS, z.H - h);
        multiply<Into::replace>(heads, KEYS / LANES,
                                {f.q + (query * z.H + h) * width, width, 1, f.keys, KEYS, f.tile, KEYS, z.D});
        for (Int r = 0; r < heads; r++) {
          const V weight = splat(z.weights[row * z.H + h + r] * z.factor);
#pragma GCC unroll 16
          for (int j = 0; j < KEYS / LANES; j++) {
            sums[j] = fma(weight, max(load(f.tile + r * KEYS + j * LANES), V{}), sums[j]);
          }
        }
      }
      float* to = z.scores + (row - z.first_row) * z.stride + block;
      for_vectors(0, min_of(keys, seen - block), [&](Int i, auto n) HADAL_INLINE_LAMBDA { store(to + i, sums[i / LANES], n); });
    }
  }
}

/** Lists the K largest of n > K scores, equal ones from the first on, in the order in which they stand. */
HADAL_INLINE void choose(const float* x, Int n, Int K, int* picks, int* histogram) {
  // A radix selection: each level finds the bucket in which the K-th largest lies, and the next divides it.
  constexpr int SHIFTS[] = {21, 10, 0};
  unsigned prefix = 0, known = 0;
  Int wanted = K;
  for (int shift : SHIFTS) {
    for (unsigned bucket = 0; bucket < BUCKETS; bucket++) histogram[bucket] = 0;
    for (Int i = 0; i < n; i++) {
      const unsigned bits = radix(rankable(x[i]));
      if ((bits & known) == prefix) histogram[((bits & ~known) >> shift) & (BUCKETS - 1)]++;
    }
    unsigned bucket = BUCKETS - 1;
    for (; bucket > 0 && histogram[bucket] < wanted; bucket--) wanted -= histogram[bucket];
    prefix |= bucket << shift;
    known |= ~0u << shift;
  }
  Int count = 0;
  for (Int i = 0; i < n && count < K; i++) {
    const unsigned bits = radix(rankable(x[i]));
    const bool is_equal = bits == prefix && wanted > 0;
    if (is_equal) wanted--;
    if (bits > prefix || is_equal) picks[count++] = (int)i;
  }
}

}  // namespace

// q:t weights:t keys:t scores:T sequences:t starts:t, sizes
void index_scores(Context& c, const Arg* a) {
  const Int S = a[6].i, NQ = a[7].i, blocks = a[11].i, rows = a[14].i;
  const Windows windows = {(const int*)a[5].p, a[10].i, a[12].i};
  const Scoring z = {(const float*)a[0].p, (const float*)a[1].p, (const float*)a[2].p, windows,
                     (float*)a[3].p,       a[8].i,               a[9].i,               a[15].i,
                     a[16].i,              a[13].i,              (float)a[17].f};
  const int* sequences = (const int*)a[4].p;
  if (windows.rows == 0) return;
  Bump bump = {c.scratch};
  Copies f;
  f.q = bump.floats(QUERIES * z.H * padded(z.D));
  f.keys = bump.floats(padded(z.D) * KEYS);
  f.tile = bump.floats(ROWS * KEYS);
  // The lanes past a block's last key are multiplied too; whatever they hold must be numbers.
  clear_row(f.keys, padded(z.D) * KEYS);

  Int task = c.claim(), passed = 0;
  for (Int s = 0; s < S; s++) {
    const Span span = span_at(sequences, s, NQ, blocks);
    const Int begin = max_of(z.first_row - span.q_start, 0);
    const Int end = min_of(z.first_row + rows - span.q_start, span.q_count);
    if (begin >= end) continue;
    const Int chunk = BLOCKS * KEYS, chunks = blocks_of(windows.among(span.key_count), chunk);
    const Int tasks = blocks_of(end - begin, QUERIES) * chunks;
    for (; task < passed + tasks; task = c.claim()) {
      const Int first = begin + (task - passed) / chunks * QUERIES, count = min_of(QUERIES, end - first);
      const Int seen = min_of(windows.among(span.position(first + count - 1) + 1), z.stride);
      const Int from = (task - passed) % chunks * chunk;
      if (seen > z.enough) score(z, f, span, first, count, from, min_of(from + chunk, seen));
    }
    passed += tasks;
  }
}

// scores:t? picks:T sequences:t, sizes
void select_top(Context& c, const Arg* a) {
  const Int S = a[3].i, NQ = a[4].i, first_row = a[5].i, rows = a[6].i, stride = a[7].i, ratio = a[8].i, K = a[9].i;
  const int* sequences = (const int*)a[2].p;
  int* histogram = (int*)c.scratch;
  for_claimed_rows(c, rows, stride + K, [=](Int i) HADAL_INLINE_LAMBDA {
    int* picks = (int*)a[1].p + i * K;
    Int seen = 0;
    for (Int s = 0; s < S; s++) {
      const Span span = span_at(sequences, s, NQ, ANY_BLOCKS);
      const Int query = first_row + i - span.q_start;
      if (query >= 0 && query < span.q_count) seen = min_of((span.position(query) + 1) / ratio, stride);
    }
    if (seen <= K) {
      for (Int k = 0; k < K; k++) picks[k] = k < seen ? (int)k : -1;
    } else {
      choose((const float*)a[0].p + i * stride, seen, K, picks, histogram);
    }
  });
}

}  // namespace HADAL_ISA
}  // namespace hadal
