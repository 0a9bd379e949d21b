// Rows of packed weights, by their numbers: a table of embeddings in the layout of the matrix products.
//
// Knows the four packed layouts (panels.h, quantized_tile.h) and reads them element by element: a row is spread over its
// panel, but only a few rows are asked for. Invariant: the values are those that the products multiply by.
#include "passes.h"
#include "quantized_tile.h"

namespace hadal {
namespace HADAL_ISA {

namespace {

typedef long long Int;

// As packed-rows.ts numbers them.
enum class Form { F32, BF16, INT8, INT4 };

/** Column `column` of a panel, all its depth. */
void unpack_floats(const float* panel, int column, Int depth, float* y) {
  for (Int k = 0; k < depth; k++) y[k] = panel[k * PANEL + column];
}

void unpack_bf16(const unsigned short* panel, int column, Int depth, float* y) {
  const unsigned short* from = panel + 2 * (column % (PANEL / 2)) + column / (PANEL / 2);
  for (Int k = 0; k < depth; k++) y[k] = from_bf16(from[k * PANEL]);
}

template <Quantized Q>
void unpack_quantized(const char* panel, int column, Int depth, float* y) {
  constexpr int HALF = PANEL / 2;
  const int byte = (Q == Quantized::INT8 ? column : column % HALF) * QUAD, shift = column < HALF ? 0 : 4;
  for (Int k0 = 0; k0 < depth; k0 += SEGMENT) {
    const Int count = depth - k0 < SEGMENT ? depth - k0 : SEGMENT;
    unsigned short half;
    __builtin_memcpy(&half, panel + 2 * column, 2);
    const float scale = from_bf16(half);
    const char* weights = panel + header_bytes(Q);
    for (Int k = 0; k < count; k++) {
      const int bits = (unsigned char)weights[k / QUAD * quad_bytes(Q) + byte + k % QUAD];
      const int step = Q == Quantized::INT8 ? 1 : ((const signed char*)panel)[SCALE_BYTES + k / BLOCK * PANEL + column];
      // A product of few enough bits to be exact.
      y[k0 + k] = scale * (float)(Q == Quantized::INT8 ? bits - 128 : ((bits >> shift & 15) - 8) * step);
    }
    panel = weights + blocks_of(count) * block_bytes(Q);
  }
}

}  // namespace

// packed:t ids:t y:T N:i V:i D:i form:i
void packed_rows(Context& c, const Arg* a) {
  const char* packed = (const char*)a[0].p;
  const int* ids = (const int*)a[1].p;
  float* y = (float*)a[2].p;
  const Int rows = a[4].i, depth = a[5].i;
  const Form form = (Form)a[6].i;
  for_claimed_rows(c, a[3].i, depth, [&](Int n) HADAL_INLINE_LAMBDA {
    const Int id = ids[n], panel = id / PANEL;
    const int column = (int)(id % PANEL);
    float* to = y + n * depth;
    if (id < 0 || id >= rows) return clear_row(to, depth);
    switch (form) {
      case Form::F32: return unpack_floats((const float*)packed + panel * depth * PANEL, column, depth, to);
      case Form::BF16: return unpack_bf16((const unsigned short*)packed + panel * depth * PANEL, column, depth, to);
      case Form::INT8: return unpack_quantized<Quantized::INT8>(packed + panel * panel_bytes(Quantized::INT8, depth), column, depth, to);
      case Form::INT4: return unpack_quantized<Quantized::INT4>(packed + panel * panel_bytes(Quantized::INT4, depth), column, depth, to);
    }
  });
}

}  // namespace HADAL_ISA
}  // namespace hadal
