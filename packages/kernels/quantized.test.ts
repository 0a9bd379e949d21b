import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDevice, supportedIsas } from './device.ts';
import { assertSameBits, checkParity, normals, runOn, uniforms } from './parity.ts';
import {
  dequantize,
  groupedMatmulQuantized,
  groupedMatmulQuantizedTwin,
  matmulQuantized,
  matmulQuantizedTwin,
  type QuantizedDtype,
  quantizedBytes,
  quantizeWeights,
  quantizeWeightsTwin,
} from './quantized.ts';
import { swiglu } from './swiglu.ts';

const dtypes = ['int8', 'int4'] as const;
const sizes = [1, 3, 7, 17, 33, 100, 257];

test('weights become the bytes that the twin defines, from float32 and from bfloat16, at every size', () => {
  for (const dtype of dtypes) {
    for (const [i, N] of sizes.entries()) {
      const K = sizes[(i * 3 + 2) % sizes.length]!;
      for (const ldw of [K, K + 5]) {
        for (const sourceDtype of ['f32', 'bf16'] as const) {
          const floats = normals((N - 1) * ldw + K, N + K);
          checkParity({
            name: `quantizeWeights ${JSON.stringify({ N, K, ldw, dtype, sourceDtype })}`,
            tensors: {
              W: sourceDtype === 'f32' ? floats : upperHalves(floats),
              packed: new Int32Array(quantizedBytes(N, K, dtype) / 4),
            },
            native: (c, t) => quantizeWeights(c, t.W, t.packed, { N, K, ldw, dtype, sourceDtype }),
            twin: (a) => quantizeWeightsTwin(a.W as Float32Array, a.packed, { N, K, ldw, dtype, sourceDtype }),
            tolerance: 0,
          });
        }
      }
    }
  }
});

test('products equal the twin in bits on every instruction set, for a few rows and for many', () => {
  for (const dtype of dtypes) {
    for (const [i, M] of [1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 17, 25, 33, 100, 257].entries()) {
      const N = sizes[(i + 3) % sizes.length]!;
      const K = [129, 1, 31, 32, 33, 64, 100, 128, 160, 257, 384, 3][i % 12]!;
      const shape = { M, N, K, dtype, ldx: K + (i % 2) * 3, ldy: N + (i % 3) };
      checkParity({
        name: `matmulQuantized ${JSON.stringify(shape)}`,
        tensors: {
          X: normals((M - 1) * shape.ldx + K, i),
          packed: quantized(normals(N * K, i + 50), N, K, dtype),
          Y: normals((M - 1) * shape.ldy + N, 3),
        },
        native: (c, t) => matmulQuantized(c, t.X, t.packed, t.Y, shape),
        twin: (a) => matmulQuantizedTwin(a.X, a.packed, a.Y, shape),
        tolerance: 0,
      });
    }
  }
});

test('swiglu of a product: the twin within rounding, and the bits of the two steps by themselves', () => {
  for (const dtype of dtypes) {
    for (const [M, N, K] of [
      [1, 64, 33],
      [5, 192, 160],
      [13, 128, 257],
      [100, 64, 128],
    ] as const) {
      const F = N / 2;
      const shape = { M, N, K, dtype, activation: 'swiglu', ldx: K + 3, ldy: F + 5 } as const;
      const tensors = {
        X: normals(M * shape.ldx, M),
        packed: quantized(normals(N * K, 7), N, K, dtype),
        Y: normals(M * shape.ldy, 3),
      };
      checkParity({
        name: `swiglu ${JSON.stringify(shape)}`,
        tensors,
        native: (c, t) => matmulQuantized(c, t.X, t.packed, t.Y, shape),
        twin: (a) => matmulQuantizedTwin(a.X, a.packed, a.Y, shape),
        tolerance: 5e-7,
      });
      for (const isa of supportedIsas()) {
        using device = openDevice({ isa, threads: 2 });
        const together = runOn(device, { ...tensors, Y: new Float32Array(M * F) }, (c, t) =>
          matmulQuantized(c, t.X, t.packed, t.Y, { ...shape, ldy: F }),
        );
        const apart = runOn(
          device,
          { ...tensors, gateUp: new Float32Array(M * N), Y: new Float32Array(M * F) },
          (c, t) => {
            matmulQuantized(c, t.X, t.packed, t.gateUp, { ...shape, activation: 'none', ldy: N });
            swiglu(c, t.gateUp, t.Y, { N: M, F });
          },
        );
        assertSameBits(together, { ...together, Y: apart.Y }, `${isa} ${JSON.stringify(shape)}`);
      }
    }
  }
});

test('swiglu of an odd number of panels is refused: its halves would share one', () => {
  using device = openDevice({ threads: 1 });
  const t = { handle: device.memory.allocate(1 << 16), offset: 0, length: 1 << 14 };
  const shape = { M: 1, N: 96, K: 32, dtype: 'int8', activation: 'swiglu' } as const;
  assert.throws(() => matmulQuantized(device.commands, t, t, t, shape), /multiple of 64, got 96/);
});

test('nothing saturates: every product and every sum at its largest, with either sign', () => {
  const [M, N, K] = [13, 64, 512];
  for (const dtype of dtypes) {
    for (const signs of [
      [1, 1],
      [1, -1],
      [-1, 1],
      [-1, -1],
    ] as const) {
      // The row at 32 of each block decides int4's direction: its largest magnitude becomes -8.
      const X = new Float32Array(M * K).fill(signs[0] * 3);
      const W = new Float32Array(N * K).fill(signs[1] * 2);
      // Every other row alternates, so that sums of pairs meet their extremes from both sides.
      for (let i = 0; i < M * K; i++) if (Math.floor(i / K) % 2 === 1 && i % 4 >= 2) X[i] = -X[i]!;
      for (let i = 0; i < N * K; i++) if (Math.floor(i / K) % 2 === 1 && i % 4 >= 2) W[i] = -W[i]!;
      const shape = { M, N, K, dtype };
      const { Y } = checkParity({
        name: `extremes ${dtype} ${signs}`,
        tensors: { X, packed: quantized(W, N, K, dtype), Y: new Float32Array(M * N) },
        native: (c, t) => matmulQuantized(c, t.X, t.packed, t.Y, shape),
        twin: (a) => matmulQuantizedTwin(a.X, a.packed, a.Y, shape),
        tolerance: 0,
      });
      const exact = signs[0] * signs[1] * 6 * K;
      const limit = Math.abs(exact) * (dtype === 'int8' ? 0.01 : 0.08);
      assert.ok(Math.abs(Y[0]! - exact) < limit, `expected about ${exact}, got ${Y[0]}`);
    }
  }
});

test('all 16 nibbles and all bytes, under the largest activations', () => {
  const [M, N, K] = [7, 32, 128];
  const next = uniforms(5);
  for (const dtype of dtypes) {
    const packed = new Int32Array(quantizedBytes(N, K, dtype) / 4);
    const bytes = new Uint8Array(packed.buffer);
    bytes.forEach((_, i) => {
      bytes[i] = Math.floor(next() * 256);
    });
    // Scales of 1; the steps at their extremes; the first columns' weights at theirs.
    for (let j = 0; j < 32; j++) bytes.set([0x80, 0x3f], 2 * j);
    if (dtype === 'int4') for (let j = 0; j < 128; j++) bytes[64 + j] = j % 2 === 0 ? 127 : 129;
    const weights = dtype === 'int4' ? 192 : 64;
    for (let quad = 0; quad < 32; quad++) {
      const row = weights + quad * (dtype === 'int4' ? 64 : 128);
      bytes.fill(255, row, row + 4);
      bytes.fill(dtype === 'int4' ? 0 : 1, row + 4, row + 8);
    }
    const X = Float32Array.from({ length: M * K }, (_, i) =>
      Math.floor(i / K) % 2 === 0 ? 127 : i % 4 < 2 ? 127 : -127,
    );
    checkParity({
      name: `every weight ${dtype}`,
      tensors: { X, packed, Y: new Float32Array(M * N) },
      native: (c, t) => matmulQuantized(c, t.X, t.packed, t.Y, { M, N, K, dtype }),
      twin: (a) => matmulQuantizedTwin(a.X, a.packed, a.Y, { M, N, K, dtype }),
      tolerance: 0,
    });
  }
});

test('huge, tiny and zero segments keep their scale; a NaN or an infinity reaches its whole row or column and no other', () => {
  const [M, N, K] = [5, 40, 300];
  const nan = Number.NaN;
  for (const dtype of dtypes) {
    const X = normals(M * K, 1);
    const W = normals(N * K, 2);
    for (let k = 0; k < K; k++) {
      X[K + k]! *= 1e30;
      X[2 * K + k]! *= 1e-38;
      W[3 * K + k]! *= 1e-38;
      W[4 * K + k]! *= 1e6;
      X[3 * K + k] = k < 128 ? 0 : X[3 * K + k]!;
    }
    X[4 * K + 290] = Number.POSITIVE_INFINITY;
    W[7 * K + 5] = nan;
    W[39 * K + 299] = Number.NEGATIVE_INFINITY;
    const tensors = { W, packed: new Int32Array(quantizedBytes(N, K, dtype) / 4), X, Y: new Float32Array(M * N) };
    const { Y } = checkParity({
      name: `special values ${dtype}`,
      tensors,
      native: (c, t) => {
        quantizeWeights(c, t.W, t.packed, { N, K, dtype });
        matmulQuantized(c, t.X, t.packed, t.Y, { M, N, K, dtype });
      },
      twin: (a) => {
        quantizeWeightsTwin(a.W, a.packed, { N, K, dtype });
        matmulQuantizedTwin(a.X, a.packed, a.Y, { M, N, K, dtype });
      },
      tolerance: 0,
    });
    for (let i = 0; i < M * N; i++) {
      const spoiled = Math.floor(i / N) === 4 || i % N === 7 || i % N === 39;
      assert.equal(Number.isNaN(Y[i]!), spoiled, `${dtype}: element ${i}`);
    }
    assert.equal(Y[2 * N], 0);
    assert.equal(Y[3], 0);
  }
});

test('experts: each row with its own matrix, also experts without rows', () => {
  for (const dtype of dtypes) {
    for (const [N, K, rows, activation] of [
      [70, 160, [0, 1, 0, 30, 2, 0], 'none'],
      [33, 65, [1, 1, 1, 1], 'none'],
      [64, 128, [0, 0, 0], 'none'],
      [64, 160, [0, 1, 0, 30, 2, 0], 'swiglu'],
    ] as const) {
      const E = rows.length;
      const offsets = new Int32Array(E + 1);
      for (const [e, count] of rows.entries()) offsets[e + 1] = offsets[e]! + count;
      const R = offsets[E]!;
      const shape = { E, N, K, R, dtype, activation };
      const packed = new Int32Array((E * quantizedBytes(N, K, dtype)) / 4);
      for (let e = 0; e < E; e++) packed.set(quantized(normals(N * K, e), N, K, dtype), (e * packed.length) / E);
      checkParity({
        name: `groupedMatmulQuantized ${JSON.stringify(shape)}`,
        tensors: {
          X: normals(R * K, 9),
          packed,
          Y: new Float32Array(activation === 'none' ? R * N : (R * N) / 2),
          offsets,
        },
        native: (c, t) => groupedMatmulQuantized(c, t.X, t.packed, t.Y, t.offsets, shape),
        twin: (a) => groupedMatmulQuantizedTwin(a.X, a.packed, a.Y, a.offsets, shape),
        tolerance: activation === 'none' ? 0 : 5e-7,
      });
    }
  }
});

test('a row has the same bits alone, in a batch of 7 and of 512, and among experts', () => {
  const [N, K] = [200, 288];
  for (const dtype of dtypes) {
    const X = normals(512 * K, 4);
    const packed = quantized(normals(N * K, 5), N, K, dtype);
    for (const isa of supportedIsas()) {
      using device = openDevice({ isa, threads: 2 });
      const product = (first: number, M: number) =>
        runOn(device, { X: X.slice(first * K, (first + M) * K), packed, Y: new Float32Array(M * N) }, (c, t) =>
          matmulQuantized(c, t.X, t.packed, t.Y, { M, N, K, dtype }),
        ).Y;
      const all = product(0, 512);
      const same = (Y: Float32Array, first: number, what: string) =>
        assertSameBits({ Y }, { Y: all.slice(first * N, first * N + Y.length) }, `${dtype} on ${isa}: ${what}`);
      for (const row of [0, 5, 100, 511]) same(product(row, 1), row, `row ${row} alone`);
      for (const M of [2, 3, 4, 5, 7, 8, 13]) same(product(31, M), 31, `${M} rows`);
      const offsets = Int32Array.of(0, 1, 8, 8, 40);
      const grouped = runOn(
        device,
        { X: X.slice(0, 40 * K), packed: repeat(packed, 4), Y: new Float32Array(40 * N), offsets },
        (c, t) => groupedMatmulQuantized(c, t.X, t.packed, t.Y, t.offsets, { E: 4, N, K, R: 40, dtype }),
      );
      same(grouped.Y, 0, 'experts');
    }
  }
});

test('more rows than the shared memory holds quantized are taken in rounds', () => {
  const [M, N, K] = [4200, 3, 16384]; // 71 MB of int8, or 142 of int16; a device shares 64 MiB
  const packed = quantized(normals(N * K, 1), N, K, 'int8');
  const row = normals(K, 2);
  const X = new Float32Array(M * K);
  for (let m = 0; m < M; m++) X.set(row, m * K);
  using device = openDevice({ threads: 2 });
  const { Y } = runOn(device, { X, packed, Y: new Float32Array(M * N) }, (c, t) =>
    matmulQuantized(c, t.X, t.packed, t.Y, { M, N, K, dtype: 'int8' }),
  );
  const odd = Y.findIndex((y, i) => y !== Y[i % N]);
  assert.equal(odd, -1, `element ${odd} differs from row 0`);
});

test('int8 takes at most 51 % of bfloat16 and is within 1 % of the weights; int4 errs less than Q4_0', () => {
  const [N, K] = [64, 1024];
  const W = normals(N * K, 6);
  const rms = (error: (i: number) => number) => Math.sqrt(W.reduce((sum, _, i) => sum + error(i) ** 2, 0) / W.length);
  const bits = (dtype: QuantizedDtype) => (quantizedBytes(N, K, dtype) * 8) / (N * K);
  const restored = (dtype: QuantizedDtype) => dequantize(quantized(W, N, K, dtype), { N, K, dtype });
  const [int8, int4] = [restored('int8'), restored('int4')];
  assert.equal(bits('int8'), 8.125);
  assert.equal(bits('int4'), 4.375);
  assert.ok(rms((i) => int8[i]! - W[i]!) < 0.01);
  const q40 = W.map((_, i) => {
    const block = W.subarray(i - (i % 32), i - (i % 32) + 32);
    const step = block.reduce((most, x) => (Math.abs(x) > Math.abs(most) ? x : most), 0) / -8;
    return step * Math.max(-8, Math.min(7, Math.round(W[i]! / step)));
  });
  const [ours, theirs] = [rms((i) => int4[i]! - W[i]!), rms((i) => q40[i]! - W[i]!)];
  assert.ok(ours < 0.96 * theirs, `int4 ${ours}, Q4_0 ${theirs}`);
});

test('a range of rows quantized by itself gives the bytes of the whole', () => {
  const [N, K] = [100, 200];
  const W = normals(N * K, 7);
  using device = openDevice({ threads: 2 });
  for (const dtype of dtypes) {
    const whole = quantized(W, N, K, dtype);
    const parts = runOn(device, { W, packed: new Int32Array(whole.length) }, (c, t) => {
      for (const [n0, n1] of [
        [64, 100],
        [0, 32],
        [32, 64],
      ] as const) {
        const at = quantizedBytes(n0, K, dtype) / 4;
        const into = { ...t.packed, offset: t.packed.offset + at, length: t.packed.length - at };
        const rows = { ...t.W, offset: t.W.offset + n0 * K, length: (n1 - n0) * K };
        quantizeWeights(c, rows, into, { N: n1 - n0, K, dtype });
      }
    });
    assertSameBits({ packed: parts.packed }, { packed: whole }, dtype);
  }
});

test('tensors that are too short are refused before anything runs', () => {
  using device = openDevice({ threads: 1 });
  const ref = (length: number) => ({ handle: device.memory.allocate(length * 4), offset: 0, length });
  const shape = { M: 2, N: 33, K: 40, dtype: 'int4' } as const;
  const words = quantizedBytes(33, 40, 'int4') / 4;
  const c = device.commands;
  assert.throws(
    () => matmulQuantized(c, ref(79), ref(words), ref(66), shape),
    /matmulQuantized: X: expected at least 80/,
  );
  assert.throws(() => matmulQuantized(c, ref(80), ref(words - 1), ref(66), shape), /packed: expected at least/);
  assert.throws(() => matmulQuantized(c, ref(80), ref(words), ref(65), shape), /Y: expected at least 66/);
  assert.throws(() => quantizeWeights(c, ref(1319), ref(words), shape), /W: expected at least 1320/);
});

function quantized(W: Float32Array, N: number, K: number, dtype: QuantizedDtype): Int32Array {
  const packed = new Int32Array(quantizedBytes(N, K, dtype) / 4);
  quantizeWeightsTwin(W, packed, { N, K, dtype });
  return packed;
}

function upperHalves(floats: Float32Array): Uint16Array {
  return Uint16Array.from(new Uint32Array(floats.buffer), (bits) => bits >>> 16);
}

function repeat(array: Int32Array, times: number): Int32Array {
  const all = new Int32Array(array.length * times);
  for (let i = 0; i < times; i++) all.set(array, i * array.length);
  return all;
}
