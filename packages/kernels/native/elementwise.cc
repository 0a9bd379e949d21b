// Kernels that treat every element alike, and sums over a whole tensor.
//
// The loops are limited by memory: one pass, contiguous shares, no temporaries. Elements past the last whole vector go
// through the same vector operations behind a mask, so an element's bits do not depend on where it lies.
#include "passes.h"

namespace hadal {
namespace HADAL_ISA {

namespace {

constexpr long long SUM_CHUNK = 4096;
constexpr long long COPY_BLOCK = 1024;

template <bool SQUARED>
HADAL_INLINE double sum_chunk(const float* x, long long n) {
  WideSum sum = {};
  for_vectors(0, n, [&](long long i, auto count) HADAL_INLINE_LAMBDA {
    // 4 KiB ahead: with nothing but loads the processor alone does not keep enough of them in flight.
    __builtin_prefetch(x + i + 1024);
    V v = load(x + i, count);
    if (SQUARED) {
      sum.add_product(v, v);
    } else {
      sum.add(v);
    }
  });
  return sum.total();
}

template <bool SQUARED>
HADAL_INLINE void sum_all(Context& c, const Arg* a) {
  const float* x = (const float*)a[0].p;
  float* out = (float*)a[1].p;
  long long n = a[2].i, chunks = (n + SUM_CHUNK - 1) / SUM_CHUNK;
  double* partial = (double*)c.shared;
  for_claimed_rows(c, chunks, SUM_CHUNK, [=](long long chunk) HADAL_INLINE_LAMBDA {
    long long begin = chunk * SUM_CHUNK;
    partial[chunk] = sum_chunk<SQUARED>(x + begin, n - begin < SUM_CHUNK ? n - begin : SUM_CHUNK);
  });
  c.barrier();
  if (c.thread != 0) return;
  double total = 0;
  for (long long chunk = 0; chunk < chunks; chunk++) total += partial[chunk];
  out[0] = (float)total;
}

}  // namespace

void fill(Context& c, const Arg* a) {
  float* x = (float*)a[0].p;
  V value = splat((float)a[2].f);
  for_claimed_vectors(c, a[1].i, [=](long long i, auto count) HADAL_INLINE_LAMBDA { store(x + i, value, count); });
}

void copy_columns(Context& c, const Arg* a) {
  const float* src = (const float*)a[0].p;
  float* dst = (float*)a[1].p;
  long long rows = a[2].i, cols = a[3].i, src_stride = a[4].i, dst_stride = a[5].i;
  bool accumulate = a[6].i != 0;
  if (src_stride == cols && dst_stride == cols) {
    cols *= rows;
    rows = rows > 0 ? 1 : 0;
  }
  // Shared by blocks of columns, so that one long row occupies every thread.
  long long blocks = (cols + COPY_BLOCK - 1) / COPY_BLOCK;
  for_claimed_rows(c, rows * blocks, cols < COPY_BLOCK ? cols : COPY_BLOCK, [=](long long block) HADAL_INLINE_LAMBDA {
    long long row = block / blocks, begin = (block - row * blocks) * COPY_BLOCK;
    long long n = cols - begin < COPY_BLOCK ? cols - begin : COPY_BLOCK;
    const float* x = src + row * src_stride + begin;
    float* y = dst + row * dst_stride + begin;
    if (accumulate) {
      add_row(x, y, n);
    } else {
      copy_row(x, y, n);
    }
  });
}

void add(Context& c, const Arg* arg) {
  const float* a = (const float*)arg[0].p;
  const float* b = (const float*)arg[1].p;
  float* y = (float*)arg[2].p;
  for_claimed_vectors(c, arg[3].i, [=](long long i, auto n) HADAL_INLINE_LAMBDA { store(y + i, load(a + i, n) + load(b + i, n), n); });
}

void scale(Context& c, const Arg* a) {
  const float* x = (const float*)a[0].p;
  float* y = (float*)a[1].p;
  V factor = splat((float)a[3].f);
  for_claimed_vectors(c, a[2].i, [=](long long i, auto n) HADAL_INLINE_LAMBDA { store(y + i, factor * load(x + i, n), n); });
}

void axpy(Context& c, const Arg* a) {
  const float* x = (const float*)a[0].p;
  float* y = (float*)a[1].p;
  V alpha = splat((float)a[3].f);
  for_claimed_vectors(c, a[2].i, [=](long long i, auto n) HADAL_INLINE_LAMBDA {
    store(y + i, fma(alpha, load(x + i, n), load(y + i, n)), n);
  });
}

void to_bf16(Context& c, const Arg* a) {
  const float* x = (const float*)a[0].p;
  unsigned short* y = (unsigned short*)a[1].p;
  for_claimed_vectors(c, a[2].i, [=](long long i, auto n) HADAL_INLINE_LAMBDA { store_bf16(y + i, load(x + i, n), n); });
}

void from_bf16(Context& c, const Arg* a) {
  const unsigned short* x = (const unsigned short*)a[0].p;
  float* y = (float*)a[1].p;
  for_claimed_vectors(c, a[2].i, [=](long long i, auto n) HADAL_INLINE_LAMBDA { store(y + i, load_bf16(x + i, n), n); });
}

void sum(Context& c, const Arg* a) { sum_all<false>(c, a); }

void sum_squares(Context& c, const Arg* a) { sum_all<true>(c, a); }

}  // namespace HADAL_ISA
}  // namespace hadal
