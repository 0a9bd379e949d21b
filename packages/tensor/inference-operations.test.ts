import assert from 'node:assert/strict';
import { test } from 'node:test';
import { documentTables } from '@hadal/kernels/attention';
import { type Device, openDevice } from '@hadal/kernels/device';
import { normals } from '@hadal/kernels/parity';
import { ropeTable } from '@hadal/kernels/rope';
import { Arena } from './arena.ts';
import { Graph } from './graph.ts';
import * as operations from './inference-operations.ts';
import { PackedMatrix, packedDtypes } from './packed-matrix.ts';
import type { Tensor } from './tensor.ts';

const { blockLinear, pickKeys, reshaped, unrotate } = operations;

function read(device: Device, t: Tensor): Float32Array | Int32Array {
  const values = t.dtype === 'i32' ? new Int32Array(t.length) : new Float32Array(t.length);
  device.memory.read(t, values);
  return values;
}

test('every operation refuses a graph with a tape', () => {
  using device = openDevice({ threads: 1 });
  using arena = new Arena(device.memory, 2 ** 16);
  const g = new Graph(device, arena, 'training');
  const x = arena.take([1, 4]);
  const all = Object.entries(operations).filter(([name]) => name !== 'reshaped');
  assert.ok(all.length >= 10);
  for (const [name, operation] of all) {
    const call = operation as (g: Graph, ...rest: unknown[]) => unknown;
    assert.throws(() => call(g, x, x, x, x, x, x, {}), new RegExp(`^Error: ${name} has no gradient`));
  }
});

test('unrotate undoes a rotation, of the last values of each head and of the first', () => {
  using device = openDevice({ threads: 2 });
  using arena = new Arena(device.memory, 2 ** 16);
  const [N, heads, headDim, ropeDim] = [9, 3, 10, 4];
  const { cos, sin } = ropeTable({ dim: ropeDim, theta: 100, maxPositions: 50 });
  const tables = { cos: arena.floats(cos, [50, ropeDim / 2]), sin: arena.floats(sin, [50, ropeDim / 2]) };
  const positions = arena.integers(Int32Array.from({ length: N }, (_, i) => 5 * i));
  const x = normals(N * heads * headDim, 1);
  for (const place of ['last', 'first'] as const) {
    for (const style of ['interleaved', 'half'] as const) {
      const g = new Graph(device, arena, 'inference');
      const shape = { heads, headDim, ropeDim, place, style, ...tables };
      const turned = g.rope(arena.floats(x, [N, heads * headDim]), positions, shape);
      const back = unrotate(g, turned, positions, shape);
      g.run();
      const [there, here] = [read(device, turned), read(device, back)];
      for (const [i, value] of x.entries()) {
        const within = i % headDim;
        const isStill = place === 'last' ? within < headDim - ropeDim : within >= ropeDim;
        const isFirstToken = i < heads * headDim;
        assert.equal(there[i] === value, isStill || isFirstToken, `${place} ${style}: ${i} turns`);
        assert.ok(Math.abs((here[i] as number) - value) < 1e-6, `${place} ${style}: ${i} comes back`);
      }
    }
  }
});

test('a block-diagonal product is that of each block with its columns, in bits, in every form of weights', () => {
  using device = openDevice({ threads: 2 });
  using arena = new Arena(device.memory, 2 ** 20);
  const [N, G, I, O] = [7, 3, 160, 33];
  const g = new Graph(device, arena, 'inference');
  const x = arena.floats(normals(N * G * I, 1), [N, G * I]);
  const plain = Array.from({ length: G }, (_, i) => arena.floats(normals(O * I, 2 + i), [O, I]));
  for (const dtype of [undefined, ...packedDtypes]) {
    const w = dtype ? plain.map((block) => PackedMatrix.pack(device, block, dtype)) : plain;
    const whole = blockLinear(g, x, w);
    const parts = w.map((block, i) => g.linear(g.columns(x, i * I, I), block));
    g.run();
    const y = read(device, whole);
    for (const [i, part] of parts.entries()) {
      const columns = y.filter((_, at) => at % (G * O) >= i * O && at % (G * O) < (i + 1) * O);
      assert.deepEqual(columns, read(device, part), `${dtype ?? 'plain'} block ${i}`);
    }
  }
});

test('queries pick the same keys whether their scores exist at once or in pieces', () => {
  using device = openDevice({ threads: 2 });
  using arena = new Arena(device.memory, 2 ** 20);
  const [N, heads, headDim] = [200, 5, 8];
  const g = new Graph(device, arena, 'inference');
  const { sequences, blockStarts } = documentTables([70, 130]);
  const rows = { sequences: arena.integers(sequences, [2, 4]), blockStarts: arena.integers(blockStarts) };
  const q = arena.floats(normals(N * heads * headDim, 1), [N, heads * headDim]);
  const weights = arena.floats(normals(N * heads, 2), [N, heads]);
  const keys = arena.floats(normals(N * headDim, 3), [N, headDim]);
  const shape = { heads, headDim, tokensPerRow: 1, most: 130, topk: 9 };
  const pick = (mostScores: number) => {
    const picks = pickKeys(g, q, weights, keys, rows, { ...shape, mostScores });
    g.run();
    return read(device, picks);
  };
  const whole = pick(1 << 20);
  assert.deepEqual(pick(130 * 7), whole);
  assert.deepEqual(pick(1), whole);
  // The tenth query of the second document is the first that has a choice.
  assert.deepEqual([...whole.subarray(78 * 9, 79 * 9)], [0, 1, 2, 3, 4, 5, 6, 7, 8]);
  assert.ok(whole.subarray(9 * 150, 9 * 200).some((window, i) => window !== i % 9));
});

test('reshaped is the same memory', () => {
  using device = openDevice({ threads: 1 });
  using arena = new Arena(device.memory, 2 ** 16);
  const x = arena.floats(normals(12, 1), [3, 4]);
  assert.deepEqual(read(device, reshaped(x, [6, 2])), read(device, x));
});
