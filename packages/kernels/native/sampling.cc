// Choosing tokens from rows of logits. A row belongs to one thread from beginning to end.
#include "best.h"
#include "likelihood.h"

namespace hadal {
namespace HADAL_ISA {

namespace {

constexpr long long CHUNK = 1024;
constexpr unsigned BUCKETS = 2048;
constexpr long long SCAN = 128;

/** Index of the largest of n floats, the lowest of equals; 0 when none is above -infinity. */
HADAL_INLINE long long row_argmax(const float* x, long long n) {
  V best = splat(LOWEST);
  VI at = {}, lane = {};
  for (int i = 0; i < LANES; i++) lane[i] = i;
  long long i = 0;
  for (; i + LANES <= n; i += LANES, lane += LANES) {
    V v = load(x + i);
    VI above = v > best;
    best = above ? v : best;
    at = above ? lane : at;
  }
  float value = LOWEST;
  long long index = 0;
  for (int k = 0; k < LANES; k++) {
    if (best[k] > value || (best[k] == value && value > LOWEST && at[k] < index)) {
      value = best[k];
      index = at[k];
    }
  }
  for (; i < n; i++) {
    if (x[i] > value) {
      value = x[i];
      index = i;
    }
  }
  return index;
}

/** w[i] = exp((x[i] - max) / temperature), 0 where that is NaN. Returns their sum. */
HADAL_INLINE double weigh(const float* x, float* w, long long n, float max, float temperature) {
  V shift = splat(max), divisor = splat(temperature);
  WideSum total = {};
  for_vectors(0, n, [&](long long i, auto count) HADAL_INLINE_LAMBDA {
    V weight = exp((load(x + i, count) - shift) / divisor);
    weight = first_lanes(weight > V{} ? weight : V{}, count);
    store(w + i, weight, count);
    total.add(weight);
  });
  return total.total();
}

/** Lists the nucleus in the order of indices: the fewest tokens, largest logits first and equal ones by index, whose
 *  weights reach `target`; one at least. Returns how many. `total` is the sum of all weights.
 *
 *  `weight` tells the weight of a token. A radix selection on the logits' bits: each level takes whole buckets, highest first, and the next level divides the
 *  one in which the target is reached. The last bucket holds equal logits.
 */
template <class Weight>
HADAL_INLINE long long find_nucleus(const float* x, Weight weight, long long n, double total, double target, int* tokens,
                                    double* histogram) {
  // Tokens lighter than this weigh less, all together, than what the nucleus may leave out. Most tokens go here.
  float floor = (float)((total - target) / (double)n * 0.999);
  long long candidates = 0;
  for (long long i = 0; i < n; i++) {
    tokens[candidates] = (int)i;
    candidates += weight((int)i) >= floor;
  }

  constexpr int SHIFTS[] = {21, 10, 0};
  double above = 0;
  unsigned prefix = 0, known = 0;
  for (int shift : SHIFTS) {
    for (unsigned bucket = 0; bucket < BUCKETS; bucket++) histogram[bucket] = 0;
    for (long long k = 0; k < candidates; k++) {
      unsigned bits = radix(x[tokens[k]]);
      if ((bits & known) == prefix) histogram[((bits & ~known) >> shift) & (BUCKETS - 1)] += weight(tokens[k]);
    }
    // Sums in another order can miss the target by a rounding: then it counts as reached in the lowest bucket there is.
    double before = above;
    unsigned reached = 0;
    for (unsigned bucket = BUCKETS; bucket-- > 0;) {
      if (histogram[bucket] == 0) continue;
      reached = bucket;
      before = above;
      above += histogram[bucket];
      if (above >= target) break;
    }
    above = before;
    prefix |= reached << shift;
    known |= ~0u << shift;
  }

  long long count = 0;
  bool is_first_equal = true;
  for (long long k = 0; k < candidates; k++) {
    int token = tokens[k];
    unsigned bits = radix(x[token]);
    bool is_equal = bits == prefix && (is_first_equal || above < target);
    if (is_equal) {
      above += weight(token);
      is_first_equal = false;
    }
    if (bits > prefix || is_equal) tokens[count++] = token;
  }
  return count;
}

/** The first of the listed tokens at which the running weight exceeds uniform times their sum. */
HADAL_INLINE long long draw_listed(const float* w, const int* tokens, long long count, double uniform) {
  double total = 0, running = 0;
  for (long long k = 0; k < count; k++) total += w[tokens[k]];
  for (long long k = 0; k < count; k++) {
    running += w[tokens[k]];
    if (running > uniform * total) return tokens[k];
  }
  return tokens[count - 1];
}

/** The same over all n tokens, chunk by chunk; when rounding keeps the sum below, the last token that has any weight. */
HADAL_INLINE long long draw_any(const float* w, long long n, double threshold) {
  double running = 0;
  long long last = 0, begin = 0;
  for (; begin < n; begin += CHUNK) {
    WideSum chunk = {};
    for_vectors(begin, begin + CHUNK < n ? begin + CHUNK : n, [&](long long i, auto count) HADAL_INLINE_LAMBDA {
      chunk.add(load(w + i, count));
    });
    double mass = chunk.total();
    if (mass > 0) last = begin;
    if (running + mass > threshold) break;
    running += mass;
  }
  if (begin >= n) threshold = __builtin_inf();
  long long token = last;
  for (long long i = last; i < n && i < last + CHUNK; i++) {
    if (w[i] == 0) continue;
    token = i;
    running += w[i];
    if (running > threshold) break;
  }
  return token;
}

/** Leaves weight to the k largest logits alone, equal ones by index. Returns the sum of what is left. */
HADAL_INLINE double keep_largest(const float* x, float* w, long long n, int k, int* tokens, double* histogram) {
  find_nucleus(x, [](int) { return 1.0; }, n, (double)n, (double)k, tokens, histogram);
  double total = 0;
  for (long long i = 0, next = 0; i < n; i++) {
    if (next < k && tokens[next] == i) {
      total += w[i];
      next++;
    } else {
      w[i] = 0;
    }
  }
  return total;
}

HADAL_INLINE long long draw(const float* x, long long n, float temperature, int top_k, float top_p, float uniform,
                            char* scratch) {
  long long best = row_argmax(x, n);
  float max = x[best];
  if (!(temperature > 0) || !(max - max == 0)) return best;
  double* histogram = (double*)scratch;
  float* w = (float*)(histogram + BUCKETS);
  int* tokens = (int*)(w + n);
  double total = weigh(x, w, n, max, temperature);
  if (top_k > 0 && top_k < n) total = keep_largest(x, w, n, top_k, tokens, histogram);
  if (!(top_p < 1)) return draw_any(w, n, uniform * total);
  double target = top_p > 0 ? top_p * total : 0;
  auto weight = [=](int token) HADAL_INLINE_LAMBDA { return w[token]; };
  return draw_listed(w, tokens, find_nucleus(x, weight, n, total, target, tokens, histogram), uniform);
}

}  // namespace

void argmax(Context& c, const Arg* a) {
  long long n = a[3].i;
  for_claimed_rows(c, a[2].i, n, [=](long long r) HADAL_INLINE_LAMBDA {
    ((int*)a[1].p)[r] = (int)row_argmax((const float*)a[0].p + r * n, n);
  });
}

void sample(Context& c, const Arg* a) {
  const float* temperature = (const float*)a[1].p;
  const int* top_k = (const int*)a[2].p;
  const float* top_p = (const float*)a[3].p;
  const float* uniform = (const float*)a[4].p;
  char* scratch = c.scratch;
  long long n = a[8].i;
  for_claimed_rows(c, a[7].i, n, [=](long long r) HADAL_INLINE_LAMBDA {
    const float* x = (const float*)a[0].p + r * n;
    long long id = draw(x, n, temperature[r], top_k[r], top_p[r], uniform[r], scratch);
    float max = row_max(x, n);
    ((int*)a[5].p)[r] = (int)id;
    ((float*)a[6].p)[r] = -negative_log_likelihood(x[id], max, sum_exp<false>(x, nullptr, n, max));
  });
}

void top_logprobs(Context& c, const Arg* a) {
  long long n = a[4].i, top = a[5].i;
  for_claimed_rows(c, a[3].i, n, [=](long long r) HADAL_INLINE_LAMBDA {
    const float* x = (const float*)a[0].p + r * n;
    float* values = (float*)a[2].p + r * top;
    Best best = {values, (int*)a[1].p + r * top, top, 0};
    for (long long begin = 0; begin < n; begin += SCAN) {
      long long end = n - begin < SCAN ? n : begin + SCAN;
      if (best.count == top && !(row_max(x + begin, end - begin) > values[top - 1])) continue;
      for (long long i = begin; i < end; i++) best.offer(rankable(x[i]), (int)i);
    }
    float max = row_max(x, n);
    double total = sum_exp<false>(x, nullptr, n, max);
    for (long long i = 0; i < top; i++) values[i] = -negative_log_likelihood(x[best.items[i]], max, total);
  });
}

}  // namespace HADAL_ISA
}  // namespace hadal
