// Rotary position embedding. Contract and twin: rope.ts.
#include "passes.h"
#include "shuffle.h"

namespace hadal {
namespace HADAL_ISA {

namespace {

/** How many of 2 * count interleaved floats lie in the first and in the second of two vectors. */
HADAL_INLINE Whole first_of(Whole) { return {}; }
HADAL_INLINE Whole second_of(Whole) { return {}; }
HADAL_INLINE int first_of(int count) { return 2 * count < LANES ? 2 * count : LANES; }
HADAL_INLINE int second_of(int count) { return 2 * count - first_of(count); }

struct Angle {
  V cos, sin;
};

HADAL_INLINE V rotated_first(V a, V b, Angle t) { return fma(a, t.cos, -b * t.sin); }
HADAL_INLINE V rotated_second(V a, V b, Angle t) { return fma(a, t.sin, b * t.cos); }

}  // namespace

void rope(Context& c, const Arg* a) {
  const float* cosines = (const float*)a[2].p;
  const float* sines = (const float*)a[3].p;
  const int* positions = (const int*)a[4].p;
  const long long N = a[5].i, H = a[6].i, half = a[7].i;
  const long long x_row = a[8].i, x_head = a[9].i, y_row = a[10].i, y_head = a[11].i;
  const bool interleaved = a[12].i != 0, inverse = a[13].i != 0;
  const long long last = a[14].i - 1;
  Share s = share(c, N * H);
  for (long long at = s.begin; at < s.end; at++) {
    const long long n = at / H, h = at % H;
    const float* x = (const float*)a[0].p + n * x_row + h * x_head;
    float* y = (float*)a[1].p + n * y_row + h * y_head;
    const long long position = positions[n] < 0 ? 0 : positions[n] > last ? last : positions[n];
    const float* cos_row = cosines + position * half;
    const float* sin_row = sines + position * half;
    for_vectors(0, half, [=](long long i, auto count) HADAL_INLINE_LAMBDA {
      V sine = load(sin_row + i, count);
      const Angle t = {load(cos_row + i, count), inverse ? -sine : sine};
      if (interleaved) {
        V low = load(x + 2 * i, first_of(count)), high = load(x + 2 * i + LANES, second_of(count));
        V even = even_lanes(low, high), odd = odd_lanes(low, high);
        V first = rotated_first(even, odd, t), second = rotated_second(even, odd, t);
        store(y + 2 * i, zip_low(first, second), first_of(count));
        store(y + 2 * i + LANES, zip_high(first, second), second_of(count));
      } else {
        V first = load(x + i, count), second = load(x + half + i, count);
        store(y + i, rotated_first(first, second, t), count);
        store(y + half + i, rotated_second(first, second, t), count);
      }
    });
  }
}

}  // namespace HADAL_ISA
}  // namespace hadal
