// Divergence of a student's row from a teacher's few tokens, and its gradient, while the row lies in cache. Contract and
// twins: divergence.ts. What is said of buckets is computed in double: there are few of them.
#include "likelihood.h"

namespace hadal {
namespace HADAL_ISA {

namespace {

/** As divergence.ts numbers them. */
enum Kind { FORWARD_KL = 0, REVERSE_KL = 1, JSD = 2 };

constexpr double NAMED_FLOOR = -100;
constexpr double TAIL_FLOOR = -24 * 0.69314718055994530942;

constexpr double NOTHING = -__builtin_inf();

struct Options {
  long long V, K, kind;
  bool has_rest;
  double beta, temperature;
};

HADAL_INLINE Options options_of(const Arg* a) {
  return {a[1].i, a[2].i, a[3].i, a[4].i != 0, a[5].f, a[6].f};
}

/** The named tokens of a row, and behind them the tail if there is one: log-probabilities, then what the loss makes of them. */
struct Buckets {
  double* p;
  double* q;
  double* slope;
  int* tokens;

  Buckets(char* memory, long long K)
      : p((double*)memory), q(p + K + 1), slope(q + K + 1), tokens((int*)(slope + K + 1)) {}

  /** What lies behind them. */
  float* end(long long K) const { return (float*)(tokens + K + 1); }
};

/** log(sum exp(x[i])): -infinity of nothing, NaN of any NaN. */
HADAL_INLINE double log_sum_exp(const double* x, long long n) {
  double max = NOTHING;
  for (long long i = 0; i < n; i++) max = x[i] > max ? x[i] : max;
  double shift = max > NOTHING ? max : 0, total = 0;
  for (long long i = 0; i < n; i++) total += __builtin_exp(x[i] - shift);
  return shift + __builtin_log(total);
}

/** e[i] = exp((e[i] - shift) * rate). Returns their sum. */
HADAL_INLINE double weigh_rest(float* e, long long n, float shift, float rate) {
  V offset = splat(shift), factor = splat(rate);
  WideSum total = {};
  for_vectors(0, n, [&](long long i, auto count) HADAL_INLINE_LAMBDA {
    V weight = first_lanes(exp((load(e + i, count) - offset) * factor), count);
    store(e + i, weight, count);
    total.add(weight);
  });
  return total.total();
}

/** A bucket's part of the divergence; `slope` is how it grows with the bucket's logit, as divergence.ts has it. */
HADAL_INLINE double term(const Options& o, double log_p, double log_q, double floor, double& slope) {
  const double p = __builtin_exp(log_p), q = __builtin_exp(log_q);
  if (o.kind == FORWARD_KL) {
    slope = -p;
    return p == 0 ? 0 : p * (log_p - log_q);
  }
  if (o.kind == REVERSE_KL) return slope = q == 0 ? 0 : q * (log_q - (log_p < floor ? floor : log_p));
  const double log_m = __builtin_log(o.beta * p + (1 - o.beta) * q);
  slope = q == 0 ? 0 : (1 - o.beta) * q * (log_q - log_m);
  return (p == 0 ? 0 : o.beta * p * (log_p - log_m)) + slope;
}

/** One row. Works in e [V], which may be x; with GRADIENT it is left there, and else something of no use. */
template <bool GRADIENT>
HADAL_INLINE float diverge(const Options& o, const float* x, const int* ids, const float* logprobs, float weight, float* e,
                           const Buckets& b) {
  long long named = 0;
  for (long long k = 0; k < o.K; k++) {
    if (ids[k] < 0 || ids[k] >= o.V) continue;
    b.tokens[named] = ids[k];
    b.p[named] = logprobs[k];
    b.q[named++] = x[ids[k]] / o.temperature;
  }

  double rest = 0;
  if (o.has_rest) {
    if (e != x) copy_row(x, e, o.V);
    for (long long k = 0; k < named; k++) e[b.tokens[k]] = -__builtin_inff();
    float max = row_max(e, o.V);
    if (!(max > -__builtin_inff())) max = 0;
    rest = weigh_rest(e, o.V, max, (float)(1 / o.temperature));
    b.q[named] = max / o.temperature + __builtin_log(rest);
  }
  const bool has_tail = rest != 0;  // NaN counts
  const long long count = named + has_tail;

  const double mass = log_sum_exp(b.p, named);
  const double teacher = has_tail ? (mass > 0 ? mass : 0) : mass, student = log_sum_exp(b.q, count);
  if (teacher == NOTHING || student == NOTHING) {
    if (GRADIENT) clear_row(e, o.V);
    return 0;
  }
  if (has_tail) b.p[named] = mass > 0 ? NOTHING : __builtin_log(-__builtin_expm1(mass));

  double divergence = 0, along = 0;
  for (long long k = 0; k < count; k++) {
    b.q[k] -= student;
    divergence += term(o, b.p[k] - teacher, b.q[k], k < named ? NAMED_FLOOR : TAIL_FLOOR, b.slope[k]);
    along += b.slope[k];
  }
  if (GRADIENT) {
    const double factor = weight * o.temperature;
    auto gradient = [&](long long k) HADAL_INLINE_LAMBDA { return factor * (b.slope[k] - __builtin_exp(b.q[k]) * along); };
    if (has_tail) {
      scale_row(e, o.V, (float)(gradient(named) / rest));
    } else {
      clear_row(e, o.V);
    }
    for (long long k = 0; k < named; k++) e[b.tokens[k]] = (float)gradient(k);
  }
  return (float)(o.temperature * o.temperature * divergence);
}

}  // namespace

void divergence(Context& c, const Arg* a) {
  const Options o = options_of(a + 6);
  const Buckets b(c.scratch, o.K);
  for_claimed_rows(c, a[6].i, o.V, [=](long long n) HADAL_INLINE_LAMBDA {
    const float* x = (const float*)a[0].p + n * o.V;
    const int* ids = (const int*)a[1].p + n * o.K;
    const float* logprobs = (const float*)a[2].p + n * o.K;
    const float weight = ((const float*)a[3].p)[n];
    ((float*)a[4].p)[n] = diverge<true>(o, x, ids, logprobs, weight, (float*)a[5].p + n * o.V, b);
  });
}

void divergence_forward(Context& c, const Arg* a) {
  const Options o = options_of(a + 4);
  const Buckets b(c.scratch, o.K);
  float* e = b.end(o.K);
  for_claimed_rows(c, a[4].i, o.V, [=](long long n) HADAL_INLINE_LAMBDA {
    const float* x = (const float*)a[0].p + n * o.V;
    const int* ids = (const int*)a[1].p + n * o.K;
    ((float*)a[3].p)[n] = diverge<false>(o, x, ids, (const float*)a[2].p + n * o.K, 0, e, b);
  });
}

}  // namespace HADAL_ISA
}  // namespace hadal
