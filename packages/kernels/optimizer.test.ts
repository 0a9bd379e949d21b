import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDevice } from './device.ts';
import { adamw, adamwTwin } from './optimizer.ts';
import { assertClose, assertSameBits, checkParity, normals, runOn } from './parity.ts';

const options = { lr: 3e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, gradScale: 0.25 };

test('adamw equals its twin on the first step and on later ones', () => {
  for (const n of [1, 3, 7, 17, 33, 100, 257, 5003]) {
    for (const step of [1, 2, 1000]) {
      checkParity({
        name: `adamw ${n}, step ${step}`,
        tensors: state(n),
        native: (c, t) => adamw(c, t.p, t.g, t.m, t.v, { ...options, n, step }),
        twin: (a) => adamwTwin(a.p, a.g, a.m, a.v, { ...options, n, step }),
        tolerance: 1e-6,
      });
    }
  }
});

test('the first step moves a parameter by lr against the sign of its gradient, whatever the size', () => {
  using device = openDevice({ threads: 1 });
  const g = new Float32Array([1e-3, -5, 300]);
  const tensors = { p: new Float32Array(3), g, m: new Float32Array(3), v: new Float32Array(3) };
  const { p } = runOn(device, tensors, (c, t) => adamw(c, t.p, t.g, t.m, t.v, { ...options, n: 3, step: 1 }));
  const expected = g.map((x) => -Math.sign(x) * options.lr);
  // eps shows in the smallest gradient: 1e-8 beside 0.25e-3.
  assertClose(p, expected, 5e-5, 'p');
});

test('without a gradient a parameter only decays, and by lr * weightDecay of itself', () => {
  using device = openDevice({ threads: 1 });
  const zeros = () => new Float32Array(5);
  const p = new Float32Array([1, -2, 0, 1e-3, 50]);
  const tensors = { p, g: zeros(), m: zeros(), v: zeros() };
  const after = runOn(device, tensors, (c, t) => adamw(c, t.p, t.g, t.m, t.v, { ...options, n: 5, step: 3 }));
  const decay = Math.fround(1 - options.lr * options.weightDecay);
  assertSameBits({ p: after.p }, { p: p.map((x) => x * decay) }, 'decay');
});

test('moments without a gradient die out before they are denormal', () => {
  const moment = new Float32Array([2 ** -120, -(2 ** -120), 2 ** -119, 2 ** -126, 1]);
  const { m, v } = checkParity({
    name: 'vanishing moments',
    tensors: { p: new Float32Array(5), g: new Float32Array(5), m: moment, v: moment.map(Math.abs) },
    native: (c, t) => adamw(c, t.p, t.g, t.m, t.v, { ...options, n: 5, step: 9 }),
    twin: (a) => adamwTwin(a.p, a.g, a.m, a.v, { ...options, n: 5, step: 9 }),
    tolerance: 1e-6,
  });
  assert.deepEqual([...m, ...v].map(Math.sign), [0, 0, 1, 0, 1, 0, 0, 1, 0, 1]);
});

test('a parameter has the same bits wherever it lies in the tensor', () => {
  using device = openDevice();
  const n = 512;
  const step = (tensors: ReturnType<typeof state>) =>
    runOn(device, tensors, (c, t) => adamw(c, t.p, t.g, t.m, t.v, { ...options, n: tensors.p.length, step: 5 }));
  const all = step(state(n));
  for (const [begin, end] of [
    [0, 7],
    [100, 101],
    [499, 512],
  ] as const) {
    const part = (x: ReturnType<typeof state>) => ({
      p: x.p.slice(begin, end),
      g: x.g.slice(begin, end),
      m: x.m.slice(begin, end),
      v: x.v.slice(begin, end),
    });
    assertSameBits(step(part(state(n))), part(all), `${begin}..${end}`);
  }
});

function state(n: number) {
  return { p: normals(n, 1), g: normals(n, 2), m: normals(n, 3), v: normals(n, 4).map((x) => x * x) };
}
