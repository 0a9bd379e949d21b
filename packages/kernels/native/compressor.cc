// Pooling of tokens into the entries of compressed attention. Contract and twin: compressor.ts.
//
// Channels are shared out among the threads: each walks its channels' tokens one by one, however many a step brings, so
// that a prompt read at once and a token that comes alone go through the same operations.
#include "gathered.h"

namespace hadal {
namespace HADAL_ISA {

namespace {

// Channels of a task.
constexpr Int CHANNELS = 4 * LANES < 64 ? 64 : 4 * LANES;

/** The softmax-weighted sum of the tokens so far, of one vector of channels: its state between two steps. */
struct Pool {
  V max, total, sum;

  static __attribute__((always_inline)) Pool empty() { return {splat(-__builtin_inff()), V{}, V{}}; }

  template <class Count>
  static __attribute__((always_inline)) Pool read(const float* p, Int width, Count n) {
    return {load(p, n), load(p + width, n), load(p + 2 * width, n)};
  }
  template <class Count>
  __attribute__((always_inline)) void write(float* p, Int width, Count n) const {
    store(p, max, n);
    store(p + width, total, n);
    store(p + 2 * width, sum, n);
  }

  __attribute__((always_inline)) void add(V gate, V value) {
    const V top = gate > max ? gate : max;
    const V keep = exp_negative(max - top), weight = exp_negative(gate - top);
    max = top;
    total = fma(total, keep, weight);
    sum = fma(sum, keep, weight * value);
  }
};

struct Pooling {
  const float *kv, *gate, *bias;
  float *state, *pooled;
  Windows states;
  Int W, series, ratio, pooled_rows;
};

/** A vector of channels of one sequence, whose first entry of this step is the pooled row `row`. */
template <class Count>
HADAL_INLINE void pool(const Pooling& z, const Span& s, Int row, Int channel, Count n) {
  const Int width = z.series * z.W, begin = s.key_count - s.q_count;
  // With two series a token's first half goes into the entry after its own window's, its second half into its own.
  const bool is_overlapping = z.series == 2;
  const Int own_half = is_overlapping ? z.W : 0;
  Pool own = Pool::empty(), following = Pool::empty();
  auto state_of = [&](Int token) HADAL_INLINE_LAMBDA {
    const Int at = z.states.starts[s.first_block + token / KEYS];
    return at >= 0 && at < z.states.rows ? z.state + at * 3 * width + channel : nullptr;
  };
  if (begin > 0) {
    const float* before = state_of(begin - 1);
    if (before) own = Pool::read(before, z.W, n);
    if (before && is_overlapping) following = Pool::read(before + 3 * z.W, z.W, n);
  }
  for (Int token = begin; token < s.key_count; token++) {
    const Int x = (s.q_start + token - begin) * width + channel, phase = token % z.ratio, b = phase * width + channel;
    if (is_overlapping) following.add(load(z.gate + x, n) + load(z.bias + b, n), load(z.kv + x, n));
    own.add(load(z.gate + x + own_half, n) + load(z.bias + b + own_half, n), load(z.kv + x + own_half, n));
    if (phase == z.ratio - 1) {
      if (row < z.pooled_rows) store(z.pooled + row * z.W + channel, own.sum / own.total, n);
      row++;
      own = following;
      following = Pool::empty();
    }
    if (token % KEYS != KEYS - 1 && token != s.key_count - 1) continue;
    float* after = state_of(token);
    if (after) own.write(after, z.W, n);
    if (after && is_overlapping) following.write(after + 3 * z.W, z.W, n);
  }
}

}  // namespace

// kv:t gate:t bias:t state:T pooled:T? sequences:t starts:t, sizes
void compress(Context& c, const Arg* a) {
  const Int S = a[7].i, NQ = a[8].i, blocks = a[13].i;
  const Pooling z = {(const float*)a[0].p, (const float*)a[1].p, (const float*)a[2].p, (float*)a[3].p, (float*)a[4].p,
                     {(const int*)a[6].p, a[12].i, KEYS}, a[9].i, a[10].i, a[11].i, a[14].i};
  const int* sequences = (const int*)a[5].p;
  const Int chunks = blocks_of(z.W, CHANNELS);
  Int task = c.claim(), passed = 0, row = 0;
  for (Int s = 0; s < S; s++) {
    const Span span = span_at(sequences, s, NQ, blocks);
    if (span.q_count == 0) continue;
    for (; task < passed + chunks; task = c.claim()) {
      const Int from = (task - passed) * CHANNELS;
      for_vectors(from, min_of(from + CHANNELS, z.W),
                  [&](Int channel, auto n) HADAL_INLINE_LAMBDA { pool(z, span, row, channel, n); });
    }
    passed += chunks;
    row += span.key_count / z.ratio - (span.key_count - span.q_count) / z.ratio;
  }
}

}  // namespace HADAL_ISA
}  // namespace hadal
