// AdamW in one pass over four tensors.
#include "passes.h"

namespace hadal {
namespace HADAL_ISA {

namespace {

/** Correctly rounded square root in every lane. */
HADAL_INLINE V root(V x) {
#if defined(__AVX512F__)
  return (V)_mm512_maskz_sqrt_ps((__mmask16)-1, (__m512)x);
#elif defined(__AVX2__)
  return (V)_mm256_sqrt_ps((__m256)x);
#else
  for (int i = 0; i < LANES; i++) x[i] = __builtin_sqrtf(x[i]);
  return x;
#endif
}

/** x, or 0 where it is smaller than 2^-120 (optimizer.ts says why). */
HADAL_INLINE V without_remnants(V x) { return abs(x) < splat(0x1p-120f) ? V{} : x; }

}  // namespace

void adamw(Context& c, const Arg* a) {
  float* p = (float*)a[0].p;
  const float* g = (const float*)a[1].p;
  float* m = (float*)a[2].p;
  float* v = (float*)a[3].p;
  V beta1 = splat((float)a[5].f), beta2 = splat((float)a[6].f);
  V rest1 = splat((float)(1 - a[5].f)), rest2 = splat((float)(1 - a[6].f));
  V decay = splat((float)a[7].f), step_size = splat((float)-a[8].f), root_correction = splat((float)a[9].f);
  V eps = splat((float)a[10].f), grad_scale = splat((float)a[11].f);
  for_claimed_vectors(c, a[4].i, [=](long long i, auto n) HADAL_INLINE_LAMBDA {
    V gradient = grad_scale * load(g + i, n);
    V mean = without_remnants(fma(rest1, gradient, beta1 * load(m + i, n)));
    V square = without_remnants(fma(rest2 * gradient, gradient, beta2 * load(v + i, n)));
    V direction = mean / fma(root(square), root_correction, eps);
    store(m + i, mean, n);
    store(v + i, square, n);
    store(p + i, fma(step_size, direction, decay * load(p + i, n)), n);
  });
}

}  // namespace HADAL_ISA
}  // namespace hadal
