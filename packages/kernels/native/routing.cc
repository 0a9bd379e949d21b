// Mixture of experts: the router's choice, sorting by expert, gathering and combining rows.
#include "best.h"
#include "passes.h"

namespace hadal {
namespace HADAL_ISA {

namespace {

/** As routing.ts numbers them. */
enum Scoring { SIGMOID = 0, SOFTMAX = 1, SQRT_SOFTPLUS = 2 };

/** s[e] = sigmoid(x[e]), or the root of log(1 + exp(x[e])), or the softmax of x. */
HADAL_INLINE void score(const float* x, float* s, long long E, long long scoring) {
  if (scoring == SIGMOID) {
    for_vectors(0, E, [=](long long e, auto n) HADAL_INLINE_LAMBDA { store(s + e, sigmoid(load(x + e, n)), n); });
    return;
  }
  if (scoring == SQRT_SOFTPLUS) {
    // In this form nothing overflows, and what is tiny stays exact.
    for_vectors(0, E, [=](long long e, auto n) HADAL_INLINE_LAMBDA { store(s + e, exp(-abs(load(x + e, n))), n); });
    for (long long e = 0; e < E; e++) s[e] = __builtin_sqrtf((x[e] > 0 ? x[e] : 0) + __builtin_log1pf(s[e]));
    return;
  }
  float max = x[0];
  for (long long e = 1; e < E; e++) max = x[e] > max ? x[e] : max;
  double total = 0;
  for_vectors(0, E, [=](long long e, auto n) HADAL_INLINE_LAMBDA { store(s + e, exp(load(x + e, n) - splat(max)), n); });
  for (long long e = 0; e < E; e++) total += s[e];
  scale_row(s, E, (float)(1 / total));
}

/** The sum of the two largest of n values, or the largest. Without branches, which random scores would mispredict. */
HADAL_INLINE float group_score(const float* choice, long long n, bool max_only) {
  float first = LOWEST, second = LOWEST;
  for (long long i = 0; i < n; i++) {
    float x = choice[i];
    float lower = x < first ? x : first;
    second = lower > second ? lower : second;
    first = x > first ? x : first;
  }
  return max_only || n == 1 ? first : rankable(first + second);
}

/** Whether an index (of a slot, an assignment, an expert) is one of those there are. */
HADAL_INLINE bool exists(long long index, long long count) { return index >= 0 && index < count; }

/** A token's weights from the scores of its experts, and one more token for each of these; -1 is no expert. */
HADAL_INLINE void weigh(const float* scores, const int* ids, float* weights, long long K, bool normalize, float factor,
                        int* counts) {
  float total = 0;
  for (long long k = 0; k < K; k++) total += ids[k] < 0 ? 0 : scores[ids[k]];
  float multiplier = normalize ? factor / (total + 1e-20f) : factor;
  for (long long k = 0; k < K; k++) {
    weights[k] = ids[k] < 0 ? 0 : scores[ids[k]] * multiplier;
    if (ids[k] >= 0) counts[ids[k]]++;
  }
}

/** A thread's counts joined to all. Integers: whichever thread comes first, the sum is the same. */
HADAL_INLINE void add_counts(const int* own, int* counts, long long E) {
  for (long long e = 0; e < E; e++) {
    if (own[e] != 0) __atomic_fetch_add(counts + e, own[e], __ATOMIC_RELAXED);
  }
}

}  // namespace

void route(Context& c, const Arg* a) {
  const float* bias = (const float*)a[1].p;
  int* counts = (int*)a[4].p;
  long long N = a[5].i, E = a[6].i, K = a[7].i, groups = a[8].i, topk_groups = a[9].i;
  long long scoring = a[10].i;
  bool max_only = a[11].i != 0, normalize = a[12].i != 0;
  float factor = (float)a[13].f;
  long long size = E / groups;

  float* scores = (float*)c.scratch;
  float* choice = scores + E;
  float* best_values = choice + E;
  float* group_values = best_values + K;
  int* group_items = (int*)(group_values + topk_groups);
  int* own_counts = group_items + topk_groups;
  for (long long e = 0; e < E; e++) own_counts[e] = 0;

  for_claimed_rows(c, N, E, [=](long long n) HADAL_INLINE_LAMBDA {
    int* ids = (int*)a[2].p + n * K;
    float* weights = (float*)a[3].p + n * K;
    score((const float*)a[0].p + n * E, scores, E, scoring);
    for (long long e = 0; e < E; e++) choice[e] = rankable(scores[e] + bias[e]);

    Best best = {best_values, ids, K, 0};
    if (topk_groups == groups) {
      for (long long e = 0; e < E; e++) best.offer(choice[e], (int)e);
    } else {
      Best kept = {group_values, group_items, topk_groups, 0};
      for (long long g = 0; g < groups; g++) kept.offer(group_score(choice + g * size, size, max_only), (int)g);
      // Lowest index first among equal experts, so the kept groups are walked in their own order.
      for (long long g = 0; g < groups; g++) {
        bool is_kept = false;
        for (long long i = 0; i < topk_groups; i++) is_kept |= group_items[i] == g;
        for (long long e = g * size; is_kept && e < (g + 1) * size; e++) best.offer(choice[e], (int)e);
      }
    }

    weigh(scores, ids, weights, K, normalize, factor, own_counts);
  });
  add_counts(own_counts, counts, E);
}

void route_by_token(Context& c, const Arg* a) {
  const int* table = (const int*)a[1].p;
  const int* tokens = (const int*)a[2].p;
  long long N = a[6].i, V = a[7].i, E = a[8].i, K = a[9].i, scoring = a[10].i;
  bool normalize = a[11].i != 0;
  float factor = (float)a[12].f;
  float* scores = (float*)c.scratch;
  int* own_counts = (int*)(scores + E);
  for (long long e = 0; e < E; e++) own_counts[e] = 0;
  for_claimed_rows(c, N, E, [=](long long n) HADAL_INLINE_LAMBDA {
    int* ids = (int*)a[3].p + n * K;
    float* weights = (float*)a[4].p + n * K;
    score((const float*)a[0].p + n * E, scores, E, scoring);
    for (long long k = 0; k < K; k++) {
      const int id = exists(tokens[n], V) ? table[tokens[n] * K + k] : -1;
      ids[k] = exists(id, E) ? id : -1;
    }
    weigh(scores, ids, weights, K, normalize, factor, own_counts);
  });
  add_counts(own_counts, (int*)a[5].p, E);
}

void route_backward(Context& c, const Arg* a) {
  long long N = a[4].i, E = a[5].i, K = a[6].i;
  long long scoring = a[7].i;
  bool normalize = a[8].i != 0;
  float factor = (float)a[9].f;
  float* scores = (float*)c.scratch;
  for_claimed_rows(c, N, E, [=](long long n) HADAL_INLINE_LAMBDA {
    const int* ids = (const int*)a[1].p + n * K;
    const float* d_weights = (const float*)a[2].p + n * K;
    const float* x = (const float*)a[0].p + n * E;
    float* d_logits = (float*)a[3].p + n * E;
    score(x, scores, E, scoring);
    clear_row(d_logits, E);

    // w_k = factor s_k / S, S = sum_j s_j + 1e-20: dw_k / ds_j = factor ([k = j] / S - s_k / S^2).
    float total = 0, along = 0;
    for (long long k = 0; k < K; k++) {
      if (!exists(ids[k], E)) continue;
      total += scores[ids[k]];
      along += scores[ids[k]] * d_weights[k];
    }
    float divisor = normalize ? total + 1e-20f : 1;
    float shared = normalize ? along / divisor : 0;
    float mean = 0;
    for (long long k = 0; k < K; k++) {
      if (!exists(ids[k], E)) continue;
      float score = scores[ids[k]];
      float d_score = factor * (d_weights[k] - shared) / divisor;
      // The root's slope has the score below it: a logit so low that its score is 0 has none.
      const float slope = scoring == SIGMOID         ? score * (1 - score)
                          : scoring == SQRT_SOFTPLUS ? (score > 0 ? sigmoid(x[ids[k]]) / (2 * score) : 0)
                                                     : 1;
      d_logits[ids[k]] = d_score * slope;
      mean += d_score * score;
    }
    if (scoring != SOFTMAX) return;
    for_vectors(0, E, [=](long long e, auto count) HADAL_INLINE_LAMBDA {
      store(d_logits + e, load(scores + e, count) * (load(d_logits + e, count) - splat(mean)), count);
    });
  });
}

// A counting sort in three steps: every thread counts its own stretch of assignments, derives from all counts where each
// expert's share of its stretch begins, and places it there. A stable sort has one result, so threads cannot change it.
void group_by_expert(Context& c, const Arg* a) {
  const int* ids = (const int*)a[0].p;
  int* order = (int*)a[1].p;
  int* slots = (int*)a[2].p;
  int* offsets = (int*)a[3].p;
  long long total = a[4].i * a[5].i, E = a[6].i;
  int* counts = (int*)c.shared;  // [threads, E]
  int* mine = counts + c.thread * E;
  int* next = (int*)c.scratch;
  Share s = share(c, total);

  for (long long e = 0; e < E; e++) mine[e] = 0;
  for (long long i = s.begin; i < s.end; i++) {
    if (exists(ids[i], E)) mine[ids[i]]++;
  }
  c.barrier();

  int begin = 0;
  for (long long e = 0; e < E; e++) {
    if (c.thread == 0) offsets[e] = begin;
    for (int thread = 0; thread < c.threads; thread++) {
      if (thread == c.thread) next[e] = begin;
      begin += counts[thread * E + e];
    }
  }
  if (c.thread == 0) offsets[E] = begin;

  for (long long i = s.begin; i < s.end; i++) {
    if (!exists(ids[i], E)) {
      slots[i] = -1;
      continue;
    }
    int slot = next[ids[i]]++;
    order[slot] = (int)i;
    slots[i] = slot;
  }
  for (long long slot = s.begin > begin ? s.begin : begin; slot < s.end; slot++) order[slot] = -1;
}

void gather_rows(Context& c, const Arg* a) {
  const float* x = (const float*)a[0].p;
  const int* order = (const int*)a[1].p;
  float* xg = (float*)a[2].p;
  long long K = a[4].i, D = a[5].i, total = a[3].i * K;
  for_claimed_rows(c, total, D, [=](long long slot) HADAL_INLINE_LAMBDA {
    if (exists(order[slot], total)) {
      copy_row(x + order[slot] / K * D, xg + slot * D, D);
    } else {
      clear_row(xg + slot * D, D);
    }
  });
}

void gather_rows_backward(Context& c, const Arg* a) {
  const float* dxg = (const float*)a[0].p;
  long long N = a[3].i, K = a[4].i, D = a[5].i;
  for_claimed_rows(c, N, K * D, [=](long long n) HADAL_INLINE_LAMBDA {
    const int* slots = (const int*)a[1].p + n * K;
    float* dx = (float*)a[2].p + n * D;
    for_vectors(0, D, [=](long long d, auto count) HADAL_INLINE_LAMBDA {
      V total = load(dx + d, count);
      for (long long k = 0; k < K; k++) {
        if (exists(slots[k], N * K)) total += load(dxg + slots[k] * D + d, count);
      }
      store(dx + d, total, count);
    });
  });
}

void combine_rows(Context& c, const Arg* a) {
  const float* yg = (const float*)a[0].p;
  long long N = a[4].i, K = a[5].i, D = a[6].i;
  bool accumulate = a[7].i != 0;
  for_claimed_rows(c, N, K * D, [=](long long n) HADAL_INLINE_LAMBDA {
    const int* slots = (const int*)a[1].p + n * K;
    const float* weights = (const float*)a[2].p + n * K;
    float* y = (float*)a[3].p + n * D;
    for_vectors(0, D, [=](long long d, auto count) HADAL_INLINE_LAMBDA {
      V total = accumulate ? load(y + d, count) : V{};
      for (long long k = 0; k < K; k++) {
        if (exists(slots[k], N * K)) total = fma(splat(weights[k]), load(yg + slots[k] * D + d, count), total);
      }
      store(y + d, total, count);
    });
  });
}

void combine_rows_backward(Context& c, const Arg* a) {
  long long N = a[6].i, K = a[7].i, D = a[8].i;
  for_claimed_rows(c, N * K, D, [=](long long i) HADAL_INLINE_LAMBDA {
    const float* dy = (const float*)a[0].p + i / K * D;
    long long slot = ((const int*)a[2].p)[i];
    V weight = splat(((const float*)a[3].p)[i]);
    float* d_weight = (float*)a[5].p + i;
    if (!exists(slot, N * K)) {
      *d_weight = 0;
      return;
    }
    const float* yg = (const float*)a[1].p + slot * D;
    float* dyg = (float*)a[4].p + slot * D;
    V dot = {};
    for_vectors(0, D, [&](long long d, auto count) HADAL_INLINE_LAMBDA {
      V gradient = load(dy + d, count);
      dot = fma(gradient, load(yg + d, count), dot);
      store(dyg + d, weight * gradient, count);
    });
    *d_weight = sum(dot);
  });
}

}  // namespace HADAL_ISA
}  // namespace hadal
