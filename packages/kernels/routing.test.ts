import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { openDevice } from './device.ts';
import { assertGradient, dot } from './gradient-check.ts';
import { assertSameBits, checkParity, normals, runOn, uniforms } from './parity.ts';
import {
  combineRows,
  combineRowsBackward,
  combineRowsBackwardTwin,
  combineRowsTwin,
  gatherRows,
  gatherRowsBackward,
  gatherRowsBackwardTwin,
  gatherRowsTwin,
  groupByExpert,
  groupByExpertTwin,
  type RouteOptions,
  route,
  routeBackward,
  routeBackwardTwin,
  routeByToken,
  routeByTokenTwin,
  routeTwin,
} from './routing.ts';

const v3 = { scoring: 'sigmoid', groupScore: 'top2sum', normalize: true, scale: 2.5 } as const;
const v2 = { scoring: 'softmax', groupScore: 'max', normalize: false, scale: 16 } as const;
const v4 = { scoring: 'sqrtsoftplus', groupScore: 'max', normalize: true, scale: 1.5 } as const;
const routers: readonly RouteOptions[] = [
  { ...v3, N: 1, E: 1, K: 1, groups: 1, topkGroups: 1 },
  { ...v3, N: 3, E: 7, K: 3, groups: 1, topkGroups: 1 },
  { ...v3, N: 33, E: 8, K: 2, groups: 4, topkGroups: 2 },
  { ...v3, N: 17, E: 8, K: 3, groups: 8, topkGroups: 3 },
  { ...v3, N: 100, E: 256, K: 8, groups: 8, topkGroups: 4 },
  { ...v3, N: 17, E: 384, K: 16, groups: 1, topkGroups: 1, normalize: false },
  { ...v2, N: 7, E: 64, K: 6, groups: 1, topkGroups: 1 },
  { ...v2, N: 33, E: 160, K: 6, groups: 8, topkGroups: 3 },
  { ...v2, N: 17, E: 33, K: 5, groups: 3, topkGroups: 1, normalize: true, scale: 1 },
  { ...v4, N: 33, E: 384, K: 6, groups: 1, topkGroups: 1 },
  { ...v4, N: 7, E: 9, K: 4, groups: 3, topkGroups: 2, normalize: false },
];

test('route chooses and weighs as its twin, all scorings, with and without groups', () => {
  for (const o of routers) {
    checkParity({
      name: `route ${JSON.stringify(o)}`,
      tensors: { ...routerInputs(o), ...routerOutputs(o) },
      native: (c, t) => route(c, t.logits, t.bias, t.ids, t.weights, t.counts, o),
      twin: (a) => routeTwin(a.logits, a.bias, a.ids, a.weights, a.counts, o),
      tolerance: 2e-6,
    });
  }
});

test('equal scores go to the lowest index, among experts and among groups', () => {
  const o = { ...v3, N: 2, E: 12, K: 4, groups: 4, topkGroups: 2 };
  // The second row saturates: sigmoid(30) and sigmoid(40) are both 1 in float32.
  const logits = new Float32Array(24).fill(30).fill(40, 18);
  const { ids } = runOn1({ logits, bias: new Float32Array(12), ...routerOutputs(o) }, (c, t) =>
    route(c, t.logits, t.bias, t.ids, t.weights, t.counts, o),
  );
  assert.deepEqual(Array.from(ids), [0, 1, 2, 3, 0, 1, 2, 3]);
});

test('an expert of a dropped group is never chosen, however negative the biases are', () => {
  const o = { ...v3, N: 1, E: 8, K: 4, groups: 2, topkGroups: 1 };
  const bias = new Float32Array(8).fill(-10).fill(-11, 4);
  const { ids } = runOn1({ logits: normals(8, 1), bias, ...routerOutputs(o) }, (c, t) =>
    route(c, t.logits, t.bias, t.ids, t.weights, t.counts, o),
  );
  assert.deepEqual(Array.from(ids).sort(), [0, 1, 2, 3]);
});

test('whatever the logits hold, ids are K different experts', () => {
  const value = fc.oneof(fc.constantFrom(Number.NaN, Infinity, -Infinity, 0, -0), fc.float());
  const o = { ...v3, N: 1, E: 12, K: 5, groups: 3, topkGroups: 2 };
  fc.assert(
    fc.property(
      fc.array(value, { minLength: 12, maxLength: 12 }),
      fc.array(value, { minLength: 12, maxLength: 12 }),
      fc.constantFrom(v3, v2, v4),
      (logits, bias, kind) => {
        const tensors = { logits: Float32Array.from(logits), bias: Float32Array.from(bias), ...routerOutputs(o) };
        const { ids, counts } = runOn1(tensors, (c, t) =>
          route(c, t.logits, t.bias, t.ids, t.weights, t.counts, { ...o, ...kind }),
        );
        assert.equal(new Set(ids).size, 5);
        assert.ok(ids.every((id) => id >= 0 && id < 12));
        const total = counts.reduce((a, b) => a + b, 0) - routerOutputs(o).counts.reduce((a, b) => a + b, 0);
        assert.equal(total, 5);
      },
    ),
    { numRuns: 200 },
  );
});

test('a token has the same route and gradient alone, among 7 and among 512', () => {
  for (const kind of [v3, v2, v4]) {
    const o = { ...kind, N: 512, E: 33, K: 4, groups: 3, topkGroups: 2 };
    const all = routerInputs(o);
    const run = (begin: number, end: number) => {
      const part = { ...o, N: end - begin };
      const tensors = {
        logits: all.logits.slice(begin * o.E, end * o.E),
        bias: all.bias,
        dWeights: all.dWeights.slice(begin * o.K, end * o.K),
        ids: new Int32Array(part.N * o.K),
        weights: new Float32Array(part.N * o.K),
        counts: new Int32Array(o.E),
        dLogits: new Float32Array(part.N * o.E),
      };
      const after = runOn1(tensors, (c, t) => {
        route(c, t.logits, t.bias, t.ids, t.weights, t.counts, part);
        routeBackward(c, t.logits, t.ids, t.dWeights, t.dLogits, part);
      });
      return { ids: after.ids, weights: after.weights, dLogits: after.dLogits };
    };
    const whole = run(0, 512);
    for (const [begin, end] of [
      [0, 1],
      [400, 401],
      [100, 107],
    ] as const) {
      const same = {
        ids: whole.ids.slice(begin * o.K, end * o.K),
        weights: whole.weights.slice(begin * o.K, end * o.K),
        dLogits: whole.dLogits.slice(begin * o.E, end * o.E),
      };
      assertSameBits(run(begin, end), same, `tokens ${begin}..${end}`);
    }
  }
});

test('routeByToken takes experts from the table and weighs them as its twin; what is not there weighs nothing', () => {
  for (const kind of [v4, v3, v2]) {
    for (const [N, V, E, K] of [
      [1, 1, 1, 1],
      [33, 50, 8, 2],
      [17, 9, 384, 6],
    ] as const) {
      const { scoring, normalize, scale } = kind;
      const o = { N, V, E, K, scoring, normalize, scale };
      const random = uniforms(3);
      const table = Int32Array.from({ length: V * K }, () => Math.floor(random() * E));
      const tokens = Int32Array.from({ length: N }, (_, n) =>
        n === 5 ? V + 3 : n === 6 ? -1 : Math.floor(random() * V),
      );
      if (V > 1) table[K] = E;
      const tensors = {
        logits: normals(N * E, 1),
        table,
        tokens,
        ...routerOutputs({ ...kind, ...o, groups: 1, topkGroups: 1 }),
      };
      checkParity({
        name: `routeByToken ${JSON.stringify(o)}`,
        tensors,
        native: (c, t) => routeByToken(c, t.logits, t.table, t.tokens, t.ids, t.weights, t.counts, o),
        twin: (a) => routeByTokenTwin(a.logits, a.table, a.tokens, a.ids, a.weights, a.counts, o),
        tolerance: 2e-6,
      });
    }
  }
});

test('scores of logits of any size are finite, and tiny ones are not lost', () => {
  const logits = Float32Array.of(-1e4, -90, -40, -1e-30, 0, 20, 90, 1e4);
  const o = { ...v4, N: 1, E: 8, K: 8, groups: 1, topkGroups: 1, normalize: false };
  const zeros = {
    bias: new Float32Array(8),
    ids: new Int32Array(8),
    weights: new Float32Array(8),
    counts: new Int32Array(8),
  };
  const { weights } = runOn1({ logits, ...zeros }, (c, t) => route(c, t.logits, t.bias, t.ids, t.weights, t.counts, o));
  const expected = [
    100,
    Math.sqrt(90),
    Math.sqrt(20),
    Math.sqrt(Math.LN2),
    Math.sqrt(Math.LN2),
    Math.exp(-20),
    Math.exp(-45),
    0,
  ];
  for (const [i, want] of expected.entries()) {
    assert.ok(Math.abs(weights[i]! - 1.5 * want) <= 1e-6 * want, `${weights[i]} is ${1.5 * want}`);
  }
});

test('routeBackward equals its twin', () => {
  for (const o of routers) {
    const inputs = routerInputs(o);
    const { ids, weights, counts } = routerOutputs(o);
    routeTwin(inputs.logits, inputs.bias, ids, weights, counts, o);
    checkParity({
      name: `routeBackward ${JSON.stringify(o)}`,
      tensors: { logits: inputs.logits, ids, dWeights: inputs.dWeights, dLogits: normals(o.N * o.E, 12) },
      native: (c, t) => routeBackward(c, t.logits, t.ids, t.dWeights, t.dLogits, o),
      twin: (a) => routeBackwardTwin(a.logits, a.ids, a.dWeights, a.dLogits, o),
      tolerance: 4e-6,
    });
  }
});

test('the router gradient is that of finite differences with the choice held', () => {
  for (const kind of [v3, v2, { ...v3, normalize: false }, { ...v2, normalize: true }]) {
    const o = { ...kind, N: 3, E: 6, K: 2, groups: 3, topkGroups: 2 };
    const { logits, bias, dWeights } = routerInputs(o);
    const { ids, counts } = routerOutputs(o);
    const weightsAt = (x: Float64Array) => {
      const weights = new Float64Array(o.N * o.K);
      routeTwin(x, bias, ids, weights, counts, o);
      return weights;
    };
    weightsAt(Float64Array.from(logits));
    const gradient = new Float64Array(o.N * o.E);
    routeBackwardTwin(Float64Array.from(logits), ids.slice(), dWeights, gradient, o);
    assertGradient((x) => dot(weightsAt(x), dWeights), Float64Array.from(logits), gradient, JSON.stringify(kind));
  }
});

test('route refuses shapes that no choice satisfies', () => {
  const o = { ...v3, N: 1, E: 8, K: 4, groups: 4, topkGroups: 2 };
  const x = { handle: 1, offset: 0, length: 1000 };
  using device = openDevice({ threads: 1 });
  const record = (changed: Partial<RouteOptions>) => () => route(device.commands, x, x, x, x, x, { ...o, ...changed });
  assert.throws(record({ groups: 3 }), /expected E divisible into 3 groups, got 8/);
  assert.throws(record({ topkGroups: 5 }), /expected topkGroups from 1 to 4, got 5/);
  assert.throws(record({ K: 5 }), /expected K from 1 to 4 \(experts in 2 groups\), got 5/);
  assert.throws(record({ E: 1 << 20 }), /expected from 1 to 16384 experts, got 1048576/);
});

test('groupByExpert is a stable permutation of the assignments that have an expert', () => {
  const assignments = fc
    .record({
      N: fc.integer({ min: 0, max: 60 }),
      K: fc.integer({ min: 1, max: 8 }),
      E: fc.integer({ min: 1, max: 12 }),
    })
    .chain((o) =>
      fc.record({
        o: fc.constant(o),
        ids: fc.array(fc.integer({ min: -1, max: o.E }), { minLength: o.N * o.K, maxLength: o.N * o.K }),
        threads: fc.integer({ min: 1, max: 4 }),
      }),
    );
  fc.assert(
    fc.property(assignments, ({ o, ids, threads }) => {
      using device = openDevice({ threads });
      const tensors = { ids: Int32Array.from(ids), ...groupOutputs(o.N * o.K, o.E) };
      const { order, slots, offsets } = runOn(device, tensors, (c, t) =>
        groupByExpert(c, t.ids, t.order, t.slots, t.offsets, o),
      );
      const expected = ids.map((id, i) => ({ id, i })).filter(({ id }) => id >= 0 && id < o.E);
      // Array.prototype.sort is stable.
      expected.sort((a, b) => a.id - b.id);
      const padding = new Array(ids.length - expected.length).fill(-1);
      assert.deepEqual(Array.from(order), [...expected.map(({ i }) => i), ...padding]);
      ids.forEach((id, i) => {
        const slot = slots[i]!;
        if (id < 0 || id >= o.E) assert.equal(slot, -1);
        else assert.ok(order[slot] === i && slot >= offsets[id]! && slot < offsets[id + 1]!);
      });
      assert.equal(offsets[o.E], expected.length);
    }),
    { numRuns: 100 },
  );
});

test('groupByExpert equals its twin on sizes of a training step', () => {
  for (const o of [
    { N: 1, K: 1, E: 1 },
    { N: 257, K: 6, E: 33 },
    { N: 1000, K: 8, E: 256 },
  ]) {
    const next = uniforms(o.N);
    checkParity({
      name: `groupByExpert ${JSON.stringify(o)}`,
      tensors: {
        ids: Int32Array.from({ length: o.N * o.K }, () => Math.floor(next() * o.E)),
        ...groupOutputs(o.N * o.K, o.E),
      },
      native: (c, t) => groupByExpert(c, t.ids, t.order, t.slots, t.offsets, o),
      twin: (a) => groupByExpertTwin(a.ids, a.order, a.slots, a.offsets, o),
      tolerance: 0,
    });
  }
});

const rowSizes = [
  { N: 1, K: 1, D: 1 },
  { N: 3, K: 2, D: 7 },
  { N: 17, K: 3, D: 33 },
  { N: 33, K: 8, D: 100 },
  { N: 7, K: 16, D: 257 },
];

test('gathering and combining rows, forward and backward, equal their twins', () => {
  for (const o of rowSizes) {
    for (const accumulate of [false, true]) {
      checkParity({
        name: `rows ${JSON.stringify(o)} ${accumulate}`,
        tensors: rowTensors(o),
        native: (c, t) => {
          gatherRows(c, t.x, t.order, t.xg, o);
          gatherRowsBackward(c, t.yg, t.slots, t.dx, o);
          combineRows(c, t.yg, t.slots, t.weights, t.y, { ...o, accumulate });
          combineRowsBackward(c, t.dy, t.yg, t.slots, t.weights, t.dyg, t.dWeights, o);
        },
        twin: (a) => {
          gatherRowsTwin(a.x, a.order, a.xg, o);
          gatherRowsBackwardTwin(a.yg, a.slots, a.dx, o);
          combineRowsTwin(a.yg, a.slots, a.weights, a.y, { ...o, accumulate });
          combineRowsBackwardTwin(a.dy, a.yg, a.slots, a.weights, a.dyg, a.dWeights, o);
        },
        tolerance: 2e-6,
      });
    }
  }
});

test('combineRowsBackward may write over the rows it reads, with the same bits', () => {
  const o = { N: 17, K: 3, D: 100 };
  const tensors = rowTensors(o);
  const apart = runOn1({ ...tensors, dyg: tensors.yg }, (c, t) =>
    combineRowsBackward(c, t.dy, t.yg, t.slots, t.weights, t.dyg, t.dWeights, o),
  );
  const inPlace = runOn1(tensors, (c, t) =>
    combineRowsBackward(c, t.dy, t.yg, t.slots, t.weights, t.yg, t.dWeights, o),
  );
  assertSameBits({ rows: inPlace.yg, w: inPlace.dWeights }, { rows: apart.dyg, w: apart.dWeights }, 'in place');
});

test('a token has the same combined row alone, among 7 and among 512', () => {
  const K = 3;
  const D = 37;
  const weights = normals(512 * K, 3);
  const yg = normals(512 * K * D, 4);
  const combined = (begin: number, end: number) => {
    const N = end - begin;
    // Rows by assignment, so that slots are the identity and a token's rows travel with it.
    const tensors = {
      yg: yg.slice(begin * K * D, end * K * D),
      slots: Int32Array.from({ length: N * K }, (_, i) => i),
      weights: weights.slice(begin * K, end * K),
      y: new Float32Array(N * D),
    };
    return runOn1(tensors, (c, t) => combineRows(c, t.yg, t.slots, t.weights, t.y, { N, K, D })).y;
  };
  const whole = combined(0, 512);
  for (const [begin, end] of [
    [0, 1],
    [511, 512],
    [200, 207],
  ] as const) {
    assertSameBits({ y: combined(begin, end) }, { y: whole.slice(begin * D, end * D) }, `tokens ${begin}..${end}`);
  }
});

test('the row gradients are those of finite differences', () => {
  const o = { N: 4, K: 2, D: 3 };
  const { x, order, slots, weights, yg, dy } = rowTensors(o);
  const rows = o.N * o.K * o.D;
  const dxg = Float64Array.from(normals(rows, 20));
  const dx = new Float64Array(o.N * o.D);
  gatherRowsBackwardTwin(dxg, slots, dx, o);
  const gathered = (values: Float64Array) => {
    const xg = new Float64Array(rows);
    gatherRowsTwin(values, order, xg, o);
    return dot(xg, dxg);
  };
  assertGradient(gathered, Float64Array.from(x), dx, 'dx');

  const dyg = new Float64Array(rows);
  const dWeights = new Float64Array(o.N * o.K);
  combineRowsBackwardTwin(dy, yg, slots, weights, dyg, dWeights, o);
  const combined = (experts: Float64Array, factors: Float64Array) => {
    const y = new Float64Array(o.N * o.D);
    combineRowsTwin(experts, slots, factors, y, o);
    return dot(y, dy);
  };
  assertGradient((v) => combined(v, Float64Array.from(weights)), Float64Array.from(yg), dyg, 'dyg');
  assertGradient((v) => combined(Float64Array.from(yg), v), Float64Array.from(weights), dWeights, 'dWeights');
});

/** On one device with two threads; parity covers the rest. */
function runOn1<T extends Parameters<typeof runOn>[1]>(tensors: T, native: Parameters<typeof runOn<T>>[2]): T {
  using device = openDevice({ threads: 2 });
  return runOn(device, tensors, native);
}

/** Logits and biases on a grid of 1/64, so that scores are equal or clearly apart in float32 and float64 alike. */
function routerInputs(o: RouteOptions) {
  const grid = (values: Float32Array) => values.map((x) => Math.round(x * 64) / 64);
  return {
    logits: grid(normals(o.N * o.E, o.E)),
    bias: grid(normals(o.E, o.E + 1)).map((x) => x / 4),
    dWeights: normals(o.N * o.K, o.E + 2),
  };
}

/** Counts start above zero: route adds to them. */
function routerOutputs(o: RouteOptions) {
  return {
    ids: new Int32Array(o.N * o.K),
    weights: new Float32Array(o.N * o.K),
    counts: Int32Array.from({ length: o.E }, (_, e) => e),
  };
}

function groupOutputs(assignments: number, E: number) {
  return {
    order: new Int32Array(assignments).fill(7),
    slots: new Int32Array(assignments).fill(7),
    offsets: new Int32Array(E + 1).fill(7),
  };
}

/** A real grouping over 4 experts in which some assignments have none. */
function rowTensors({ N, K, D }: { N: number; K: number; D: number }) {
  const next = uniforms(N * K + D);
  const ids = Int32Array.from({ length: N * K }, () => Math.floor(next() * 5));
  const { order, slots, offsets } = groupOutputs(N * K, 4);
  groupByExpertTwin(ids, order, slots, offsets, { N, K, E: 4 });
  return {
    order,
    slots,
    x: normals(N * D, 1),
    xg: normals(N * K * D, 2),
    dx: normals(N * D, 3),
    yg: normals(N * K * D, 4),
    weights: normals(N * K, 5),
    y: normals(N * D, 6),
    dy: normals(N * D, 7),
    dyg: normals(N * K * D, 8),
    dWeights: normals(N * K, 9),
  };
}
