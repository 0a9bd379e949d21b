// What the machine can do at most: the yardsticks of the benches.
//
// Owns loops of nothing but multiply-adds, of floats and of bytes, and a loop of nothing but reads, shaped for the instruction
// set; a kernel's speed is reported as a share of these. Each thread stores a result, so that no loop can be optimized away.
#include "integer.h"

namespace hadal {
namespace HADAL_ISA {

namespace {

// Enough independent chains to cover the latency of two units, few enough to stay in registers.
#if defined(__AVX512F__) || defined(HADAL_NEON)
constexpr int CHAINS = 24;
#elif defined(__AVX2__)
constexpr int CHAINS = 12;
#else
constexpr int CHAINS = 8;
#endif

/** Keeps x in a register and unknown to the optimizer. */
HADAL_INLINE void opaque(V& x) {
#if defined(__x86_64__)
#if defined(__AVX512F__)
  asm volatile("" : "+v"(x));
#else
  asm volatile("" : "+x"(x));
#endif
#elif defined(__aarch64__)
  asm volatile("" : "+w"(x));
#endif
}

}  // namespace

// rounds:i out:T. Each thread does rounds * multiplyAddsARound() multiply-adds.
void measure_arithmetic(Context& c, const Arg* a) {
  V acc[CHAINS];
#pragma GCC unroll 24
  for (int i = 0; i < CHAINS; i++) acc[i] = splat(0.001f * (float)i);
  V x = splat(0.999f), y = splat(0.001f);
  opaque(x);
  opaque(y);
  for (long long round = 0; round < a[0].i; round++) {
#pragma GCC unroll 24
    for (int i = 0; i < CHAINS; i++) acc[i] = fma(acc[i], x, y);
  }
  V total = V{};
#pragma GCC unroll 24
  for (int i = 0; i < CHAINS; i++) total += acc[i];
  float* out = (float*)a[1].p;
  if (c.thread == 0) {
    out[0] = sum(total);
    out[1] = (float)(CHAINS * LANES);
  }
  opaque(total);
}

// rounds:i out:T. The same with products of bytes, by the instructions that quantized products are made of.
void measure_integers(Context& c, const Arg* a) {
  VI acc[CHAINS] = {};
  V seed = splat(0.5f);
  opaque(seed);
  const VI x = (VI)seed;
  for (long long round = 0; round < a[0].i; round++) {
#pragma GCC unroll 24
    for (int i = 0; i < CHAINS; i++) {
#if defined(__AVX512VNNI__)
      acc[i] = dot(acc[i], (VB)x, x);
#else
      acc[i] += multiply_add_pairs((VS)x, (VS)x);
#endif
      V kept = (V)acc[i];
      opaque(kept);
      acc[i] = (VI)kept;
    }
  }
  VI total = {};
#pragma GCC unroll 24
  for (int i = 0; i < CHAINS; i++) total += acc[i];
  float* out = (float*)a[1].p;
  if (c.thread == 0) {
    out[0] = (float)total[0];
#if defined(__AVX512VNNI__)
    out[1] = (float)(CHAINS * LANES * 4);
#else
    out[1] = (float)(CHAINS * LANES * 2);
#endif
  }
  V kept = (V)total;
  opaque(kept);
}

// x:t n:i out:T. All threads together read x once.
void measure_reading(Context& c, const Arg* a) {
  const float* x = (const float*)a[0].p;
  constexpr int STEP = 8 * LANES;
  constexpr int AHEAD_BYTES = 2048;
  V acc[8] = {};
  // Dealt in chunks, so that a thread whose core is slow does not hold up the measurement.
  constexpr long long CHUNK = 1 << 16;
  const long long chunks = a[1].i / CHUNK;
  for (long long chunk = c.claim(); chunk < chunks; chunk = c.claim()) {
    const float* p = x + chunk * CHUNK;
    for (long long i = 0; i < CHUNK; i += STEP) {
#pragma GCC unroll 8
      for (int j = 0; j < STEP * 4; j += 64) __builtin_prefetch((const char*)(p + i) + AHEAD_BYTES + j, 0, 3);
#pragma GCC unroll 8
      for (int j = 0; j < 8; j++) acc[j] += load(p + i + j * LANES);
    }
  }
  V total = V{};
#pragma GCC unroll 8
  for (int j = 0; j < 8; j++) total += acc[j];
  if (c.thread == 0) *(float*)a[2].p = sum(total);
  opaque(total);
}

}  // namespace HADAL_ISA
}  // namespace hadal
