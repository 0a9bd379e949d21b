// What a query may look at.
//
// A layer computes queries, keys and values and hands them over; whether the keys are those of the documents in the
// batch (training) or of a cache that grows (inference) is decided here, so the layers read the same in both. The
// invariant is the kernel's: a query walks its sequence's keys from the first in blocks of 64, so all memories that hold
// the same keys give the same bits.

import { documentTables, type SequenceTables } from '@hadal/kernels/attention';
import type { Arena } from '@hadal/tensor/arena';
import type { AttentionShape } from '@hadal/tensor/gradients';
import type { AttentionRows, Graph } from '@hadal/tensor/graph';
import type { Tensor } from '@hadal/tensor/tensor';

export interface AttentionMemory {
  /** Causal attention of this step's queries; `k` and `v` are this step's and may be the same tensor. [N, H * dv]. */
  attend(g: Graph, layer: number, q: Tensor, k: Tensor, v: Tensor, shape: AttentionShape): Tensor;
}

/** Documents packed one after another into a row of tokens; each sees itself only. */
export class PackedDocuments implements AttentionMemory {
  readonly #rows: AttentionRows;
  /** Position of each token in its document, i32 [N]. */
  readonly positions: Tensor;

  constructor(arena: Arena, lengths: readonly number[]) {
    this.#rows = attentionRows(arena, documentTables(lengths));
    this.positions = arena.integers(
      Int32Array.from(lengths.flatMap((length) => Array.from({ length }, (_, position) => position))),
    );
  }

  attend(g: Graph, _layer: number, q: Tensor, k: Tensor, v: Tensor, shape: AttentionShape): Tensor {
    return g.attention(q, k, v, this.#rows, shape);
  }
}

/** The tables where the kernel can read them. */
export function attentionRows(arena: Arena, { sequences, blockStarts }: SequenceTables): AttentionRows {
  return {
    sequences: arena.integers(sequences, [sequences.length / 4, 4]),
    blockStarts: arena.integers(blockStarts),
  };
}
