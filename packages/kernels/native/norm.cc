// RMSNorm and its gradient, and LayerNorm, a row at a time. Contract and twins: norm.ts.
#include "passes.h"

namespace hadal {
namespace HADAL_ISA {

namespace {

/** A sum in progress: four interleaved chains, enough to hide the latency of one. */
struct Chains {
  V parts[4] = {};
  float total() const { return sum((parts[0] + parts[1]) + (parts[2] + parts[3])); }
};

/** Calls step(index, count, chain) for every vector of a row, chains in turn and the last few vectors on the first. */
template <class Step>
HADAL_INLINE void for_chains(long long width, Step step) {
  long long d = 0;
  for (; d + 4 * LANES <= width; d += 4 * LANES) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) step(d + j * LANES, Whole{}, j);
  }
  for_vectors(d, width, [=](long long i, auto count) HADAL_INLINE_LAMBDA { step(i, count, 0); });
}

/** 1 / root mean square, from the sum of squares. */
HADAL_INLINE float row_scale(const Chains& squares, long long width, float eps) {
  return reciprocal_root(squares.total() / (float)width + eps);
}

// The weight's gradient is summed over at most this many chunks of rows.
constexpr long long CHUNKS = 256;
constexpr long long LEAST_ROWS = 32;

}  // namespace

void rms_norm(Context& c, const Arg* a) {
  const float* w = (const float*)a[1].p;
  const long long N = a[3].i, D = a[4].i, x_stride = a[5].i, y_stride = a[6].i;
  const float eps = (float)a[7].f;
  Share s = share(c, N);
  for (long long n = s.begin; n < s.end; n++) {
    const float* x = (const float*)a[0].p + n * x_stride;
    float* y = (float*)a[2].p + n * y_stride;
    Chains squares;
    for_chains(D, [&](long long i, auto count, int chain) HADAL_INLINE_LAMBDA {
      V v = load(x + i, count);
      squares.parts[chain] = fma(v, v, squares.parts[chain]);
    });
    const V r = splat(row_scale(squares, D, eps));
    for_vectors(0, D, [=](long long i, auto count) HADAL_INLINE_LAMBDA {
      store(y + i, load(x + i, count) * r * load(w + i, count), count);
    });
  }
}

void layer_norm(Context& c, const Arg* a) {
  const float* w = (const float*)a[1].p;
  const float* b = (const float*)a[2].p;
  const long long N = a[4].i, D = a[5].i;
  const float eps = (float)a[6].f;
  Share s = share(c, N);
  for (long long n = s.begin; n < s.end; n++) {
    const float* x = (const float*)a[0].p + n * D;
    float* y = (float*)a[3].p + n * D;
    Chains values, squares;
    for_chains(D, [&](long long i, auto count, int chain) HADAL_INLINE_LAMBDA { values.parts[chain] += load(x + i, count); });
    const V mean = splat(values.total() / (float)D);
    for_chains(D, [&](long long i, auto count, int chain) HADAL_INLINE_LAMBDA {
      V v = first_lanes(load(x + i, count) - mean, count);
      squares.parts[chain] = fma(v, v, squares.parts[chain]);
    });
    const V r = splat(row_scale(squares, D, eps));
    for_vectors(0, D, [=](long long i, auto count) HADAL_INLINE_LAMBDA {
      store(y + i, fma((load(x + i, count) - mean) * r, load(w + i, count), load(b + i, count)), count);
    });
  }
}

void rms_norm_backward(Context& c, const Arg* a) {
  const float* w = (const float*)a[1].p;
  float* dw = (float*)a[4].p;
  const long long N = a[5].i, D = a[6].i, x_stride = a[7].i, dy_stride = a[8].i, dx_stride = a[9].i;
  const float eps = (float)a[10].f;
  const bool accumulate = a[11].i != 0;
  const long long even = (N + CHUNKS - 1) / CHUNKS;
  const long long chunk_rows = even > LEAST_ROWS ? even : LEAST_ROWS;
  const long long chunks = (N + chunk_rows - 1) / chunk_rows;
  float* partial = (float*)c.shared;  // [chunks, D]

  for (long long chunk = c.claim(); chunk < chunks; chunk = c.claim()) {
    float* weights = partial + chunk * D;
    clear_row(weights, D);
    const long long begin = chunk * chunk_rows;
    const long long end = begin + chunk_rows < N ? begin + chunk_rows : N;
    for (long long n = begin; n < end; n++) {
      const float* x = (const float*)a[0].p + n * x_stride;
      const float* dy = (const float*)a[2].p + n * dy_stride;
      float* dx = (float*)a[3].p + n * dx_stride;
      Chains squares, along;
      for_chains(D, [&](long long i, auto count, int chain) HADAL_INLINE_LAMBDA {
        V v = load(x + i, count), g = load(w + i, count) * load(dy + i, count);
        squares.parts[chain] = fma(v, v, squares.parts[chain]);
        along.parts[chain] = fma(g, v, along.parts[chain]);
      });
      const float r = row_scale(squares, D, eps);
      const V scale = splat(r), back = splat(along.total() / (float)D * r * r);
      for_vectors(0, D, [=](long long i, auto count) HADAL_INLINE_LAMBDA {
        V v = load(x + i, count), g = load(dy + i, count);
        store(weights + i, fma(g * v, scale, load(weights + i, count)), count);
        V gradient = scale * fma(-v, back, g * load(w + i, count));
        store(dx + i, accumulate ? load(dx + i, count) + gradient : gradient, count);
      });
    }
  }
  c.barrier();
  Share s = share(c, D, LANES);
  for_vectors(s.begin, s.end, [=](long long i, auto count) HADAL_INLINE_LAMBDA {
    V total = {};
    for (long long chunk = 0; chunk < chunks; chunk++) total += load(partial + chunk * D + i, count);
    store(dw + i, load(dw + i, count) + total, count);
  });
}

}  // namespace HADAL_ISA
}  // namespace hadal
