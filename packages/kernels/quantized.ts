// Products with quantized weights: the wrappers that record them and the twins that define them.
//
// Owns the two formats. Int8: a scale for each row of W and 128 steps of k (8.125 bits a weight). Int4: -8 .. 7 with a scale
// for 32 steps of k, itself a signed multiple of one for 128 (4.375 bits). Rows of X are rounded to int8 when the product
// runs, by 128, so a row's bits depend on that row alone. Invariant: sums of integers are exact and every other step is one
// rounding in a fixed order, so native code and twins agree in bits, on every instruction set.

import type { Commands } from './commands.ts';
import type { Ref } from './memory.ts';
import { swigluTwin } from './swiglu.ts';

export type QuantizedDtype = 'int8' | 'int4';

export interface QuantizeShape {
  readonly N: number;
  readonly K: number;
  readonly dtype: QuantizedDtype;
  /** Form of the source; `W.offset` and `W.length` count its elements. float32 when absent. */
  readonly sourceDtype?: 'f32' | 'bf16' | undefined;
  /** Elements from one row of W to the next; K when absent. */
  readonly ldw?: number | undefined;
}

/**
 * What a product stores: itself, [M, N]; or, `swiglu`, silu(first half of its columns) * second half, [M, N / 2], of which
 * the halves then need no memory. N is a multiple of 64 for that: halves begin at panels.
 */
export type Activation = 'none' | 'swiglu';

export interface QuantizedShape {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly dtype: QuantizedDtype;
  readonly ldx?: number | undefined;
  readonly ldy?: number | undefined;
  /** none when absent. */
  readonly activation?: Activation | undefined;
}

export interface GroupedQuantizedShape {
  /** Experts; offsets is i32 [E + 1], ascending, within [0, R]. */
  readonly E: number;
  readonly N: number;
  readonly K: number;
  readonly R: number;
  readonly dtype: QuantizedDtype;
  /** none when absent. */
  readonly activation?: Activation | undefined;
}

// The layout: native/quantized_tile.h.
const panelColumns = 32;
const segmentDepth = 128;
const blockDepth = 32;
const scaleBytes = 2 * panelColumns;
const headerBytes = { int8: scaleBytes, int4: scaleBytes + (segmentDepth / blockDepth) * panelColumns } as const;
const blockBytes = { int8: blockDepth * panelColumns, int4: (blockDepth * panelColumns) / 2 } as const;
/** Smaller magnitudes count as zero: their reciprocal would overflow. */
const tiny = Math.fround(1e-36);
/** A block's largest weight divided by its step: the candidates. */
const int4Candidates = [-8, -8.6, -7.4, 7.4, 6.8].map(Math.fround);

/** Bytes of 32 rows of W [N, K]; always a multiple of 64. */
function panelBytes(K: number, dtype: QuantizedDtype): number {
  return Math.ceil(K / segmentDepth) * headerBytes[dtype] + Math.ceil(K / blockDepth) * blockBytes[dtype];
}

/** Bytes of quantized W [N, K]. Rows n .. begin at quantizedBytes(n, K, dtype) when n is a multiple of 32. */
export function quantizedBytes(N: number, K: number, dtype: QuantizedDtype): number {
  return Math.ceil(N / panelColumns) * panelBytes(K, dtype);
}

/**
 * Quantizes W [N, K] and lays it out for `matmulQuantized`. `packed` is counted in units of four bytes. A range of rows that
 * begins at a multiple of 32 may be quantized by itself, so that a loader never holds W whole.
 */
export function quantizeWeights(c: Commands, W: Ref, packed: Ref, shape: QuantizeShape): void {
  const { N, K, dtype, ldw = K, sourceDtype = 'f32' } = shape;
  const need = extent(N, ldw, K);
  c.begin('quantizeWeights');
  c.optionalTensor(sourceDtype === 'f32' ? W : undefined, need);
  c.optionalTensor(sourceDtype === 'bf16' ? W : undefined, need);
  c.tensor(packed, quantizedBytes(N, K, dtype) / 4);
  c.int(N);
  c.int(K);
  c.int(ldw);
  c.int(dtype === 'int4' ? 1 : 0);
  c.end();
}

/** Y [M, N] = X [M, K] W^T, or its activation. */
export function matmulQuantized(c: Commands, X: Ref, packed: Ref, Y: Ref, shape: QuantizedShape): void {
  const { M, N, K, dtype, activation = 'none' } = shape;
  const columns = columnsOf(N, activation);
  const { ldx = K, ldy = columns } = shape;
  c.begin('matmulQuantized');
  c.tensor(X, extent(M, ldx, K));
  c.tensor(packed, quantizedBytes(N, K, dtype) / 4);
  c.tensor(Y, extent(M, ldy, columns));
  c.int(M);
  c.int(N);
  c.int(K);
  c.int(ldx);
  c.int(ldy);
  c.int(dtype === 'int4' ? 1 : 0);
  c.int(activation === 'swiglu' ? 1 : 0);
  c.end();
}

/** Y[r] = X[r] W[e]^T for the rows of each expert; `packed` holds the experts' quantized W [N, K] one after another. */
export function groupedMatmulQuantized(
  c: Commands,
  X: Ref,
  packed: Ref,
  Y: Ref,
  offsets: Ref,
  shape: GroupedQuantizedShape,
): void {
  const { E, N, K, R, dtype, activation = 'none' } = shape;
  const columns = columnsOf(N, activation);
  c.begin('groupedMatmulQuantized');
  c.tensor(X, R * K);
  c.tensor(packed, (E * quantizedBytes(N, K, dtype)) / 4);
  c.tensor(Y, R * columns);
  c.tensor(offsets, E + 1);
  c.int(E);
  c.int(N);
  c.int(K);
  c.int(R);
  c.int(dtype === 'int4' ? 1 : 0);
  c.int(activation === 'swiglu' ? 1 : 0);
  c.end();
}

export function quantizeWeightsTwin(W: Float32Array | Uint16Array, packed: Int32Array, shape: QuantizeShape): void {
  const { N, K, dtype, ldw = K } = shape;
  const bytes = bytesOf(packed).fill(0);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let n = 0; n < Math.ceil(N / panelColumns) * panelColumns; n++) {
    for (let k0 = 0; k0 < K; k0 += segmentDepth) {
      const depth = Math.min(segmentDepth, Math.ceil((K - k0) / blockDepth) * blockDepth);
      const w = Float32Array.from({ length: depth }, (_, k) => {
        const value = n < N && k0 + k < K ? W[n * ldw + k0 + k]! : 0;
        return W instanceof Uint16Array ? fromBf16(value) : value;
      });
      const at = segmentAt(n, k0, shape);
      const { scale, steps, numbers } = dtype === 'int8' ? roundToInt8(w) : roundToInt4(w);
      view.setUint16(at + 2 * (n % panelColumns), toBf16(scale), true);
      for (const [block, step] of steps.entries()) view.setInt8(stepAt(at, n, block), step);
      for (const [k, q] of numbers.entries()) {
        const { byte, shift } = weightAt(at, n, k, dtype);
        bytes[byte]! |= dtype === 'int8' ? q + 128 : (q + 8) << shift;
      }
    }
  }
}

/** Columns of Y. Halves that share a panel could not be told apart. */
function columnsOf(N: number, activation: Activation): number {
  if (activation === 'none') return N;
  if (N % (2 * panelColumns) !== 0)
    throw new Error(`swiglu: expected N to be a multiple of ${2 * panelColumns}, got ${N}`);
  return N / 2;
}

export function matmulQuantizedTwin(X: Float32Array, packed: Int32Array, Y: Float32Array, shape: QuantizedShape): void {
  const { M, N, K, activation = 'none', ldx = K, ldy = columnsOf(N, activation) } = shape;
  if (activation === 'swiglu') {
    const gateUp = new Float32Array(M * N);
    matmulQuantizedTwin(X, packed, gateUp, { ...shape, activation: 'none', ldy: N });
    const rows = new Float32Array((M * N) / 2);
    swigluTwin(gateUp, rows, { N: M, F: N / 2 });
    for (let m = 0; m < M; m++) Y.set(rows.subarray((m * N) / 2, ((m + 1) * N) / 2), m * ldy);
    return;
  }
  const segments = unpack(packed, shape);
  for (let m = 0; m < M; m++) {
    const row = quantizeRow(X.subarray(m * ldx, m * ldx + K));
    for (let n = 0; n < N; n++) {
      let y = 0;
      for (const [s, x] of row.entries()) {
        const { scale, weights } = segments[n]![s]!;
        const integer = x.numbers.reduce((sum, q, k) => sum + q * weights[k]!, 0);
        y = Math.fround(y + Math.fround(Math.fround(Math.fround(integer) * scale) * x.scale));
      }
      Y[m * ldy + n] = y;
    }
  }
}

export function groupedMatmulQuantizedTwin(
  X: Float32Array,
  packed: Int32Array,
  Y: Float32Array,
  offsets: Int32Array,
  shape: GroupedQuantizedShape,
): void {
  const { E, N, K, dtype, activation = 'none' } = shape;
  const words = quantizedBytes(N, K, dtype) / 4;
  const columns = columnsOf(N, activation);
  for (let e = 0; e < E; e++) {
    const begin = offsets[e]!;
    const matrix = packed.subarray(e * words, (e + 1) * words);
    const M = offsets[e + 1]! - begin;
    matmulQuantizedTwin(X.subarray(begin * K), matrix, Y.subarray(begin * columns), { M, N, K, dtype, activation });
  }
}

/** W [N, K] as `matmulQuantized` understands it. */
export function dequantize(packed: Int32Array, shape: Omit<QuantizeShape, 'sourceDtype' | 'ldw'>): Float32Array {
  const segments = unpack(packed, shape);
  return Float32Array.from({ length: shape.N * shape.K }, (_, i) => {
    const [n, k] = [Math.floor(i / shape.K), i % shape.K];
    const { scale, weights } = segments[n]![Math.floor(k / segmentDepth)]!;
    // Integers have no negative zero.
    return scale * weights[k % segmentDepth]! + 0;
  });
}

/** 128 numbers or fewer: x is about scale * number. */
function quantizeRow(x: Float32Array): { scale: number; numbers: number[] }[] {
  return Array.from({ length: Math.ceil(x.length / segmentDepth) }, (_, s) => {
    const segment = Array.from(x.subarray(s * segmentDepth, (s + 1) * segmentDepth));
    const largest = Math.max(...segment.map(Math.abs));
    if (!Number.isFinite(largest)) return { scale: Number.NaN, numbers: segment.map(() => 0) };
    if (largest < tiny) return { scale: 0, numbers: segment.map(() => 0) };
    const inverse = Math.fround(127 / largest);
    return { scale: Math.fround(largest / 127), numbers: segment.map((v) => round(Math.fround(v * inverse))) };
  });
}

interface Rounded {
  readonly scale: number;
  readonly steps: readonly number[];
  readonly numbers: readonly number[];
}

function roundToInt8(w: Float32Array): Rounded {
  const scale = scaleOf(w.reduce((most, x) => Math.max(most, Math.abs(x)), 0));
  const inverse = inverseOf(scale);
  return { scale, steps: [], numbers: Array.from(w, (x) => (inverse === 0 ? 0 : round(Math.fround(x * inverse)))) };
}

function roundToInt4(w: Float32Array): Rounded {
  const blocks = Array.from({ length: w.length / blockDepth }, (_, b) =>
    w.subarray(b * blockDepth, (b + 1) * blockDepth),
  );
  const wanted = blocks.map(int4Step);
  const scale = scaleOf(wanted.reduce((most, step) => Math.max(most, Math.abs(step)), 0));
  const inverse = inverseOf(scale);
  const steps = wanted.map((step) => (inverse === 0 ? 0 : round(Math.fround(step * inverse))));
  const numbers = blocks.flatMap((block, b) => {
    const level = inverseOf(Math.fround(steps[b]! * scale));
    return Array.from(block, (x) => (inverse === 0 ? 0 : clampNibble(round(Math.fround(x * level)))));
  });
  return { scale, steps, numbers };
}

/**
 * The step (of either sign) in which 32 weights are best written as -8 .. 7; NaN when one is not finite. Q4_0 of llama.cpp
 * takes the first candidate; the others, and the least-squares step for the chosen integers, lower the error by 5 %.
 */
function int4Step(w: Float32Array): number {
  const largest = w.reduce((most, x) => (Math.abs(x) > Math.abs(most) ? x : most), 0);
  if (!w.every(Number.isFinite)) return Number.NaN;
  if (Math.abs(largest) < tiny) return 0;
  const inverse = Math.fround(1 / largest);
  const relative = w.map((x) => x * inverse);
  const nibbles = (levels: number) => Array.from(relative, (x) => clampNibble(round(Math.fround(x * levels))));
  let best = 0;
  let least = 1e30;
  for (const levels of int4Candidates) {
    const step = Math.fround(1 / levels);
    let error = 0;
    for (const [k, q] of nibbles(levels).entries()) {
      const miss = Math.fround(relative[k]! - Math.fround(q * step));
      error = Math.fround(error + Math.fround(miss * miss));
    }
    if (error < least) [best, least] = [levels, error];
  }
  let [products, squares] = [0, 0];
  for (const [k, q] of nibbles(best).entries()) {
    products = Math.fround(products + Math.fround(relative[k]! * q));
    squares += q * q;
  }
  return Math.fround(largest * Math.fround(products / squares));
}

/** A scale in bfloat16 that divides magnitudes of up to `largest` into 127 steps: rounded up, so that the largest is reached. */
function scaleOf(largest: number): number {
  if (!Number.isFinite(largest)) return Number.NaN;
  const bits = new Uint32Array(Float32Array.of(largest / 127).buffer)[0]!;
  const scale = fromBf16((bits + 0xffff) >>> 16);
  return scale < tiny ? 0 : scale;
}

/** 0 for what has no inverse. */
function inverseOf(x: number): number {
  return x === 0 || Number.isNaN(x) ? 0 : Math.fround(1 / x);
}

/** To the nearest integer, ties to even, as native code does it: 1.5 * 2^23 leaves no room for a fraction. */
function round(x: number): number {
  return Math.fround(Math.fround(x + 12582912) - 12582912);
}

function clampNibble(q: number): number {
  return Math.min(Math.max(q, -8), 7);
}

/** For each row of W its segments: w is scale * weight. */
function unpack(packed: Int32Array, shape: { readonly N: number; readonly K: number; readonly dtype: QuantizedDtype }) {
  const { N, K, dtype } = shape;
  const bytes = bytesOf(packed);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: N }, (_, n) =>
    Array.from({ length: Math.ceil(K / segmentDepth) }, (_, s) => {
      const at = segmentAt(n, s * segmentDepth, shape);
      const scale = fromBf16(view.getUint16(at + 2 * (n % panelColumns), true));
      const weights = Array.from({ length: Math.min(segmentDepth, K - s * segmentDepth) }, (_, k) => {
        const { byte, shift } = weightAt(at, n, k, dtype);
        if (dtype === 'int8') return bytes[byte]! - 128;
        return (((bytes[byte]! >> shift) & 15) - 8) * view.getInt8(stepAt(at, n, Math.floor(k / blockDepth)));
      });
      return { scale, weights };
    }),
  );
}

function segmentAt(
  n: number,
  k0: number,
  { K, dtype }: { readonly K: number; readonly dtype: QuantizedDtype },
): number {
  const panel = Math.floor(n / panelColumns) * panelBytes(K, dtype);
  return panel + (k0 / segmentDepth) * headerBytes[dtype] + (k0 / blockDepth) * blockBytes[dtype];
}

function stepAt(segment: number, n: number, block: number): number {
  return segment + scaleBytes + block * panelColumns + (n % panelColumns);
}

/** Where weight k of a segment lies. Int4: columns j and j + 16 share a byte. */
function weightAt(segment: number, n: number, k: number, dtype: QuantizedDtype): { byte: number; shift: number } {
  const column = n % panelColumns;
  const quad = Math.floor(k / 4);
  const weights = segment + headerBytes[dtype];
  if (dtype === 'int8') return { byte: weights + (quad * panelColumns + column) * 4 + (k % 4), shift: 0 };
  const half = panelColumns / 2;
  return { byte: weights + (quad * half + (column % half)) * 4 + (k % 4), shift: column < half ? 0 : 4 };
}

function bytesOf(packed: Int32Array): Uint8Array {
  return new Uint8Array(packed.buffer, packed.byteOffset, packed.byteLength);
}

/** Elements from the first to the last of a matrix. */
function extent(rows: number, ld: number, columns: number): number {
  return rows === 0 || columns === 0 ? 0 : (rows - 1) * ld + columns;
}

function fromBf16(bits: number): number {
  return new Float32Array(Uint32Array.of(bits << 16).buffer)[0]!;
}

/** The bits of a number that bfloat16 holds exactly. */
function toBf16(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0]! >>> 16;
}
