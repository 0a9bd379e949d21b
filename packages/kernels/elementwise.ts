// Elementwise operations, conversions and whole-tensor sums.
//
// Owns what touches every element once and knows no shape beyond "so many floats" or rows at a stride. Knows nothing
// of models or gradients. Invariant: an element's bits depend on its own inputs only, and the two sums add chunks of
// 4096 elements in order, so neither depends on how threads share the work.

import type { Commands } from './commands.ts';
import type { Ref } from './memory.ts';

/** Any array a twin computes on: float32 as the kernels do, float64 where a test takes finite differences. */
export type Floats = Float32Array | Float64Array;

/** Rows of a matrix that may be part of wider ones: row r begins at r * srcStride (0: the same row for all) and r * dstStride. */
export interface CopyColumnsOptions {
  readonly rows: number;
  readonly cols: number;
  readonly srcStride: number;
  readonly dstStride: number;
  /** Adds to what `dst` holds instead of replacing it. */
  readonly accumulate?: boolean;
}

/** Elements from the first of the first row to the last of the last, for rows of `cols` elements `stride` apart. */
export function extent(rows: number, stride: number, cols: number): number {
  return rows === 0 ? 0 : (rows - 1) * stride + cols;
}

/** x[i] = value, for the whole of `x`. */
export function fill(c: Commands, x: Ref, value: number): void {
  c.begin('fill');
  c.tensor(x, x.length);
  c.int(x.length);
  c.float(value);
  c.end();
}

export function fillTwin(x: Floats, value: number): void {
  x.fill(value);
}

/** dst[r, c] (+)= src[r, c] for `rows` x `cols` elements inside wider rows. The two must not overlap. */
export function copyColumns(c: Commands, src: Ref, dst: Ref, o: CopyColumnsOptions): void {
  if (o.rows > 1 && ((o.srcStride < o.cols && o.srcStride !== 0) || o.dstStride < o.cols)) {
    throw new Error(`copyColumns: expected strides of at least ${o.cols}, got ${o.srcStride} and ${o.dstStride}`);
  }
  c.begin('copyColumns');
  c.tensor(src, extent(o.rows, o.srcStride, o.cols));
  c.tensor(dst, extent(o.rows, o.dstStride, o.cols));
  c.int(o.rows);
  c.int(o.cols);
  c.int(o.srcStride);
  c.int(o.dstStride);
  c.int(o.accumulate ? 1 : 0);
  c.end();
}

export function copyColumnsTwin(src: Floats, dst: Floats, o: CopyColumnsOptions): void {
  for (let r = 0; r < o.rows; r++) {
    for (let c = 0; c < o.cols; c++) {
      const to = r * o.dstStride + c;
      dst[to] = (o.accumulate ? dst[to]! : 0) + src[r * o.srcStride + c]!;
    }
  }
}

/** y[i] = a[i] + b[i]. `y` decides the length and may be `a` or `b`. */
export function add(c: Commands, a: Ref, b: Ref, y: Ref): void {
  c.begin('add');
  c.tensor(a, y.length);
  c.tensor(b, y.length);
  c.tensor(y, y.length);
  c.int(y.length);
  c.end();
}

export function addTwin(a: Floats, b: Floats, y: Floats): void {
  for (let i = 0; i < y.length; i++) y[i] = a[i]! + b[i]!;
}

/** y[i] = factor * x[i]. `y` decides the length and may be `x`. */
export function scale(c: Commands, x: Ref, y: Ref, factor: number): void {
  c.begin('scale');
  c.tensor(x, y.length);
  c.tensor(y, y.length);
  c.int(y.length);
  c.float(factor);
  c.end();
}

export function scaleTwin(x: Floats, y: Floats, factor: number): void {
  for (let i = 0; i < y.length; i++) y[i] = factor * x[i]!;
}

/** y[i] += alpha * x[i]. `y` decides the length. */
export function axpy(c: Commands, alpha: number, x: Ref, y: Ref): void {
  c.begin('axpy');
  c.tensor(x, y.length);
  c.tensor(y, y.length);
  c.int(y.length);
  c.float(alpha);
  c.end();
}

export function axpyTwin(alpha: number, x: Floats, y: Floats): void {
  for (let i = 0; i < y.length; i++) y[i] = y[i]! + alpha * x[i]!;
}

/** y[i] = the bfloat16 nearest to x[i], ties to even; a NaN becomes a quiet NaN. `y` decides the length. */
export function toBf16(c: Commands, x: Ref, y: Ref): void {
  c.begin('toBf16');
  c.tensor(x, y.length);
  c.tensor(y, y.length);
  c.int(y.length);
  c.end();
}

/** `y` holds bit patterns: bfloat16 is the upper half of a float32. */
export function toBf16Twin(x: Float32Array, y: Uint16Array): void {
  const bits = new Uint32Array(x.buffer, x.byteOffset, x.length);
  for (let i = 0; i < y.length; i++) {
    const b = bits[i]!;
    const isQuieted = (b & 0x7fffffff) > 0x7f800000;
    y[i] = isQuieted ? (b >>> 16) | 0x0040 : (b + 0x7fff + ((b >>> 16) & 1)) >>> 16;
  }
}

/** y[i] = x[i] exactly, x in bfloat16. `y` decides the length. */
export function fromBf16(c: Commands, x: Ref, y: Ref): void {
  c.begin('fromBf16');
  c.tensor(x, y.length);
  c.tensor(y, y.length);
  c.int(y.length);
  c.end();
}

export function fromBf16Twin(x: Uint16Array, y: Float32Array): void {
  const bits = new Uint32Array(y.buffer, y.byteOffset, y.length);
  for (let i = 0; i < y.length; i++) bits[i] = x[i]! << 16;
}

/** out[0] = sum of x[i], added in float64. */
export function sum(c: Commands, x: Ref, out: Ref): void {
  c.begin('sum');
  c.tensor(x, x.length);
  c.tensor(out, 1);
  c.int(x.length);
  c.end();
}

export function sumTwin(x: Floats, out: Floats): void {
  let total = 0;
  for (const value of x) total += value;
  out[0] = total;
}

/** out[0] = sum of x[i]^2, added in float64: the square of a gradient's norm, one tensor at a time. */
export function sumSquares(c: Commands, x: Ref, out: Ref): void {
  c.begin('sumSquares');
  c.tensor(x, x.length);
  c.tensor(out, 1);
  c.int(x.length);
  c.end();
}

export function sumSquaresTwin(x: Floats, out: Floats): void {
  let total = 0;
  for (const value of x) total += value * value;
  out[0] = total;
}
