import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDevice, supportedIsas } from './device.ts';
import {
  hyperCollapse,
  hyperCollapseTwin,
  hyperExpand,
  hyperExpandTwin,
  hyperWeights,
  hyperWeightsTwin,
} from './hyper-connections.ts';
import { assertSameBits, checkParity, normals, runOn } from './parity.ts';

const shapes = [
  { N: 1, streams: 1 },
  { N: 3, streams: 4 },
  { N: 17, streams: 4 },
  { N: 100, streams: 3 },
  { N: 33, streams: 8 },
] as const;

function inputs(N: number, streams: number, seed = 1) {
  const width = (2 + streams) * streams;
  return {
    ...{ mixes: normals(N * width, seed).map((x) => 3 * x), scale: normals(3, 2), base: normals(width, 3) },
    ...{ pre: new Float32Array(N * streams), post: new Float32Array(N * streams) },
    comb: new Float32Array(N * streams ** 2),
  };
}

test('the weights of streams equal their twin, with few iterations of balancing and many', () => {
  for (const { N, streams } of shapes) {
    for (const iterations of [1, 2, 20]) {
      const o = { N, streams, iterations, eps: 1e-6 };
      checkParity({
        name: `hyperWeights ${JSON.stringify(o)}`,
        tensors: inputs(N, streams),
        native: (c, t) => hyperWeights(c, t.mixes, t.scale, t.base, { pre: t.pre, onward: t }, o),
        twin: (a) => hyperWeightsTwin(a.mixes, a.scale, a.base, { pre: a.pre, onward: a }, o),
        tolerance: 2e-6,
      });
    }
    const o = { N, streams, iterations: 1, eps: 1e-6 };
    checkParity({
      name: `hyperWeights of the head ${JSON.stringify(o)}`,
      tensors: {
        mixes: normals(N * streams, 1),
        scale: normals(1, 2),
        base: normals(streams, 3),
        pre: normals(N * streams, 4),
      },
      native: (c, t) => hyperWeights(c, t.mixes, t.scale, t.base, { pre: t.pre, onward: undefined }, o),
      twin: (a) => hyperWeightsTwin(a.mixes, a.scale, a.base, { pre: a.pre, onward: undefined }, o),
      tolerance: 1e-6,
    });
  }
});

test('balanced, rows and columns of the mixing matrix sum to one', () => {
  using device = openDevice({ threads: 2 });
  const [N, S] = [50, 4];
  const { comb } = runOn(device, inputs(N, S), (c, t) =>
    hyperWeights(c, t.mixes, t.scale, t.base, { pre: t.pre, onward: t }, { N, streams: S, iterations: 200, eps: 1e-6 }),
  );
  for (let n = 0; n < N; n++) {
    for (let j = 0; j < S; j++) {
      const sums = [0, 0];
      for (let k = 0; k < S; k++) {
        sums[0]! += comb[(n * S + j) * S + k]!;
        sums[1]! += comb[(n * S + k) * S + j]!;
      }
      for (const sum of sums) assert.ok(Math.abs(sum - 1) < 1e-3, `token ${n}: ${sum}`);
    }
  }
});

test('streams are collapsed and spread as their twins do', () => {
  for (const { N, streams } of shapes) {
    for (const D of [1, 33, 100]) {
      const o = { N, streams, D };
      checkParity({
        name: `hyperCollapse ${JSON.stringify(o)}`,
        tensors: { x: normals(N * streams * D, 1), pre: normals(N * streams, 2), y: new Float32Array(N * D) },
        native: (c, t) => hyperCollapse(c, t.x, t.pre, t.y, o),
        twin: (a) => hyperCollapseTwin(a.x, a.pre, a.y, o),
        tolerance: 1e-6,
      });
      checkParity({
        name: `hyperExpand ${JSON.stringify(o)}`,
        tensors: {
          ...{ x: normals(N * streams * D, 1), added: normals(N * D, 2), post: normals(N * streams, 3) },
          ...{ comb: normals(N * streams ** 2, 4), y: new Float32Array(N * streams * D) },
        },
        native: (c, t) => hyperExpand(c, t.x, t.added, t.post, t.comb, t.y, o),
        twin: (a) => hyperExpandTwin(a.x, a.added, a.post, a.comb, a.y, o),
        tolerance: 1e-6,
      });
    }
  }
});

test('a token has the same bits alone, in a batch of 7 and in a batch of 512', () => {
  const [S, D] = [4, 50];
  const width = (2 + S) * S;
  const all = { mixes: normals(512 * width, 1), x: normals(512 * S * D, 2), added: normals(512 * D, 3) };
  for (const isa of supportedIsas()) {
    using device = openDevice({ isa, threads: 2 });
    const run = (first: number, N: number) => {
      const rows = (x: Float32Array, each: number) => x.slice(first * each, (first + N) * each);
      const tensors = {
        ...{ ...inputs(N, S), mixes: rows(all.mixes, width), x: rows(all.x, S * D), added: rows(all.added, D) },
        ...{ collapsed: new Float32Array(N * D), expanded: new Float32Array(N * S * D) },
      };
      const { pre, post, comb, collapsed, expanded } = runOn(device, tensors, (c, t) => {
        hyperWeights(
          c,
          t.mixes,
          t.scale,
          t.base,
          { pre: t.pre, onward: t },
          { N, streams: S, iterations: 20, eps: 1e-6 },
        );
        hyperCollapse(c, t.x, t.pre, t.collapsed, { N, streams: S, D });
        hyperExpand(c, t.x, t.added, t.post, t.comb, t.expanded, { N, streams: S, D });
      });
      return { pre, post, comb, collapsed, expanded };
    };
    const whole = run(0, 512);
    for (const [first, N] of [
      [101, 1],
      [98, 7],
    ] as const) {
      const cut = (x: Float32Array) => x.slice((first * x.length) / 512, ((first + N) * x.length) / 512);
      const expected = {
        ...{ pre: cut(whole.pre), post: cut(whole.post), comb: cut(whole.comb) },
        ...{ collapsed: cut(whole.collapsed), expanded: cut(whole.expanded) },
      };
      assertSameBits(run(first, N), expected, `${isa}: tokens ${first}.. of ${N}`);
    }
  }
});

test('more streams than the kernel holds are refused', () => {
  using device = openDevice({ threads: 1 });
  const x = { handle: device.memory.allocate(4096), offset: 0, length: 1024 };
  const o = { N: 1, streams: 9, iterations: 1, eps: 0 };
  assert.throws(
    () => hyperWeights(device.commands, x, x, x, { pre: x, onward: undefined }, o),
    /hyperWeights: expected from 1 to 8 streams, got 9/,
  );
});
