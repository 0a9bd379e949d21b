import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDevice } from '@hadal/kernels/device';
import { normals } from '@hadal/kernels/parity';
import { Arena } from './arena.ts';
import { Graph } from './graph.ts';
import { PackedMatrix, packedDtypes } from './packed-matrix.ts';
import { Tensor } from './tensor.ts';

/** Largest difference from the plain product, as a share of the products' standard deviation. */
const tolerances = { f32: 1e-6, bf16: 0.02, int8: 0.05, int4: 0.4 } as const;

test('linear and groupedLinear in every form are close to the plain product, and a row alone has its bits in a batch', () => {
  const [E, M, N, K] = [3, 40, 70, 160];
  using device = openDevice({ threads: 2 });
  using arena = new Arena(device.memory, 2 ** 20);
  const g = new Graph(device, arena, 'inference');
  const x = arena.floats(normals(M * K, 1));
  const rows = new Tensor(x.handle, x.offset, [M, K]);
  const w = arena.floats(normals(E * N * K, 2));
  const experts = new Tensor(w.handle, w.offset, [E, N, K]);
  const one = new Tensor(w.handle, w.offset, [N, K]);
  const ids = arena.integers(Int32Array.from({ length: M }, (_, i) => (i * 7) % E));
  const groups = g.group(new Tensor(ids.handle, ids.offset, [M, 1], 'i32'), E);
  const read = (y: Tensor) => {
    g.run();
    const values = new Float32Array(y.length);
    device.memory.read(y, values);
    return values;
  };
  const [plain, grouped] = [read(g.linear(rows, one)), read(g.groupedLinear(rows, experts, groups))];
  for (const dtype of packedDtypes) {
    const [matrix, matrices] = [PackedMatrix.pack(device, one, dtype), PackedMatrix.pack(device, experts, dtype)];
    const y = read(g.linear(rows, matrix));
    assertWithin(y, plain, tolerances[dtype] * Math.sqrt(K), `linear ${dtype}`);
    assertWithin(
      read(g.groupedLinear(rows, matrices, groups)),
      grouped,
      tolerances[dtype] * Math.sqrt(K),
      `groupedLinear ${dtype}`,
    );
    for (const i of [0, 17, 39]) {
      assert.deepEqual(
        read(g.linear(rows.slice(i, 1), matrix)),
        y.slice(i * N, (i + 1) * N),
        `${dtype}: row ${i} alone`,
      );
    }
  }
});

test('a matrix packed in ranges of rows multiplies like one packed whole; a range off the panels is refused', () => {
  const [N, K] = [100, 64];
  using device = openDevice({ threads: 1 });
  using arena = new Arena(device.memory, 2 ** 20);
  const g = new Graph(device, arena, 'inference');
  const x = arena.floats(normals(2 * K, 1));
  const rows = new Tensor(x.handle, x.offset, [2, K]);
  const values = arena.floats(normals(N * K, 2));
  const w = new Tensor(values.handle, values.offset, [N, K]);
  for (const dtype of packedDtypes) {
    const parts = PackedMatrix.allocate(device.memory, { count: 1, N, K, dtype });
    const range = (row: number, count: number) =>
      parts.packRows(device.commands, w.slice(row, count), { matrix: 0, row, rows: count, sourceDtype: 'f32' });
    range(64, 36);
    range(0, 64);
    const [a, b] = [g.linear(rows, parts), g.linear(rows, PackedMatrix.pack(device, w, dtype))];
    g.run();
    const [ya, yb] = [new Float32Array(2 * N), new Float32Array(2 * N)];
    device.memory.read(a, ya);
    device.memory.read(b, yb);
    assert.deepEqual(ya, yb, dtype);
    assert.throws(
      () => range(33, 10),
      /packRows: expected rows of 1 x \[100, 64\] from a multiple of 32 on, got rows 33/,
    );
    const beyond = { matrix: 0, row: 96, rows: 5, sourceDtype: 'f32' } as const;
    assert.throws(() => parts.packRows(device.commands, w.slice(0, 5), beyond), /packRows: expected/);
  }
});

test('a bias is added to every row of the product, in every form, and to the bits of the plain product', () => {
  const [M, N, K] = [5, 70, 96];
  using device = openDevice({ threads: 2 });
  using arena = new Arena(device.memory, 2 ** 20);
  const g = new Graph(device, arena, 'inference');
  const x = arena.floats(normals(M * K, 1), [M, K]);
  const w = arena.floats(normals(N * K, 2), [N, K]);
  const values = normals(N, 3);
  const bias = arena.floats(values);
  const read = (y: Tensor) => {
    g.run();
    const result = new Float32Array(y.length);
    device.memory.read(y, result);
    return result;
  };
  for (const weight of [w, ...packedDtypes.map((dtype) => PackedMatrix.pack(device, w, dtype))]) {
    const expected = read(g.linear(x, weight)).map((y, i) => y + (values[i % N] as number));
    assert.deepEqual(read(g.linear(x, weight, bias)), expected);
  }
});

function assertWithin(actual: Float32Array, expected: Float32Array, limit: number, what: string): void {
  const at = actual.findIndex((y, i) => !(Math.abs(y - expected[i]!) <= limit));
  assert.equal(at, -1, `${what}: element ${at}: expected ${expected[at]} within ${limit}, got ${actual[at]}`);
}

test('a gated product has the bits of product and swiglu in every form, plain and by expert, with a bias and without', () => {
  const [E, M, K] = [3, 21, 96];
  using device = openDevice({ threads: 2 });
  using arena = new Arena(device.memory, 2 ** 20);
  const g = new Graph(device, arena, 'inference');
  const read = (y: Tensor) => {
    g.run();
    const values = new Float32Array(y.length);
    device.memory.read(y, values);
    return values;
  };
  const x = arena.floats(normals(M * K, 1), [M, K]);
  const ids = arena.integers(
    Int32Array.from({ length: M }, (_, i) => (i * 7) % E),
    [M, 1],
  );
  const groups = g.group(ids, E);
  // Halves of whole panels, and halves that share one.
  for (const N of [128, 72]) {
    const experts = arena.floats(normals(E * N * K, 2), [E, N, K]);
    const bias = arena.floats(normals(N, 3));
    for (const dtype of packedDtypes) {
      const [one, all] = [experts.slice(0, 1), experts].map((w) => PackedMatrix.pack(device, w, dtype));
      const where = `${dtype}, ${N} columns`;
      assert.deepEqual(read(g.gatedLinear(x, one!)), read(g.swiglu(g.linear(x, one!))), where);
      assert.deepEqual(read(g.gatedLinear(x, one!, bias)), read(g.swiglu(g.linear(x, one!, bias))), where);
      assert.deepEqual(
        read(g.groupedGatedLinear(x, all!, groups)),
        read(g.swiglu(g.groupedLinear(x, all!, groups))),
        where,
      );
    }
  }
});
