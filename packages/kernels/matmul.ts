// Matrix products: the wrappers that record them and the twins that define them.
//
// Knows shapes, strides and the packed layout; how a product is blocked and shared between threads is native. Invariant: an
// output element is one chain over k in ascending order, in every function here, so all of them agree in bits wherever they
// compute the same product, for any number of rows.

import type { Commands } from './commands.ts';
import type { Ref } from './memory.ts';

export interface MatmulShape {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  /** Elements from one stored row to the next; the stored row's length when absent. */
  readonly lda?: number | undefined;
  readonly ldb?: number | undefined;
  readonly ldc?: number | undefined;
  /** A is stored [K, M] (B: [N, K]). A linear layer y = x W^T has transB. */
  readonly transA?: boolean | undefined;
  readonly transB?: boolean | undefined;
  /** C += instead of C =. */
  readonly accumulate?: boolean | undefined;
  /** Products, `stride` elements apart (0: the same matrix for all). */
  readonly batch?: number | undefined;
  readonly strideA?: number | undefined;
  readonly strideB?: number | undefined;
  readonly strideC?: number | undefined;
}

/** Form of packed weights: float32, or bfloat16 rounded to nearest even. */
export type PackedDtype = 'f32' | 'bf16';

export interface PackShape {
  readonly N: number;
  readonly K: number;
  readonly dtype: PackedDtype;
  /** Form of the source; `W.offset` and `W.length` count its elements. float32 when absent. */
  readonly sourceDtype?: PackedDtype | undefined;
  /** Elements from one row of W to the next; K when absent. */
  readonly ldw?: number | undefined;
}

export interface PackedShape {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly dtype: PackedDtype;
  readonly ldx?: number | undefined;
  readonly ldy?: number | undefined;
  readonly accumulate?: boolean | undefined;
}

export interface GroupedShape {
  /** Experts; offsets is i32 [E + 1], ascending, within [0, R]. */
  readonly E: number;
  readonly N: number;
  readonly K: number;
  /** Rows of all experts together. */
  readonly R: number;
  readonly kind: 'rows' | 'weights';
  readonly transB?: boolean | undefined;
  readonly accumulate?: boolean | undefined;
}

export interface GroupedPackedShape {
  readonly E: number;
  readonly N: number;
  readonly K: number;
  readonly R: number;
  readonly dtype: PackedDtype;
}

/** Columns of a panel of packed weights, on every instruction set (native/tile.h). */
const panelColumns = 32;

/** C[b] [M, N] (+)= op(A[b]) [M, K] op(B[b]) [K, N], for b in 0 .. batch - 1. C overlaps neither A nor B. */
export function matmul(c: Commands, A: Ref, B: Ref, C: Ref, shape: MatmulShape): void {
  // Plain locals: recording should cost less than a tenth of a microsecond.
  const { M, N, K, transA = false, transB = false, batch = 1, strideA = 0, strideB = 0, strideC = 0 } = shape;
  const rowsA = transA ? K : M;
  const columnsA = transA ? M : K;
  const rowsB = transB ? N : K;
  const columnsB = transB ? K : N;
  const { lda = columnsA, ldb = columnsB, ldc = N, accumulate = false } = shape;
  c.begin('matmul');
  c.tensor(A, extent(batch, strideA, rowsA, lda, columnsA));
  c.tensor(B, extent(batch, strideB, rowsB, ldb, columnsB));
  c.tensor(C, extent(batch, strideC, M, ldc, N));
  c.int(M);
  c.int(N);
  c.int(K);
  c.int(lda);
  c.int(ldb);
  c.int(ldc);
  c.int(transA ? 1 : 0);
  c.int(transB ? 1 : 0);
  c.int(accumulate ? 1 : 0);
  c.int(batch);
  c.int(strideA);
  c.int(strideB);
  c.int(strideC);
  c.end();
}

/** Sums in float64, which is closer to the truth than the native float32 chain. */
export function matmulTwin(A: Float32Array, B: Float32Array, C: Float32Array, shape: MatmulShape): void {
  const { M, N, K, transA, transB, accumulate, batch = 1, strideA = 0, strideB = 0, strideC = 0 } = shape;
  const { lda = transA ? M : K, ldb = transB ? K : N, ldc = N } = shape;
  for (let b = 0; b < batch; b++) {
    for (let m = 0; m < M; m++) {
      for (let n = 0; n < N; n++) {
        const at = b * strideC + m * ldc + n;
        let sum = accumulate ? C[at]! : 0;
        for (let k = 0; k < K; k++) {
          const a = A[b * strideA + (transA ? k * lda + m : m * lda + k)]!;
          sum += a * B[b * strideB + (transB ? n * ldb + k : k * ldb + n)]!;
        }
        C[at] = sum;
      }
    }
  }
}

/** Bytes of packed W [N, K]; always a multiple of 64. */
export function packedBytes(N: number, K: number, dtype: PackedDtype): number {
  return Math.ceil(N / panelColumns) * panelColumns * K * (dtype === 'bf16' ? 2 : 4);
}

/**
 * Lays W [N, K] out for `matmulPacked`: panels of 32 rows of W, each k by k; rows past N are zeros. `packed` is counted in
 * units of four bytes (packedBytes / 4), in either form.
 */
export function packWeights(c: Commands, W: Ref, packed: Ref, shape: PackShape): void {
  const { N, K, dtype, ldw = K, sourceDtype = 'f32' } = shape;
  const need = extent(1, 0, N, ldw, K);
  c.begin('packWeights');
  c.optionalTensor(sourceDtype === 'f32' ? W : undefined, need);
  c.optionalTensor(sourceDtype === 'bf16' ? W : undefined, need);
  c.tensor(packed, packedBytes(N, K, dtype) / 4);
  c.int(N);
  c.int(K);
  c.int(ldw);
  c.int(dtype === 'bf16' ? 1 : 0);
  c.end();
}

/** `packed` as float32, or as the bits of bfloat16. */
export function packWeightsTwin(
  W: Float32Array | Uint16Array,
  packed: Float32Array | Uint16Array,
  shape: PackShape,
): void {
  const { N, K, ldw = K } = shape;
  for (let n = 0; n < Math.ceil(N / panelColumns) * panelColumns; n++) {
    for (let k = 0; k < K; k++) {
      const w = n < N ? W[n * ldw + k]! : 0;
      const value = W instanceof Uint16Array ? fromBits(w) : w;
      packed[packedIndex(n, k, shape)] = packed instanceof Uint16Array ? toBits(value) : value;
    }
  }
}

/** W [N, K] as `matmulPacked` understands it. */
export function unpackWeights(
  packed: Float32Array | Uint16Array,
  shape: Pick<PackedShape, 'N' | 'K' | 'dtype'>,
): Float32Array {
  const { N, K } = shape;
  return Float32Array.from({ length: N * K }, (_, i) => {
    const value = packed[packedIndex(Math.floor(i / K), i % K, shape)]!;
    return packed instanceof Uint16Array ? fromBits(value) : value;
  });
}

/** Y [M, N] (+)= X [M, K] W^T, W packed: the bits of `matmul` with transB and the same (rounded) W. A few rows run at memory speed. */
export function matmulPacked(c: Commands, X: Ref, packed: Ref, Y: Ref, shape: PackedShape): void {
  const { M, N, K, dtype, ldx = K, ldy = N, accumulate = false } = shape;
  c.begin('matmulPacked');
  c.tensor(X, extent(1, 0, M, ldx, K));
  c.tensor(packed, packedBytes(N, K, dtype) / 4);
  c.tensor(Y, extent(1, 0, M, ldy, N));
  c.int(M);
  c.int(N);
  c.int(K);
  c.int(ldx);
  c.int(ldy);
  c.int(accumulate ? 1 : 0);
  c.int(dtype === 'bf16' ? 1 : 0);
  c.end();
}

export function matmulPackedTwin(
  X: Float32Array,
  packed: Float32Array | Uint16Array,
  Y: Float32Array,
  shape: PackedShape,
): void {
  const { M, N, K, ldx = K, ldy = N, accumulate = false } = shape;
  matmulTwin(X, unpackWeights(packed, shape), Y, { M, N, K, lda: ldx, ldc: ldy, transB: true, accumulate });
}

/**
 * One product for each expert e, over the rows r in offsets[e] .. offsets[e + 1] - 1.
 * 'rows': C [R, N]; C[r] (+)= A[r] op(B[e]), A [R, K], B [E, K, N], or [E, N, K] with transB.
 * 'weights': C [E, N, K]; C[e] += A[rows e]^T B[rows e] in row order, A [R, N] (dY), B [R, K] (X).
 * Offsets are read when the command runs: a command before it may write them.
 */
export function groupedMatmul(c: Commands, A: Ref, B: Ref, C: Ref, offsets: Ref, shape: GroupedShape): void {
  const { E, N, K, R, kind, transB = false, accumulate = false } = shape;
  switch (kind) {
    case 'rows':
      c.begin('groupedMatmul');
      c.tensor(A, R * K);
      c.tensor(B, E * N * K);
      c.tensor(C, R * N);
      c.tensor(offsets, E + 1);
      c.int(E);
      c.int(N);
      c.int(K);
      c.int(R);
      c.int(transB ? 1 : 0);
      c.int(accumulate ? 1 : 0);
      c.end();
      return;
    case 'weights':
      c.begin('groupedMatmulWeights');
      c.tensor(A, R * N);
      c.tensor(B, R * K);
      c.tensor(C, E * N * K);
      c.tensor(offsets, E + 1);
      c.int(E);
      c.int(N);
      c.int(K);
      c.int(R);
      c.end();
      return;
    default:
      kind satisfies never;
  }
}

export function groupedMatmulTwin(
  A: Float32Array,
  B: Float32Array,
  C: Float32Array,
  offsets: Int32Array,
  shape: GroupedShape,
): void {
  const { E, N, K, kind, transB = false, accumulate = false } = shape;
  for (let e = 0; e < E; e++) {
    const begin = offsets[e]!;
    const rows = offsets[e + 1]! - begin;
    if (kind === 'rows') {
      const [a, b, y] = [A.subarray(begin * K), B.subarray(e * N * K), C.subarray(begin * N)];
      matmulTwin(a, b, y, { M: rows, N, K, transB, accumulate });
    } else {
      const [dy, x, dw] = [A.subarray(begin * N), B.subarray(begin * K), C.subarray(e * N * K)];
      matmulTwin(dy, x, dw, { M: N, N: K, K: rows, transA: true, accumulate: true });
    }
  }
}

/** Y[r] = X[r] W[e]^T for the rows of each expert; `packed` holds the experts' packed W [N, K] one after another. */
export function groupedMatmulPacked(
  c: Commands,
  X: Ref,
  packed: Ref,
  Y: Ref,
  offsets: Ref,
  shape: GroupedPackedShape,
): void {
  const { E, N, K, R, dtype } = shape;
  c.begin('groupedMatmulPacked');
  c.tensor(X, R * K);
  c.tensor(packed, (E * packedBytes(N, K, dtype)) / 4);
  c.tensor(Y, R * N);
  c.tensor(offsets, E + 1);
  c.int(E);
  c.int(N);
  c.int(K);
  c.int(R);
  c.int(dtype === 'bf16' ? 1 : 0);
  c.end();
}

export function groupedMatmulPackedTwin(
  X: Float32Array,
  packed: Float32Array | Uint16Array,
  Y: Float32Array,
  offsets: Int32Array,
  shape: GroupedPackedShape,
): void {
  const { E, N, K, dtype } = shape;
  const elements = packedBytes(N, K, dtype) / packed.BYTES_PER_ELEMENT;
  for (let e = 0; e < E; e++) {
    const begin = offsets[e]!;
    const M = offsets[e + 1]! - begin;
    const matrix = packed.subarray(e * elements, (e + 1) * elements);
    matmulPackedTwin(X.subarray(begin * K), matrix, Y.subarray(begin * N), { M, N, K, dtype });
  }
}

/** Elements from the first to the last of `batch` matrices. */
function extent(batch: number, stride: number, rows: number, ld: number, columns: number): number {
  return batch === 0 || rows === 0 || columns === 0 ? 0 : (batch - 1) * stride + (rows - 1) * ld + columns;
}

/** Where W[n, k] lies, in elements of the packed form. In bfloat16, columns j and j + 16 of a panel are neighbours. */
function packedIndex(n: number, k: number, { K, dtype }: { readonly K: number; readonly dtype: PackedDtype }): number {
  const panel = Math.floor(n / panelColumns);
  const j = n % panelColumns;
  const half = panelColumns / 2;
  return (panel * K + k) * panelColumns + (dtype === 'f32' ? j : 2 * (j % half) + Math.floor(j / half));
}

function fromBits(bits: number): number {
  return new Float32Array(Uint32Array.of(bits << 16).buffer)[0]!;
}

function toBits(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0]!;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}
