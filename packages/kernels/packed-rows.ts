// Rows of packed weights by their numbers: what `embedding` is to a plain table.
//
// Owns the look-up in every packed form, so that a table of embeddings needs no second copy where the head shares its memory,
// and takes as little as any matrix where it does not. The layouts are those of `matmul` and `quantized`. Invariant: the
// values are exactly those that a product with the packed matrix multiplies by.

import type { Commands } from './commands.ts';
import type { EmbeddingOptions } from './embedding.ts';
import { type PackedDtype, packedBytes, unpackWeights } from './matmul.ts';
import type { Ref } from './memory.ts';
import { dequantize, type QuantizedDtype, quantizedBytes } from './quantized.ts';

/** `N` rows of a packed [V, D]. */
export interface PackedRowsOptions extends EmbeddingOptions {
  readonly dtype: PackedDtype | QuantizedDtype;
}

// As native/packed_rows.cc numbers them.
const formCodes = { f32: 0, bf16: 1, int8: 2, int4: 3 } as const;

/** y[n, :] = row ids[n] of `packed`, zeros for an id outside. ids int32 [N], y [N, D]; `packed` counts units of four bytes. */
export function packedRows(c: Commands, packed: Ref, ids: Ref, y: Ref, { N, V, D, dtype }: PackedRowsOptions): void {
  const bytes = dtype === 'f32' || dtype === 'bf16' ? packedBytes(V, D, dtype) : quantizedBytes(V, D, dtype);
  c.begin('packedRows');
  c.tensor(packed, bytes / 4);
  c.tensor(ids, N);
  c.tensor(y, N * D);
  c.int(N);
  c.int(V);
  c.int(D);
  c.int(formCodes[dtype]);
  c.end();
}

/** `packed` as its packing twin wrote it: float32, the bits of bfloat16, or the words of a quantized matrix. */
export function packedRowsTwin(
  packed: Float32Array | Uint16Array | Int32Array,
  ids: Int32Array,
  y: Float32Array,
  { N, V, D, dtype }: PackedRowsOptions,
): void {
  const shape = { N: V, K: D };
  const rows =
    packed instanceof Int32Array
      ? dequantize(packed, { ...shape, dtype: dtype as QuantizedDtype })
      : unpackWeights(packed, { ...shape, dtype: dtype as PackedDtype });
  for (let n = 0; n < N; n++) {
    const id = ids[n]!;
    for (let d = 0; d < D; d++) y[n * D + d] = id >= 0 && id < V ? rows[id * D + d]! : 0;
  }
}
