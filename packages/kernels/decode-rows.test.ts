import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DecodeRowsShape, decodeRows, decodeRowsTwin, type StoredScales, type StoredType } from './decode-rows.ts';
import { openDevice } from './device.ts';
import { checkParity, normals, runOn, uniforms } from './parity.ts';

const bits = { F32: 32, F16: 16, BF16: 16, E4M3: 8, E2M1: 4 } as const;
const types = Object.keys(bits) as StoredType[];

/** The bytes of the codes first, first + 1, ... in a type of 8 bits or 16. */
function codes(count: number, bytes: 1 | 2): Uint8Array {
  const list = Array.from({ length: count }, (_, code) => code);
  return bytes === 1 ? Uint8Array.from(list) : new Uint8Array(Uint16Array.from(list).buffer);
}

test('every float8 becomes the number that its bits mean', () => {
  const shape = { type: 'E4M3', columns: 256, first: 0, rows: 1 } as const;
  const { y } = decode(codes(256, 1), undefined, shape);
  assert.deepEqual(
    [...y.slice(0, 9)],
    [0, 1, 2, 3, 4, 5, 6, 7, 8].map((m) => m * 2 ** -9),
  );
  assert.deepEqual([y[0x38], y[0x39], y[0x7e], y[0xfe], y[0x80]], [1, 1.125, 448, -448, -0]);
  const unordered = Array.from({ length: 256 }, (_, code) => code).filter((code) => Number.isNaN(y[code]!));
  assert.deepEqual(unordered, [0x7f, 0xff]);
  for (let code = 1; code < 0x7f; code++) {
    assert.ok(y[code]! > y[code - 1]!);
    assert.equal(y[code + 0x80], -y[code]!);
  }
});

test('every pair of float4 numbers in a byte becomes its two numbers, the even column in the lower half', () => {
  const shape = { type: 'E2M1', columns: 512, first: 0, rows: 1 } as const;
  const { y } = decode(codes(256, 1), undefined, shape);
  const numbers = [0, 0.5, 1, 1.5, 2, 3, 4, 6];
  const all = [...numbers, ...numbers.map((x) => -x)];
  for (let byte = 0; byte < 256; byte++) {
    assert.deepEqual([y[2 * byte], y[2 * byte + 1]], [all[byte % 16], all[byte >> 4]]);
  }
});

test('every e8m0 scale is its power of two, the smallest a denormal, the last one no number', () => {
  const scales = { type: 'E8M0', blockRows: 1, blockColumns: 2 } as const;
  const shape = { type: 'E4M3', columns: 512, first: 0, rows: 1, scales } as const;
  const { y } = decode(new Uint8Array(512).fill(0x38), codes(256, 1), shape);
  for (let code = 0; code < 255; code++) assert.equal(y[2 * code], 2 ** (code - 127));
  assert.ok(Number.isNaN(y[511]!));
});

test('every float16 and bfloat16 becomes its number', () => {
  const [half, brain] = (['F16', 'BF16'] as const).map(
    (type) => decode(codes(65536, 2), undefined, { type, columns: 65536, first: 0, rows: 1 }).y,
  );
  const expectedHalf = new Float32Array(new Float16Array(Uint16Array.from({ length: 65536 }, (_, i) => i).buffer));
  const expectedBrain = new Float32Array(Uint32Array.from({ length: 65536 }, (_, i) => i << 16).buffer);
  for (let code = 0; code < 65536; code++) {
    assert.ok(Object.is(half![code], expectedHalf[code]), `float16 ${code}: ${half![code]}, ${expectedHalf[code]}`);
    assert.ok(Object.is(brain![code], expectedBrain[code]), `bfloat16 ${code}`);
  }
});

test('rows of every type under scales of every form equal the twin in bits, whichever rows are asked for', () => {
  const blocks = [
    undefined,
    { type: 'F32', blockRows: 128, blockColumns: 128 },
    { type: 'F16', blockRows: 64, blockColumns: 128 },
    { type: 'BF16', blockRows: 128, blockColumns: 64 },
    { type: 'E8M0', blockRows: 128, blockColumns: 128 },
    { type: 'E8M0', blockRows: 32, blockColumns: 32 },
    { type: 'E8M0', blockRows: 1, blockColumns: 32 },
  ] as const;
  const sizes = [
    { N: 1, columns: 2 },
    { N: 3, columns: 34 },
    { N: 257, columns: 130 },
    { N: 300, columns: 20 },
    { N: 130, columns: 402 },
  ];
  for (const type of types) {
    for (const [i, { N, columns }] of sizes.entries()) {
      for (const scales of blocks) {
        const first = (i * 61) % N;
        const rows = i === 0 ? 1 : Math.ceil((N - first) / 2);
        const shape = { type, columns, first, rows, scales };
        checkParity({
          name: `decodeRows ${JSON.stringify(shape)}`,
          tensors: inputs(N, shape, i),
          native: (c, t) => decodeRows(c, t.source, scales && t.scales, t.y, shape),
          twin: (a) => decodeRowsTwin(a.source, scales && a.scales, a.y, shape),
          tolerance: 0,
        });
      }
    }
  }
});

test('a source at an odd address decodes like one at an even address', () => {
  using device = openDevice({ threads: 2 });
  for (const type of types.filter((type) => type !== 'E2M1')) {
    const shape = { type, columns: 37, first: 0, rows: 5 };
    const { source, y } = inputs(5, shape, 3);
    const moved = new Uint8Array(source.length + 1);
    moved.set(source, 1);
    const after = runOn(device, { source, moved, y, other: y.slice() }, (c, t) => {
      decodeRows(c, t.source, undefined, t.y, shape);
      decodeRows(c, { ...t.moved, offset: t.moved.offset + 1, length: source.length }, undefined, t.other, shape);
    });
    assert.deepEqual(after.other, after.y);
  }
});

test('half bytes, missing scales and sources that are too short are refused', () => {
  using device = openDevice({ threads: 1 });
  const ref = { handle: device.memory.allocate(64), offset: 0, length: 8 };
  const scales: StoredScales = { type: 'F32', blockRows: 1, blockColumns: 1 };
  const of = (shape: Partial<DecodeRowsShape>) => () =>
    decodeRows(device.commands, ref, undefined, ref, { type: 'F32', columns: 2, first: 0, rows: 1, ...shape });
  assert.throws(of({ type: 'E2M1', columns: 3 }), { message: 'E2M1: expected an even number of columns, got 3' });
  assert.throws(of({ type: 'E2M1', scales }), /expected blocks of whole bytes of E2M1, got 1 x 1/);
  assert.throws(of({ scales }), /expected scales of F32, got none/);
  assert.throws(of({ first: 1 }), /decodeRows: W: expected at least 8 elements, the tensor has 0/);
});

function inputs(N: number, { type, columns, rows, scales }: DecodeRowsShape, seed: number) {
  const next = uniforms(seed + 1);
  const count = scales ? Math.ceil(N / scales.blockRows) * Math.ceil(columns / scales.blockColumns) : 1;
  return {
    source: numbers(type, N * columns, seed),
    scales:
      scales !== undefined && scales.type !== 'E8M0'
        ? numbers(scales.type, count, seed + 2)
        : Uint8Array.from({ length: count }, () => 107 + Math.floor(next() * 40)),
    y: new Float32Array(rows * columns),
  };
}

/** Numbers that have no NaN among them: its bits are nobody's promise. */
function numbers(type: StoredType, count: number, seed: number): Uint8Array {
  const floats = normals(count, seed);
  const next = uniforms(seed);
  switch (type) {
    case 'F32':
      return new Uint8Array(floats.buffer);
    case 'F16':
      return new Uint8Array(new Float16Array(floats).buffer);
    case 'BF16':
      return new Uint8Array(Uint16Array.from(new Uint32Array(floats.buffer), (bits) => bits >>> 16).buffer);
    case 'E4M3':
      return Uint8Array.from({ length: count }, () => Math.floor(next() * 127) + (next() < 0.5 ? 0 : 128));
    case 'E2M1':
      return Uint8Array.from({ length: count / 2 }, () => Math.floor(next() * 256));
  }
}

/** What the twin and the kernel make of it; they agree but for the bits of a NaN. */
function decode(source: Uint8Array, scales: Uint8Array | undefined, shape: DecodeRowsShape): { y: Float32Array } {
  const y = new Float32Array(shape.rows * shape.columns);
  decodeRowsTwin(source, scales, y, shape);
  using device = openDevice({ threads: 1 });
  const tensors = { source, scales: scales ?? new Uint8Array(0), native: new Float32Array(y.length) };
  const { native } = runOn(device, tensors, (c, t) => decodeRows(c, t.source, scales && t.scales, t.native, shape));
  const differing = y.findIndex((value, i) => !Object.is(value, native[i]));
  assert.equal(differing, -1, `element ${differing}: the twin has ${y[differing]}, the kernel ${native[differing]}`);
  return { y: native };
}
