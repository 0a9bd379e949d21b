// Table rows by token id, and their gradient.
#include "passes.h"

namespace hadal {
namespace HADAL_ISA {

namespace {

constexpr long long CACHE_LINE = 16;  // floats

}  // namespace

void embedding(Context& c, const Arg* a) {
  const float* table = (const float*)a[0].p;
  const int* ids = (const int*)a[1].p;
  float* y = (float*)a[2].p;
  long long rows = a[4].i, D = a[5].i;
  for_claimed_rows(c, a[3].i, D, [=](long long n) HADAL_INLINE_LAMBDA {
    long long id = ids[n];
    if (id >= 0 && id < rows) {
      copy_row(table + id * D, y + n * D, D);
    } else {
      clear_row(y + n * D, D);
    }
  });
}

// Threads share the columns: each walks all tokens in order, so a table row's sum has one order.
void embedding_backward(Context& c, const Arg* a) {
  const int* ids = (const int*)a[0].p;
  const float* dy = (const float*)a[1].p;
  float* d_table = (float*)a[2].p;
  long long N = a[3].i, rows = a[4].i, D = a[5].i;
  Share s = share(c, D, CACHE_LINE);
  if (s.begin == s.end) return;
  for (long long n = 0; n < N; n++) {
    long long id = ids[n];
    if (id >= 0 && id < rows) add_row(dy + n * D + s.begin, d_table + id * D + s.begin, s.end - s.begin);
  }
}

}  // namespace HADAL_ISA
}  // namespace hadal
