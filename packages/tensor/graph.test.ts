import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDevice } from '@hadal/kernels/device';
import { normals } from '@hadal/kernels/parity';
import { ropeTable } from '@hadal/kernels/rope';
import { Arena } from './arena.ts';
import { Graph } from './graph.ts';
import type { Tensor } from './tensor.ts';

/** What is computed and differentiated here: `output` of a leaf [N, D], and the leaf's gradient for a given one of the output. */
function trace(N: number, D: number, output: (g: Graph, x: Tensor) => Tensor) {
  using device = openDevice({ threads: 2 });
  using arena = new Arena(device.memory, 2 ** 20);
  const g = new Graph(device, arena, 'training');
  const x = arena.floats(normals(N * D, 1), [N, D]);
  x.needsGrad = true;
  const y = output(g, x);
  y.grad = arena.floats(normals(y.length, 2), y.shape);
  g.backward();
  g.run();
  const read = (t: Tensor) => {
    const values = new Float32Array(t.length);
    device.memory.read(t, values);
    return values;
  };
  return { y: read(y), dx: read(x.grad as unknown as Tensor), dy: read(y.grad), x: read(x) };
}

function columnsOf(values: Float32Array, D: number, column: number, width: number): Float32Array {
  return values.filter((_, i) => i % D >= column && i % D < column + width);
}

test('columns are cut out, and their gradient goes back to where they were', () => {
  const { x, y, dx, dy } = trace(5, 12, (g, x) => g.columns(x, 3, 7));
  assert.deepEqual(y, columnsOf(x, 12, 3, 7));
  assert.deepEqual(columnsOf(dx, 12, 3, 7), dy);
  for (const [column, width] of [
    [0, 3],
    [10, 2],
  ] as const) {
    assert.ok(columnsOf(dx, 12, column, width).every((value) => value === 0));
  }
});

test('cutting columns apart and joining them again changes nothing, forward and backward', () => {
  const { x, y, dx, dy } = trace(4, 10, (g, x) => g.concat(g.columns(x, 0, 3), g.columns(x, 3, 7)));
  assert.deepEqual(y, x);
  assert.deepEqual(dx, dy);
});

test('heads that stand in wider rows are rotated as they would be alone, whole or in part', () => {
  const [N, heads, headDim, column, D] = [6, 3, 8, 5, 40];
  for (const ropeDim of [headDim, 4]) {
    for (const style of ['half', 'interleaved'] as const) {
      const rotated = (cut: 'inside' | 'alone') =>
        trace(N, D, (g, x) => {
          const { cos, sin } = ropeTable({ dim: ropeDim, theta: 100, maxPositions: N });
          const tables = {
            cos: g.arena.floats(cos, [N, ropeDim / 2]),
            sin: g.arena.floats(sin, [N, ropeDim / 2]),
          };
          const positions = g.arena.integers(Int32Array.from({ length: N }, (_, i) => i));
          const shape = { heads, headDim, ropeDim, style, ...tables };
          return cut === 'inside'
            ? g.rope(x, positions, shape, column)
            : g.rope(g.columns(x, column, heads * headDim), positions, shape);
        });
      const [inside, alone] = [rotated('inside'), rotated('alone')];
      assert.deepEqual(inside.y, alone.y);
      assert.deepEqual(inside.dx, alone.dx);
    }
  }
});

test('blocks in a row need the memory of one, and have the bits that a tape would keep', () => {
  using device = openDevice({ threads: 1 });
  using arena = new Arena(device.memory, 4096);
  const run = (mode: 'training' | 'inference', blocks: number) => {
    const g = new Graph(device, arena, mode);
    let x = arena.floats(normals(64 * 32, 1), [64, 32]);
    const w = arena.floats(normals(32 * 32, 2), [32, 32]);
    for (let block = 0; block < blocks; block++) x = g.update(x, (stream) => g.residual(stream, g.linear(stream, w)));
    const before = arena.bytes;
    g.run();
    const values = new Float32Array(x.length);
    device.memory.read(x, values);
    arena.reset();
    return { values, bytes: before };
  };
  const [one, many] = [run('inference', 1), run('inference', 5)];
  assert.equal(many.bytes, one.bytes);
  assert.deepEqual(many.values, run('training', 5).values);
});
