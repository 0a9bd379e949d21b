import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { float32ToBf16, float32ToF16 } from './float16.ts';
import { e4m3Values } from './quantized-layouts.ts';
import { type Dtype, openSafetensors, type TensorSource, tensorBytes, writeSafetensors } from './safetensors.ts';
import { type StoredWeightsOptions, storedWeights } from './stored-weights.ts';

const directory = mkdtempSync(join(tmpdir(), 'hadal-'));
after(() => rmSync(directory, { recursive: true }));
const path = join(directory, 'test.safetensors');

const bytesOf = (data: { buffer: ArrayBuffer }) => new Uint8Array(data.buffer);

function write(tensors: TensorSource[], options?: StoredWeightsOptions) {
  writeSafetensors(path, tensors);
  return storedWeights(openSafetensors(path), options);
}

/** A tensor of the byte that stands for 1 in E4M3, or for two halves in FP4. */
function ones(name: string, dtype: Dtype, ...shape: number[]): TensorSource {
  return { name, dtype, shape, data: new Uint8Array(tensorBytes(dtype, shape)).fill(dtype === 'I8' ? 0x11 : 0x38) };
}

function scales(name: string, dtype: 'F32' | 'F8_E8M0', ...shape: number[]): TensorSource {
  const count = shape.reduce((product, n) => product * n, 1);
  const data = dtype === 'F32' ? bytesOf(Float32Array.from({ length: count }, (_, i) => 2 ** i)) : undefined;
  return { name, dtype, shape, data: data ?? Uint8Array.from({ length: count }, (_, i) => 127 + i) };
}

test('F32, F16 and BF16 read as the same values, whole and by rows', () => {
  const values = Float32Array.of(1.5, -2, 0.25, 8, 0, -1);
  const weights = write([
    { name: 'f32', dtype: 'F32', shape: [3, 2], data: bytesOf(values) },
    { name: 'f16', dtype: 'F16', shape: [3, 2], data: bytesOf(float32ToF16(values)) },
    { name: 'bf16', dtype: 'BF16', shape: [3, 2], data: bytesOf(float32ToBf16(values)) },
  ]);
  for (const name of ['f32', 'f16', 'bf16']) {
    assert.deepEqual(weights.readFloat32(weights.find(name)), values);
    assert.deepEqual(weights.readFloat32(weights.find(name), [1, 3]), values.slice(2));
  }
});

test("FP8 has V3's scales, V4's in E8M0 or in float32, and rows from inside a block", () => {
  const shape = [200, 130] as const;
  const weights = write([
    ones('a.weight', 'F8_E4M3', ...shape),
    scales('a.weight_scale_inv', 'F32', 2, 2),
    ones('b.weight', 'F8_E4M3', ...shape),
    scales('b.scale', 'F8_E8M0', 2, 2),
    ones('c.weight', 'F8_E4M3', ...shape),
    scales('c.scale', 'F32', 2, 2),
  ]);
  for (const name of ['a.weight', 'b.weight', 'c.weight']) {
    const weight = weights.find(name);
    assert.deepEqual(weight.shape, shape);
    const values = weights.readFloat32(weight);
    assert.deepEqual([values[0], values[129], values[128 * 130], values.at(-1)], [1, 2, 4, 8]);
    assert.deepEqual(weights.readFloat32(weight, [127, 199]), values.slice(127 * 130, 199 * 130));
  }
});

test('blocks of another size are seen from the shapes, or said by the configuration', () => {
  const tensors = [ones('x.weight', 'F8_E4M3', 70, 64), scales('x.scale', 'F8_E8M0', 3, 2)];
  const derived = write(tensors);
  const block = (weights: ReturnType<typeof write>) => {
    const { encoding } = weights.find('x.weight');
    return encoding.kind === 'scaled' && encoding.scale.block;
  };
  assert.deepEqual(block(derived), { rows: 32, columns: 32 });
  assert.deepEqual(block(write(tensors, { fp8Block: { rows: 24, columns: 40 } })), { rows: 24, columns: 40 });
});

test('FP4 in I8 has twice the columns of its tensor and a scale for every 32', () => {
  const weights = write([ones('w1.weight', 'I8', 3, 32), scales('w1.scale', 'F8_E8M0', 3, 2)], {
    fp8Block: { rows: 128, columns: 128 },
  });
  const weight = weights.find('w1.weight');
  assert.deepEqual(weight.shape, [3, 64]);
  assert.deepEqual(
    weights.readFloat32(weight, [1, 2]),
    Float32Array.from({ length: 64 }, (_, i) => (i < 32 ? 2 : 4)),
  );
});

test('a tensor that cannot be read as a weight is refused in one line', () => {
  const refusal = (tensors: TensorSource[], options?: StoredWeightsOptions) => {
    const weights = write(tensors, options);
    try {
      weights.find('x.weight');
    } catch (error) {
      return (error as Error).message;
    }
    return '';
  };
  const fp8 = ones('x.weight', 'F8_E4M3', 576, 256);
  assert.match(refusal([]), /^x\.weight: absent in .*test\.safetensors$/);
  assert.match(refusal([ones('x.weight', 'I64', 2, 2)]), /^x\.weight: expected F32, .* or I8 .*, .* has I64$/);
  assert.match(refusal([fp8]), /^x\.weight: expected x\.weight_scale_inv or x\.scale beside F8_E4M3, .* has neither$/);
  assert.match(
    refusal([ones('x.weight', 'I8', 4, 16)]),
    /^x\.weight: expected x\.weight_scale_inv or x\.scale beside I8, .* has neither$/,
  );
  assert.match(
    refusal([fp8, scales('x.scale', 'F8_E8M0', 4, 2)]),
    /^x\.scale: expected \[5, 2\] for blocks of 128 x 128 of \[576, 256\], .* has \[4, 2\]$/,
  );
  assert.match(
    refusal([fp8, scales('x.scale', 'F8_E8M0', 18, 8)], { fp8Block: { rows: 128, columns: 128 } }),
    /^x\.scale: expected \[5, 2\] for blocks of 128 x 128 of \[576, 256\], .* has \[18, 8\]$/,
  );
  assert.match(
    refusal([ones('x.weight', 'I8', 4, 32), scales('x.scale', 'F8_E8M0', 4, 4)]),
    /^x\.scale: expected \[4, 2\] for blocks of 1 x 32 of \[4, 64\], .* has \[4, 4\]$/,
  );
  assert.match(
    refusal([fp8, ones('x.scale', 'I32', 5, 2)]),
    /^x\.scale: expected F32, F16, BF16 or F8_E8M0 scales, .* has I32$/,
  );
  assert.match(refusal([ones('x.weight', 'F8_E4M3', 8)]), /^x\.weight: expected two axes of F8_E4M3, .* has \[8\]$/);
});

test('every E4M3 byte comes through a file', () => {
  const weights = write([
    { name: 'x.weight', dtype: 'F8_E4M3', shape: [16, 16], data: Uint8Array.from({ length: 256 }, (_, i) => i) },
    scales('x.weight_scale_inv', 'F32', 1, 1),
  ]);
  assert.deepEqual(weights.readFloat32(weights.find('x.weight')), e4m3Values);
});

test('a table of whole numbers is read from I32 and I64, and nothing else is taken for one', () => {
  const values = Int32Array.of(3, -1, 2 ** 31 - 1, 0, 5, 7);
  const weights = write([
    { name: 'i32', dtype: 'I32', shape: [3, 2], data: bytesOf(values) },
    { name: 'i64', dtype: 'I64', shape: [3, 2], data: bytesOf(BigInt64Array.from(values, BigInt)) },
    ones('i8', 'I8', 4),
  ]);
  for (const name of ['i32', 'i64']) {
    const table = weights.readIntegers(name);
    assert.deepEqual([table.shape, table.values], [[3, 2], values]);
  }
  assert.throws(() => weights.readIntegers('i8'), /^Error: i8: expected I32 or I64, .* has I8$/);
  assert.throws(() => weights.readIntegers('none'), /^Error: none: absent in /);
  assert.throws(() => weights.find('i32'), /^Error: i32: expected F32, F16, BF16, .* has I32$/);
});
