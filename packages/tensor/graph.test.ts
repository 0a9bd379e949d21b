import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDevice } from '@hadal/kernels/device';
import type { DivergenceShape } from '@hadal/kernels/divergence';
import { dot } from '@hadal/kernels/gradient-check';
import { normals } from '@hadal/kernels/parity';
import { ropeTable } from '@hadal/kernels/rope';
import { Arena } from './arena.ts';
import { Graph } from './graph.ts';
import { PackedMatrix } from './packed-matrix.ts';
import type { Tensor } from './tensor.ts';

/** What is computed and differentiated here: `output` of a leaf [N, D], and the leaf's gradient for a given one of the output. */
function trace(N: number, D: number, output: (g: Graph, x: Tensor) => Tensor) {
  using device = openDevice({ threads: 2 });
  using arena = new Arena(device.memory, 2 ** 20);
  const g = new Graph(device, arena, 'training');
  const x = arena.floats(normals(N * D, 1), [N, D]);
  x.needsGrad = true;
  const y = output(g, x);
  const dy = normals(y.length, 2);
  y.grad = arena.floats(dy, y.shape);
  g.backward();
  g.run();
  const read = (t: Tensor) => {
    const values = new Float32Array(t.length);
    device.memory.read(t, values);
    return values;
  };
  return { y: read(y), dx: read(x.grad as unknown as Tensor), dy, x: read(x) };
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

test('gradients of activations need the memory of one block, however many there are', () => {
  using device = openDevice({ threads: 1 });
  const [N, D] = [64, 32];
  const bytes = (mode: 'training' | 'inference', blocks: number) => {
    using arena = new Arena(device.memory, 4 * N * D);
    const g = new Graph(device, arena, mode);
    let x = arena.floats(normals(N * D, 1), [N, D]);
    const w = arena.floats(normals(D * D, 2), [D, D]);
    w.needsGrad = mode === 'training';
    const mark = arena.bytes;
    // Each keeps a product and its sum with the stream, which lie in one place.
    for (let block = 0; block < blocks; block++) x = g.residual(x, g.linear(x, w));
    if (mode === 'training') g.backward();
    g.run();
    return arena.bytes - mark;
  };
  const gradients = (blocks: number) => bytes('training', blocks) - bytes('inference', blocks);
  assert.equal(gradients(9), gradients(2));
});

test('blocks that are computed again have the gradients of blocks that were kept, in bits, and need the memory of one', () => {
  using device = openDevice({ threads: 2 });
  const [N, D, E, K] = [48, 32, 4, 2];
  const routing = {
    K,
    groups: 1,
    topkGroups: 1,
    scoring: 'sigmoid',
    groupScore: 'max',
    normalize: true,
    scale: 1,
  } as const;
  const run = (mode: 'training' | 'recomputing', blocks: number) => {
    using weights = new Arena(device.memory);
    using arena = new Arena(device.memory, 4 * N * D);
    const weight = (shape: readonly number[], seed: number) => {
      const length = shape.reduce((product, n) => product * n, 1);
      const w = weights.floats(normals(length, seed), shape);
      [w.grad, w.needsGrad] = [weights.floats(new Float32Array(length), shape), true];
      return w;
    };
    const [router, up, down] = [weight([E, D], 2), weight([E, 2 * D, D], 3), weight([E, D, D], 4)];
    const [bias, counts] = [weights.floats(new Float32Array(E)), weights.integers(new Int32Array(E))];
    const g = new Graph(device, arena, mode);
    const leaf = weight([N, D], 1);
    // Read before the blocks and after, the stream has gradients from several sides.
    const first = g.rmsNorm(leaf, weight([D], 5), 1e-6);
    let x = first;
    for (let block = 0; block < blocks; block++) {
      x = g.update(x, (stream) => {
        const chosen = g.route(g.linear(stream, router), bias, counts, routing);
        const groups = g.group(chosen.ids, E);
        const hidden = g.groupedGatedLinear(g.gather(stream, groups), up, groups);
        return g.residual(stream, g.combine(g.groupedLinear(hidden, down, groups), chosen.weights, groups));
      });
    }
    const y = g.concat(x, first);
    y.grad = arena.floats(normals(y.length, 6), y.shape);
    g.backward();
    g.run();
    const load = new Int32Array(E);
    device.memory.read(counts, load);
    const gradients = [leaf, router, up, down].map(({ grad, length }) => {
      const values = new Float32Array(length);
      if (grad) device.memory.read(grad, values);
      return values;
    });
    return { gradients, load, bytes: arena.bytes };
  };
  const [kept, again] = [run('training', 6), run('recomputing', 6)];
  assert.deepEqual(again.gradients, kept.gradients);
  assert.ok(again.gradients.every((values) => values.some((value) => value !== 0)));
  assert.deepEqual(again.load, kept.load);
  assert.equal(
    again.load.reduce((sum, n) => sum + n, 0),
    6 * N * K,
  );
  // What remains of a block is its input, in whose memory the gradient goes down.
  assert.ok(run('recomputing', 9).bytes - again.bytes <= 3 * N * D * 4);
});

/** N rows of a student of width D with a head [V, D], and a teacher who names K tokens of each. */
const distilled = { N: 1100, V: 97, D: 24, K: 5 };

/** Loss of every row and, when training, gradients of the student and of the head. */
function distil(
  mode: 'training' | 'inference',
  how: DivergenceShape,
  change: { packed?: true; x?: Float32Array } = {},
) {
  using device = openDevice({ threads: 2 });
  using arena = new Arena(device.memory, 2 ** 20);
  const { N, V, D, K } = distilled;
  const g = new Graph(device, arena, mode);
  const x = arena.floats(change.x ?? normals(N * D, 1), [N, D]);
  const plain = arena.floats(normals(V * D, 2), [V, D]);
  const head = change.packed ? PackedMatrix.pack(device, plain, 'f32') : plain;
  for (const leaf of [x, plain]) leaf.needsGrad = mode === 'training';
  const ids = arena.integers(
    Int32Array.from({ length: N * K }, (_, i) => ((i % K) * 17 + Math.floor(i / K)) % V),
    [N, K],
  );
  const logprobs = arena.floats(
    normals(N * K, 3).map((value) => -2 - 0.3 * Math.abs(value)),
    [N, K],
  );
  const weights = arena.floats(normals(N, 4).map((value) => Math.abs(value) / N));
  const loss = g.linearDivergence(x, head, { ids, logprobs }, weights, how);
  if (mode === 'training') g.backward();
  g.run();
  const read = (t: Tensor | undefined) => {
    const values = new Float32Array(t?.length ?? 0);
    if (t) device.memory.read(t, values);
    return values;
  };
  const weighted = dot(read(loss), read(weights));
  return { loss: read(loss), weighted, x: read(x), dx: read(x.grad), dw: read(plain.grad) };
}

const shapes: readonly DivergenceShape[] = [
  { divergence: { kind: 'forward_kl' }, rest: 'tail', temperature: 2 },
  { divergence: { kind: 'reverse_kl' }, rest: 'renormalize', temperature: 1 },
  { divergence: { kind: 'jsd', beta: 0.3 }, rest: 'tail', temperature: 1 },
];

test('the divergence from a teacher has the same bits with a tape and without, and over a packed head', () => {
  for (const how of shapes) {
    const [taped, plain] = [distil('training', how), distil('inference', how)];
    assert.deepEqual(taped.loss, plain.loss);
    const packed = distil('training', how, { packed: true });
    assert.deepEqual(packed.loss, taped.loss);
    assert.deepEqual(packed.dx, taped.dx);
  }
});

test('the gradients of a divergence are its slopes, in the student and in the head, through every chunk', () => {
  for (const how of shapes) {
    const { x, dx, dw } = distil('training', how);
    const norm = Math.hypot(...dx);
    // Along the gradient itself the derivative is its norm.
    const at = (t: number) =>
      distil('inference', how, { x: x.map((value, i) => value + (t * (dx[i] as number)) / norm) });
    const slope = at(0.5).weighted - at(-0.5).weighted;
    assert.ok(Math.abs(slope - norm) < 0.02 * norm, `${JSON.stringify(how)}: ${slope}, ${norm}`);
    // Of logits x wT it makes no difference which of the two is scaled: sum x dx = sum w dw.
    const along = dot(x, dx);
    const w = normals(distilled.V * distilled.D, 2);
    assert.ok(Math.abs(along - dot(w, dw)) < 1e-4 * Math.abs(along));
  }
});
