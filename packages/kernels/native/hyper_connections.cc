// Manifold-constrained hyper-connections. Contract and twins: hyper-connections.ts.
#include "passes.h"

namespace hadal {
namespace HADAL_ISA {

namespace {

constexpr int MOST_STREAMS = 8;

/** Rows made to sum to one, then columns, again and again; m[j][k] in one lane for each token. Sinkhorn & Knopp 1967. */
HADAL_INLINE void balance(V (&m)[MOST_STREAMS][MOST_STREAMS], int streams, long long iterations, V eps) {
  for (long long i = 0; i < iterations; i++) {
    for (int j = 0; j < streams && i > 0; j++) {
      V total = V{};
      for (int k = 0; k < streams; k++) total += m[j][k];
      for (int k = 0; k < streams; k++) m[j][k] = m[j][k] / (total + eps);
    }
    for (int k = 0; k < streams; k++) {
      V total = V{};
      for (int j = 0; j < streams; j++) total += m[j][k];
      for (int j = 0; j < streams; j++) m[j][k] = m[j][k] / (total + eps);
    }
  }
}

/** The softmax of a row of scores, plus eps. */
HADAL_INLINE void soften(V (&row)[MOST_STREAMS], int streams, V eps) {
  V top = row[0], total = V{};
  for (int k = 1; k < streams; k++) top = max(top, row[k]);
  for (int k = 0; k < streams; k++) {
    row[k] = exp(row[k] - top);
    total += row[k];
  }
  for (int k = 0; k < streams; k++) row[k] = row[k] / total + eps;
}

}  // namespace

// mixes:t scale:t base:t pre:T post:T? comb:T? N:i streams:i iterations:i eps:f
void hyper_weights(Context& c, const Arg* a) {
  const float* scale = (const float*)a[1].p;
  const float* base = (const float*)a[2].p;
  float* pre = (float*)a[3].p;
  float* post = (float*)a[4].p;
  float* comb = (float*)a[5].p;
  const long long N = a[6].i;
  const int streams = (int)a[7].i;
  const V eps = splat((float)a[9].f);
  const long long width = post ? (2 + streams) * streams : streams;
  Share s = share(c, N, LANES);
  for (long long first = s.begin; first < s.end; first += LANES) {
    const int tokens = s.end - first < LANES ? (int)(s.end - first) : LANES;
    // Column `column` of the mixes of LANES tokens, scaled and shifted; zeros in lanes without one.
    auto column = [&](long long column, float factor) HADAL_INLINE_LAMBDA {
      V x = V{};
      for (int i = 0; i < tokens; i++) x[i] = ((const float*)a[0].p)[(first + i) * width + column];
      return fma(x, splat(factor), splat(base[column]));
    };
    auto put = [&](float* to, long long stride, long long at, V x) HADAL_INLINE_LAMBDA {
      for (int i = 0; i < tokens; i++) to[(first + i) * stride + at] = x[i];
    };
    for (int k = 0; k < streams; k++) put(pre, streams, k, sigmoid(column(k, scale[0])) + eps);
    if (!post) continue;
    for (int k = 0; k < streams; k++) put(post, streams, k, splat(2.0f) * sigmoid(column(streams + k, scale[1])));
    V m[MOST_STREAMS][MOST_STREAMS];
    for (int j = 0; j < streams; j++) {
      for (int k = 0; k < streams; k++) m[j][k] = column(2 * streams + j * streams + k, scale[2]);
      soften(m[j], streams, eps);
    }
    balance(m, streams, a[8].i, eps);
    for (int j = 0; j < streams; j++) {
      for (int k = 0; k < streams; k++) put(comb, streams * streams, j * streams + k, m[j][k]);
    }
  }
}

// x:t pre:t y:T N:i streams:i D:i
void hyper_collapse(Context& c, const Arg* a) {
  const long long N = a[3].i, streams = a[4].i, D = a[5].i;
  for_claimed_rows(c, N, streams * D, [=](long long n) HADAL_INLINE_LAMBDA {
    const float* x = (const float*)a[0].p + n * streams * D;
    const float* pre = (const float*)a[1].p + n * streams;
    float* y = (float*)a[2].p + n * D;
    for_vectors(0, D, [=](long long d, auto count) HADAL_INLINE_LAMBDA {
      V total = V{};
      for (long long j = 0; j < streams; j++) total = fma(splat(pre[j]), load(x + j * D + d, count), total);
      store(y + d, total, count);
    });
  });
}

// x:t added:t post:t comb:t y:T N:i streams:i D:i
void hyper_expand(Context& c, const Arg* a) {
  const long long N = a[5].i, streams = a[6].i, D = a[7].i;
  for_claimed_rows(c, N, streams * D, [=](long long n) HADAL_INLINE_LAMBDA {
    const float* x = (const float*)a[0].p + n * streams * D;
    const float* added = (const float*)a[1].p + n * D;
    const float* post = (const float*)a[2].p + n * streams;
    const float* comb = (const float*)a[3].p + n * streams * streams;
    float* y = (float*)a[4].p + n * streams * D;
    for_vectors(0, D, [=](long long d, auto count) HADAL_INLINE_LAMBDA {
      const V own = load(added + d, count);
      for (long long k = 0; k < streams; k++) {
        V total = splat(post[k]) * own;
        for (long long j = 0; j < streams; j++) {
          total = fma(splat(comb[j * streams + k]), load(x + j * D + d, count), total);
        }
        store(y + k * D + d, total, count);
      }
    });
  });
}

}  // namespace HADAL_ISA
}  // namespace hadal
