// What a query may look at.
//
// A layer computes rows (keys, values, whatever else its attention reads) and has them kept; whether those it then sees
// are the documents of the batch (training) or of a cache that grows (inference) is decided here, so the layers read the
// same in both. A store has a row for each token, or one for a window of tokens. The invariant is the kernels': a query
// walks its sequence's keys in an order that depends on its position alone, so all memories that hold the same rows give
// the same bits.

import { documentTables, KEY_BLOCK, type SequenceTables, sequenceTables } from '@hadal/kernels/attention';
import { rowsPerBlock, windowRow, windowsAmong } from '@hadal/kernels/windows';
import type { Arena } from '@hadal/tensor/arena';
import type { AttentionShape } from '@hadal/tensor/gradients';
import type { AttentionRows, Graph } from '@hadal/tensor/graph';
import { sparseAttention } from '@hadal/tensor/inference-operations';
import type { Tensor } from '@hadal/tensor/tensor';
import type { RowStore } from '../architecture.ts';

export interface AttentionMemory {
  /** Which kept rows belong to the sequence of each of this step's tokens, in stores with a row for each token. */
  readonly rows: AttentionRows;
  /**
   * Keeps this step's `x` [N, width], one row for each token, in the layer's store of that name (see `CacheLayout`).
   * Returns the store, whose rows `rows` addresses: this step's and all that were kept before.
   */
  keep(g: Graph, layer: number, store: string, x: Tensor): Tensor;
  /** The layer's store of that name, for what writes its rows by itself: those of `windows(like.tokensPerRow)`. */
  open(layer: number, store: string, like: RowStore): Tensor;
  /** Where the rows of stores with a row for so many tokens are. */
  windows(tokensPerRow: number): Windows;
}

/** The rows that stand for runs of `tokensPerRow` tokens (see `kernels/windows`). */
export interface Windows {
  readonly tokensPerRow: number;
  readonly rows: AttentionRows;
  /** The most whole windows that a sequence of this step has. */
  readonly most: number;
  /** Windows that end in this step, sequence after sequence: i32 [count] each. */
  readonly completed: {
    readonly count: number;
    /** Their rows. */
    readonly places: Tensor;
    /** The positions of their first tokens. */
    readonly positions: Tensor;
  };
}

/**
 * Causal attention of `q` over the kept keys and values, or over those that `picks` i32 [N, K] lists for each query; `k`
 * and `v` are this step's and may be one tensor. [N, H * dv].
 */
export function attend(
  g: Graph,
  memory: AttentionMemory,
  layer: number,
  q: Tensor,
  k: Tensor,
  v: Tensor,
  shape: AttentionShape,
  picks?: Tensor,
): Tensor {
  const keys = memory.keep(g, layer, 'keys', k);
  const values = v === k ? keys : memory.keep(g, layer, 'values', v);
  if (!picks) return g.attention(q, keys, values, memory.rows, shape);
  return sparseAttention(g, { q, far: { keys, values, rows: memory.rows, tokensPerRow: 1 }, picks }, shape);
}

/** A sequence of this step: what it adds, and where its blocks of 64 tokens begin in stores of each kind. */
export interface WindowedSequence {
  readonly queryStart: number;
  readonly queryCount: number;
  readonly keyCount: number;
  readonly blockStart: (block: number, tokensPerRow: number) => number;
}

/** The windows of a step, made when first asked for. */
export function windowsOf(arena: Arena, sequences: readonly WindowedSequence[]): (tokensPerRow: number) => Windows {
  const made = new Map<number, Windows>();
  return (tokensPerRow) => {
    const windows = made.get(tokensPerRow) ?? makeWindows(arena, sequences, tokensPerRow);
    made.set(tokensPerRow, windows);
    return windows;
  };
}

function makeWindows(arena: Arena, sequences: readonly WindowedSequence[], tokensPerRow: number): Windows {
  const [places, positions]: [number[], number[]] = [[], []];
  let most = 0;
  const tables = sequences.map((sequence) => {
    const blockStart = (block: number) => sequence.blockStart(block, tokensPerRow);
    const end = windowsAmong(sequence.keyCount, tokensPerRow);
    most = Math.max(most, end);
    const begin = windowsAmong(sequence.keyCount - sequence.queryCount, tokensPerRow);
    for (let window = begin; window < end; window++) {
      places.push(windowRow(window, tokensPerRow, blockStart));
      positions.push(window * tokensPerRow);
    }
    return { ...sequence, blockStart };
  });
  const completed = {
    count: places.length,
    places: arena.integers(Int32Array.from(places)),
    positions: arena.integers(Int32Array.from(positions)),
  };
  return { tokensPerRow, rows: attentionRows(arena, sequenceTables(tables)), most, completed };
}

/** Documents packed one after another into a row of tokens; each sees itself only. */
export class PackedDocuments implements AttentionMemory {
  readonly rows: AttentionRows;
  readonly windows: (tokensPerRow: number) => Windows;
  /** Position of each token in its document, i32 [N]. */
  readonly positions: Tensor;
  readonly #arena: Arena;
  readonly #stores = new Map<string, Tensor>();
  /** Blocks of 64 tokens, each document's last one counted whole. */
  readonly #blocks: number;

  constructor(arena: Arena, lengths: readonly number[]) {
    this.#arena = arena;
    let [row, block] = [0, 0];
    const sequences = lengths.map((length) => {
      const [firstRow, firstBlock] = [row, block];
      row += length;
      block += Math.ceil(length / KEY_BLOCK);
      const blockStart = (b: number, tokensPerRow: number) =>
        tokensPerRow === 1 ? firstRow + b * KEY_BLOCK : (firstBlock + b) * rowsPerBlock(tokensPerRow);
      return { queryStart: firstRow, queryCount: length, keyCount: length, blockStart };
    });
    this.#blocks = block;
    this.windows = windowsOf(arena, sequences);
    this.rows = attentionRows(arena, documentTables(lengths));
    this.positions = arena.integers(
      Int32Array.from(lengths.flatMap((length) => Array.from({ length }, (_, position) => position))),
    );
  }

  keep(_g: Graph, _layer: number, _store: string, x: Tensor): Tensor {
    return x;
  }

  open(layer: number, store: string, { width, tokensPerRow = 1 }: RowStore): Tensor {
    const key = `${layer}:${store}`;
    const tensor = this.#stores.get(key) ?? this.#arena.take([this.#blocks * rowsPerBlock(tokensPerRow), width]);
    this.#stores.set(key, tensor);
    return tensor;
  }
}

/** The tables where the kernel can read them. */
export function attentionRows(arena: Arena, { sequences, blockStarts }: SequenceTables): AttentionRows {
  return {
    sequences: arena.integers(sequences, [sequences.length / 4, 4]),
    blockStarts: arena.integers(blockStarts),
  };
}
