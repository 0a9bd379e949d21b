import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bf16ToFloat32, f16ToFloat32, float32ToBf16, float32ToF16 } from './float16.ts';

const everyPattern = Uint16Array.from({ length: 0x10000 }, (_, bits) => bits);

/** All patterns but those of NaN, whose payload need not survive. */
const numbersOnly = (bits: Uint16Array, values: Float32Array) => bits.filter((_, i) => !Number.isNaN(values[i]));

test('every bfloat16 and every float16 number survives the way to float32 and back, the sign of zero included', () => {
  const fromBf16 = bf16ToFloat32(everyPattern);
  assert.deepEqual(numbersOnly(float32ToBf16(fromBf16), fromBf16), numbersOnly(everyPattern, fromBf16));
  const fromF16 = f16ToFloat32(everyPattern);
  assert.deepEqual(numbersOnly(float32ToF16(fromF16), fromF16), numbersOnly(everyPattern, fromF16));
});

test('NaN stays NaN and is never rounded to infinity', () => {
  const words = Uint32Array.of(0x7f800001, 0x7fffffff, 0xff800001, 0xffffffff);
  const nans = new Float32Array(words.buffer);
  assert.ok(bf16ToFloat32(float32ToBf16(nans)).every(Number.isNaN));
  assert.ok(f16ToFloat32(float32ToF16(nans)).every(Number.isNaN));
});

test('rounding goes to the nearest value, and from the middle to the even one', () => {
  // Steps of bfloat16 at 1 are 2^-7, of float16 2^-10.
  const at = (step: number) =>
    Float32Array.of(1 + step / 2, 1 + step * 1.5, 1 + step * 0.501, 1 + step * 0.499, -1 - step / 2);
  const rounded = (step: number) => Float32Array.of(1, 1 + step * 2, 1 + step, 1, -1);
  assert.deepEqual(bf16ToFloat32(float32ToBf16(at(2 ** -7))), rounded(2 ** -7));
  assert.deepEqual(f16ToFloat32(float32ToF16(at(2 ** -10))), rounded(2 ** -10));
});

test('what is too large becomes infinite and what is too small zero, with its sign', () => {
  const values = Float32Array.of(3.4e38, -3.4e38, 1e-45, -1e-45);
  assert.deepEqual(bf16ToFloat32(float32ToBf16(values)), Float32Array.of(Infinity, -Infinity, 0, -0));
  assert.deepEqual(f16ToFloat32(float32ToF16(values)), Float32Array.of(Infinity, -Infinity, 0, -0));
  assert.deepEqual(float32ToF16(Float32Array.of(65504, 65519.99, 65520)), Uint16Array.of(0x7bff, 0x7bff, 0x7c00));
});

test('values inside a larger buffer are read where they lie', () => {
  const values = Float32Array.of(9, 1, 2).subarray(1);
  assert.deepEqual(bf16ToFloat32(float32ToBf16(values)), Float32Array.of(1, 2));
  const bits = float32ToF16(Float32Array.of(9, 1, 2)).subarray(1);
  assert.deepEqual(f16ToFloat32(bits), Float32Array.of(1, 2));
});
