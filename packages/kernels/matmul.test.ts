import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { openDevice, supportedIsas } from './device.ts';
import {
  groupedMatmul,
  groupedMatmulPacked,
  groupedMatmulPackedTwin,
  groupedMatmulTwin,
  type MatmulShape,
  matmul,
  matmulPacked,
  matmulPackedTwin,
  matmulTwin,
  packedBytes,
  packWeights,
  packWeightsTwin,
} from './matmul.ts';
import { assertSameBits, checkParity, normals, runOn } from './parity.ts';

// A chain of K float32 additions of products of normals strays from the exact sum by far less than this.
const tolerance = 2e-6;

/** Inputs for a shape without strides: A, B normal, C normal so that `accumulate` shows. */
function tensorsFor({ M, N, K, batch = 1 }: MatmulShape) {
  return { A: normals(batch * M * K, 1), B: normals(batch * N * K, 2), C: normals(batch * M * N, 3) };
}

function checkMatmul(name: string, shape: MatmulShape, tensors = tensorsFor(shape)): void {
  checkParity({
    name: `matmul ${name} ${JSON.stringify(shape)}`,
    tensors,
    native: (c, t) => matmul(c, t.A, t.B, t.C, shape),
    twin: (a) => matmulTwin(a.A, a.B, a.C, shape),
    tolerance,
  });
}

test('matmul equals its twin for odd sizes, every transposition, written and accumulated', () => {
  const sizes = [
    [1, 1, 1],
    [3, 7, 17],
    [17, 33, 3],
    [33, 100, 257],
    [100, 17, 33],
    [257, 33, 7],
    [7, 257, 100],
    [15, 32, 16],
  ] as const;
  for (const [M, N, K] of sizes) {
    for (const transA of [false, true]) {
      for (const transB of [false, true]) {
        for (const accumulate of [false, true]) checkMatmul('odd', { M, N, K, transA, transB, accumulate });
      }
    }
  }
});

test('matmul equals its twin for shapes of several blocks in each direction', () => {
  checkMatmul('deep', { M: 31, N: 65, K: 1300, transA: true, accumulate: true });
  checkMatmul('deep', { M: 31, N: 65, K: 1300, transB: true });
  checkMatmul('tall', { M: 700, N: 40, K: 24, transB: true });
  checkMatmul('wide', { M: 20, N: 1200, K: 24 });
});

test('matmul leaves what lies between rows alone and reads strided operands', () => {
  const shape = { M: 9, N: 35, K: 19, lda: 23, ldb: 41, ldc: 50 };
  checkMatmul('strided', shape, { A: normals(23 * 9, 1), B: normals(41 * 19, 2), C: normals(50 * 9, 3) });
});

test('matmul runs a batch of heads that share a row, and a matrix shared by the batch', () => {
  const heads = {
    M: 5,
    N: 12,
    K: 20,
    batch: 3,
    lda: 60,
    ldc: 36,
    strideA: 20,
    strideB: 240,
    strideC: 12,
    transB: true,
  };
  checkMatmul('heads', heads, { A: normals(5 * 60, 1), B: normals(3 * 240, 2), C: normals(5 * 36, 3) });
  const shared = { M: 70, N: 40, K: 30, batch: 4, strideA: 2100, strideB: 0, strideC: 2800, transB: true };
  checkMatmul('shared', shared, { A: normals(8400, 1), B: normals(1200, 2), C: normals(11200, 3) });
});

test('matmul with no rows or no columns does nothing, and with no depth writes zeros', () => {
  for (const [M, N, K] of [
    [0, 5, 5],
    [5, 0, 5],
    [5, 5, 0],
  ] as const) {
    checkMatmul('empty', { M, N, K });
    checkMatmul('empty', { M, N, K, accumulate: true });
  }
});

test('matmul equals its twin for any small shape', () => {
  const size = fc.integer({ min: 0, max: 70 });
  const property = fc.property(
    size,
    size,
    size,
    fc.boolean(),
    fc.boolean(),
    fc.boolean(),
    (M, N, K, transA, transB, accumulate) => checkMatmul('random', { M, N, K, transA, transB, accumulate }),
  );
  fc.assert(property, { numRuns: 40, seed: 7 });
});

test('packWeights lays out panels of 32 rows, from float32 and bfloat16 into either', () => {
  for (const [N, K] of [
    [1, 1],
    [33, 17],
    [64, 100],
    [100, 600],
  ] as const) {
    const w = normals(N * K, 4);
    const w16 = Uint16Array.from(new Uint32Array(w.buffer), (bits) => bits >>> 16);
    for (const dtype of ['f32', 'bf16'] as const) {
      for (const [sourceDtype, W] of [
        ['f32', w],
        ['bf16', w16],
      ] as const) {
        const shape = { N, K, dtype, sourceDtype };
        checkParity({
          name: `packWeights ${JSON.stringify(shape)}`,
          tensors: { W, packed: new Float32Array(packedBytes(N, K, dtype) / 4) },
          native: (c, t) => packWeights(c, t.W, t.packed, shape),
          twin: (a) => packWeightsTwin(a.W, elements(a.packed, dtype), shape),
          tolerance: 0,
        });
      }
    }
  }
});

test('matmulPacked equals its twin, for one row and for many', () => {
  for (const [M, N, K] of [
    [1, 1, 1],
    [1, 257, 100],
    [2, 33, 17],
    [3, 100, 7],
    [7, 64, 600],
    [17, 100, 33],
    [60, 300, 520],
  ] as const) {
    for (const dtype of ['f32', 'bf16'] as const) {
      for (const accumulate of [false, true]) {
        const shape = { M, N, K, dtype, accumulate };
        checkParity({
          name: `matmulPacked ${JSON.stringify(shape)}`,
          tensors: { X: normals(M * K, 5), packed: packedNormals(N, K, dtype, 6), Y: normals(M * N, 7) },
          native: (c, t) => matmulPacked(c, t.X, t.packed, t.Y, shape),
          twin: (a) => matmulPackedTwin(a.X, elements(a.packed, dtype), a.Y, shape),
          tolerance,
        });
      }
    }
  }
});

test('grouped products equal their twins, with empty experts and one that has most rows', () => {
  const offsets = Int32Array.of(0, 0, 3, 103, 104, 104);
  const [E, N, K, R] = [5, 37, 45, 104];
  for (const accumulate of [false, true]) {
    for (const transB of [false, true]) {
      const shape = { E, N, K, R, transB, accumulate, kind: 'rows' as const };
      checkParity({
        name: `groupedMatmul ${JSON.stringify(shape)}`,
        tensors: { A: normals(R * K, 1), B: normals(E * N * K, 2), C: normals(R * N, 3), offsets },
        native: (c, t) => groupedMatmul(c, t.A, t.B, t.C, t.offsets, shape),
        twin: (a) => groupedMatmulTwin(a.A, a.B, a.C, a.offsets, shape),
        tolerance,
      });
    }
  }
  const shape = { E, N, K, R, kind: 'weights' as const };
  checkParity({
    name: 'groupedMatmul weights',
    tensors: { A: normals(R * N, 1), B: normals(R * K, 2), C: normals(E * N * K, 3), offsets },
    native: (c, t) => groupedMatmul(c, t.A, t.B, t.C, t.offsets, shape),
    twin: (a) => groupedMatmulTwin(a.A, a.B, a.C, a.offsets, shape),
    tolerance,
  });
  for (const dtype of ['f32', 'bf16'] as const) {
    const packed = { E, N, K, R, dtype };
    checkParity({
      name: `groupedMatmulPacked ${dtype}`,
      tensors: { X: normals(R * K, 1), packed: packedExperts(E, N, K, dtype), Y: new Float32Array(R * N), offsets },
      native: (c, t) => groupedMatmulPacked(c, t.X, t.packed, t.Y, t.offsets, packed),
      twin: (a) => groupedMatmulPackedTwin(a.X, elements(a.packed, dtype), a.Y, a.offsets, packed),
      tolerance,
    });
  }
});

test('offsets outside the rows are held within them', () => {
  using device = openDevice({ threads: 1 });
  const shape = { E: 2, N: 4, K: 4, R: 3, transB: true, kind: 'rows' as const };
  const tensors = {
    ...{ A: normals(12, 1), B: normals(32, 2), C: new Float32Array(12) },
    offsets: Int32Array.of(-5, 2, 1 << 30),
  };
  const wild = runOn(device, tensors, (c, t) => groupedMatmul(c, t.A, t.B, t.C, t.offsets, shape));
  const tame = runOn(device, { ...tensors, offsets: Int32Array.of(0, 2, 3) }, (c, t) =>
    groupedMatmul(c, t.A, t.B, t.C, t.offsets, shape),
  );
  assertSameBits({ C: wild.C }, { C: tame.C }, 'C');
});

test('a row has the same bits alone, in a batch of 7 and in a batch of 512, plain, packed or grouped', () => {
  for (const isa of supportedIsas()) {
    for (const [N, K] of [
      [100, 257],
      [256, 256],
      [64, 1100],
    ] as const) {
      using device = openDevice({ isa, threads: 2 });
      const x = normals(512 * K, 8);
      const w = normals(N * K, 9);
      const rowOf = (result: Float32Array) => result.slice(0, N);
      const plain = (M: number, transB: boolean) => {
        const B = transB ? w : transposed(w, N, K);
        const tensors = { A: x.slice(0, M * K), B, C: new Float32Array(M * N) };
        return rowOf(runOn(device, tensors, (c, t) => matmul(c, t.A, t.B, t.C, { M, N, K, transB })).C);
      };
      const viaTransposedA = (M: number) => {
        const tensors = { A: transposed(x.slice(0, M * K), M, K), B: w, C: new Float32Array(M * N) };
        const shape = { M, N, K, transA: true, transB: true };
        return rowOf(runOn(device, tensors, (c, t) => matmul(c, t.A, t.B, t.C, shape)).C);
      };
      const packed = (M: number) => {
        const tensors = {
          X: x.slice(0, M * K),
          W: w,
          P: new Float32Array(packedBytes(N, K, 'f32') / 4),
          Y: new Float32Array(M * N),
        };
        const result = runOn(device, tensors, (c, t) => {
          packWeights(c, t.W, t.P, { N, K, dtype: 'f32' });
          matmulPacked(c, t.X, t.P, t.Y, { M, N, K, dtype: 'f32' });
        });
        return rowOf(result.Y);
      };
      const grouped = (M: number) => {
        const tensors = { A: x.slice(0, M * K), B: w, C: new Float32Array(M * N), offsets: Int32Array.of(0, M) };
        const shape = { E: 1, N, K, R: M, transB: true, kind: 'rows' as const };
        return rowOf(runOn(device, tensors, (c, t) => groupedMatmul(c, t.A, t.B, t.C, t.offsets, shape)).C);
      };
      const expected = { row: plain(1, true) };
      for (const M of [1, 2, 3, 4, 5, 7, 15, 512]) {
        const what = `${isa}, ${M} rows, N ${N}, K ${K}`;
        assertSameBits({ row: plain(M, true) }, expected, `plain, transposed B, ${what}`);
        assertSameBits({ row: plain(M, false) }, expected, `plain, ${what}`);
        assertSameBits({ row: viaTransposedA(M) }, expected, `transposed A, ${what}`);
        assertSameBits({ row: packed(M) }, expected, `packed, ${what}`);
        assertSameBits({ row: grouped(M) }, expected, `grouped, ${what}`);
      }
    }
  }
});

test('bfloat16 weights give the bits of matmul with the rounded weights, for any number of rows', () => {
  const [N, K] = [100, 300];
  const rounded = normals(N * K, 3).map((x) => asFloat(asBfloat16(x)));
  for (const isa of supportedIsas()) {
    using device = openDevice({ isa, threads: 2 });
    for (const M of [1, 2, 4, 7, 40]) {
      const tensors = {
        ...{ X: normals(M * K, 8), W: rounded, P: new Float32Array(packedBytes(N, K, 'bf16') / 4) },
        ...{ Y: new Float32Array(M * N), expected: new Float32Array(M * N) },
      };
      const result = runOn(device, tensors, (c, t) => {
        packWeights(c, t.W, t.P, { N, K, dtype: 'bf16' });
        matmulPacked(c, t.X, t.P, t.Y, { M, N, K, dtype: 'bf16' });
        matmul(c, t.X, t.W, t.expected, { M, N, K, transB: true });
      });
      assertSameBits({ Y: result.Y }, { Y: result.expected }, `${isa}, ${M} rows`);
    }
  }
});

test('a tensor that is too short is refused by name', () => {
  using device = openDevice({ threads: 1 });
  const ref = (length: number) => ({ handle: device.memory.allocate(length * 4), offset: 0, length });
  assert.throws(() => matmul(device.commands, ref(12), ref(11), ref(9), { M: 3, N: 3, K: 4 }), {
    message: 'matmul: B: expected at least 12 elements, the tensor has 11',
  });
});

function elements(packed: Float32Array, dtype: 'f32' | 'bf16'): Float32Array | Uint16Array {
  return dtype === 'f32' ? packed : new Uint16Array(packed.buffer, packed.byteOffset, packed.length * 2);
}

function packedNormals(N: number, K: number, dtype: 'f32' | 'bf16', seed: number): Float32Array {
  const packed = new Float32Array(packedBytes(N, K, dtype) / 4);
  packWeightsTwin(normals(N * K, seed), elements(packed, dtype), { N, K, dtype });
  return packed;
}

function packedExperts(E: number, N: number, K: number, dtype: 'f32' | 'bf16'): Float32Array {
  const size = packedBytes(N, K, dtype) / 4;
  const all = new Float32Array(E * size);
  for (let e = 0; e < E; e++) all.set(packedNormals(N, K, dtype, 10 + e), e * size);
  return all;
}

function transposed(x: Float32Array, rows: number, columns: number): Float32Array {
  return Float32Array.from({ length: rows * columns }, (_, i) => x[(i % rows) * columns + Math.floor(i / rows)]!);
}

function asBfloat16(x: number): number {
  const bits = new Uint32Array(Float32Array.of(x).buffer)[0]!;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

function asFloat(bits: number): number {
  return new Float32Array(Uint32Array.of(bits << 16).buffer)[0]!;
}
