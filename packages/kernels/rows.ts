// Rows stored at places that a list names.
//
// Owns the write into a cache of keys and values, whose pages lie anywhere; reading by a list of rows is `embedding`.
// Knows nothing of pages. Invariant: distinct rows; a row outside the target is left out, so that a bad list cannot
// write beyond it.

import type { Commands } from './commands.ts';
import { toBf16Twin } from './elementwise.ts';
import type { Ref } from './memory.ts';

/** How kept rows lie. */
export type RowDtype = 'f32' | 'bf16';

/** `N` rows of `D` values into a target of `R` rows. */
export interface StoreRowsOptions {
  readonly N: number;
  readonly R: number;
  readonly D: number;
  /** Form of the target; f32 when absent. */
  readonly dtype?: RowDtype | undefined;
}

/**
 * into[rows[n], :] = x[n, :]. x [N, D], rows int32 [N] without repeats, into [R, D] float32, or bfloat16, rounded to
 * nearest even.
 */
export function storeRows(
  c: Commands,
  x: Ref,
  rows: Ref,
  into: Ref,
  { N, R, D, dtype = 'f32' }: StoreRowsOptions,
): void {
  c.begin('storeRows');
  c.tensor(x, N * D);
  c.tensor(rows, N);
  c.optionalTensor(dtype === 'f32' ? into : undefined, R * D);
  c.optionalTensor(dtype === 'bf16' ? into : undefined, R * D);
  c.int(N);
  c.int(R);
  c.int(D);
  c.end();
}

export function storeRowsTwin(
  x: Float32Array,
  rows: Int32Array,
  into: Float32Array | Uint16Array,
  { N, R, D }: StoreRowsOptions,
): void {
  const rounded = new Uint16Array(x.length);
  toBf16Twin(x, rounded);
  const from = into instanceof Uint16Array ? rounded : x;
  for (let n = 0; n < N; n++) {
    const row = rows[n]!;
    if (row < 0 || row >= R) continue;
    for (let d = 0; d < D; d++) into[row * D + d] = from[n * D + d]!;
  }
}
