import { test } from 'node:test';
import { openDevice, supportedIsas } from './device.ts';
import { assertGradient, dot } from './gradient-check.ts';
import { assertSameBits, checkParity, normals, runOn } from './parity.ts';
import { clampedSwiglu, clampedSwigluTwin, swiglu, swigluBackward, swigluBackwardTwin, swigluTwin } from './swiglu.ts';

const shapes = [
  { N: 1, F: 1 },
  { N: 3, F: 7 },
  { N: 17, F: 33 },
  { N: 100, F: 100 },
  { N: 1, F: 1000 },
  { N: 7, F: 257 },
];

test('swiglu and its gradient equal their twins', () => {
  for (const { N, F } of shapes) {
    checkParity({
      name: `swiglu ${N} x ${F}`,
      tensors: { gateUp: normals(N * 2 * F, 1), y: new Float32Array(N * F) },
      native: (c, t) => swiglu(c, t.gateUp, t.y, { N, F }),
      twin: (a) => swigluTwin(a.gateUp, a.y, { N, F }),
      tolerance: 5e-7,
    });
    checkParity({
      name: `swigluBackward ${N} x ${F}`,
      tensors: { gateUp: normals(N * 2 * F, 1), dy: normals(N * F, 2), dGateUp: new Float32Array(N * 2 * F) },
      native: (c, t) => swigluBackward(c, t.gateUp, t.dy, t.dGateUp, { N, F }),
      twin: (a) => swigluBackwardTwin(a.gateUp, a.dy, a.dGateUp, { N, F }),
      tolerance: 5e-7,
    });
  }
});

test('clampedSwiglu equals its twin, with limits that bind on few values and on most', () => {
  for (const { N, F } of shapes) {
    for (const limit of [0.1, 1, 10]) {
      checkParity({
        name: `clampedSwiglu ${N} x ${F}, ${limit}`,
        tensors: { gateUp: normals(N * 2 * F, 1).map((x) => 2 * x), y: new Float32Array(N * F) },
        native: (c, t) => clampedSwiglu(c, t.gateUp, t.y, { N, F, limit }),
        twin: (a) => clampedSwigluTwin(a.gateUp, a.y, { N, F, limit }),
        tolerance: 5e-7,
      });
    }
  }
});

test('swiglu stays finite for gates of any size', () => {
  const gates = [-1e4, -200, -104, -88, -1e-30, 0, 1e-30, 88, 104, 1e4];
  checkParity({
    name: 'swiglu of large gates',
    tensors: { gateUp: Float32Array.from([...gates, ...gates.map(() => 1)]), y: new Float32Array(gates.length) },
    native: (c, t) => swiglu(c, t.gateUp, t.y, { N: 1, F: gates.length }),
    twin: (a) => swigluTwin(a.gateUp, a.y, { N: 1, F: gates.length }),
    tolerance: 1e-6,
  });
});

test("swiglu's gradient may be written over its input", () => {
  const o = { N: 5, F: 40 };
  checkParity({
    name: 'swigluBackward in place',
    tensors: { gateUp: normals(400, 1), dy: normals(200, 2) },
    native: (c, t) => swigluBackward(c, t.gateUp, t.dy, t.gateUp, o),
    twin: (a) => swigluBackwardTwin(a.gateUp, a.dy, a.gateUp, o),
    tolerance: 5e-7,
  });
});

test("swiglu's gradient agrees with finite differences", () => {
  const o = { N: 2, F: 3 };
  const gateUp = Float64Array.from(normals(12, 1));
  const dy = Float64Array.from(normals(6, 2));
  const gradient = new Float64Array(12);
  swigluBackwardTwin(gateUp, dy, gradient, o);
  const loss = (x: Float64Array) => {
    const y = new Float64Array(6);
    swigluTwin(x, y, o);
    return dot(y, dy);
  };
  assertGradient(loss, gateUp, gradient, 'dGateUp');
});

test('a row has the same bits alone, in a batch of 7 and in a batch of 512', () => {
  const F = 100;
  const all = normals(512 * 2 * F, 1);
  for (const isa of supportedIsas()) {
    using device = openDevice({ isa, threads: 2 });
    const run = (first: number, N: number) => {
      const gateUp = all.slice(first * 2 * F, (first + N) * 2 * F);
      const { y } = runOn(device, { gateUp, y: new Float32Array(N * F) }, (c, t) => swiglu(c, t.gateUp, t.y, { N, F }));
      return y;
    };
    const whole = run(0, 512);
    for (const [first, N] of [
      [101, 1],
      [98, 7],
    ] as const) {
      assertSameBits(
        { y: run(first, N) },
        { y: whole.slice(first * F, (first + N) * F) },
        `${isa}: ${first}.. of ${N}`,
      );
    }
  }
});
