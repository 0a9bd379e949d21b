import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crossEntropy, crossEntropyForward, crossEntropyForwardTwin, crossEntropyTwin } from './cross-entropy.ts';
import { openDevice } from './device.ts';
import { assertGradient, dot } from './gradient-check.ts';
import { assertSameBits, checkParity, normals, runOn, uniforms } from './parity.ts';

const sizes = [
  { N: 1, V: 1 },
  { N: 3, V: 7 },
  { N: 7, V: 17 },
  { N: 17, V: 33 },
  { N: 33, V: 100 },
  { N: 5, V: 257 },
  { N: 3, V: 3072 },
  { N: 2, V: 5003 },
];

test('loss and gradient equal their twins, ignored targets included', () => {
  for (const o of sizes) {
    checkParity({
      name: `crossEntropy ${JSON.stringify(o)}`,
      tensors: { ...inputs(o), loss: normals(o.N, 9), forward: normals(o.N, 10), dLogits: normals(o.N * o.V, 11) },
      native: (c, t) => {
        crossEntropy(c, t.logits, t.targets, t.weights, t.loss, t.dLogits, o);
        crossEntropyForward(c, t.logits, t.targets, t.forward, o);
      },
      twin: (a) => {
        crossEntropyTwin(a.logits, a.targets, a.weights, a.loss, a.dLogits, o);
        crossEntropyForwardTwin(a.logits, a.targets, a.forward, o);
      },
      tolerance: 1e-6,
    });
  }
});

test('the gradient may replace the logits, with the same bits', () => {
  using device = openDevice();
  const o = { N: 7, V: 1033 };
  const tensors = { ...inputs(o), loss: new Float32Array(o.N), dLogits: new Float32Array(o.N * o.V) };
  const apart = runOn(device, tensors, (c, t) => crossEntropy(c, t.logits, t.targets, t.weights, t.loss, t.dLogits, o));
  const inPlace = runOn(device, tensors, (c, t) =>
    crossEntropy(c, t.logits, t.targets, t.weights, t.loss, t.logits, o),
  );
  assertSameBits(
    { dLogits: inPlace.logits, loss: inPlace.loss },
    { dLogits: apart.dLogits, loss: apart.loss },
    'place',
  );
});

test('a row has the same bits alone, among 7 and among 512, and the forward variant has the same loss', () => {
  using device = openDevice();
  const V = 103;
  const all = inputs({ N: 512, V });
  const run = (begin: number, end: number) => {
    const N = end - begin;
    const tensors = {
      logits: all.logits.slice(begin * V, end * V),
      targets: all.targets.slice(begin, end),
      weights: all.weights.slice(begin, end),
      loss: new Float32Array(N),
      forward: new Float32Array(N),
      dLogits: new Float32Array(N * V),
    };
    return runOn(device, tensors, (c, t) => {
      crossEntropy(c, t.logits, t.targets, t.weights, t.loss, t.dLogits, { N, V });
      crossEntropyForward(c, t.logits, t.targets, t.forward, { N, V });
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
});

test('large logits, forbidden tokens and a certain answer stay finite', () => {
  const o = { N: 3, V: 5 };
  const logits = new Float32Array([
    ...[1e4, -1e4, 0, 3e38, -3e38],
    ...[-Infinity, 2, -Infinity, 1, 0],
    ...[200, 0, 0, 0, 0],
  ]);
  const results = checkParity({
    name: 'extreme logits',
    tensors: {
      logits,
      targets: new Int32Array([3, 4, 0]),
      weights: new Float32Array([1, 0.5, 2]),
      loss: new Float32Array(3),
      dLogits: new Float32Array(15),
    },
    native: (c, t) => crossEntropy(c, t.logits, t.targets, t.weights, t.loss, t.dLogits, o),
    twin: (a) => crossEntropyTwin(a.logits, a.targets, a.weights, a.loss, a.dLogits, o),
    tolerance: 1e-6,
  });
  assert.ok(results.dLogits.every(Number.isFinite));
});

test('a NaN logit makes its own row NaN and no other', () => {
  using device = openDevice({ threads: 1 });
  const o = { N: 2, V: 40 };
  const tensors = {
    ...inputs(o),
    targets: new Int32Array([1, 1]),
    loss: new Float32Array(2),
    dLogits: new Float32Array(80),
  };
  tensors.logits[17] = Number.NaN;
  const after = runOn(device, tensors, (c, t) => crossEntropy(c, t.logits, t.targets, t.weights, t.loss, t.dLogits, o));
  assert.ok(Number.isNaN(after.loss[0]) && after.dLogits.subarray(0, 40).every(Number.isNaN));
  assert.ok(Number.isFinite(after.loss[1]) && after.dLogits.subarray(40).every(Number.isFinite));
});

test('the gradient is that of finite differences of the weighted loss', () => {
  const o = { N: 6, V: 5 };
  const { logits, targets, weights } = inputs(o);
  const gradient = new Float64Array(o.N * o.V);
  const scratch = new Float64Array(o.N);
  crossEntropyTwin(Float64Array.from(logits), targets, weights, scratch, gradient, o);
  const loss = (x: Float64Array) => {
    const perRow = new Float64Array(o.N);
    crossEntropyForwardTwin(x, targets, perRow, o);
    return dot(perRow, weights);
  };
  assertGradient(loss, Float64Array.from(logits), gradient, 'dLogits');
});

function inputs({ N, V }: { N: number; V: number }) {
  const next = uniforms(N * 7919 + V);
  return {
    logits: normals(N * V, V).map((x) => 4 * x),
    targets: Int32Array.from({ length: N }, () => Math.floor(next() * (V + 2)) - 1),
    weights: normals(N, V + 1),
  };
}
