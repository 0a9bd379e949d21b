import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { openDevice } from './device.ts';
import {
  add,
  addTwin,
  axpy,
  axpyTwin,
  copyColumns,
  copyColumnsTwin,
  fill,
  fillTwin,
  fromBf16,
  fromBf16Twin,
  scale,
  scaleTwin,
  sum,
  sumSquares,
  sumSquaresTwin,
  sumTwin,
  toBf16,
  toBf16Twin,
} from './elementwise.ts';
import { assertSameBits, checkParity, normals, runOn } from './parity.ts';

const lengths = [1, 3, 7, 17, 33, 100, 257, 4099];

test('fill sets every element and nothing around them', () => {
  for (const n of lengths) {
    checkParity({
      name: `fill ${n}`,
      tensors: { x: normals(n, n) },
      native: (c, t) => fill(c, t.x, 1.5),
      twin: (a) => fillTwin(a.x, 1.5),
      tolerance: 0,
    });
  }
});

test('add and scale round once, and may write over an input', () => {
  for (const n of lengths) {
    checkParity({
      name: `add ${n}`,
      tensors: { a: normals(n, 1), b: normals(n, 2), y: new Float32Array(n) },
      native: (c, t) => {
        add(c, t.a, t.b, t.y);
        add(c, t.a, t.y, t.a);
      },
      twin: (a) => {
        addTwin(a.a, a.b, a.y);
        addTwin(a.a, a.y, a.a);
      },
      tolerance: 0,
    });
    checkParity({
      name: `scale ${n}`,
      tensors: { x: normals(n, 3), y: new Float32Array(n) },
      native: (c, t) => {
        scale(c, t.x, t.y, -0.375);
        scale(c, t.x, t.x, 3);
      },
      twin: (a) => {
        scaleTwin(a.x, a.y, -0.375);
        scaleTwin(a.x, a.x, 3);
      },
      tolerance: 0,
    });
  }
});

test('axpy equals its twin', () => {
  for (const n of lengths) {
    checkParity({
      name: `axpy ${n}`,
      tensors: { x: normals(n, 4), y: normals(n, 5) },
      native: (c, t) => axpy(c, 0.7, t.x, t.y),
      twin: (a) => axpyTwin(0.7, a.x, a.y),
      tolerance: 1e-6,
    });
  }
});

test('copyColumns copies or adds a block of columns and leaves the others alone', () => {
  for (const [rows, cols, srcStride, dstStride] of [
    [1, 1, 1, 1],
    [3, 17, 20, 17],
    [7, 33, 33, 40],
    [5, 100, 100, 100],
    [2, 2050, 2051, 2052],
    [0, 8, 8, 8],
    [7, 33, 0, 33],
    [3, 2050, 0, 2052],
  ] as const) {
    for (const accumulate of [false, true]) {
      const o = { rows, cols, srcStride, dstStride, accumulate };
      checkParity({
        name: `copyColumns ${JSON.stringify(o)}`,
        tensors: { src: normals(srcStride === 0 ? cols : rows * srcStride, 6), dst: normals(rows * dstStride, 7) },
        native: (c, t) => copyColumns(c, t.src, t.dst, o),
        twin: (a) => copyColumnsTwin(a.src, a.dst, o),
        tolerance: 0,
      });
    }
  }
});

test('copyColumns refuses rows that would overlap', () => {
  using device = openDevice({ threads: 1 });
  const x = { handle: device.memory.allocate(64), offset: 0, length: 16 };
  assert.throws(
    () => copyColumns(device.commands, x, x, { rows: 2, cols: 4, srcStride: 4, dstStride: 3 }),
    /copyColumns: expected strides of at least 4, got 4 and 3/,
  );
});

test('sum and sumSquares equal the float64 sum rounded once', () => {
  for (const n of [...lengths, 4096, 8192, 100_003]) {
    checkParity({
      name: `sum ${n}`,
      tensors: { x: normals(n, n), total: new Float32Array(1), squares: new Float32Array(1) },
      native: (c, t) => {
        sum(c, t.x, t.total);
        sumSquares(c, t.x, t.squares);
      },
      twin: (a) => {
        sumTwin(a.x, a.total);
        sumSquaresTwin(a.x, a.squares);
      },
      // One unit in the last place: float64 sums in another order may fall on the other side of a rounding boundary.
      tolerance: 2 ** -23,
    });
  }
});

test('sum of large numbers that cancel keeps the small one', () => {
  using device = openDevice({ threads: 2 });
  const x = new Float32Array(10_000).fill(1e7, 0, 5000).fill(-1e7, 5000);
  x[9_999] = -1e7 + 1;
  const { total } = runOn(device, { x, total: new Float32Array(1) }, (c, t) => sum(c, t.x, t.total));
  assert.equal(total[0], 1);
});

test('toBf16 rounds to nearest even, subnormals, infinities and NaN included', () => {
  using device = openDevice({ threads: 2 });
  const convert = (x: Float32Array) =>
    runOn(device, { x, y: new Uint16Array(x.length) }, (c, t) => toBf16(c, t.x, t.y)).y;
  const anyBits = fc.oneof(
    fc.integer({ min: 0, max: 0xffffffff }),
    // Half-way between two bfloat16 numbers, just below and just above, for any upper half.
    fc
      .tuple(fc.integer({ min: 0, max: 0xffff }), fc.constantFrom(0x7fff, 0x8000, 0x8001))
      .map(([high, low]) => high * 65536 + low),
    fc.integer({ min: 0x7f7f0000, max: 0x7fffffff }),
    fc.integer({ min: 0, max: 0x007fffff }),
  );
  fc.assert(
    fc.property(fc.array(anyBits, { minLength: 1, maxLength: 40 }), (patterns) => {
      const x = new Float32Array(Uint32Array.from(patterns).buffer);
      const y = convert(x);
      assert.deepEqual(Array.from(y), Array.from(x, nearestBf16), patterns.map((p) => p.toString(16)).join(' '));
    }),
    { numRuns: 300 },
  );
});

test('bfloat16 conversions equal their twins on every instruction set, and fromBf16 is exact', () => {
  for (const n of lengths) {
    checkParity({
      name: `bf16 ${n}`,
      tensors: { x: normals(n, n), y: new Uint16Array(n), back: new Float32Array(n) },
      native: (c, t) => {
        toBf16(c, t.x, t.y);
        fromBf16(c, t.y, t.back);
      },
      twin: (a) => {
        toBf16Twin(a.x, a.y);
        fromBf16Twin(a.y, a.back);
      },
      tolerance: 0,
    });
  }
  const special = new Float32Array([Number.NaN, Infinity, -Infinity, -0, 1e-40, -1e-45, 3.4e38, 0]);
  checkParity({
    name: 'bf16 special values',
    tensors: { x: special, y: new Uint16Array(8) },
    native: (c, t) => toBf16(c, t.x, t.y),
    twin: (a) => toBf16Twin(a.x, a.y),
    tolerance: 0,
  });
});

test('an element has the same bits wherever it lies in the tensor', () => {
  using device = openDevice();
  const n = 512;
  const whole = { x: normals(n, 8), y: normals(n, 9) };
  const all = runOn(device, whole, (c, t) => axpy(c, 0.3, t.x, t.y));
  for (const [begin, end] of [
    [0, 7],
    [100, 101],
    [500, 512],
  ] as const) {
    const part = { x: whole.x.slice(begin, end), y: whole.y.slice(begin, end) };
    const alone = runOn(device, part, (c, t) => axpy(c, 0.3, t.x, t.y));
    assertSameBits(alone, { x: all.x.slice(begin, end), y: all.y.slice(begin, end) }, `${begin}..${end}`);
  }
});

/** By definition instead of by bits: the nearer neighbour of x among bfloat16 numbers, the even one of two. */
function nearestBf16(x: number): number {
  const value = (pattern: number) => new Float32Array(Uint32Array.of(pattern << 16).buffer)[0]!;
  const patternOf = new Uint32Array(Float32Array.of(x).buffer)[0]!;
  const below = patternOf >>> 16;
  if (Number.isNaN(x)) return below | 0x40;
  if (!Number.isFinite(x)) return below;
  // The successor of the largest finite number counts as 2^128.
  const magnitude = (pattern: number) => ((pattern & 0x7fff) === 0x7f80 ? 2 ** 128 : Math.abs(value(pattern)));
  const [down, up] = [Math.abs(x) - magnitude(below), magnitude(below + 1) - Math.abs(x)];
  if (down !== up) return down < up ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}
