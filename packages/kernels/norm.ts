// Root-mean-square normalization and its gradient, and LayerNorm for inference.
//
// Owns one row's scaling by its own root mean square and a learned weight, and by its own deviation from its mean. Knows nothing of where in a block it stands.
// Invariant: a row's output and input gradient depend on that row alone; the weight's gradient adds rows in order within
// chunks whose size depends on the number of rows only, then the chunks in order.

import type { Commands } from './commands.ts';
import { extent, type Floats } from './elementwise.ts';
import type { Ref } from './memory.ts';

/** `N` rows of width `D`; row n begins at n * xStride, n * yStride: D where absent. */
export interface RmsNormOptions {
  readonly N: number;
  readonly D: number;
  readonly xStride?: number;
  readonly yStride?: number;
  /** Added to the mean of squares: 1e-6 in every DeepSeek model. */
  readonly eps: number;
}

/** As in the forward pass; `dyStride` and `dxStride` are the gradients' row strides, D where absent. */
export interface RmsNormBackwardOptions {
  readonly N: number;
  readonly D: number;
  readonly xStride?: number;
  readonly dyStride?: number;
  readonly dxStride?: number;
  readonly eps: number;
  /** Adds to what `dx` holds instead of replacing it. */
  readonly accumulateDx?: boolean;
}

/** y[n, d] = x[n, d] * w[d] / sqrt(mean_d x[n, d]^2 + eps). x, y [N, D] (may be the same), w [D]. Zhang & Sennrich 2019. */
export function rmsNorm(c: Commands, x: Ref, w: Ref, y: Ref, o: RmsNormOptions): void {
  const { xStride = o.D, yStride = o.D } = o;
  c.begin('rmsNorm');
  c.tensor(x, extent(o.N, xStride, o.D));
  c.tensor(w, o.D);
  c.tensor(y, extent(o.N, yStride, o.D));
  c.int(o.N);
  c.int(o.D);
  c.int(xStride);
  c.int(yStride);
  c.float(o.eps);
  c.end();
}

export function rmsNormTwin(x: Floats, w: Floats, y: Floats, o: RmsNormOptions): void {
  const { xStride = o.D, yStride = o.D } = o;
  for (let n = 0; n < o.N; n++) {
    const row = x.slice(n * xStride, n * xStride + o.D);
    const r = reciprocalRoot(row, o.eps);
    for (let d = 0; d < o.D; d++) y[n * yStride + d] = row[d]! * w[d]! * r;
  }
}

/**
 * With r = 1 / sqrt(mean_d x^2 + eps) of a row and g = w * dy:
 * dx[n, d] (+)= r * (g[d] - x[n, d] * r^2 * mean_d(g * x)); dw[d] += sum_n dy[n, d] * x[n, d] * r.
 *
 * x, dy, dx [N, D], w, dw [D]. `dx` may be `dy` at the same stride.
 */
export function rmsNormBackward(
  c: Commands,
  x: Ref,
  w: Ref,
  dy: Ref,
  dx: Ref,
  dw: Ref,
  o: RmsNormBackwardOptions,
): void {
  const { xStride = o.D, dyStride = o.D, dxStride = o.D } = o;
  c.begin('rmsNormBackward');
  c.tensor(x, extent(o.N, xStride, o.D));
  c.tensor(w, o.D);
  c.tensor(dy, extent(o.N, dyStride, o.D));
  c.tensor(dx, extent(o.N, dxStride, o.D));
  c.tensor(dw, o.D);
  c.int(o.N);
  c.int(o.D);
  c.int(xStride);
  c.int(dyStride);
  c.int(dxStride);
  c.float(o.eps);
  c.int(o.accumulateDx ? 1 : 0);
  c.end();
}

export function rmsNormBackwardTwin(
  x: Floats,
  w: Floats,
  dy: Floats,
  dx: Floats,
  dw: Floats,
  o: RmsNormBackwardOptions,
): void {
  const { xStride = o.D, dyStride = o.D, dxStride = o.D } = o;
  const dwTotal = new Float64Array(o.D);
  for (let n = 0; n < o.N; n++) {
    const row = x.slice(n * xStride, n * xStride + o.D);
    const dyRow = dy.slice(n * dyStride, n * dyStride + o.D);
    const r = reciprocalRoot(row, o.eps);
    let along = 0;
    for (let d = 0; d < o.D; d++) along += w[d]! * dyRow[d]! * row[d]!;
    for (let d = 0; d < o.D; d++) {
      const at = n * dxStride + d;
      const gradient = r * (w[d]! * dyRow[d]! - (row[d]! * r * r * along) / o.D);
      dx[at] = (o.accumulateDx ? dx[at]! : 0) + gradient;
      dwTotal[d] = dwTotal[d]! + dyRow[d]! * row[d]! * r;
    }
  }
  for (let d = 0; d < o.D; d++) dw[d] = dw[d]! + dwTotal[d]!;
}

/** `N` rows of width `D`, without gaps. */
export interface LayerNormOptions {
  readonly N: number;
  readonly D: number;
  readonly eps: number;
}

/**
 * y[n, d] = (x[n, d] - mean) * w[d] / sqrt(variance + eps) + b[d], of the row's D values; no gradient.
 * x, y [N, D] (may be the same), w, b [D]. Ba et al. 2016, arXiv 1607.06450.
 */
export function layerNorm(c: Commands, x: Ref, w: Ref, b: Ref, y: Ref, { N, D, eps }: LayerNormOptions): void {
  c.begin('layerNorm');
  c.tensor(x, N * D);
  c.tensor(w, D);
  c.tensor(b, D);
  c.tensor(y, N * D);
  c.int(N);
  c.int(D);
  c.float(eps);
  c.end();
}

export function layerNormTwin(x: Floats, w: Floats, b: Floats, y: Floats, { N, D, eps }: LayerNormOptions): void {
  for (let n = 0; n < N; n++) {
    const row = Float64Array.from(x.subarray(n * D, (n + 1) * D));
    const mean = row.reduce((sum, value) => sum + value, 0) / D;
    const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / D;
    row.forEach((value, d) => {
      y[n * D + d] = ((value - mean) * w[d]!) / Math.sqrt(variance + eps) + b[d]!;
    });
  }
}

function reciprocalRoot(row: Floats, eps: number): number {
  let squares = 0;
  for (const x of row) squares += x * x;
  return 1 / Math.sqrt(squares / row.length + eps);
}
