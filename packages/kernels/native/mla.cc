// Keys and values of expanded multi-head latent attention. Contract and twins: mla.ts.
#include "passes.h"

namespace hadal {
namespace HADAL_ISA {

void mla_assemble(Context& c, const Arg* a) {
  const float* kv = (const float*)a[0].p;
  const float* k_pe = (const float*)a[1].p;
  float* k = (float*)a[2].p;
  float* v = (float*)a[3].p;
  const long long H = a[5].i, nope = a[6].i, rope = a[7].i, v_dim = a[8].i, k_pe_stride = a[9].i;
  Share s = share(c, a[4].i * H);
  for (long long head = s.begin; head < s.end; head++) {
    const float* from = kv + head * (nope + v_dim);
    copy_row(from, k + head * (nope + rope), nope);
    copy_row(k_pe + head / H * k_pe_stride, k + head * (nope + rope) + nope, rope);
    copy_row(from + nope, v + head * v_dim, v_dim);
  }
}

void mla_assemble_backward(Context& c, const Arg* a) {
  const float* dk = (const float*)a[0].p;
  const float* dv = (const float*)a[1].p;
  float* dkv = (float*)a[2].p;
  float* dk_pe = (float*)a[3].p;
  const long long H = a[5].i, nope = a[6].i, rope = a[7].i, v_dim = a[8].i, k_pe_stride = a[9].i;
  Share s = share(c, a[4].i);
  for (long long n = s.begin; n < s.end; n++) {
    for (long long head = n * H; head < (n + 1) * H; head++) {
      float* to = dkv + head * (nope + v_dim);
      copy_row(dk + head * (nope + rope), to, nope);
      copy_row(dv + head * v_dim, to + nope, v_dim);
    }
    const float* first = dk + n * H * (nope + rope) + nope;
    float* shared = dk_pe + n * k_pe_stride;
    for_vectors(0, rope, [=](long long i, auto count) HADAL_INLINE_LAMBDA {
      V total = {};
      for (long long h = 0; h < H; h++) total += load(first + h * (nope + rope) + i, count);
      store(shared + i, total, count);
    });
  }
}

}  // namespace HADAL_ISA
}  // namespace hadal
