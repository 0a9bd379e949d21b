// Softmax over rows and its gradient.
//
// Owns the stable softmax of whole rows: router scores, small distributions. Attention and the loss have their own, fused
// with what surrounds them. Invariant: a row's result depends on that row alone.

import type { Commands } from './commands.ts';
import type { Floats } from './elementwise.ts';
import type { Ref } from './memory.ts';

export interface SoftmaxOptions {
  readonly rows: number;
  readonly cols: number;
}

/** y[r, c] = exp(x[r, c] - max_c x[r, :]) / sum_c exp(...). x, y [rows, cols] (may be the same). */
export function softmax(c: Commands, x: Ref, y: Ref, { rows, cols }: SoftmaxOptions): void {
  c.begin('softmax');
  c.tensor(x, rows * cols);
  c.tensor(y, rows * cols);
  c.int(rows);
  c.int(cols);
  c.end();
}

export function softmaxTwin(x: Floats, y: Floats, { rows, cols }: SoftmaxOptions): void {
  for (let r = 0; r < rows; r++) {
    const row = Float64Array.from(x.subarray(r * cols, (r + 1) * cols));
    const max = row.reduce((best, value) => Math.max(best, value), -Infinity);
    const total = row.reduce((sum, value) => sum + Math.exp(value - max), 0);
    for (let i = 0; i < cols; i++) y[r * cols + i] = Math.exp(row[i]! - max) / total;
  }
}

/** dx[r, c] = y[r, c] * (dy[r, c] - sum_c y[r, :] * dy[r, :]). y, dy, dx [rows, cols]; `dx` is written and may be `dy`. */
export function softmaxBackward(c: Commands, y: Ref, dy: Ref, dx: Ref, { rows, cols }: SoftmaxOptions): void {
  c.begin('softmaxBackward');
  c.tensor(y, rows * cols);
  c.tensor(dy, rows * cols);
  c.tensor(dx, rows * cols);
  c.int(rows);
  c.int(cols);
  c.end();
}

export function softmaxBackwardTwin(y: Floats, dy: Floats, dx: Floats, { rows, cols }: SoftmaxOptions): void {
  for (let r = 0; r < rows; r++) {
    let along = 0;
    for (let i = r * cols; i < (r + 1) * cols; i++) along += y[i]! * dy[i]!;
    for (let i = r * cols; i < (r + 1) * cols; i++) dx[i] = y[i]! * (dy[i]! - along);
  }
}
