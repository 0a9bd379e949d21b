import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDevice, supportedIsas } from './device.ts';
import { assertGradient, dot } from './gradient-check.ts';
import { assertSameBits, checkParity, normals, runOn, uniforms } from './parity.ts';
import { type RopeOptions, rope, ropeTable, ropeTwin } from './rope.ts';

const shapes = [
  { N: 1, H: 1, ropeDim: 2 },
  { N: 3, H: 2, ropeDim: 6 },
  { N: 17, H: 3, ropeDim: 34 },
  { N: 100, H: 1, ropeDim: 64 },
  { N: 33, H: 7, ropeDim: 128 },
];

function positionsOf(N: number, most: number): Int32Array {
  const next = uniforms(N);
  return Int32Array.from({ length: N }, () => Math.floor(next() * most));
}

test('rope equals its twin in both styles and directions, inside wider rows', () => {
  for (const { N, H, ropeDim } of shapes) {
    for (const style of ['interleaved', 'half'] as const) {
      for (const inverse of [false, true]) {
        const xHeadStride = ropeDim + 5;
        const yHeadStride = ropeDim + 2;
        const [xRowStride, yRowStride] = [H * xHeadStride + 3, H * yHeadStride];
        const o = { N, H, ropeDim, xRowStride, xHeadStride, yRowStride, yHeadStride, style, inverse };
        const { cos, sin } = ropeTable({ dim: ropeDim, theta: 10000, maxPositions: 300 });
        checkParity({
          name: `rope ${JSON.stringify(o)}`,
          tensors: {
            x: normals(N * xRowStride, 1),
            y: normals(N * yRowStride, 2),
            cos,
            sin,
            positions: positionsOf(N, 300),
          },
          native: (c, t) => rope(c, t.x, t.y, t.cos, t.sin, t.positions, o),
          twin: (a) => ropeTwin(a.x, a.y, a.cos, a.sin, a.positions, o),
          tolerance: 2e-7,
        });
      }
    }
  }
});

test('rope in place equals rope into another tensor, and the inverse undoes it', () => {
  using device = openDevice();
  const table = ropeTable({ dim: 32, theta: 10000, maxPositions: 64 });
  const x = normals(10 * 4 * 64, 1);
  for (const style of ['interleaved', 'half'] as const) {
    const strides = { xRowStride: 256, xHeadStride: 64, yRowStride: 256, yHeadStride: 64 };
    const o: RopeOptions = { N: 10, H: 4, ropeDim: 32, ...strides, style, inverse: false };
    const tensors = { x, y: x.slice(), back: x.slice(), ...table, positions: positionsOf(10, 64) };
    const { cos, sin, positions } = tensors;
    const after = runOn(device, { x, y: tensors.y, back: tensors.back, cos, sin, positions }, (c, t) => {
      rope(c, t.x, t.y, t.cos, t.sin, t.positions, o);
      rope(c, t.x, t.x, t.cos, t.sin, t.positions, o);
      rope(c, t.y, t.back, t.cos, t.sin, t.positions, { ...o, inverse: true });
    });
    assertSameBits({ x: after.x }, { x: after.y }, `${style} in place`);
    for (const [i, value] of after.back.entries()) assert.ok(Math.abs(value - x[i]!) < 1e-6, `${style}[${i}]`);
  }
});

test('rope keeps scores a function of the distance between positions', () => {
  const { cos, sin } = ropeTable({ dim: 16, theta: 10000, maxPositions: 2000 });
  const [q, k] = [normals(16, 1), normals(16, 2)];
  for (const style of ['interleaved', 'half'] as const) {
    const strides = { xRowStride: 16, xHeadStride: 16, yRowStride: 16, yHeadStride: 16 };
    const rotated = (x: Float32Array, position: number) => {
      const y = new Float64Array(16);
      ropeTwin(x, y, cos, sin, Int32Array.of(position), { N: 1, H: 1, ropeDim: 16, ...strides, style, inverse: false });
      return y;
    };
    const near = dot(rotated(q, 7), rotated(k, 2));
    const far = dot(rotated(q, 1507), rotated(k, 1502));
    assert.ok(Math.abs(near - far) < 1e-5, `${style}: ${near} and ${far}`);
  }
});

test('the inverse rotation is the gradient of the rotation', () => {
  const { cos, sin } = ropeTable({ dim: 6, theta: 100, maxPositions: 9 });
  const positions = Int32Array.of(0, 8, 3);
  const strides = { xRowStride: 12, xHeadStride: 6, yRowStride: 12, yHeadStride: 6 };
  const x = Float64Array.from(normals(36, 1));
  const dy = Float64Array.from(normals(36, 2));
  for (const style of ['interleaved', 'half'] as const) {
    const o = { N: 3, H: 2, ropeDim: 6, ...strides, style };
    const loss = (from: Float64Array) => {
      const y = new Float64Array(36);
      ropeTwin(from, y, cos, sin, positions, { ...o, inverse: false });
      return dot(y, dy);
    };
    const dx = new Float64Array(36);
    ropeTwin(dy, dx, cos, sin, positions, { ...o, inverse: true });
    assertGradient(loss, x, dx, `dx ${style}`);
  }
});

test('a position outside the table takes its nearest row instead of reading beyond it', () => {
  const { cos, sin } = ropeTable({ dim: 8, theta: 10000, maxPositions: 4 });
  const strides = { xRowStride: 8, xHeadStride: 8, yRowStride: 8, yHeadStride: 8 };
  const o = { N: 3, H: 1, ropeDim: 8, ...strides, style: 'half', inverse: false } as const;
  checkParity({
    name: 'rope outside the table',
    tensors: { x: normals(24, 1), y: new Float32Array(24), cos, sin, positions: Int32Array.of(-1, 4, 2 ** 30) },
    native: (c, t) => rope(c, t.x, t.y, t.cos, t.sin, t.positions, o),
    twin: (a) => ropeTwin(a.x, a.y, a.cos, a.sin, a.positions, o),
    tolerance: 2e-7,
  });
});

test('a row has the same bits alone, in a batch of 7 and in a batch of 512', () => {
  const { cos, sin } = ropeTable({ dim: 32, theta: 10000, maxPositions: 512 });
  const all = normals(512 * 32, 1);
  const positions = positionsOf(512, 512);
  for (const isa of supportedIsas()) {
    using device = openDevice({ isa, threads: 2 });
    const run = (first: number, N: number) => {
      const tensors = {
        x: all.slice(first * 32, (first + N) * 32),
        y: new Float32Array(N * 32),
        cos,
        sin,
        positions: positions.slice(first, first + N),
      };
      const strides = { xRowStride: 32, xHeadStride: 32, yRowStride: 32, yHeadStride: 32 };
      const o = { N, H: 1, ropeDim: 32, ...strides, style: 'interleaved', inverse: false } as const;
      return runOn(device, tensors, (c, t) => rope(c, t.x, t.y, t.cos, t.sin, t.positions, o)).y;
    };
    const whole = run(0, 512);
    for (const [first, N] of [
      [101, 1],
      [98, 7],
    ] as const) {
      assertSameBits({ y: run(first, N) }, { y: whole.slice(first * 32, (first + N) * 32) }, `${isa}: ${first}, ${N}`);
    }
  }
});

test('plain frequencies fall from 1 by powers of theta', () => {
  const { frequencies, attentionFactor, softmaxFactor } = ropeTable({ dim: 64, theta: 10000, maxPositions: 1 });
  assert.equal(frequencies[0], 1);
  assertNear(frequencies[16]!, 0.01);
  assertNear(frequencies[31]!, 10000 ** (-62 / 64));
  assert.deepEqual([attentionFactor, softmaxFactor], [1, 1]);
});

test('the table holds cosines and sines of position times frequency, far positions included', () => {
  const { cos, sin, frequencies } = ropeTable({ dim: 4, theta: 10000, maxPositions: 163_840 });
  for (const position of [0, 1, 4096, 163_839]) {
    for (const i of [0, 1]) {
      assert.equal(cos[position * 2 + i], Math.fround(Math.cos(position * frequencies[i]!)));
      assert.equal(sin[position * 2 + i], Math.fround(Math.sin(position * frequencies[i]!)));
    }
  }
});

test('linear scaling divides every frequency', () => {
  const plain = ropeTable({ dim: 8, theta: 10000, maxPositions: 1 }).frequencies;
  const scaled = ropeTable({
    dim: 8,
    theta: 10000,
    maxPositions: 1,
    scaling: { type: 'linear', factor: 4 },
  }).frequencies;
  for (const [i, frequency] of plain.entries()) assertNear(scaled[i]!, frequency / 4);
});

test("DeepSeek-V3's YaRN keeps ten frequencies, divides the last by 40 and sharpens the logits by 1.3689 squared", () => {
  const plain = ropeTable({ dim: 64, theta: 10000, maxPositions: 1 }).frequencies;
  const scaling = { type: 'yarn', factor: 40, originalMaxPositions: 4096, mscale: 1, mscaleAllDim: 1 } as const;
  const yarn = ropeTable({ dim: 64, theta: 10000, maxPositions: 2, scaling });
  // low = floor(64 ln(4096 / (32 * 2 pi)) / (2 ln 10000)) = floor(10.47), high = ceil(64 ln(4096 / (2 pi)) / ...) = 23.
  for (let i = 0; i < 32; i++) {
    const kept = 1 - Math.min(Math.max((i - 10) / (23 - 10), 0), 1);
    assertNear(yarn.frequencies[i]!, (plain[i]! / 40) * (1 - kept) + plain[i]! * kept);
  }
  assert.equal(yarn.frequencies[10], plain[10]);
  assertNear(yarn.frequencies[23]!, plain[23]! / 40);
  assert.equal(yarn.attentionFactor, 1);
  assertNear(yarn.softmaxFactor, (0.1 * Math.log(40) + 1) ** 2);
  assertNear(yarn.softmaxFactor, 1.8738, 1e-4);
});

test('YaRN without DeepSeek terms scales cosines and sines by 0.1 ln(factor) + 1', () => {
  const scaling = { type: 'yarn', factor: 4, originalMaxPositions: 32768 } as const;
  const table = ropeTable({ dim: 64, theta: 1e6, maxPositions: 1, scaling });
  assertNear(table.attentionFactor, 0.1 * Math.log(4) + 1);
  assert.equal(table.cos[0], Math.fround(0.1 * Math.log(4) + 1));
  assert.equal(table.softmaxFactor, 1);
  const given = ropeTable({ dim: 64, theta: 1e6, maxPositions: 1, scaling: { ...scaling, attentionFactor: 0.5 } });
  assert.equal(given.cos[0], 0.5);
});

test("Llama 3.1's scaling keeps short wavelengths, divides long ones by 8 and blends between", () => {
  const plain = ropeTable({ dim: 128, theta: 5e5, maxPositions: 1 }).frequencies;
  const factors = { factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalMaxPositions: 8192 };
  const scaled = ropeTable({
    dim: 128,
    theta: 5e5,
    maxPositions: 1,
    scaling: { type: 'llama3', ...factors },
  }).frequencies;
  plain.forEach((frequency, i) => {
    const wavelength = (2 * Math.PI) / frequency;
    const smooth = (8192 / wavelength - 1) / (4 - 1);
    const expected =
      wavelength < 8192 / 4
        ? frequency
        : wavelength > 8192
          ? frequency / 8
          : ((1 - smooth) * frequency) / 8 + smooth * frequency;
    assertNear(scaled[i]!, expected);
  });
});

test('an odd number of rotated elements is refused', () => {
  assert.throws(() => ropeTable({ dim: 7, theta: 10000, maxPositions: 1 }), /expected an even number .* got 7/);
});

function assertNear(actual: number, expected: number, tolerance = 1e-12): void {
  assert.ok(Math.abs(actual - expected) <= tolerance * Math.abs(expected), `expected ${expected}, got ${actual}`);
}
