import { test } from 'node:test';
import { openDevice, supportedIsas } from './device.ts';
import { assertGradient, dot } from './gradient-check.ts';
import { layerNorm, layerNormTwin, rmsNorm, rmsNormBackward, rmsNormBackwardTwin, rmsNormTwin } from './norm.ts';
import { assertSameBits, checkParity, normals, runOn } from './parity.ts';

const shapes = [
  { N: 1, D: 1 },
  { N: 3, D: 7 },
  { N: 7, D: 17 },
  { N: 33, D: 33 },
  { N: 100, D: 257 },
  { N: 257, D: 100 },
  { N: 3, D: 1024 },
];

test('rmsNorm equals its twin, in rows that are part of wider ones', () => {
  for (const { N, D } of shapes) {
    for (const gap of [0, 5]) {
      const o = { N, D, xStride: D + gap, yStride: D + 2 * gap, eps: 1e-6 };
      checkParity({
        name: `rmsNorm ${JSON.stringify(o)}`,
        tensors: { x: normals(N * o.xStride, 1), w: normals(D, 2), y: normals(N * o.yStride, 3) },
        native: (c, t) => rmsNorm(c, t.x, t.w, t.y, o),
        twin: (a) => rmsNormTwin(a.x, a.w, a.y, o),
        tolerance: 1e-6,
      });
    }
  }
});

test('rmsNorm may write over its input', () => {
  const o = { N: 9, D: 50, xStride: 50, yStride: 50, eps: 1e-6 };
  checkParity({
    name: 'rmsNorm in place',
    tensors: { x: normals(450, 1), w: normals(50, 2) },
    native: (c, t) => rmsNorm(c, t.x, t.w, t.x, o),
    twin: (a) => rmsNormTwin(a.x, a.w, a.x, o),
    tolerance: 1e-6,
  });
});

test('rmsNorm keeps rows of zeros at zero and scales tiny ones by eps', () => {
  const x = new Float32Array(64).fill(1e-8, 32);
  const o = { N: 2, D: 32, xStride: 32, yStride: 32, eps: 1e-6 };
  checkParity({
    name: 'rmsNorm of zeros',
    tensors: { x, w: normals(32, 2), y: new Float32Array(64) },
    native: (c, t) => rmsNorm(c, t.x, t.w, t.y, o),
    twin: (a) => rmsNormTwin(a.x, a.w, a.y, o),
    tolerance: 1e-6,
  });
});

test('layerNorm equals its twin, also of rows far from zero and over its input', () => {
  for (const { N, D } of shapes) {
    for (const offset of [0, 100]) {
      const o = { N, D, eps: 1e-6 };
      checkParity({
        name: `layerNorm ${JSON.stringify(o)} ${offset}`,
        tensors: { x: normals(N * D, 1).map((x) => x + offset), w: normals(D, 2), b: normals(D, 3) },
        native: (c, t) => layerNorm(c, t.x, t.w, t.b, t.x, o),
        twin: (a) => layerNormTwin(a.x, a.w, a.b, a.x, o),
        // The mean's own rounding is a share of the offset, and a row of one is nothing but that.
        tolerance: offset === 0 ? 1e-6 : 3e-4,
      });
    }
  }
});

test('rmsNormBackward equals its twin, adds to dw, and adds to dx where asked', () => {
  for (const { N, D } of [...shapes, { N: 9000, D: 5 }]) {
    for (const accumulateDx of [false, true]) {
      const o = { N, D, xStride: D, dyStride: D + 3, dxStride: D + 1, eps: 1e-6, accumulateDx };
      checkParity({
        name: `rmsNormBackward ${JSON.stringify(o)}`,
        tensors: {
          x: normals(N * D, 1),
          w: normals(D, 2),
          dy: normals(N * o.dyStride, 3),
          dx: normals(N * o.dxStride, 4),
          dw: normals(D, 5),
        },
        native: (c, t) => rmsNormBackward(c, t.x, t.w, t.dy, t.dx, t.dw, o),
        twin: (a) => rmsNormBackwardTwin(a.x, a.w, a.dy, a.dx, a.dw, o),
        tolerance: 3e-6,
      });
    }
  }
});

test("rmsNorm's gradient agrees with finite differences", () => {
  const o = { N: 3, D: 5, eps: 1e-3, xStride: 6, yStride: 5, dyStride: 5, dxStride: 6 };
  const [x, w, dy] = [normals(18, 1), normals(5, 2), normals(15, 3)].map((v) => Float64Array.from(v)) as Inputs;
  const loss = (x: Float64Array, w: Float64Array) => {
    const y = new Float64Array(15);
    rmsNormTwin(x, w, y, o);
    return dot(y, dy);
  };
  const [dx, dw] = [new Float64Array(18), new Float64Array(5)];
  rmsNormBackwardTwin(x, w, dy, dx, dw, o);
  assertGradient((changed) => loss(changed, w), x, dx, 'dx');
  assertGradient((changed) => loss(x, changed), w, dw, 'dw');
});

test('a row has the same bits alone, in a batch of 7 and in a batch of 512', () => {
  const D = 100;
  const all = { x: normals(512 * D, 1), w: normals(D, 2), dy: normals(512 * D, 3) };
  for (const isa of supportedIsas()) {
    using device = openDevice({ isa, threads: 2 });
    const run = (first: number, N: number) => {
      const rows = (a: Float32Array) => a.slice(first * D, (first + N) * D);
      const rowsOut = () => new Float32Array(N * D);
      const empty = { y: rowsOut(), centered: rowsOut(), dx: rowsOut(), dw: new Float32Array(D) };
      const { y, centered, dx } = runOn(device, { x: rows(all.x), w: all.w, dy: rows(all.dy), ...empty }, (c, t) => {
        rmsNorm(c, t.x, t.w, t.y, { N, D, eps: 1e-6 });
        layerNorm(c, t.x, t.w, t.w, t.centered, { N, D, eps: 1e-6 });
        rmsNormBackward(c, t.x, t.w, t.dy, t.dx, t.dw, { N, D, eps: 1e-6 });
      });
      return { y, centered, dx };
    };
    const whole = run(0, 512);
    for (const [first, N] of [
      [101, 1],
      [98, 7],
    ] as const) {
      const cut = (a: Float32Array) => a.slice(first * D, (first + N) * D);
      const expected = { y: cut(whole.y), centered: cut(whole.centered), dx: cut(whole.dx) };
      assertSameBits(run(first, N), expected, `${isa}: rows ${first}.. of ${N}`);
    }
  }
});

type Inputs = [Float64Array, Float64Array, Float64Array];
