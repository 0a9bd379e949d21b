// Rows of GGUF's block formats as floats.
//
// Owns the layouts that llama.cpp calls Q4_0 to Q6_K: whole blocks of 32 or 256 small integers with the scales they share, one
// block after another. Loops run over 16 or 32 values under one scale and are plain, for the compiler makes vectors of them.
// Knows no file; the bytes may lie at any address. Invariant: products and differences are rounded one by one, in the order in
// which ggml's reference takes them.
#include "passes.h"

namespace hadal {
namespace HADAL_ISA {

namespace {

typedef long long Int;
typedef unsigned char Byte;

// As decode-blocks.ts numbers them.
enum class Format { Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K };

struct Size {
  Int values, bytes;
};

constexpr Size size_of(Format f) {
  switch (f) {
    case Format::Q4_0: return {32, 18};
    case Format::Q4_1: return {32, 20};
    case Format::Q5_0: return {32, 22};
    case Format::Q5_1: return {32, 24};
    case Format::Q8_0: return {32, 34};
    case Format::Q2_K: return {256, 84};
    case Format::Q3_K: return {256, 110};
    case Format::Q4_K: return {256, 144};
    case Format::Q5_K: return {256, 176};
    case Format::Q6_K: return {256, 210};
  }
  return {1, 1};
}

/** The float16 at p: as in decode_rows.cc, one lane of it. */
HADAL_INLINE float half(const Byte* p) {
  const int bits = p[0] | p[1] << 8;
  const int magnitude = (bits & 0x7fff) << 13;
  float scaled;
  __builtin_memcpy(&scaled, &magnitude, 4);
  scaled *= 0x1p112f;
  int finite;
  __builtin_memcpy(&finite, &scaled, 4);
  // An exponent of all ones means infinity or NaN here as there.
  const int value = (magnitude >= 0x7c00 << 13 ? magnitude | 0x7f800000 : finite) | (bits & 0x8000) << 16;
  float result;
  __builtin_memcpy(&result, &value, 4);
  return result;
}

/** The four low bits of 32 values: 16 bytes, values 0 to 15 in their lower halves. */
HADAL_INLINE void nibbles(const Byte* p, int* q) {
  for (int i = 0; i < 16; i++) q[i] = p[i] & 15;
  for (int i = 0; i < 16; i++) q[16 + i] = p[i] >> 4;
}

/** A fifth bit for each of 32 values, in the order of the bits. */
HADAL_INLINE void add_fifth_bits(const Byte* p, int* q) {
  unsigned bits;
  __builtin_memcpy(&bits, p, 4);
  for (int i = 0; i < 32; i++) q[i] |= (int)(bits >> i & 1) << 4;
}

template <int COUNT>
HADAL_INLINE void scaled(const int* q, float d, float* y) {
  for (int i = 0; i < COUNT; i++) y[i] = d * (float)q[i];
}

template <int COUNT>
HADAL_INLINE void scaled_less(const int* q, float d, float m, float* y) {
  for (int i = 0; i < COUNT; i++) y[i] = d * (float)q[i] - m;
}

/** Scale and minimum of the `block`-th 32 values of Q4_K and Q5_K: twelve bytes hold eight of each, six bits long. */
HADAL_INLINE void scale_and_minimum(const Byte* p, int block, float* d, float* m) {
  const Byte first = p[4 + (block & 3)], second = p[8 + (block & 3)], last = p[12 + (block & 3)];
  const int scale = block < 4 ? first & 63 : (last & 15) | (first >> 2 & 48);
  const int minimum = block < 4 ? second & 63 : last >> 4 | (second >> 2 & 48);
  *d = half(p) * (float)scale;
  *m = half(p + 2) * (float)minimum;
}

template <Format F>
HADAL_INLINE void decode_block(const Byte* p, float* y) {
  int q[32];
  switch (F) {
    case Format::Q4_0:
      nibbles(p + 2, q);
      for (int i = 0; i < 32; i++) q[i] -= 8;
      return scaled<32>(q, half(p), y);
    case Format::Q4_1:
      nibbles(p + 4, q);
      return scaled_less<32>(q, half(p), -half(p + 2), y);
    case Format::Q5_0:
      nibbles(p + 6, q);
      add_fifth_bits(p + 2, q);
      for (int i = 0; i < 32; i++) q[i] -= 16;
      return scaled<32>(q, half(p), y);
    case Format::Q5_1:
      nibbles(p + 8, q);
      add_fifth_bits(p + 4, q);
      return scaled_less<32>(q, half(p), -half(p + 2), y);
    case Format::Q8_0:
      for (int i = 0; i < 32; i++) q[i] = (signed char)p[2 + i];
      return scaled<32>(q, half(p), y);
    case Format::Q2_K:
      for (int block = 0; block < 16; block++) {
        const Byte* two = p + 16 + 32 * (block >> 3) + 16 * (block & 1);
        const int shift = 2 * (block >> 1 & 3);
        for (int i = 0; i < 16; i++) q[i] = two[i] >> shift & 3;
        scaled_less<16>(q, half(p + 80) * (float)(p[block] & 15), half(p + 82) * (float)(p[block] >> 4), y + 16 * block);
      }
      return;
    case Format::Q3_K:
      for (int block = 0; block < 16; block++) {
        const Byte* two = p + 32 + 32 * (block >> 3) + 16 * (block & 1);
        const Byte* third = p + 16 * (block & 1);
        const int shift = 2 * (block >> 1 & 3), bit = block >> 1;
        for (int i = 0; i < 16; i++) q[i] = (two[i] >> shift & 3) - (third[i] >> bit & 1 ? 0 : 4);
        const int low = p[96 + (block & 7)] >> (block < 8 ? 0 : 4) & 15;
        const int high = p[104 + (block & 3)] >> 2 * (block >> 2) & 3;
        scaled<16>(q, half(p + 108) * (float)((low | high << 4) - 32), y + 16 * block);
      }
      return;
    case Format::Q4_K:
    case Format::Q5_K:
      for (int block = 0; block < 8; block++) {
        float d, m;
        scale_and_minimum(p, block, &d, &m);
        const Byte* low = p + (F == Format::Q4_K ? 16 : 48) + 32 * (block >> 1);
        const int shift = 4 * (block & 1);
        for (int i = 0; i < 32; i++) q[i] = low[i] >> shift & 15;
        if (F == Format::Q5_K) {
          for (int i = 0; i < 32; i++) q[i] |= (p[16 + i] >> block & 1) << 4;
        }
        scaled_less<32>(q, d, m, y + 32 * block);
      }
      return;
    case Format::Q6_K:
      for (int part = 0; part < 8; part++) {
        const Byte* low = p + 64 * (part >> 2) + 32 * (part & 1);
        const Byte* upper = p + 128 + 32 * (part >> 2);
        const int shift = part & 2 ? 4 : 0, upper_shift = 2 * (part & 3);
        for (int i = 0; i < 32; i++) q[i] = ((low[i] >> shift & 15) | (upper[i] >> upper_shift & 3) << 4) - 32;
        for (int side = 0; side < 2; side++) {
          const float d = half(p + 208) * (float)(signed char)p[192 + 2 * part + side];
          scaled<16>(q + 16 * side, d, y + 32 * part + 16 * side);
        }
      }
      return;
  }
}

template <Format F>
void decode_all(Context& c, const Byte* w, float* y, Int rows, Int columns) {
  constexpr Size size = size_of(F);
  const Int blocks = columns / size.values;
  for_claimed_rows(c, rows, columns, [=](Int row) HADAL_INLINE_LAMBDA {
    const Byte* p = w + row * blocks * size.bytes;
    for (Int block = 0; block < blocks; block++) {
      decode_block<F>(p + block * size.bytes, y + row * columns + block * size.values);
    }
  });
}

}  // namespace

// W:b y:T rows:i columns:i format:i
void decode_blocks(Context& c, const Arg* a) {
  const Byte* w = (const Byte*)a[0].p;
  float* y = (float*)a[1].p;
  switch ((Format)a[4].i) {
    case Format::Q4_0: return decode_all<Format::Q4_0>(c, w, y, a[2].i, a[3].i);
    case Format::Q4_1: return decode_all<Format::Q4_1>(c, w, y, a[2].i, a[3].i);
    case Format::Q5_0: return decode_all<Format::Q5_0>(c, w, y, a[2].i, a[3].i);
    case Format::Q5_1: return decode_all<Format::Q5_1>(c, w, y, a[2].i, a[3].i);
    case Format::Q8_0: return decode_all<Format::Q8_0>(c, w, y, a[2].i, a[3].i);
    case Format::Q2_K: return decode_all<Format::Q2_K>(c, w, y, a[2].i, a[3].i);
    case Format::Q3_K: return decode_all<Format::Q3_K>(c, w, y, a[2].i, a[3].i);
    case Format::Q4_K: return decode_all<Format::Q4_K>(c, w, y, a[2].i, a[3].i);
    case Format::Q5_K: return decode_all<Format::Q5_K>(c, w, y, a[2].i, a[3].i);
    case Format::Q6_K: return decode_all<Format::Q6_K>(c, w, y, a[2].i, a[3].i);
  }
}

}  // namespace HADAL_ISA
}  // namespace hadal
