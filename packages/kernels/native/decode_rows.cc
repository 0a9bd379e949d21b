// Rows of stored tensors as floats.
//
// Owns the number formats of checkpoints: float32, float16, bfloat16, float8 e4m3 and float4 e2m1, the last two under scales
// that blocks of rows and columns share. Every format but the wide two is read by one trick: sign and magnitude move to where
// a float32 has them, and a power of two makes up for the difference of the exponents' biases; it is exact, denormals
// included. Knows no file; the bytes may lie at any address. Invariant: an element is one product, rounded once.
#include "passes.h"

namespace hadal {
namespace HADAL_ISA {

namespace {

typedef long long Int;
typedef unsigned char Byte;
typedef float AnyV __attribute__((vector_size(4 * LANES), aligned(1), may_alias));
typedef unsigned short AnyVH __attribute__((vector_size(2 * LANES), aligned(1), may_alias));
typedef Byte AnyVB __attribute__((vector_size(LANES), aligned(1), may_alias));

// As decode-rows.ts numbers them.
enum class Stored { F32, F16, BF16, E4M3, E2M1 };
enum class Scale { NONE, F32, F16, BF16, E8M0 };

constexpr int QUIET_NAN = 0x7fc00000;

constexpr Int bits_of(Stored s) { return s == Stored::F32 ? 32 : s == Stored::F16 || s == Stored::BF16 ? 16 : s == Stored::E4M3 ? 8 : 4; }

/** 2^n, for exponents that a float has. */
HADAL_INLINE V power_of_two(int n) { return (V)splat_int((127 + n) << 23); }

/** LANES elements that begin at p: all of them are there. */
template <Stored S>
HADAL_INLINE V decode(const char* p) {
  switch (S) {
    case Stored::F32:
      return *(const AnyV*)p;
    case Stored::BF16:
      return (V)(__builtin_convertvector(*(const AnyVH*)p, VI) << 16);
    case Stored::F16: {
      const VI bits = __builtin_convertvector(*(const AnyVH*)p, VI);
      const VI magnitude = (bits & 0x7fff) << 13;
      // An exponent of all ones means infinity or NaN here as there.
      const VI special = magnitude >= splat_int(0x7c00 << 13);
      const VI finite = (VI)((V)magnitude * power_of_two(112));
      return (V)((special ? magnitude | 0x7f800000 : finite) | (bits & 0x8000) << 16);
    }
    case Stored::E4M3: {
      const VI bits = __builtin_convertvector(*(const AnyVB*)p, VI);
      const VI magnitude = bits & 0x7f;
      const VI finite = (VI)((V)(magnitude << 20) * power_of_two(120)) | (bits & 0x80) << 24;
      // No infinities; one NaN of each sign.
      return (V)(magnitude == splat_int(0x7f) ? splat_int(QUIET_NAN) : finite);
    }
    case Stored::E2M1: {
      // Two columns a byte, the even one in the lower half: eight in each word.
      int words[(LANES + 7) / 8] = {};
      __builtin_memcpy(words, p, LANES / 2);
      VI bits, shift;
#pragma GCC unroll 16
      for (int i = 0; i < LANES; i++) {
        bits[i] = words[i / 8];
        shift[i] = i % 8 * 4;
      }
      bits = bits >> shift;
      return (V)((VI)((V)((bits & 7) << 22) * power_of_two(126)) | (bits & 8) << 28);
    }
  }
}

template <Stored S>
HADAL_INLINE V decode(const char* p, Whole) { return decode<S>(p); }

/** The first `count` elements; touches no byte past them. */
template <Stored S>
HADAL_INLINE V decode(const char* p, int count) {
  char tail[4 * LANES] = {};
  __builtin_memcpy(tail, p, (count * bits_of(S) + 7) / 8);
  return decode<S>(tail);
}

/** Columns begin .. end of a row, under one scale; `begin` is even. */
template <Stored S>
HADAL_INLINE void decode_columns(const char* row, Int begin, Int end, float scale, float* y) {
  const V factor = splat(scale);
  for_vectors(begin, end, [=](Int i, auto count) HADAL_INLINE_LAMBDA {
    store(y + i, decode<S>(row + i * bits_of(S) / 8, count) * factor, count);
  });
}

float read_scale(Scale kind, const char* scales, Int i) {
  switch (kind) {
    case Scale::NONE: return 1.0f;
    case Scale::F32: return decode<Stored::F32>(scales + 4 * i, 1)[0];
    case Scale::F16: return decode<Stored::F16>(scales + 2 * i, 1)[0];
    case Scale::BF16: return decode<Stored::BF16>(scales + 2 * i, 1)[0];
    case Scale::E8M0: break;
  }
  // 2^(exponent - 127); the smallest is a denormal.
  const int exponent = ((const Byte*)scales)[i];
  return ((V)splat_int(exponent == 255 ? QUIET_NAN : exponent == 0 ? 0x00400000 : exponent << 23))[0];
}

struct Source {
  const char* w;
  const char* scales;
  Scale scale;
  Int rows, columns;
  Int block_rows, block_columns;
  /** How far into its block of rows the first row is. */
  Int row_in_block;
};

template <Stored S>
void decode_all(Context& c, const Source& s, float* y) {
  const Int row_bytes = s.columns * bits_of(S) / 8;
  const Int blocks = (s.columns + s.block_columns - 1) / s.block_columns;
  for_claimed_rows(c, s.rows, s.columns, [&](Int row) HADAL_INLINE_LAMBDA {
    const Int scale_row = (s.row_in_block + row) / s.block_rows;
    for (Int block = 0; block < blocks; block++) {
      const Int begin = block * s.block_columns;
      const Int end = s.columns - begin < s.block_columns ? s.columns : begin + s.block_columns;
      decode_columns<S>(s.w + row * row_bytes, begin, end, read_scale(s.scale, s.scales, scale_row * blocks + block), y + row * s.columns);
    }
  });
}

}  // namespace

// W:b scales:b? y:T rows:i columns:i stored:i scale:i blockRows:i blockColumns:i rowInBlock:i
void decode_rows(Context& c, const Arg* a) {
  const Source s{(const char*)a[0].p, (const char*)a[1].p, (Scale)a[6].i, a[3].i, a[4].i, a[7].i, a[8].i, a[9].i};
  float* y = (float*)a[2].p;
  switch ((Stored)a[5].i) {
    case Stored::F32: return decode_all<Stored::F32>(c, s, y);
    case Stored::F16: return decode_all<Stored::F16>(c, s, y);
    case Stored::BF16: return decode_all<Stored::BF16>(c, s, y);
    case Stored::E4M3: return decode_all<Stored::E4M3>(c, s, y);
    case Stored::E2M1: return decode_all<Stored::E2M1>(c, s, y);
  }
}

}  // namespace HADAL_ISA
}  // namespace hadal
