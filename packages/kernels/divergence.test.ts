import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDevice } from './device.ts';
import {
  type Divergence,
  type DivergenceOptions,
  divergence,
  divergenceForward,
  divergenceForwardTwin,
  divergenceTwin,
} from './divergence.ts';
import { assertGradient, dot } from './gradient-check.ts';
import { assertClose, assertSameBits, checkParity, normals, runOn, uniforms } from './parity.ts';

const divergences: readonly Divergence[] = [
  { kind: 'forward_kl' },
  { kind: 'reverse_kl' },
  { kind: 'jsd', beta: 0.5 },
  { kind: 'jsd', beta: 0.1 },
];
const rests = ['tail', 'renormalize'] as const;
const ways = divergences.flatMap((divergence) => rests.map((rest) => ({ divergence, rest })));

const sizes = [
  { N: 1, V: 1, K: 1 },
  { N: 3, V: 7, K: 7 },
  { N: 7, V: 17, K: 5 },
  { N: 17, V: 33, K: 32 },
  { N: 33, V: 100, K: 13 },
  { N: 5, V: 257, K: 1 },
  { N: 3, V: 3072, K: 128 },
  { N: 2, V: 5003, K: 61 },
];

test('loss and gradient equal their twins, whatever is compared and at any temperature', () => {
  for (const [i, size] of sizes.entries()) {
    for (const way of ways) {
      const o = { ...size, ...way, temperature: i % 2 === 0 ? 1 : 1.7 };
      checkParity({
        name: `divergence ${JSON.stringify(o)}`,
        tensors: { ...inputs(o), loss: normals(o.N, 9), forward: normals(o.N, 10), dLogits: normals(o.N * o.V, 11) },
        native: (c, t) => {
          divergence(c, t.logits, t, t.weights, t.loss, t.dLogits, o);
          divergenceForward(c, t.logits, t, t.forward, o);
        },
        twin: (a) => {
          divergenceTwin(a.logits, a, a.weights, a.loss, a.dLogits, o);
          divergenceForwardTwin(a.logits, a, a.forward, o);
        },
        tolerance: 1e-6,
      });
    }
  }
});

test('the gradient is that of finite differences of the weighted loss', () => {
  for (const way of ways) {
    for (const [size, temperature] of [
      [{ N: 6, V: 5, K: 3 }, 1],
      [{ N: 4, V: 9, K: 9 }, 2.5],
    ] as const) {
      const o = { ...size, ...way, temperature };
      const { logits, weights, ...teacher } = inputs(o);
      const gradient = new Float64Array(o.N * o.V);
      divergenceTwin(Float64Array.from(logits), teacher, weights, new Float64Array(o.N), gradient, o);
      const loss = (x: Float64Array) => {
        const perRow = new Float64Array(o.N);
        divergenceForwardTwin(x, teacher, perRow, o);
        return dot(perRow, weights);
      };
      assertGradient(loss, Float64Array.from(logits), gradient, JSON.stringify(o));
    }
  }
});

test('where the teacher names every token, in any order, it is the divergence of two softmaxes', () => {
  using device = openDevice();
  const [N, V, T] = [4, 37, 2];
  const [logits, teacherLogits] = [normals(N * V, 1).map((x) => 2 * x), normals(N * V, 2).map((x) => 2 * x)];
  const row = (x: Float32Array, n: number) => logSoftmax(x.subarray(n * V, (n + 1) * V), T);
  const kl = (a: readonly number[], b: readonly number[]) =>
    a.reduce((sum, x, v) => sum + Math.exp(x) * (x - (b[v] as number)), 0);
  const dense = (by: Divergence, p: readonly number[], q: readonly number[]): number => {
    if (by.kind === 'forward_kl') return kl(p, q);
    if (by.kind === 'reverse_kl') return kl(q, p);
    const m = p.map((x, v) => Math.log(by.beta * Math.exp(x) + (1 - by.beta) * Math.exp(q[v] as number)));
    return by.beta * kl(p, m) + (1 - by.beta) * kl(q, m);
  };
  const order = Int32Array.from({ length: V }, (_, v) => (v * 5) % V);
  const ids = Int32Array.from({ length: N * V }, (_, i) => order[i % V] as number);
  const logprobs = Float32Array.from(ids, (v, i) => row(teacherLogits, Math.floor(i / V))[v] as number);
  for (const way of ways) {
    const tensors = { logits, ids, logprobs, loss: new Float32Array(N) };
    const o = { N, V, K: V, temperature: T, ...way };
    const { loss } = runOn(device, tensors, (c, t) => divergenceForward(c, t.logits, t, t.loss, o));
    const expected = Float32Array.from(
      loss,
      (_, n) => T ** 2 * dense(way.divergence, row(teacherLogits, n), row(logits, n)),
    );
    assertClose(loss, expected, 1e-5, JSON.stringify(way));
  }
});

test('near its ends, jsd is the forward and the reverse divergence, scaled', () => {
  const o = { N: 5, V: 19, K: 6, rest: 'tail' as const, temperature: 1 };
  const { logits, ...teacher } = inputs(o);
  const of = (by: Divergence) => {
    const loss = new Float64Array(o.N);
    divergenceForwardTwin(Float64Array.from(logits), teacher, loss, { ...o, divergence: by });
    return loss;
  };
  const [forward, reverse] = [of({ kind: 'forward_kl' }), of({ kind: 'reverse_kl' })];
  const small = 1e-9;
  of({ kind: 'jsd', beta: small }).forEach((x, n) => {
    assert.ok(Math.abs(x / small - forward[n]!) < 1e-3 * (1 + forward[n]!));
  });
  of({ kind: 'jsd', beta: 1 - small }).forEach((x, n) => {
    assert.ok(Math.abs(x / small - reverse[n]!) < 1e-3 * (1 + reverse[n]!));
  });
  using device = openDevice();
  for (const beta of [0, 1, Number.NaN]) {
    const record = () =>
      runOn(device, { ...inputs(o), loss: new Float32Array(o.N) }, (c, t) =>
        divergenceForward(c, t.logits, t, t.loss, { ...o, divergence: { kind: 'jsd', beta } }),
      );
    assert.throws(record, /expected a beta between 0 \(forward_kl\) and 1 \(reverse_kl\), got/);
  }
});

test('the gradient may replace the logits, with the same bits', () => {
  using device = openDevice();
  for (const way of ways) {
    const o = { N: 7, V: 1033, K: 20, temperature: 1.5, ...way };
    const tensors = { ...inputs(o), loss: new Float32Array(o.N), dLogits: new Float32Array(o.N * o.V) };
    const apart = runOn(device, tensors, (c, t) => divergence(c, t.logits, t, t.weights, t.loss, t.dLogits, o));
    const inPlace = runOn(device, tensors, (c, t) => divergence(c, t.logits, t, t.weights, t.loss, t.logits, o));
    assertSameBits(
      { dLogits: inPlace.logits, loss: inPlace.loss },
      { dLogits: apart.dLogits, loss: apart.loss },
      'place',
    );
  }
});

test('a row has the same bits alone, among 7 and among 512, and the forward variant has the same loss', () => {
  using device = openDevice();
  const [V, K] = [103, 11];
  for (const way of ways) {
    const all = inputs({ N: 512, V, K });
    const run = (begin: number, end: number) => {
      const N = end - begin;
      const tensors = {
        logits: all.logits.slice(begin * V, end * V),
        ids: all.ids.slice(begin * K, end * K),
        logprobs: all.logprobs.slice(begin * K, end * K),
        weights: all.weights.slice(begin, end),
        loss: new Float32Array(N),
        forward: new Float32Array(N),
        dLogits: new Float32Array(N * V),
      };
      return runOn(device, tensors, (c, t) => {
        divergence(c, t.logits, t, t.weights, t.loss, t.dLogits, { N, V, K, temperature: 1, ...way });
        divergenceForward(c, t.logits, t, t.forward, { N, V, K, temperature: 1, ...way });
      });
    };
    const whole = run(0, 512);
    for (const [begin, end] of [
      [0, 1],
      [300, 301],
      [200, 207],
    ] as const) {
      const { loss, forward, dLogits } = run(begin, end);
      const same = { loss: whole.loss.slice(begin, end), dLogits: whole.dLogits.slice(begin * V, end * V) };
      assertSameBits({ loss, dLogits }, same, `rows ${begin}..${end}`);
      assertSameBits({ loss: forward }, { loss }, 'forward');
    }
  }
});

test('large logits, forbidden tokens and a teacher without doubts or without mass give numbers', () => {
  const logits = new Float32Array([
    ...[1e4, -1e4, 0, 5, -5],
    ...[1e4, -1e4, 0, 5, -5],
    ...[-1e4, -1e4, -1e4, 1e4, 1e4],
    ...[1, 2, 3, 4, 5],
    ...[-Infinity, 2, 1, -Infinity, -Infinity],
    ...[1, 2, 3, 4, 5],
  ]);
  const ids = new Int32Array([0, 1, 1, 2, 0, 1, 2, 4, 1, 2, -1, 7]);
  const [no, half] = [-Infinity, -Math.LN2];
  // Sure; sure of what the student excludes; sure, of nothing; nothing at all of two; less than all, of all there is; nobody.
  const logprobs = new Float32Array([0, no, 0, -1e4, 0, -20, no, no, half, half - 1, 0, 0]);
  const o = { N: 6, V: 5, K: 2 };
  for (const way of ways) {
    for (const temperature of [1, 0.5]) {
      const results = checkParity({
        name: `extreme logits ${JSON.stringify(way)}`,
        tensors: {
          ...{ logits, ids, logprobs, weights: new Float32Array([1, 0.5, 2, 1, 1, 1]) },
          ...{ loss: new Float32Array(o.N), dLogits: new Float32Array(o.N * o.V) },
        },
        native: (c, t) => divergence(c, t.logits, t, t.weights, t.loss, t.dLogits, { ...o, temperature, ...way }),
        twin: (a) => divergenceTwin(a.logits, a, a.weights, a.loss, a.dLogits, { ...o, temperature, ...way }),
        tolerance: 1e-6,
      });
      assert.ok(results.loss.every(Number.isFinite), `${JSON.stringify(way)}: ${results.loss}`);
      assert.ok(results.dLogits.every(Number.isFinite), `${JSON.stringify(way)}: ${results.dLogits}`);
      assert.equal(results.loss[5], 0, 'a row without a teacher');
      assert.ok(results.dLogits.subarray(25).every((x) => x === 0));
    }
  }
});

test('a NaN logit makes its own row NaN and no other', () => {
  using device = openDevice({ threads: 1 });
  const o = { N: 2, V: 40, K: 3, temperature: 1 };
  for (const way of ways) {
    const ids = new Int32Array([17, 2, 3, 17, 2, 3]);
    const tensors = { ...inputs(o), ids, loss: new Float32Array(2), dLogits: new Float32Array(80) };
    for (const token of way.rest === 'tail' ? [17, 18] : [17]) {
      const logits = tensors.logits.with(token, Number.NaN);
      const after = runOn(device, { ...tensors, logits }, (c, t) =>
        divergence(c, t.logits, t, t.weights, t.loss, t.dLogits, { ...o, ...way }),
      );
      // With `renormalize`, tokens that are not named have no gradient, whatever happens.
      const touched = way.rest === 'tail' ? after.dLogits.subarray(0, 40) : [2, 3, 17].map((v) => after.dLogits[v]);
      assert.ok(Number.isNaN(after.loss[0]) && touched.every(Number.isNaN));
      assert.ok(Number.isFinite(after.loss[1]) && after.dLogits.subarray(40).every(Number.isFinite));
    }
  }
});

test('a student that agrees has no loss and no gradient', () => {
  using device = openDevice();
  const [N, V, K] = [3, 301, 9];
  const { logits } = inputs({ N, V, K });
  const rows = Array.from({ length: N }, (_, n) => logSoftmax(logits.subarray(n * V, (n + 1) * V), 2));
  const ids = Int32Array.from({ length: N * K }, (_, i) => (i % K) * 7);
  const logprobs = Float32Array.from(ids, (v, i) => rows[Math.floor(i / K)]?.[v] as number);
  for (const way of ways) {
    const tensors = {
      ...{ logits, ids, logprobs, weights: new Float32Array([1, 1, 1]) },
      ...{ loss: new Float32Array(N), dLogits: new Float32Array(N * V) },
    };
    const { loss, dLogits } = runOn(device, tensors, (c, t) =>
      divergence(c, t.logits, t, t.weights, t.loss, t.dLogits, { N, V, K, temperature: 2, ...way }),
    );
    assert.ok([...loss, ...dLogits].every((x) => Math.abs(x) < 2e-6));
  }
});

test('a teacher that names one token and is sure of it is the cross-entropy', () => {
  const [N, V] = [4, 50];
  const { logits, weights } = inputs({ N, V, K: 1 });
  const teacher = { ids: Int32Array.from([3, 49, 0, 7]), logprobs: new Float32Array(N) };
  const [loss, dLogits] = [new Float64Array(N), new Float64Array(N * V)];
  const o: DivergenceOptions = { N, V, K: 1, divergence: { kind: 'forward_kl' }, rest: 'tail', temperature: 1 };
  divergenceTwin(Float64Array.from(logits), teacher, weights, loss, dLogits, o);
  loss.forEach((x, n) => {
    const q = logSoftmax(logits.subarray(n * V, (n + 1) * V), 1);
    const target = teacher.ids[n]!;
    assert.ok(Math.abs(x + q[target]!) < 1e-9);
    q.forEach((logQ, v) => {
      assert.ok(Math.abs(dLogits[n * V + v]! - weights[n]! * (Math.exp(logQ) - (v === target ? 1 : 0))) < 1e-9);
    });
  });
});

function logSoftmax(logits: Float32Array, T: number): number[] {
  const max = Math.max(...logits);
  const normalizer = max / T + Math.log(logits.reduce((sum, x) => sum + Math.exp((x - max) / T), 0));
  return Array.from(logits, (x) => x / T - normalizer);
}

/** A teacher's likeliest tokens but for some that are missing, and a student. */
function inputs({ N, V, K }: { N: number; V: number; K: number }) {
  const next = uniforms(N * 7919 + V * 31 + K);
  const teacherLogits = normals(N * V, V + 2).map((x) => 3 * x);
  const ids = new Int32Array(N * K);
  const logprobs = new Float32Array(N * K);
  for (let n = 0; n < N; n++) {
    const row = logSoftmax(teacherLogits.subarray(n * V, (n + 1) * V), 1);
    const best = Array.from(row.keys()).sort((a, b) => row[b]! - row[a]!);
    for (let k = 0; k < K; k++) {
      const isMissing = V > 1 && next() < 0.1;
      ids[n * K + k] = isMissing ? -1 : best[k]!;
      logprobs[n * K + k] = isMissing ? 1 : row[best[k]!]!;
    }
  }
  return { logits: normals(N * V, V).map((x) => 4 * x), ids, logprobs, weights: normals(N, V + 1) };
}
