// Softmax over rows and its gradient. Contract and twins: softmax.ts.
#include "passes.h"

namespace hadal {
namespace HADAL_ISA {

namespace {

HADAL_INLINE V lanes_or(V x, Whole, V) { return x; }
/** x in the first `count` lanes, `other` in the rest. */
HADAL_INLINE V lanes_or(V x, int count, V other) {
  VI lane;
  for (int i = 0; i < LANES; i++) lane[i] = i;
  return lane < splat_int(count) ? x : other;
}

}  // namespace

void softmax(Context& c, const Arg* a) {
  const long long rows = a[2].i, cols = a[3].i;
  Share s = share(c, rows);
  for (long long r = s.begin; r < s.end; r++) {
    const float* x = (const float*)a[0].p + r * cols;
    float* y = (float*)a[1].p + r * cols;
    // A NaN fails every comparison: it leaves the maximum alone and comes through exp.
    V best = splat(-__builtin_inff());
    for_vectors(0, cols, [&](long long i, auto count) HADAL_INLINE_LAMBDA {
      V v = load(x + i, count);
      best = max(lanes_or(v, count, best), best);
    });
    const V top = splat(max_of(best));
    V parts = {};
    for_vectors(0, cols, [&](long long i, auto count) HADAL_INLINE_LAMBDA {
      V e = exp(load(x + i, count) - top);
      store(y + i, e, count);
      parts += first_lanes(e, count);
    });
    const V total = splat(sum(parts));
    for_vectors(0, cols, [=](long long i, auto count) HADAL_INLINE_LAMBDA {
      store(y + i, load(y + i, count) / total, count);
    });
  }
}

void softmax_backward(Context& c, const Arg* a) {
  const long long rows = a[3].i, cols = a[4].i;
  Share s = share(c, rows);
  for (long long r = s.begin; r < s.end; r++) {
    const float* y = (const float*)a[0].p + r * cols;
    const float* dy = (const float*)a[1].p + r * cols;
    float* dx = (float*)a[2].p + r * cols;
    V parts = {};
    for_vectors(0, cols, [&](long long i, auto count) HADAL_INLINE_LAMBDA {
      parts = fma(load(y + i, count), load(dy + i, count), parts);
    });
    const V along = splat(sum(parts));
    for_vectors(0, cols, [=](long long i, auto count) HADAL_INLINE_LAMBDA {
      store(dx + i, load(y + i, count) * (load(dy + i, count) - along), count);
    });
  }
}

}  // namespace HADAL_ISA
}  // namespace hadal
