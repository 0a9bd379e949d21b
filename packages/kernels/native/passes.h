// Loops over consecutive floats: the passes that elementwise, embedding, routing and optimizer kernels are made of.
//
// Owns walking a run of floats vector by vector and what to do with its tail. Knows nothing of what the floats are.
// Invariant: every element goes through the same vector operations, wherever in the run it lies.
#pragma once

#include "vector.h"

namespace hadal {
namespace HADAL_ISA {

#define HADAL_INLINE_LAMBDA __attribute__((always_inline))

/** The count of a vector that is whole: with it the loads and stores need no mask. */
struct Whole {};

HADAL_INLINE V load(const float* p, Whole) { return load(p); }
HADAL_INLINE void store(float* p, V x, Whole) { store(p, x); }
HADAL_INLINE V load_bf16(const unsigned short* p, Whole) { return load_bf16(p); }

/** Calls step(index, count) for each vector in [begin, end): count is Whole, or an int for the last one. */
template <class Step>
HADAL_INLINE void for_vectors(long long begin, long long end, Step step) {
  long long i = begin;
  for (; i + LANES <= end; i += LANES) step(i, Whole{});
  if (i < end) step(i, (int)(end - i));
}

/** Floats that a thread takes at a time: enough to make the taking cheap, few enough to even out unequal cores. */
constexpr long long GRAIN = 8192;

/** Calls step(begin, end) for parts of n items, each of `grain`, which the threads take one by one as they become free. */
template <class Step>
HADAL_INLINE void for_claimed(Context& c, long long n, long long grain, Step step) {
  for (long long begin = c.claim() * grain; begin < n; begin = c.claim() * grain) {
    step(begin, n - begin < grain ? n : begin + grain);
  }
}

/** Calls step(index, count) for the vectors of n floats that fall to this thread. */
template <class Step>
HADAL_INLINE void for_claimed_vectors(Context& c, long long n, Step step) {
  for_claimed(c, n, GRAIN, [=](long long begin, long long end) HADAL_INLINE_LAMBDA { for_vectors(begin, end, step); });
}

/** Calls step(row) for the rows, of `width` floats each, that fall to this thread. */
template <class Step>
HADAL_INLINE void for_claimed_rows(Context& c, long long rows, long long width, Step step) {
  long long grain = width < GRAIN ? GRAIN / (width > 0 ? width : 1) : 1;
  // Some parts for every thread, also when there are few rows.
  long long even = rows / (4 * c.threads);
  if (grain > even) grain = even > 0 ? even : 1;
  for_claimed(c, rows, grain, [&](long long begin, long long end) HADAL_INLINE_LAMBDA {
    for (long long row = begin; row < end; row++) step(row);
  });
}

/** x with zeros in all but the first `count` lanes. */
HADAL_INLINE V first_lanes(V x, Whole) { return x; }
HADAL_INLINE V first_lanes(V x, int count) {
  VI lane;
  for (int i = 0; i < LANES; i++) lane[i] = i;
  return lane < splat_int(count) ? x : V{};
}

/** A sum of floats kept in double, lane by lane: every lane adds in order, and the lanes are added in order at the end. */
struct WideSum {
  typedef float HalfV __attribute__((vector_size(2 * LANES)));
  typedef double DoubleV __attribute__((vector_size(4 * LANES)));  // one register, where V is one
  DoubleV low, high;

  __attribute__((always_inline)) void add(V x) {
    add_product(x, splat(1.0f));
  }

  /** Adds a * b, which is exact in double. */
  __attribute__((always_inline)) void add_product(V a, V b) {
    HalfV halves_a[2], halves_b[2];
    __builtin_memcpy(halves_a, &a, sizeof a);
    __builtin_memcpy(halves_b, &b, sizeof b);
    low += __builtin_convertvector(halves_a[0], DoubleV) * __builtin_convertvector(halves_b[0], DoubleV);
    high += __builtin_convertvector(halves_a[1], DoubleV) * __builtin_convertvector(halves_b[1], DoubleV);
  }

  __attribute__((always_inline)) double total() const {
    DoubleV both = low + high;
    double sum = 0;
    for (int lane = 0; lane < LANES / 2; lane++) sum += both[lane];
    return sum;
  }
};

HADAL_INLINE void copy_row(const float* x, float* y, long long n) {
  for_vectors(0, n, [=](long long i, auto count) HADAL_INLINE_LAMBDA { store(y + i, load(x + i, count), count); });
}

HADAL_INLINE void clear_row(float* y, long long n) {
  for_vectors(0, n, [=](long long i, auto count) HADAL_INLINE_LAMBDA { store(y + i, V{}, count); });
}

HADAL_INLINE void add_row(const float* x, float* y, long long n) {
  for_vectors(0, n, [=](long long i, auto count) HADAL_INLINE_LAMBDA {
    store(y + i, load(y + i, count) + load(x + i, count), count);
  });
}

HADAL_INLINE void scale_row(float* y, long long n, float factor) {
  V f = splat(factor);
  for_vectors(0, n, [=](long long i, auto count) HADAL_INLINE_LAMBDA { store(y + i, f * load(y + i, count), count); });
}

/** LANES floats rounded to bfloat16, nearest even; a NaN becomes a quiet NaN. */
HADAL_INLINE VH round_bf16(V x) {
  typedef unsigned U __attribute__((vector_size(4 * LANES)));
  U bits = (U)x;
  U rounded = bits + 0x7fff + ((bits >> 16) & 1);
  U chosen = x == x ? rounded : bits | 0x400000;
  return __builtin_convertvector(chosen >> 16, VH);
}
HADAL_INLINE void store_bf16(unsigned short* p, V x, Whole) { *(UnalignedVH*)p = round_bf16(x); }
HADAL_INLINE void store_bf16(unsigned short* p, V x, int count) {
  VH y = round_bf16(x);
  for (int i = 0; i < count; i++) p[i] = y[i];
}

}  // namespace HADAL_ISA
}  // namespace hadal
