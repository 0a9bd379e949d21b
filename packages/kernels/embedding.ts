// Token embedding and its gradient.
//
// Owns the look-up of table rows by token id. Knows nothing of vocabularies or of what an id means: an id outside
// [0, V) reads as a row of zeros and receives no gradient. Invariant: a table row's gradient adds tokens in the order
// they come, whatever the number of threads.

import type { Commands } from './commands.ts';
import type { Floats } from './elementwise.ts';
import type { Ref } from './memory.ts';

/** `N` tokens, `V` rows in the table, `D` width. */
export interface EmbeddingOptions {
  readonly N: number;
  readonly V: number;
  readonly D: number;
}

/** y[n, :] = table[ids[n], :]. table [V, D], ids int32 [N], y [N, D]. */
export function embedding(c: Commands, table: Ref, ids: Ref, y: Ref, { N, V, D }: EmbeddingOptions): void {
  c.begin('embedding');
  c.tensor(table, V * D);
  c.tensor(ids, N);
  c.tensor(y, N * D);
  c.int(N);
  c.int(V);
  c.int(D);
  c.end();
}

export function embeddingTwin(table: Floats, ids: Int32Array, y: Floats, { N, V, D }: EmbeddingOptions): void {
  for (let n = 0; n < N; n++) {
    const id = ids[n]!;
    for (let d = 0; d < D; d++) y[n * D + d] = id >= 0 && id < V ? table[id * D + d]! : 0;
  }
}

/** dTable[ids[n], :] += dy[n, :] for n in order. ids int32 [N], dy [N, D], dTable [V, D]. */
export function embeddingBackward(c: Commands, ids: Ref, dy: Ref, dTable: Ref, { N, V, D }: EmbeddingOptions): void {
  c.begin('embeddingBackward');
  c.tensor(ids, N);
  c.tensor(dy, N * D);
  c.tensor(dTable, V * D);
  c.int(N);
  c.int(V);
  c.int(D);
  c.end();
}

export function embeddingBackwardTwin(ids: Int32Array, dy: Floats, dTable: Floats, o: EmbeddingOptions): void {
  const { N, V, D } = o;
  const total = Float64Array.from(dTable);
  for (let n = 0; n < N; n++) {
    const id = ids[n]!;
    if (id < 0 || id >= V) continue;
    for (let d = 0; d < D; d++) total[id * D + d] = total[id * D + d]! + dy[n * D + d]!;
  }
  dTable.set(total);
}
