// Causal attention, backward. Contract and twin: attention.ts.
//
// One task holds a block of 64 keys and walks the queries that see it: five products a step, the scores and the weights'
// gradients among them computed once. dk and dv stay with the task; its part of dq waits for its turn, so that every row
// of dq adds blocks of keys in order, whichever threads hold them.
#include "attention.h"

namespace hadal {
namespace HADAL_ISA {

namespace {

// Pairs of a sequence and a key head whose blocks of keys are handed out side by side.
constexpr Int MOST_ABREAST = 64;

struct BackwardTensors {
  const float *q, *k, *v, *d_out, *lse;
  float *dq, *dk, *dv;
  const float* along;  // [NQ, H]: dOut . out
  int* turns;          // [blockCount, H]: key blocks that have been added to a block of dq
};

/** A thread's copy of one block of keys, the sums for it, and one block of queries against it. */
struct Backward {
  float* keys_t;    // [dk][64]
  float* keys;      // [64][padded dk]
  float* values_t;  // [dv][64]
  float* dk;        // [64][padded dk]
  float* dv;        // [64][padded dv]
  float* q;         // [64][padded dk], scaled
  float* d_out;     // [64][padded dv]
  float* p;         // [64][64]
  float* ds;        // [64][64]
  float* dq;        // [64][padded dk]
};

/** Weights and score gradients of `count` rows of queries from `row` on, the first of which sees `visible` keys. */
HADAL_INLINE void score_gradients(const Backward& b, const BackwardTensors& t, const Sizes& z, Int first_query, Int head,
                                  Int row, Int count, Int visible) {
  const Int q_width = padded(z.dk), v_width = padded(z.dv);
  const Int vectors = blocks_of(min_of(KEYS, visible + count - 1), LANES);
  float* p = b.p + row * KEYS;
  float* ds = b.ds + row * KEYS;
  multiply<Into::replace>(count, vectors, {b.q + row * q_width, q_width, 1, b.keys_t, KEYS, p, KEYS, z.dk});
  multiply<Into::replace>(count, vectors, {b.d_out + row * v_width, v_width, 1, b.values_t, KEYS, ds, KEYS, z.dv});
  V lane;
  for (int i = 0; i < LANES; i++) lane[i] = (float)i;
  for (Int r = 0; r < count; r++, visible++, p += KEYS, ds += KEYS) {
    const Int at = (first_query + row + r) * z.H + head;
    const V lse = splat(t.lse[at]), along = splat(t.along[at]);
    for (Int j = 0; j < KEYS; j += LANES) {
      if (j >= visible) {
        store(p + j, V{});
        store(ds + j, V{});
        continue;
      }
      V weight = exp_negative(load(p + j) - lse);
      V gradient = weight * (load(ds + j) - along);
      if (j + LANES > visible) {
        VI seen = lane < splat((float)(visible - j));
        weight = seen ? weight : V{};
        gradient = seen ? gradient : V{};
      }
      store(p + j, weight);
      store(ds + j, gradient);
    }
  }
}

/** One block of 64 keys of one key head: dk and dv of its rows, and its part of dq of every query that sees it. */
void backward_keys(Context& c, const Backward& b, const BackwardTensors& t, const Sequence& s, const Sizes& z, Int kv_head, Int block) {
  const Int group = z.H / z.Hkv;
  const Int q_width = padded(z.dk), v_width = padded(z.dv);
  const Int key_rows = s.keys_in(block);
  const float* k = t.k + s.starts[block] * z.k_stride + kv_head * z.dk;
  const float* v = t.v + s.starts[block] * z.v_stride + kv_head * z.dv;
  pack_transposed(Source<float>{k, k, z.k_stride}, key_rows, z.dk, b.keys_t);
  pack_rows(Source<float>{k, k, z.k_stride}, key_rows, z.dk, 1.0f, b.keys);
  pack_transposed(Source<float>{v, v, z.v_stride}, key_rows, z.dv, b.values_t);
  clear_row(b.dk, KEYS * q_width);
  clear_row(b.dv, KEYS * v_width);

  for (Int head = kv_head * group; head < (kv_head + 1) * group; head++) {
    for (Int q_block = block; q_block < s.key_blocks(); q_block++) {
      const Int rows = s.keys_in(q_block);
      const Int first_query = s.q_start + q_block * KEYS;
      // Keys that the block's first query sees of this block of keys.
      const Int visible = (q_block - block) * KEYS + 1;
      const bool is_last = q_block + 1 == s.key_blocks();
      const Int ahead = is_last ? 0 : KEYS;
      const float* q = t.q + first_query * z.q_stride + head * z.dk;
      const float* d_out = t.d_out + first_query * z.out_stride + head * z.dv;
      pack_rows(Source<float>{q, q + ahead * z.q_stride, z.q_stride}, rows, z.dk, z.scale, b.q);
      pack_rows(Source<float>{d_out, d_out + ahead * z.out_stride, z.out_stride}, rows, z.dv, 1.0f, b.d_out);
      for (Int row = 0; row < rows; row += ROWS) {
        const Int count = min_of(ROWS, rows - row);
        prefetch_rows(t.dq + (first_query + row) * z.q_stride + head * z.dk, z.q_stride, count, z.dk);
        score_gradients(b, t, z, first_query, head, row, count, visible + row);
      }
      for (Int key = 0; key < key_rows; key += ROWS) {
        const Int count = min_of(ROWS, key_rows - key);
        // On the diagonal a key is seen from its own row on.
        const Int from = q_block == block ? key : 0;
        if (is_last) {
          const Int at = s.starts[block] + key;
          prefetch_rows(t.dk + at * z.k_stride + kv_head * z.dk, z.k_stride, count, z.dk);
          prefetch_rows(t.dv + at * z.v_stride + kv_head * z.dv, z.v_stride, count, z.dv);
        }
        const float* p = b.p + from * KEYS + key;
        const float* ds = b.ds + from * KEYS + key;
        multiply<Into::extend>(count, v_width / LANES, {p, 1, KEYS, b.d_out + from * v_width, v_width, b.dv + key * v_width,
                                                        v_width, rows - from});
        multiply<Into::extend>(count, q_width / LANES,
                               {ds, 1, KEYS, b.q + from * q_width, q_width, b.dk + key * q_width, q_width, rows - from});
      }
      for (Int row = 0; row < rows; row += ROWS) {
        const Int count = min_of(ROWS, rows - row);
        const Int most = min_of(key_rows, visible + row + count - 1);
        multiply<Into::replace>(count, q_width / LANES,
                                {b.ds + row * KEYS, KEYS, 1, b.keys, q_width, b.dq + row * q_width, q_width, most});
      }

      // Blocks of keys are added to dq in order, whichever threads hold them.
      int* turn = t.turns + (s.first_block + q_block) * z.H + head;
      c.await(turn, (int)block);
      for (Int row = 0; row < rows; row++) {
        float* dq = t.dq + (first_query + row) * z.q_stride + head * z.dk;
        const float* part = b.dq + row * q_width;
        const V scale = splat(z.scale);
        for_vectors(0, z.dk, [=](Int i, auto count) HADAL_INLINE_LAMBDA {
          store(dq + i, fma(load(part + i), scale, block == 0 ? V{} : load(dq + i, count)), count);
        });
      }
      __atomic_store_n(turn, (int)block + 1, __ATOMIC_RELEASE);
    }
  }

  for (Int r = 0; r < key_rows; r++) {
    copy_row(b.dk + r * q_width, t.dk + (s.starts[block] + r) * z.k_stride + kv_head * z.dk, z.dk);
    copy_row(b.dv + r * v_width, t.dv + (s.starts[block] + r) * z.v_stride + kv_head * z.dv, z.dv);
  }
}

}  // namespace

// q:t k:t v:t out:t dOut:t lse:t dq:T dk:T dv:T sequences:t blockStarts:t, sizes
void attention_backward(Context& c, const Arg* a) {
  const float* out = (const float*)a[3].p;
  const Tables tables = {(const int*)a[9].p, (const int*)a[10].p};
  const Sizes z = sizes_of(a + 11);
  float* along = (float*)c.shared;
  int* turns = (int*)(along + z.NQ * z.H);
  const BackwardTensors t = {(const float*)a[0].p, (const float*)a[1].p, (const float*)a[2].p, (const float*)a[4].p,
                             (const float*)a[5].p, (float*)a[6].p,       (float*)a[7].p,       (float*)a[8].p,
                             along,                turns};
  auto sequence = [&](Int s) {
    Sequence q = sequence_at(tables, s, z);
    if (q.q_count != q.key_count) q.q_count = q.key_count = 0;
    return q;
  };

  Share rows = share(c, z.NQ * z.H);
  for (Int at = rows.begin; at < rows.end; at++) {
    const Int offset = at / z.H * z.out_stride + at % z.H * z.dv;
    V parts = {};
    for_vectors(0, z.dv, [&](Int i, auto count) HADAL_INLINE_LAMBDA {
      parts = fma(load(out + offset + i, count), load(t.d_out + offset + i, count), parts);
    });
    along[at] = spread_sum(parts)[0];
  }
  Share blocks = share(c, z.block_count * z.H);
  for (Int i = blocks.begin; i < blocks.end; i++) turns[i] = 0;
  clear_others(
      c, z.NQ,
      [&](auto mark) {
        for (Int s = 0; s < z.S; s++) mark(sequence(s).q_start, sequence(s).q_start + sequence(s).q_count);
      },
      [&](Int r) { clear_row(t.dq + r * z.q_stride, z.H * z.dk); });
  clear_others(
      c, z.key_rows,
      [&](auto mark) {
        for (Int s = 0; s < z.S; s++) {
          const Sequence q = sequence(s);
          for (Int b = 0; b < q.key_blocks(); b++) mark(q.starts[b], q.starts[b] + q.keys_in(b));
        }
      },
      [&](Int r) {
        clear_row(t.dk + r * z.k_stride, z.Hkv * z.dk);
        clear_row(t.dv + r * z.v_stride, z.Hkv * z.dv);
      });
  c.barrier();

  Bump bump = {c.scratch};
  const Int q_width = padded(z.dk), v_width = padded(z.dv);
  Backward b;
  b.keys_t = bump.floats(q_width * KEYS);
  b.keys = bump.floats(KEYS * q_width);
  b.values_t = bump.floats(v_width * KEYS);
  b.dk = bump.floats(KEYS * q_width);
  b.dv = bump.floats(KEYS * v_width);
  b.q = bump.floats(KEYS * q_width);
  b.d_out = bump.floats(KEYS * v_width);
  b.p = bump.floats(KEYS * KEYS);
  b.ds = bump.floats(KEYS * KEYS);
  b.dq = bump.floats(KEYS * q_width);

  // A pair (sequence, key head) is one task while it is small against a thread's share: its queries then stay in one
  // core's cache. Larger pairs come first, a few abreast, with one task for each block of keys; such a task may wait for the
  // block before it, which an earlier task holds.
  const Int pairs = z.S * z.Hkv;
  auto cost = [&](Int pair) {
    const Int blocks = sequence(pair / z.Hkv).key_blocks();
    return blocks * (blocks + 1);
  };
  Int total = 0;
  for (Int s = 0; s < z.S; s++) total += cost(s * z.Hkv) * z.Hkv;
  auto is_large = [&](Int pair) { return cost(pair) * 32 * c.threads > total; };

  Int task = c.claim(), passed = 0;
  const Int abreast = 2 * c.threads;
  for (Int first = 0; first < pairs;) {
    Int large[MOST_ABREAST], count = 0, blocks = 0;
    for (; first < pairs && count < min_of(abreast, MOST_ABREAST); first++) {
      if (!is_large(first)) continue;
      large[count++] = first;
      blocks = max_of(blocks, sequence(first / z.Hkv).key_blocks());
    }
    for (Int block = 0; block < blocks; block++) {
      for (Int i = 0; i < count; i++) {
        const Sequence q = sequence(large[i] / z.Hkv);
        if (block >= q.key_blocks() || passed++ != task) continue;
        backward_keys(c, b, t, q, z, large[i] % z.Hkv, block);
        task = c.claim();
      }
    }
  }
  for (Int pair = 0; pair < pairs; pair++) {
    if (is_large(pair) || passed++ != task) continue;
    const Sequence q = sequence(pair / z.Hkv);
    for (Int block = 0; block < q.key_blocks(); block++) backward_keys(c, b, t, q, z, pair % z.Hkv, block);
    task = c.claim();
  }
}

}  // namespace HADAL_ISA
}  // namespace hadal
