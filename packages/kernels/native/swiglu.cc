// SwiGLU and its gradient. Contract and twins: swiglu.ts.
#include "passes.h"

namespace hadal {
namespace HADAL_ISA {

namespace {

// Columns of a piece of work, so that one row still feeds every thread.
constexpr long long PIECE = 256;

/** Calls step(row, column, count) for every vector of N rows of F columns in this thread's share. */
template <class Step>
HADAL_INLINE void for_pieces(const Context& c, long long N, long long F, Step step) {
  const long long pieces = (F + PIECE - 1) / PIECE;
  Share s = share(c, N * pieces);
  for (long long p = s.begin; p < s.end; p++) {
    const long long row = p / pieces, begin = p % pieces * PIECE;
    for_vectors(begin, begin + PIECE < F ? begin + PIECE : F,
                [=](long long i, auto count) HADAL_INLINE_LAMBDA { step(row, i, count); });
  }
}

}  // namespace

void swiglu(Context& c, const Arg* a) {
  const float* gate_up = (const float*)a[0].p;
  float* y = (float*)a[1].p;
  const long long F = a[3].i;
  for_pieces(c, a[2].i, F, [=](long long row, long long i, auto count) HADAL_INLINE_LAMBDA {
    const float* x = gate_up + row * 2 * F + i;
    V gate = load(x, count);
    store(y + row * F + i, gate * sigmoid(gate) * load(x + F, count), count);
  });
}

void clamped_swiglu(Context& c, const Arg* a) {
  const float* gate_up = (const float*)a[0].p;
  float* y = (float*)a[1].p;
  const long long F = a[3].i;
  const V most = splat((float)a[4].f), least = -most;
  for_pieces(c, a[2].i, F, [=](long long row, long long i, auto count) HADAL_INLINE_LAMBDA {
    const float* x = gate_up + row * 2 * F + i;
    // In this order a NaN passes through.
    V gate = min(most, load(x, count)), up = min(most, max(least, load(x + F, count)));
    store(y + row * F + i, gate * sigmoid(gate) * up, count);
  });
}

void swiglu_backward(Context& c, const Arg* a) {
  const float* gate_up = (const float*)a[0].p;
  const float* dy = (const float*)a[1].p;
  float* d_gate_up = (float*)a[2].p;
  const long long F = a[4].i;
  for_pieces(c, a[3].i, F, [=](long long row, long long i, auto count) HADAL_INLINE_LAMBDA {
    const long long at = row * 2 * F + i;
    V gate = load(gate_up + at, count), up = load(gate_up + at + F, count);
    V g = load(dy + row * F + i, count);
    V s = sigmoid(gate);
    V slope = s * fma(gate, splat(1.0f) - s, splat(1.0f));
    store(d_gate_up + at, g * up * slope, count);
    store(d_gate_up + at + F, g * gate * s, count);
  });
}

}  // namespace HADAL_ISA
}  // namespace hadal
