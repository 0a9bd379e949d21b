// The log-likelihood of one class under the softmax of a row of logits.
//
// Owns the row's maximum and its sum of exponentials. Shared by the loss and by sampling, so that the log-probability of a
// sampled token has the bits of the trainer's. Invariant: a row's sum is taken in the same chunks and lanes everywhere.
#pragma once

#include "passes.h"

namespace hadal {
namespace HADAL_ISA {

// Lanes add this many exponentials of a row before the partial sum goes on in double.
constexpr long long EXP_CHUNK = 1024;

/** The largest of n floats; NaN is passed over. */
HADAL_INLINE float row_max(const float* x, long long n) {
  V best = splat(-__builtin_inff());
  long long i = 0;
  for (; i + LANES <= n; i += LANES) best = max(load(x + i), best);
  float result = max_of(best);
  for (; i < n; i++) result = x[i] > result ? x[i] : result;
  return result;
}

/** Sum of exp(x[i] - shift); with KEEP the exponentials are written to y as well. Fetches the row after this one, since
 *  arithmetic is the limit here and memory is when that row's maximum is taken. */
template <bool KEEP>
HADAL_INLINE double sum_exp(const float* x, float* y, long long n, float shift) {
  V offset = splat(shift);
  double total = 0;
  for (long long begin = 0; begin < n; begin += EXP_CHUNK) {
    long long end = n - begin < EXP_CHUNK ? n : begin + EXP_CHUNK;
    V partial = {};
    long long i = begin;
    for (; i + LANES <= end; i += LANES) {
      __builtin_prefetch(x + i + n);
      V e = exp(load(x + i) - offset);
      if (KEEP) store(y + i, e);
      partial += e;
    }
    if (i < end) {
      int count = (int)(end - i);
      V e = first_lanes(exp(load(x + i, count) - offset), count);
      if (KEEP) store(y + i, e, count);
      partial += e;
    }
    total += sum(partial);
  }
  return total;
}

/** -log(softmax) of the class with this logit, from the row's maximum and its sum_exp about it. */
HADAL_INLINE float negative_log_likelihood(float logit, float max, double total) {
  return (float)(__builtin_log(total) + (double)max - (double)logit);
}

}  // namespace HADAL_ISA
}  // namespace hadal
