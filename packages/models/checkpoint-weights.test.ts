import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { float32ToBf16, float32ToF16 } from '@hadal/formats/float16';
import { openSafetensors, type TensorSource, writeSafetensors } from '@hadal/formats/safetensors';
import { type StoredWeights, storedWeights } from '@hadal/formats/stored-weights';
import { type Device, openDevice } from '@hadal/kernels/device';
import type { Ref } from '@hadal/kernels/memory';
import { normals, uniforms } from '@hadal/kernels/parity';
import { bytesOf, PackedMatrix, packedDtypes } from '@hadal/tensor/packed-matrix';
import { Tensor } from '@hadal/tensor/tensor';
import { CheckpointWeights } from './checkpoint-weights.ts';
import { packedDtypeOf } from './run-time-weights.ts';
import { readParts } from './weight-parts.ts';
import { elementsOf, matrixShape, type Part, type WeightSpec, whole } from './weight-source.ts';

const directory = mkdtempSync(join(tmpdir(), 'hadal-'));
after(() => rmSync(directory, { recursive: true }));
const path = join(directory, 'model.safetensors');
writeSafetensors(path, tensors());
const weights = storedWeights(openSafetensors(path), { fp8Block: { rows: 128, columns: 128 } });

/** Matrices in every encoding, whole and in parts that end anywhere. */
const matrices: readonly WeightSpec[] = [
  whole('matrix', 'f32.weight', 70, 160),
  whole('matrix', 'f16.weight', 70, 160),
  whole('head', 'bf16.weight', 70, 160),
  whole('embedding', 'bf16.weight', 70, 160),
  whole('router', 'f32.weight', 70, 160),
  whole('matrix', 'fp8.weight', 300, 160),
  whole('matrix', 'fp8-e8m0.weight', 300, 160),
  whole('matrix', 'fp4.weight', 70, 160),
  { kind: 'matrix', shape: [140, 160], parts: [part('f32', 70), part('f16', 70)] },
  { kind: 'matrix', shape: [170, 160], parts: [part('fp8', 300, [100, 200]), part('fp4', 70)] },
  { kind: 'matrix', shape: [131, 160], parts: [part('fp8', 300, [129, 260])] },
  {
    kind: 'experts',
    shape: [3, 70, 160],
    parts: [part('f32', 70, [3, 50]), part('fp4', 70, [0, 23]), part('bf16', 70), part('fp4', 70)],
  },
];

test('a matrix is packed from any encoding and any parts as it would be from its float32 values', () => {
  for (const threads of [1, 2]) {
    using device = openDevice({ threads });
    for (const dtype of packedDtypes) {
      for (const spec of matrices) {
        using source = new CheckpointWeights(device, weights, { dtype });
        const packed = source.matrix(spec);
        assert.equal(packed.dtype, packedDtypeOf(spec.kind, dtype));
        const expected = packedFrom(device, plainValues(weights, spec), spec, packed.dtype);
        assert.deepEqual(bytes(device, packed), bytes(device, expected), `${dtype} ${JSON.stringify(spec)}`);
        device.memory.free(expected.handle);
      }
    }
    assert.deepEqual(device.memory.stats(), { bytesInUse: 0, buffers: 0 });
  }
});

test('a tensor is its values, of vectors and of matrices in parts', () => {
  using device = openDevice({ threads: 2 });
  using source = new CheckpointWeights(device, weights, { dtype: 'bf16' });
  const vector = (name: string, rows?: readonly [number, number]): Part => ({
    ...{ name, shape: [100] },
    ...(rows && { rows }),
  });
  const specs: WeightSpec[] = [
    whole('norm', 'vector', 100),
    { kind: 'norm', shape: [160], parts: [vector('vector', [40, 100]), vector('vector')] },
    ...matrices,
  ];
  for (const spec of specs) {
    const tensor = source.tensor(spec);
    const values = new Float32Array(tensor.length);
    device.memory.read(tensor, values);
    assert.deepEqual(tensor.shape, spec.shape);
    assert.deepEqual(values, plainValues(weights, spec), JSON.stringify(spec));
  }
});

test('tied embeddings are one matrix in memory', () => {
  using device = openDevice({ threads: 1 });
  for (const dtype of packedDtypes) {
    using source = new CheckpointWeights(device, weights, { dtype });
    const embedding = source.matrix(whole('embedding', 'bf16.weight', 70, 160));
    assert.equal(source.matrix(whole('head', 'bf16.weight', 70, 160)), embedding);
  }
});

test('loading holds the packed weights and a few decoded rows, and tells how much it has read', () => {
  const large = join(directory, 'large.safetensors');
  const [N, K] = [4096, 1024];
  const halves = float32ToBf16(normals(N * K, 1));
  const data = new Uint8Array(halves.buffer);
  writeSafetensors(
    large,
    ['a', 'b', 'c', 'd'].map((name) => ({ name, dtype: 'BF16', shape: [N, K], data })),
  );
  using device = openDevice({ threads: 1 });
  let mostBytes = 0;
  let read = 0;
  const onRead = (count: number) => {
    read += count;
    mostBytes = Math.max(mostBytes, device.memory.stats().bytesInUse);
  };
  using source = new CheckpointWeights(device, storedWeights(openSafetensors(large)), { dtype: 'int8', onRead });
  for (const name of ['a', 'b', 'c', 'd']) source.matrix(whole('matrix', name, N, K));
  assert.equal(read, 4 * data.length);
  const packed = 4 * bytesOf(N, K, 'int8');
  assert.ok(mostBytes - packed <= 2 ** 20, `${mostBytes - packed} bytes beside the packed weights`);
  assert.equal(device.memory.stats().bytesInUse, packed);
});

test('what a checkpoint lacks, or has otherwise, is one line with both and the file', () => {
  using device = openDevice({ threads: 1 });
  using source = new CheckpointWeights(device, weights, { dtype: 'bf16' });
  const message = (spec: WeightSpec) => {
    let text = '';
    assert.throws(
      () => source.matrix(spec),
      (error: Error) => {
        text = error.message;
        return true;
      },
    );
    return text;
  };
  assert.equal(
    message(whole('matrix', 'f32.weight', 70, 161)),
    `f32.weight: expected [70, 161] from config, ${path} has [70, 160]`,
  );
  assert.equal(
    message(whole('matrix', 'absent.weight', 7, 3)),
    `absent.weight: expected [7, 3] from config, absent in ${path}`,
  );
  assert.match(message(whole('matrix', 'double.weight', 2, 2)), /double\.weight: expected F32, .* has F64/);
  assert.equal(device.memory.stats().bytesInUse, 0);
});

test('a file that was cut short after it was opened is refused, not read', () => {
  const cut = join(directory, 'cut.safetensors');
  writeSafetensors(cut, tensors());
  const opened = storedWeights(openSafetensors(cut), { fp8Block: { rows: 128, columns: 128 } });
  truncateSync(cut, 1000);
  using device = openDevice({ threads: 1 });
  using source = new CheckpointWeights(device, opened, { dtype: 'bf16' });
  assert.throws(() => source.matrix(whole('matrix', 'fp8.weight', 300, 160)), /mapFile: expected at least .* has 1000/);
});

function part(name: string, rows: number, range?: readonly [number, number]): Part {
  return { name: `${name}.weight`, shape: [rows, 160], ...(range && { rows: range }) };
}

/** The definition: what the plain reader makes of the parts. */
function plainValues(from: StoredWeights, spec: WeightSpec): Float32Array {
  const values = new Float32Array(elementsOf(spec));
  let offset = 0;
  for (const rows of readParts(from, spec)) {
    values.set(rows, offset);
    offset += rows.length;
  }
  return values;
}

function packedFrom(device: Device, values: Float32Array, spec: WeightSpec, dtype: PackedMatrix['dtype']) {
  const { count, N, K } = matrixShape(spec);
  const tensor = new Tensor(device.memory.allocate(values.byteLength), 0, [count, N, K]);
  device.memory.write(tensor, values);
  const packed = PackedMatrix.pack(device, tensor, dtype);
  device.memory.free(tensor.handle);
  return packed;
}

function bytes(device: Device, { handle, length }: Ref): Uint8Array {
  const all = new Uint8Array(length * 4);
  device.memory.read({ handle, offset: 0, length: all.length }, all);
  return all;
}

function tensors(): TensorSource[] {
  const next = uniforms(9);
  const byte = () => Math.floor(next() * 256);
  const random = (length: number, make = byte) => Uint8Array.from({ length }, make);
  // Not the two codes that are NaN.
  const e4m3 = () => Math.floor(next() * 127) + (next() < 0.5 ? 0 : 128);
  const e8m0 = () => 110 + Math.floor(next() * 20);
  const raw = (array: { buffer: ArrayBuffer }) => new Uint8Array(array.buffer);
  const plain = normals(70 * 160, 1);
  return [
    {
      name: 'f32.weight',
      dtype: 'F32',
      shape: [70, 160],
      data: raw(normals(70 * 160, 2) as Float32Array<ArrayBuffer>),
    },
    { name: 'f16.weight', dtype: 'F16', shape: [70, 160], data: raw(float32ToF16(plain)) },
    { name: 'bf16.weight', dtype: 'BF16', shape: [70, 160], data: raw(float32ToBf16(plain)) },
    { name: 'fp8.weight', dtype: 'F8_E4M3', shape: [300, 160], data: random(300 * 160, e4m3) },
    {
      ...{ name: 'fp8.weight_scale_inv', dtype: 'F32', shape: [3, 2] },
      data: raw(normals(6, 3) as Float32Array<ArrayBuffer>),
    },
    { name: 'fp8-e8m0.weight', dtype: 'F8_E4M3', shape: [300, 160], data: random(300 * 160, e4m3) },
    { name: 'fp8-e8m0.scale', dtype: 'F8_E8M0', shape: [3, 2], data: random(6, e8m0) },
    { name: 'fp4.weight', dtype: 'I8', shape: [70, 80], data: random(70 * 80) },
    { name: 'fp4.scale', dtype: 'F8_E8M0', shape: [70, 5], data: random(70 * 5, e8m0) },
    { name: 'vector', dtype: 'F32', shape: [100], data: raw(normals(100, 4) as Float32Array<ArrayBuffer>) },
    { name: 'double.weight', dtype: 'F64', shape: [2, 2], data: new Uint8Array(32) },
  ];
}
