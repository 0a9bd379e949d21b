// Softmax cross-entropy and its gradient, a row at a time while it lies in cache.
#include "likelihood.h"

namespace hadal {
namespace HADAL_ISA {

void cross_entropy(Context& c, const Arg* a) {
  const int* targets = (const int*)a[1].p;
  const float* weights = (const float*)a[2].p;
  float* loss = (float*)a[3].p;
  long long classes = a[6].i;
  for_claimed_rows(c, a[5].i, classes, [=](long long n) HADAL_INLINE_LAMBDA {
    const float* x = (const float*)a[0].p + n * classes;
    float* dx = (float*)a[4].p + n * classes;
    long long target = targets[n];
    if (target < 0 || target >= classes) {
      loss[n] = 0;
      clear_row(dx, classes);
      return;
    }
    float max = row_max(x, classes), logit = x[target];  // before dx, which may be x, is written
    double total = sum_exp<true>(x, dx, classes, max);
    loss[n] = negative_log_likelihood(logit, max, total);
    float p = (float)(dx[target] / total);
    scale_row(dx, classes, (float)(weights[n] / total));
    dx[target] = weights[n] * (p - 1.0f);
  });
}

void cross_entropy_forward(Context& c, const Arg* a) {
  const int* targets = (const int*)a[1].p;
  float* loss = (float*)a[2].p;
  long long classes = a[4].i;
  for_claimed_rows(c, a[3].i, classes, [=](long long n) HADAL_INLINE_LAMBDA {
    const float* x = (const float*)a[0].p + n * classes;
    long long target = targets[n];
    if (target < 0 || target >= classes) {
      loss[n] = 0;
      return;
    }
    float max = row_max(x, classes);
    loss[n] = negative_log_likelihood(x[target], max, sum_exp<false>(x, nullptr, classes, max));
  });
}

}  // namespace HADAL_ISA
}  // namespace hadal
