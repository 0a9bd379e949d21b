import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDevice, supportedIsas } from './device.ts';
import { assertGradient, dot } from './gradient-check.ts';
import { assertSameBits, checkParity, normals, runOn } from './parity.ts';
import { softmax, softmaxBackward, softmaxBackwardTwin, softmaxTwin } from './softmax.ts';

const shapes = [
  { rows: 1, cols: 1 },
  { rows: 3, cols: 7 },
  { rows: 17, cols: 33 },
  { rows: 100, cols: 100 },
  { rows: 7, cols: 257 },
];

test('softmax and its gradient equal their twins', () => {
  for (const { rows, cols } of shapes) {
    const n = rows * cols;
    checkParity({
      name: `softmax ${rows} x ${cols}`,
      tensors: { x: normals(n, 1).map((v) => 10 * v), y: new Float32Array(n) },
      native: (c, t) => softmax(c, t.x, t.y, { rows, cols }),
      twin: (a) => softmaxTwin(a.x, a.y, { rows, cols }),
      tolerance: 5e-7,
    });
    checkParity({
      name: `softmaxBackward ${rows} x ${cols}`,
      tensors: { y: normals(n, 1), dy: normals(n, 2), dx: new Float32Array(n) },
      native: (c, t) => softmaxBackward(c, t.y, t.dy, t.dx, { rows, cols }),
      twin: (a) => softmaxBackwardTwin(a.y, a.dy, a.dx, { rows, cols }),
      tolerance: 2e-6,
    });
  }
});

test('softmax survives huge and hidden scores, and may write over its input', () => {
  const x = Float32Array.from([1e30, -1e30, 1e30, -Infinity, -200, -Infinity, -201, -Infinity]);
  const { x: y } = checkParity({
    name: 'softmax of extremes',
    tensors: { x },
    native: (c, t) => softmax(c, t.x, t.x, { rows: 2, cols: 4 }),
    twin: (a) => softmaxTwin(a.x, a.x, { rows: 2, cols: 4 }),
    tolerance: 1e-6,
  });
  assert.deepEqual([...y.subarray(0, 4)], [0.5, 0, 0.5, 0]);
  assert.equal(y[5], 0);
});

test("softmax's gradient agrees with finite differences", () => {
  const o = { rows: 2, cols: 4 };
  const x = Float64Array.from(normals(8, 1));
  const dy = Float64Array.from(normals(8, 2));
  const forward = (from: Float64Array) => {
    const y = new Float64Array(8);
    softmaxTwin(from, y, o);
    return y;
  };
  const dx = new Float64Array(8);
  softmaxBackwardTwin(forward(x), dy, dx, o);
  assertGradient((changed) => dot(forward(changed), dy), x, dx, 'dx');
});

test('a row has the same bits alone, in a batch of 7 and in a batch of 512', () => {
  const cols = 100;
  const all = normals(512 * cols, 1);
  for (const isa of supportedIsas()) {
    using device = openDevice({ isa, threads: 2 });
    const run = (first: number, rows: number) => {
      const x = all.slice(first * cols, (first + rows) * cols);
      return runOn(device, { x, y: new Float32Array(rows * cols) }, (c, t) => softmax(c, t.x, t.y, { rows, cols })).y;
    };
    const whole = run(0, 512);
    for (const [first, rows] of [
      [101, 1],
      [98, 7],
    ] as const) {
      const expected = whole.slice(first * cols, (first + rows) * cols);
      assertSameBits({ y: run(first, rows) }, { y: expected }, `${isa}: rows ${first}.. of ${rows}`);
    }
  }
});
