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

/** Of the listed candidates, in the order of indices, those with the largest logits, equal ones by index, until what
 *  `measure` gives them reaches `target`; one at least. They come to stand at the front of `tokens`. Returns how many.
 *
 *  A radix selection on the logits' bits: each level takes whole buckets, highest first, and the next level divides the
 *  one in which the target is reached. The last bucket holds equal logits.
 */
template <typename Measure>
HADAL_INLINE long long select_largest(const float* x, int* tokens, long long candidates, double target, double* histogram,
                                      Measure measure) {
  constexpr int SHIFTS[] = {21, 10, 0};
  double above = 0;
  unsigned prefix = 0, known = 0;
  for (int shift : SHIFTS) {
    for (unsigned bucket = 0; bucket < BUCKETS; bucket++) histogram[bucket] = 0;
    for (long long k = 0; k < candidates; k++) {
      unsigned bits = radix(x[tokens[k]]);
      if ((bits & known) == prefix) histogram[((bits & ~known) >> shift) & (BUCKETS - 1)] += measure(tokens[k]);
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
      above += measure(token);
      is_first_equal = false;
    }
    if (bits > prefix || is_equal) tokens[count++] = token;
  }
  return count;
}

/** Lists the tokens of weight `least` or more, and of any weight at all, in the order of indices. Returns how many. */
HADAL_INLINE long long list_heavy(const float* w, long long n, float least, int* tokens) {
  long long count = 0;
  for (long long i = 0; i < n; i++) {
    tokens[count] = (int)i;
    count += w[i] > 0 && w[i] >= least;
  }
  return count;
}

HADAL_INLINE double total_of(const float* w, const int* tokens, long long count) {
  double total = 0;
  for (long long k = 0; k < count; k++) total += w[tokens[k]];
  return total;
}

/** The first of the listed tokens at which the running weight exceeds uniform times their sum. */
HADAL_INLINE long long draw_listed(const float* w, const int* tokens, long long count, double uniform) {
  double total = total_of(w, tokens, count), running = 0;
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

/** How one row is drawn; see sampling.ts. */
struct Restriction {
  float temperature, min_p;
  int top_k;
  float top_p, uniform;
};

HADAL_INLINE long long draw(const float* x, long long n, const Restriction& by, char* scratch) {
  long long best = row_argmax(x, n);
  float max = x[best];
  if (!(by.temperature > 0) || !(max - max == 0)) return best;
  double* histogram = (double*)scratch;
  float* w = (float*)(histogram + BUCKETS);
  int* tokens = (int*)(w + n);
  double total = weigh(x, w, n, max, by.temperature);
  bool is_few = by.top_k > 0 && by.top_k < n;
  bool is_nucleus = by.top_p < 1;
  if (!is_few && !is_nucleus && !(by.min_p > 0)) return draw_any(w, n, by.uniform * total);

  double target = by.top_p > 0 ? by.top_p * total : 0;
  // With a nucleus alone, tokens lighter than this weigh less, all together, than it may leave out. Most tokens go here.
  float min_p = by.min_p < 1 ? by.min_p : 1;
  float least = is_few || min_p > 0 ? min_p : (float)((total - target) / (double)n * 0.999);
  long long count = list_heavy(w, n, least, tokens);
  if (is_few && by.top_k < count) {
    count = select_largest(x, tokens, count, by.top_k, histogram, [](int) HADAL_INLINE_LAMBDA { return 1.0; });
  }
  if (is_nucleus) {
    if (is_few || by.min_p > 0) target = by.top_p > 0 ? by.top_p * total_of(w, tokens, count) : 0;
    count = select_largest(x, tokens, count, target, histogram, [=](int token) HADAL_INLINE_LAMBDA { return (double)w[token]; });
  }
  return draw_listed(w, tokens, count, by.uniform);
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
  const float* min_p = (const float*)a[2].p;
  const int* top_k = (const int*)a[3].p;
  const float* top_p = (const float*)a[4].p;
  const float* uniform = (const float*)a[5].p;
  char* scratch = c.scratch;
  long long n = a[9].i;
  for_claimed_rows(c, a[8].i, n, [=](long long r) HADAL_INLINE_LAMBDA {
    const float* x = (const float*)a[0].p + r * n;
    long long id = draw(x, n, {temperature[r], min_p[r], top_k[r], top_p[r], uniform[r]}, scratch);
    float max = row_max(x, n);
    ((int*)a[6].p)[r] = (int)id;
    ((float*)a[7].p)[r] = -negative_log_likelihood(x[id], max, sum_exp<false>(x, nullptr, n, max));
  });
}

void adjust_logits(Context& c, const Arg* a) {
  if (c.thread != 0) return;
  float* logits = (float*)a[0].p;
  const int* row = (const int*)a[1].p;
  const int* token = (const int*)a[2].p;
  const float* delta = (const float*)a[3].p;
  long long rows = a[4].i, n = a[5].i;
  for (long long i = 0; i < a[6].i; i++) {
    if ((unsigned)row[i] < (unsigned long long)rows && (unsigned)token[i] < (unsigned long long)n) {
      logits[row[i] * n + token[i]] += delta[i];
    }
  }
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
