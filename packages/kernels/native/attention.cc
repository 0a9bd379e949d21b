// Causal attention, forward. Contract and twin: attention.ts.
//
// Keys are transposed into scratch so that scores have one key per lane; queries go through in tiles of six rows, so that
// the arithmetic and not the loads is the limit. Each block of 64 keys is weighed against its own largest score and then
// joins the sums so far, in order from key 0, so a row's bits do not depend on the rows beside it or on who computes it:
// where rows are few, blocks are shared out among threads and joined afterwards, by the same operations.
#include "attention.h"

namespace hadal {
namespace HADAL_ISA {

namespace {

// Query rows that share one transposition of a key block: at most, and at least where tasks are few.
constexpr int MOST_ROWS = 40 * ROWS;
constexpr int LEAST_ROWS = 8 * ROWS;

/** E: float, or Bf16. */
template <class E>
struct ForwardTensors {
  const float* q;
  const E *k, *v;
  float *out, *lse;
};

/** A thread's copies of a block and of query rows, and these rows' sums so far. */
struct Forward {
  float* keys;        // [dk][64]
  float* values;      // [64][padded dv]
  float* q;           // [MOST_ROWS][padded dk], scaled
  float* sums;        // [MOST_ROWS][padded dv]
  float* max;         // [tiles][STATE]
  float* totals;      // [MOST_ROWS][LANES]: each row's sum of weights, by lane
  float* scores;      // [ROWS][64]
  float* block_sums;  // [ROWS][LANES]
};

/** Rows [first, first + count) of the group of heads that share a key head. Row = query * group + head. */
struct Rows {
  Int kv_head, first, count, group;
  Int query(Int r) const { return (first + r) / group; }
  Int head(Int r) const { return kv_head * group + (first + r) % group; }
};

/** out = sums / total, lse = log of the total of exp(score). */
template <class E>
HADAL_INLINE void finish_row(const ForwardTensors<E>& t, const Sizes& z, Int row, Int head, const float* sums, V totals,
                             float max) {
  const float total = spread_sum(totals)[0];
  const V share = splat(1.0f / total);
  float* y = t.out + row * z.out_stride + head * z.dv;
  // Adding zero turns -0 into 0: a hidden key's zero may or may not have been added, and only -0 would show it.
  for_vectors(0, z.dv, [=](Int i, auto count) HADAL_INLINE_LAMBDA {
    store(y + i, fma(load(sums + i), share, V{}), count);
  });
  t.lse[row * z.H + head] = max + __builtin_logf(total);
}

/** What the two ways of sharing out work have in common: rows of a sequence against its blocks. */
template <class E>
struct Walk {
  const Forward& f;
  const ForwardTensors<E>& t;
  const Sequence& s;
  const Sizes& z;
  const Rows& g;

  const float* query(Int r) const { return t.q + (s.q_start + g.query(r)) * z.q_stride + g.head(r) * z.dk; }
  const E* keys(Int block) const { return t.k + s.starts[block] * z.k_stride + g.kv_head * z.dk; }
  const E* values(Int block) const { return t.v + s.starts[block] * z.v_stride + g.kv_head * z.dv; }
  /** Keys of the block that row r sees; none where <= 0. */
  Int visible(Int r, Int block) const {
    return min_of(KEYS, s.key_count - s.q_count + g.query(r) + 1 - block * KEYS);
  }
  Int last_block(Int r) const { return (s.key_count - s.q_count + g.query(r)) / KEYS; }

  /** Brings a block's keys and values into scratch; returns the values, which a single tile reads where they are, as floats. */
  Product pack(Int block, Int next) const {
    pack_transposed(Source<E>{keys(block), keys(next), z.k_stride}, s.keys_in(block), z.dk, f.keys);
    const Int v_width = padded(z.dv);
    Product weighted = {f.scores, KEYS, 1, f.values, v_width, nullptr, v_width, 0};
    if (sizeof(E) == sizeof(float) && g.count <= ROWS && v_width == z.dv) {
      prefetch_rows(values(next), z.v_stride, s.keys_in(next), z.dv);
      weighted.b = (const float*)values(block);
      weighted.b_row = z.v_stride;
    } else {
      pack_rows(Source<E>{values(block), values(next), z.v_stride}, s.keys_in(block), z.dv, 1.0f, f.values);
    }
    return weighted;
  }

  void pack_queries(Int row, Int count) const {
    for (Int r = row; r < row + count; r++) pack_row(query(r), z.dk, z.scale, f.q + r * padded(z.dk));
  }

  /** Weights of a tile of rows against the packed block, in f.scores; false where none of the rows sees it. */
  bool weights(Int row, Int count, Int block, Product& weighted, V* tops) const {
    Int seen[ROWS];
    for (Int r = 0; r < count; r++) seen[r] = visible(row + r, block);
    weighted.depth = seen[count - 1];
    if (weighted.depth <= 0) return false;
    const Int q_width = padded(z.dk);
    multiply<Into::replace>(count, blocks_of(weighted.depth, LANES),
                            {f.q + row * q_width, q_width, 1, f.keys, KEYS, f.scores, KEYS, z.dk});
    weigh(f.scores, count, seen, tops, f.block_sums);
    return true;
  }
};

/** All of these rows' keys, block after block. */
template <class E>
void forward_rows(const Walk<E>& w) {
  const Forward& f = w.f;
  const Int v_width = padded(w.z.dv), last_block = w.last_block(w.g.count - 1);
  for (Int block = 0; block <= last_block; block++) {
    Product weighted = w.pack(block, min_of(block + 1, last_block));
    for (Int row = 0; row < w.g.count; row += ROWS) {
      const Int count = min_of(ROWS, w.g.count - row);
      float* sums = f.sums + row * v_width;
      float* max = f.max + row / ROWS * STATE;
      float* totals = f.totals + row * LANES;
      if (block == 0) {
        for (Int r = row + ROWS; r < min_of(row + 2 * ROWS, w.g.count); r++) prefetch_rows(w.query(r), 0, 1, w.z.dk);
        w.pack_queries(row, count);
        for (Int i = 0; i < STATE; i++) max[i] = -__builtin_inff();
        clear_row(sums, count * v_width);
        clear_row(totals, count * LANES);
      }
      Merge m;
      if (!w.weights(row, count, block, weighted, m.top)) continue;
      raise(max, m);
      for (Int r = 0; r < count; r++) {
        float* total = totals + r * LANES;
        store(total, fma(load(f.block_sums + r * LANES), splat(m.take[r]), load(total) * splat(m.keep[r])));
      }
      weighted.c = sums;
      weighted.keep = m.keep;
      weighted.take = m.take;
      multiply<Into::merge>(count, v_width / LANES, weighted);
      if (w.last_block(row + count - 1) > block) continue;
      for (Int r = 0; r < count; r++) {
        finish_row(w.t, w.z, w.s.q_start + w.g.query(row + r), w.g.head(row + r), sums + r * v_width,
                   load(totals + r * LANES), max[r]);
      }
    }
  }
}

// ---- Few rows: blocks of keys shared out among threads ------------------------------------------------------------------

/** One row against one block: [padded dv] sums, [LANES] total by lane, [LANES] its largest score. */
struct Records {
  float* at;
  Int blocks, v_width;
  Int size() const { return v_width + 2 * LANES; }
  float* sums(Int row, Int block) const { return at + (row * blocks + block) * size(); }
  float* total(Int row, Int block) const { return sums(row, block) + v_width; }
  float* top(Int row, Int block) const { return total(row, block) + LANES; }
};

template <class E>
void record_blocks(const Walk<E>& w, const Records& records, Int begin, Int end) {
  w.pack_queries(0, w.g.count);
  for (Int block = begin; block < end; block++) {
    Product weighted = w.pack(block, min_of(block + 1, end - 1));
    for (Int row = 0; row < w.g.count; row += ROWS) {
      const Int count = min_of(ROWS, w.g.count - row);
      V tops[STATE_VECTORS];
      if (!w.weights(row, count, block, weighted, tops)) continue;
      for (Int r = 0; r < count; r++) {
        store(records.total(row + r, block), load(w.f.block_sums + r * LANES));
        records.top(row + r, block)[0] = tops[r / LANES][r % LANES];
      }
      weighted.c = records.sums(row, block);
      weighted.c_row = records.blocks * records.size();
      multiply<Into::replace>(count, records.v_width / LANES, weighted);
    }
  }
}

/** Joins a row's blocks in order: the operations of `forward_rows`, on one row. */
template <class E>
void join_row(const Walk<E>& w, const Records& records, Int row) {
  const Int blocks = w.last_block(row) + 1;
  float* sums = w.f.sums;
  clear_row(sums, records.v_width);
  V running = splat(-__builtin_inff()), total = V{};
  for (Int block = 0; block < blocks; block++) {
    V top = splat(records.top(row, block)[0]);
    V after = max(running, top);
    V keep = exp_negative(running - after), take = exp_negative(top - after);
    running = after;
    total = fma(load(records.total(row, block)), take, total * keep);
    const float* part = records.sums(row, block);
    for (Int i = 0; i < records.v_width; i += LANES) store(sums + i, fma(load(part + i), take, load(sums + i) * keep));
  }
  finish_row(w.t, w.z, w.s.q_start + w.g.query(row), w.g.head(row), sums, total, running[0]);
}

template <class E>
void attend(Context& c, const ForwardTensors<E>& t, const Tables& tables, const Sizes& z) {
  const Int group = z.H / z.Hkv;

  Int all_rows = 0, most_rows = 0, most_blocks = 0;
  for (Int s = 0; s < z.S; s++) {
    const Sequence q = sequence_at(tables, s, z);
    if (q.q_count == 0) continue;
    all_rows += q.q_count * group;
    most_rows = max_of(most_rows, q.q_count * group);
    most_blocks = max_of(most_blocks, q.key_blocks());
  }
  clear_others(
      c, z.NQ,
      [&](auto mark) {
        for (Int s = 0; s < z.S; s++) {
          const Sequence q = sequence_at(tables, s, z);
          mark(q.q_start, q.q_start + q.q_count);
        }
      },
      [&](Int r) {
        clear_row(t.out + r * z.out_stride, z.H * z.dv);
        clear_row(t.lse + r * z.H, z.H);
      });

  Bump bump = {c.scratch};
  Forward f;
  f.keys = bump.floats(padded(z.dk) * KEYS);
  f.values = bump.floats(KEYS * padded(z.dv));
  f.q = bump.floats(MOST_ROWS * padded(z.dk));
  f.sums = bump.floats(MOST_ROWS * padded(z.dv));
  f.max = bump.floats(MOST_ROWS / ROWS * STATE);
  f.totals = bump.floats(MOST_ROWS * LANES);
  f.scores = bump.floats(ROWS * KEYS);
  f.block_sums = bump.floats(ROWS * LANES);

  // Few rows over many keys, as in decoding for a single user: the blocks are the tasks. Needs a record of each row and
  // block, so it stops at what the shared memory holds.
  const Records all = {(float*)c.shared, most_blocks, padded(z.dv)};
  const bool fits = (unsigned long)(all_rows * z.Hkv * most_blocks * all.size() * 4) <= c.shared_bytes;
  const Int row_tasks = z.S * z.Hkv * blocks_of(most_rows, LEAST_ROWS), wanted = 2 * c.threads;
  if (c.threads > 1 && row_tasks < wanted && most_blocks >= wanted && most_rows <= MOST_ROWS && fits) {
    const Int chunk = blocks_of(most_blocks, 2 * wanted), chunks = blocks_of(most_blocks, chunk);
    auto for_pairs = [&](auto use) {
      Int rows_before = 0;
      for (Int pair = 0; pair < z.S * z.Hkv; pair++) {
        const Sequence q = sequence_at(tables, pair / z.Hkv, z);
        if (q.q_count == 0) continue;
        const Rows g = {pair % z.Hkv, 0, q.q_count * group, group};
        use(Walk<E>{f, t, q, z, g}, Records{all.at + rows_before * most_blocks * all.size(), most_blocks, all.v_width});
        rows_before += g.count;
      }
    };
    Int task = c.claim(), passed = 0;
    for_pairs([&](const Walk<E>& w, const Records& records) {
      for (Int i = 0; i < chunks; i++) {
        if (passed++ != task) continue;
        record_blocks(w, records, i * chunk, min_of((i + 1) * chunk, w.s.key_blocks()));
        task = c.claim();
      }
    });
    c.barrier();
    task = c.claim();
    passed = 0;
    for_pairs([&](const Walk<E>& w, const Records& records) {
      for (Int row = 0; row < w.g.count; row++) {
        if (passed++ != task) continue;
        join_row(w, records, row);
        task = c.claim();
      }
    });
    return;
  }

  // Tasks are (sequence, key head, block of query rows), each sequence's later and longer blocks first. Blocks are as large
  // as leaves some for every thread.
  const Int limit = min_of(MOST_ROWS, max_of(all_rows * z.Hkv / (8 * c.threads), LEAST_ROWS));
  Int task = c.claim(), passed = 0;
  for (Int s = 0; s < z.S; s++) {
    const Sequence q = sequence_at(tables, s, z);
    const Int rows = q.q_count * group;
    if (rows == 0) continue;
    const Int size = blocks_of(blocks_of(rows, blocks_of(rows, limit)), ROWS) * ROWS;
    const Int row_blocks = blocks_of(rows, size);
    for (; task < passed + row_blocks * z.Hkv; task = c.claim()) {
      const Int first = (row_blocks - 1 - (task - passed) % row_blocks) * size;
      const Rows g = {(task - passed) / row_blocks, first, min_of(size, rows - first), group};
      forward_rows(Walk<E>{f, t, q, z, g});
    }
    passed += row_blocks * z.Hkv;
  }
}

}  // namespace

// q:t k:t? v:t? k16:h? v16:h? out:T lse:T sequences:t blockStarts:t, sizes
void attention(Context& c, const Arg* a) {
  const float* q = (const float*)a[0].p;
  float *out = (float*)a[5].p, *lse = (float*)a[6].p;
  const Tables tables = {(const int*)a[7].p, (const int*)a[8].p};
  const Sizes z = sizes_of(a + 9);
  if (a[3].p != nullptr) {
    attend<Bf16>(c, {q, (const Bf16*)a[3].p, (const Bf16*)a[4].p, out, lse}, tables, z);
  } else {
    attend<float>(c, {q, (const float*)a[1].p, (const float*)a[2].p, out, lse}, tables, z);
  }
}

}  // namespace HADAL_ISA
}  // namespace hadal
