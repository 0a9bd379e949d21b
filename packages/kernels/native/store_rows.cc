// Rows written where a list says. Contract and twin: rows.ts.
#include "vector.h"

namespace hadal {
namespace HADAL_ISA {

void store_rows(Context& c, const Arg* a) {
  const float* x = (const float*)a[0].p;
  const int* rows = (const int*)a[1].p;
  float* into = (float*)a[2].p;
  long long N = a[3].i, R = a[4].i, D = a[5].i;
  Share s = share(c, N);
  for (long long n = s.begin; n < s.end; n++) {
    if (rows[n] < 0 || rows[n] >= R) continue;
    __builtin_memcpy(into + rows[n] * D, x + n * D, (unsigned long)D * sizeof(float));
  }
}

}  // namespace HADAL_ISA
}  // namespace hadal
