// Rows stored at places that a list names.
//
// Owns the write into a cache of keys and values, whose pages lie anywhere; reading by a list of rows is `embedding`.
// Knows nothing of pages. Invariant: distinct rows; a row outside the target is left out, so that a bad list cannot
// write beyond it.

import type { Commands } from './commands.ts';
import type { Floats } from './elementwise.ts';
import type { Ref } from './memory.ts';

/** `N` rows of `D` values into a target of `R` rows. */
export interface StoreRowsOptions {
  readonly N: number;
  readonly R: number;
  readonly D: number;
}

/** into[rows[n], :] = x[n, :]. x [N, D], rows int32 [N] without repeats, into [R, D]. */
export function storeRows(c: Commands, x: Ref, rows: Ref, into: Ref, { N, R, D }: StoreRowsOptions): void {
  c.begin('storeRows');
  c.tensor(x, N * D);
  c.tensor(rows, N);
  c.tensor(into, R * D);
  c.int(N);
  c.int(R);
  c.int(D);
  c.end();
}

export function storeRowsTwin(x: Floats, rows: Int32Array, into: Floats, { N, R, D }: StoreRowsOptions): void {
  for (let n = 0; n < N; n++) {
    const row = rows[n]!;
    if (row < 0 || row >= R) continue;
    for (let d = 0; d < D; d++) into[row * D + d] = x[n * D + d]!;
  }
}
