// Forbidden tokens. Contract and twin: masking.ts.
#include "passes.h"

namespace hadal {
namespace HADAL_ISA {

namespace {

constexpr int WORD = 32;

/** Up to 32 logits under one word of the mask. Most words are all forbidden, or all allowed. */
HADAL_INLINE void mask_word(float* x, unsigned word, int count) {
  if (word == ~0u) return;
  for (int i = 0; i < count; i++) x[i] = word >> i & 1 ? x[i] : -__builtin_inff();
}

}  // namespace

void mask_logits(Context& c, const Arg* a) {
  float* logits = (float*)a[0].p;
  const unsigned* masks = (const unsigned*)a[1].p;
  const int* which = (const int*)a[2].p;
  long long V = a[4].i, M = a[5].i;
  long long words = (V + WORD - 1) / WORD;
  for_claimed_rows(c, a[3].i, V, [=](long long n) HADAL_INLINE_LAMBDA {
    if (which[n] < 0 || which[n] >= M) return;
    float* x = logits + n * V;
    const unsigned* mask = masks + which[n] * words;
    long long whole = V / WORD;
    for (long long w = 0; w < whole; w++) mask_word(x + w * WORD, mask[w], WORD);
    if (whole < words) mask_word(x + whole * WORD, mask[whole], (int)(V - whole * WORD));
  });
}

}  // namespace HADAL_ISA
}  // namespace hadal
