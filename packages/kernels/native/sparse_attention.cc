// Attention over chosen keys. Contract and twin: sparse-attention.ts.
//
// A task is one query and a few of the heads that share a key head: their keys are gathered 64 at a time into the blocks
// that attention.h's tile reads, so that a row's bits depend on the order of its own keys and on nothing else. Few
// queries, as in decoding for a single user, have their heads shared out among the threads.
#include "gathered.h"

namespace hadal {
namespace HADAL_ISA {

namespace {

// Heads of one task: at most, for the scratch, and at least, or gathering would cost more than multiplying.
constexpr Int MOST_HEADS = 40 * ROWS;
constexpr Int LEAST_HEADS = 2 * ROWS;

struct Source {
  const float *k, *v;  // null: there is no such source
  Windows windows;
};

struct SparseTensors {
  const float* q;
  Source near, far;
  const int* picks;     // null: every whole window of `far`
  const float* sinks;   // null: none
  float* out;
};

struct SparseSizes {
  Int H, Hkv, dk, dv, q_stride, k_stride, v_stride, out_stride, window, K;
  float scale;
};

/** A thread's copies of a block and of one query's heads, and these heads' sums so far. */
struct Scratch {
  float* keys;        // [dk][64]
  float* values;      // [64][padded dv]
  float* q;           // [MOST_HEADS][padded dk], scaled
  float* sums;        // [MOST_HEADS][padded dv]
  float* max;         // [tiles][STATE]
  float* totals;      // [MOST_HEADS][LANES]
  float* scores;      // [ROWS][64]
  float* block_sums;  // [ROWS][LANES]
};

/** One query's keys in the order in which they are weighed: what is far, then the tokens just before it. */
struct Seen {
  const Span& s;
  const int* picks;
  Int far, first_near, near;

  Seen(const SparseTensors& t, const SparseSizes& z, const Span& span, Int query) : s(span) {
    const Int position = span.position(query);
    const Int windows = t.far.k ? t.far.windows.among(position + 1) : 0;
    picks = t.picks ? t.picks + (span.q_start + query) * z.K : nullptr;
    far = picks ? 0 : windows;
    while (picks && far < z.K && picks[far] >= 0 && picks[far] < windows) far++;
    first_near = max_of(0, position + 1 - z.window);
    near = t.near.k ? position + 1 - first_near : 0;
  }

  /** Where the keys and values of the block from `begin` on lie, of one key head; returns how many there are. */
  Int gather(const SparseTensors& t, const SparseSizes& z, Int kv_head, Int begin, const float** k, const float** v) const {
    Int count = 0;
    for (Int j = begin; j < min_of(begin + KEYS, far + near); j++) {
      const Source& source = j < far ? t.far : t.near;
      const Int window = j < far ? (picks ? picks[j] : j) : first_near + j - far;
      const Int row = source.windows.row(s, window);
      if (row < 0) continue;
      k[count] = source.k + row * z.k_stride + kv_head * z.dk;
      v[count++] = source.v + row * z.v_stride + kv_head * z.dv;
    }
    return count;
  }
};

/** Heads [first, first + count) of one query, all of one key head. */
void attend(const Scratch& f, const SparseTensors& t, const SparseSizes& z, const Seen& seen, Int row, Int kv_head,
            Int first, Int count) {
  const Int q_width = padded(z.dk), v_width = padded(z.dv);
  for (Int h = 0; h < count; h++) {
    pack_row(t.q + row * z.q_stride + (first + h) * z.dk, z.dk, z.scale, f.q + h * q_width);
  }
  // A sink is a key without a value: the sums begin as if it had been weighed already.
  clear_row(f.sums, count * v_width);
  clear_row(f.totals, count * LANES);
  for (Int h = 0; h < blocks_of(count, ROWS) * STATE; h++) f.max[h] = -__builtin_inff();
  for (Int h = 0; h < count && t.sinks; h++) {
    f.max[h / ROWS * STATE + h % ROWS] = t.sinks[first + h];
    f.totals[h * LANES] = 1;
  }

  for (Int begin = 0; begin < seen.far + seen.near; begin += KEYS) {
    const float *k[KEYS], *v[KEYS];
    const Int keys = seen.gather(t, z, kv_head, begin, k, v);
    if (keys == 0) continue;
    pack_gathered(k, keys, z.dk, f.keys);
    for (Int j = 0; j < keys; j++) pack_row(v[j], z.dv, 1.0f, f.values + j * v_width);
    Int visible[ROWS];
    for (int r = 0; r < ROWS; r++) visible[r] = keys;
    for (Int h = 0; h < count; h += ROWS) {
      const Int rows = min_of(ROWS, count - h);
      multiply<Into::replace>(rows, blocks_of(keys, LANES),
                              {f.q + h * q_width, q_width, 1, f.keys, KEYS, f.scores, KEYS, z.dk});
      Merge m;
      weigh(f.scores, rows, visible, m.top, f.block_sums);
      raise(f.max + h / ROWS * STATE, m);
      for (Int r = 0; r < rows; r++) {
        float* total = f.totals + (h + r) * LANES;
        store(total, fma(load(f.block_sums + r * LANES), splat(m.take[r]), load(total) * splat(m.keep[r])));
      }
      multiply<Into::merge>(rows, v_width / LANES, {f.scores, KEYS, 1, f.values, v_width, f.sums + h * v_width, v_width,
                                                    keys, m.keep, m.take});
    }
  }

  for (Int h = 0; h < count; h++) {
    const float* sums = f.sums + h * v_width;
    const float total = spread_sum(load(f.totals + h * LANES))[0];
    const V share = splat(total > 0 ? 1.0f / total : 0);  // 0: the query sees no key
    float* y = t.out + row * z.out_stride + (first + h) * z.dv;
    for_vectors(0, z.dv, [=](Int i, auto n) HADAL_INLINE_LAMBDA { store(y + i, load(sums + i) * share, n); });
  }
}

}  // namespace

// q:t nearK:t? nearV:t? farK:t? farV:t? picks:t? sinks:t? out:T sequences:t nearStarts:t? farStarts:t?, sizes
void sparse_attention(Context& c, const Arg* a) {
  const Int S = a[11].i, NQ = a[12].i, near_rows = a[21].i, far_rows = a[22].i, blocks = a[23].i;
  const SparseSizes z = {a[13].i, a[14].i, a[15].i, a[16].i, a[17].i, a[18].i,
                         a[19].i, a[20].i, a[24].i, a[25].i, (float)a[27].f};
  const SparseTensors t = {(const float*)a[0].p,
                           {(const float*)a[1].p, (const float*)a[2].p, {(const int*)a[9].p, near_rows, 1}},
                           {(const float*)a[3].p, (const float*)a[4].p, {(const int*)a[10].p, far_rows, a[26].i}},
                           (const int*)a[5].p,
                           (const float*)a[6].p,
                           (float*)a[7].p};
  const int* sequences = (const int*)a[8].p;

  Int queries = 0;
  for (Int s = 0; s < S; s++) queries += span_at(sequences, s, NQ, blocks).q_count;
  clear_others(
      c, NQ,
      [&](auto mark) {
        for (Int s = 0; s < S; s++) {
          const Span span = span_at(sequences, s, NQ, blocks);
          mark(span.q_start, span.q_start + span.q_count);
        }
      },
      [&](Int r) { clear_row(t.out + r * z.out_stride, z.H * z.dv); });

  Bump bump = {c.scratch};
  Scratch f;
  f.keys = bump.floats(padded(z.dk) * KEYS);
  f.values = bump.floats(KEYS * padded(z.dv));
  f.q = bump.floats(MOST_HEADS * padded(z.dk));
  f.sums = bump.floats(MOST_HEADS * padded(z.dv));
  f.max = bump.floats(MOST_HEADS / ROWS * STATE);
  f.totals = bump.floats(MOST_HEADS * LANES);
  f.scores = bump.floats(ROWS * KEYS);
  f.block_sums = bump.floats(ROWS * LANES);

  const Int group = z.H / z.Hkv, wanted = 4 * c.threads;
  const Int pieces = blocks_of(wanted, max_of(queries * z.Hkv, 1));
  const Int heads = min_of(MOST_HEADS, max_of(blocks_of(blocks_of(group, pieces), ROWS) * ROWS, LEAST_HEADS));
  const Int chunks = blocks_of(group, heads);

  Int task = c.claim(), passed = 0;
  for (Int s = 0; s < S; s++) {
    const Span span = span_at(sequences, s, NQ, blocks);
    const Int tasks = span.q_count * z.Hkv * chunks;
    for (; task < passed + tasks; task = c.claim()) {
      const Int chunk = (task - passed) % chunks, pair = (task - passed) / chunks;
      const Int kv_head = pair % z.Hkv, query = pair / z.Hkv, first = chunk * heads;
      attend(f, t, z, Seen(t, z, span, query), span.q_start + query, kv_head, kv_head * group + first,
             min_of(heads, group - first));
    }
    passed += tasks;
  }
}

}  // namespace HADAL_ISA
}  // namespace hadal
