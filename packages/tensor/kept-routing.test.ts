import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Device, openDevice } from '@hadal/kernels/device';
import { normals } from '@hadal/kernels/parity';
import { Arena } from './arena.ts';
import type { Routing } from './gradients.ts';
import { Graph } from './graph.ts';
import { KeptRouting, type PassRouting } from './kept-routing.ts';
import type { Tensor } from './tensor.ts';

const [N, E, K] = [70, 8, 3];
const routings: readonly Routing[] = [
  { K, groups: 4, topkGroups: 2, scoring: 'sigmoid', groupScore: 'top2sum', normalize: true, scale: 2.5 },
  { K, groups: 1, topkGroups: 1, scoring: 'softmax', groupScore: 'max', normalize: false, scale: 1 },
];

/** What a router makes of logits drawn from `seed`, and their gradient. */
function routed(device: Device, routing: Routing, seed: number, kept?: PassRouting, counter?: Tensor) {
  using arena = new Arena(device.memory, 2 ** 18);
  const g = new Graph(device, arena, 'training', kept);
  const logits = arena.floats(normals(N * E, seed), [N, E]);
  logits.needsGrad = true;
  const counts = counter ?? arena.integers(new Int32Array(E));
  const { ids, weights } = g.route(logits, arena.floats(new Float32Array(E)), counts, routing);
  weights.grad = arena.floats(normals(N * K, 9), weights.shape);
  g.backward();
  g.run();
  const integers = (t: Tensor) => {
    const values = new Int32Array(t.length);
    device.memory.read(t, values);
    return values;
  };
  const floats = (t: Tensor) => {
    const values = new Float32Array(t.length);
    device.memory.read(t, values);
    return values;
  };
  return { ids: integers(ids), weights: floats(weights), gradient: floats(logits.grad as unknown as Tensor) };
}

test('experts are chosen once in a pass, and weighed by the logits of each time', () => {
  using device = openDevice({ threads: 2 });
  using counters = new Arena(device.memory, 64);
  for (const routing of routings) {
    using kept = new KeptRouting(device.memory);
    const counter = counters.integers(new Int32Array(E));
    const free = [1, 2].map((seed) => routed(device, routing, seed));
    assert.notDeepEqual(free[0]?.ids, free[1]?.ids);
    const first = routed(device, routing, 1, kept.ofPass(0), counter);
    assert.deepEqual(first, free[0]);
    // The same logits again: a choice that is given has the bits of one that is made.
    assert.deepEqual(routed(device, routing, 1, kept.ofPass(0), counter), first);
    const later = routed(device, routing, 2, kept.ofPass(0), counter);
    assert.deepEqual(later.ids, first.ids);
    const logits = normals(N * E, 2);
    for (let n = 0; n < N; n++) {
      const exps = logits.subarray(n * E, (n + 1) * E).map((x) => Math.exp(x));
      const all = exps.reduce((sum, x) => sum + x, 0);
      const score = (e: number) => {
        const x = exps[e] as number;
        return routing.scoring === 'sigmoid' ? x / (1 + x) : x / all;
      };
      const chosen = [...later.ids.subarray(n * K, (n + 1) * K)];
      const total = routing.normalize ? chosen.reduce((sum, e) => sum + score(e), 0) : 1;
      for (const [k, e] of chosen.entries()) {
        const expected = (routing.scale * score(e)) / total;
        assert.ok(Math.abs((later.weights[n * K + k] as number) - expected) < 1e-5 * expected, `${n}, ${k}`);
      }
    }
    // Another pass, and another router, have choices of their own.
    assert.deepEqual(routed(device, routing, 2, kept.ofPass(1), counter).ids, free[1]?.ids);
    const other = counters.integers(new Int32Array(E));
    assert.deepEqual(routed(device, routing, 2, kept.ofPass(0), other).ids, free[1]?.ids);
  }
});
