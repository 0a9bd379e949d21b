// What a query may look at.
//
// A layer computes rows (keys, values, whatever else its attention reads) and has them kept; whether those it then sees
// are the documents of the batch (training) or of a cache that grows (inference) is decided here, so the layers read the
// same in both. The invariant is the kernel's: a query walks its sequence's keys from the first in blocks of 64, so all
// memories that hold the same rows give the same bits.

import { documentTables, type SequenceTables } from '@hadal/kernels/attention';
import type { Arena } from '@hadal/tensor/arena';
import type { AttentionShape } from '@hadal/tensor/gradients';
import type { AttentionRows, Graph } from '@hadal/tensor/graph';
import type { Tensor } from '@hadal/tensor/tensor';

export interface AttentionMemory {
  /** Which kept rows belong to the sequence of each of this step's tokens. */
  readonly rows: AttentionRows;
  /**
   * Keeps this step's `x` [N, width], one row for each token, in the layer's store of that name (see `CacheLayout`).
   * Returns the store, whose rows `rows` addresses: this step's and all that were kept before.
   */
  keep(g: Graph, layer: number, store: string, x: Tensor): Tensor;
}

/** Causal attention of `q` over the kept keys and values; `k` and `v` are this step's and may be one tensor. [N, H * dv]. */
export function attend(
  g: Graph,
  memory: AttentionMemory,
  layer: number,
  q: Tensor,
  k: Tensor,
  v: Tensor,
  shape: AttentionShape,
): Tensor {
  const keys = memory.keep(g, layer, 'keys', k);
  const values = v === k ? keys : memory.keep(g, layer, 'values', v);
  return g.attention(q, keys, values, memory.rows, shape);
}

/** Documents packed one after another into a row of tokens; each sees itself only. */
export class PackedDocuments implements AttentionMemory {
  readonly rows: AttentionRows;
  /** Position of each token in its document, i32 [N]. */
  readonly positions: Tensor;

  constructor(arena: Arena, lengths: readonly number[]) {
    this.rows = attentionRows(arena, documentTables(lengths));
    this.positions = arena.integers(
      Int32Array.from(lengths.flatMap((length) => Array.from({ length }, (_, position) => position))),
    );
  }

  keep(_g: Graph, _layer: number, _store: string, x: Tensor): Tensor {
    return x;
  }
}

/** The tables where the kernel can read them. */
export function attentionRows(arena: Arena, { sequences, blockStarts }: SequenceTables): AttentionRows {
  return {
    sequences: arena.integers(sequences, [sequences.length / 4, 4]),
    blockStarts: arena.integers(blockStarts),
  };
}
