// What a query may look at.
//
// A layer computes queries, keys and values and hands them over; whether the keys are those of the documents in the
// batch (training) or of a cache that grows (inference) is decided here, so the layers read the same in both. The
// invariant is the kernel's: a query walks its sequence's keys from the first in blocks of 64, so all memories that hold
// the same keys give the same bits.

import type { Arena } from '@hadal/tensor/arena';
import type { AttentionShape } from '@hadal/tensor/gradients';
import type { AttentionRows, Graph } from '@hadal/tensor/graph';
import type { Tensor } from '@hadal/tensor/tensor';

export interface AttentionMemory {
  /** Causal attention of this step's queries; `k` and `v` are this step's and may be the same tensor. [N, H * dv]. */
  attend(g: Graph, layer: number, q: Tensor, k: Tensor, v: Tensor, shape: AttentionShape): Tensor;
}

/** Keys in one block of the attention kernel, and tokens in one page of a cache. */
export const blockTokens = 64;

/** Documents packed one after another into a row of tokens; each sees itself only. */
export class PackedDocuments implements AttentionMemory {
  readonly #rows: AttentionRows;
  /** Position of each token in its document, i32 [N]. */
  readonly positions: Tensor;

  constructor(arena: Arena, lengths: readonly number[]) {
    const sequences: number[] = [];
    const blockStarts: number[] = [];
    const positions = new Int32Array(lengths.reduce((sum, length) => sum + length, 0));
    let start = 0;
    for (const length of lengths) {
      sequences.push(start, length, length, blockStarts.length);
      for (let token = 0; token < length; token += blockTokens) blockStarts.push(start + token);
      for (let token = 0; token < length; token++) positions[start + token] = token;
      start += length;
    }
    this.positions = arena.integers(positions);
    this.#rows = {
      sequences: arena.integers(Int32Array.from(sequences), [lengths.length, 4]),
      blockStarts: arena.integers(Int32Array.from(blockStarts)),
    };
  }

  attend(g: Graph, _layer: number, q: Tensor, k: Tensor, v: Tensor, shape: AttentionShape): Tensor {
    return g.attention(q, k, v, this.#rows, shape);
  }
}
