// The float formats of checkpoints, of 16 and 32 bits, converted to and from float32.
//
// Owns the bit arithmetic, on values as they lie in a little-endian file. Knows nothing about tensors. Widening is
// exact; narrowing rounds to nearest, ties to even, and keeps infinities, NaNs and the sign of zero.

export type FloatDtype = 'F32' | 'F16' | 'BF16';

/** The values of a whole buffer of little-endian bytes; those of F32 share its memory. */
export function floatsOf({ buffer }: Uint8Array<ArrayBuffer>, dtype: FloatDtype): Float32Array<ArrayBuffer> {
  if (dtype === 'F32') return new Float32Array(buffer);
  return dtype === 'F16' ? f16ToFloat32(new Uint16Array(buffer)) : bf16ToFloat32(new Uint16Array(buffer));
}

/** The float32 values of `bits` in bfloat16: the upper half of a float32. */
export function bf16ToFloat32(bits: Uint16Array): Float32Array<ArrayBuffer> {
  const out = new Float32Array(bits.length);
  const words = new Uint32Array(out.buffer);
  for (let i = 0; i < bits.length; i++) words[i] = (bits[i] as number) << 16;
  return out;
}

/** The bfloat16 bits nearest to each value. */
export function float32ToBf16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < words.length; i++) {
    const word = words[i] as number;
    const isNan = (word & 0x7fffffff) > 0x7f800000;
    // A NaN must not round up to infinity: truncate it and set the quiet bit. Else add half a unit, less one when the
    // kept part is even, so that a carry into the exponent (and to infinity) comes out by itself.
    out[i] = isNan ? (word >>> 16) | 0x0040 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return out;
}

/** The float32 values of `bits` in IEEE 754 binary16. */
export function f16ToFloat32(bits: Uint16Array): Float32Array<ArrayBuffer> {
  return new Float32Array(new Float16Array(bits.buffer, bits.byteOffset, bits.length));
}

/** The IEEE 754 binary16 bits nearest to each value; beyond 65519.99 in magnitude they are infinite. */
export function float32ToF16(values: Float32Array): Uint16Array<ArrayBuffer> {
  return new Uint16Array(new Float16Array(values).buffer);
}
