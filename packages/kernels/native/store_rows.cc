// Rows written where a list says, as floats or rounded to bfloat16. Contract and twin: rows.ts.
#include "passes.h"

namespace hadal {
namespace HADAL_ISA {

void store_rows(Context& c, const Arg* a) {
  const float* x = (const float*)a[0].p;
  const int* rows = (const int*)a[1].p;
  float* into = (float*)a[2].p;
  unsigned short* into_bf16 = (unsigned short*)a[3].p;
  const long long R = a[5].i, D = a[6].i;
  Share s = share(c, a[4].i);
  for (long long n = s.begin; n < s.end; n++) {
    if (rows[n] < 0 || rows[n] >= R) continue;
    const float* from = x + n * D;
    const long long at = rows[n] * D;
    if (into != nullptr) {
      copy_row(from, into + at, D);
    } else {
      for_vectors(0, D, [=](long long i, auto count) HADAL_INLINE_LAMBDA {
        store_bf16(into_bf16 + at + i, load(from + i, count), count);
      });
    }
  }
}

}  // namespace HADAL_ISA
}  // namespace hadal
