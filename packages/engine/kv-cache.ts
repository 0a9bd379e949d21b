// Cached keys and values.
//
// Owns one block of native memory for each layer, cut into pages of 64 tokens, and which page holds which span of which
// sequence. Knows nothing of sampling or requests. A sequence takes all the pages it may ever need before it starts, or
// none, so that what was admitted can always be finished.

import { KEY_BLOCK, type SequenceRows, sequenceTables } from '@hadal/kernels/attention';
import type { Device } from '@hadal/kernels/device';
import type { LanguageModel } from '@hadal/models/language-model';
import { type AttentionMemory, attentionRows } from '@hadal/models/layers/attention-memory';
import type { Arena } from '@hadal/tensor/arena';
import type { AttentionShape } from '@hadal/tensor/gradients';
import type { AttentionRows, Graph } from '@hadal/tensor/graph';
import { Tensor } from '@hadal/tensor/tensor';

/** The pages of one sequence, in order, and how many of their tokens are written. */
export interface PageLease {
  readonly pages: readonly number[];
  length: number;
}

/** What one sequence adds in a step: `count` tokens after the `length` it has. */
export interface Extension {
  readonly lease: PageLease;
  readonly count: number;
}

export class KvCache {
  readonly pageCount: number;
  readonly #device: Device;
  readonly #layers: readonly { readonly keys: Tensor; readonly values: Tensor | undefined }[];
  readonly #free: number[];

  /** As many pages as fit into `bytes`, for all layers together. */
  constructor(device: Device, model: LanguageModel, bytes: number) {
    const { keyWidth, valueWidth } = model.cache;
    const pageBytes = KEY_BLOCK * (keyWidth + valueWidth) * 4 * model.layers;
    this.pageCount = Math.max(1, Math.floor(bytes / pageBytes));
    this.#device = device;
    const rows = this.pageCount * KEY_BLOCK;
    const block = (width: number) => new Tensor(device.memory.allocate(rows * width * 4), 0, [rows, width]);
    this.#layers = Array.from({ length: model.layers }, () => ({
      keys: block(keyWidth),
      values: valueWidth > 0 ? block(valueWidth) : undefined,
    }));
    this.#free = Array.from({ length: this.pageCount }, (_, i) => this.pageCount - 1 - i);
  }

  /** Pages for `tokens` tokens, or none: a half-admitted sequence could never be finished. */
  reserve(tokens: number): PageLease | undefined {
    const count = Math.ceil(tokens / KEY_BLOCK);
    if (count > this.#free.length) return undefined;
    return { pages: this.#free.splice(this.#free.length - count, count), length: 0 };
  }

  release(lease: PageLease): void {
    this.#free.push(...lease.pages);
  }

  get freePages(): number {
    return this.#free.length;
  }

  /** The memory of a step that extends these sequences, whose new tokens stand in this order in the batch. */
  extend(arena: Arena, extensions: readonly Extension[]): { memory: AttentionMemory; positions: Tensor } {
    const total = extensions.reduce((sum, { count }) => sum + count, 0);
    const [rows, positions] = [new Int32Array(total), new Int32Array(total)];
    const tables: SequenceRows[] = [];
    let token = 0;
    for (const { lease, count } of extensions) {
      const length = lease.length + count;
      const blockStart = (block: number) => (lease.pages[block] as number) * KEY_BLOCK;
      tables.push({ queryStart: token, queryCount: count, keyCount: length, blockStart });
      for (let position = lease.length; position < length; position++, token++) {
        rows[token] = blockStart(Math.floor(position / KEY_BLOCK)) + (position % KEY_BLOCK);
        positions[token] = position;
      }
    }
    const seen = attentionRows(arena, sequenceTables(tables));
    const memory = new CachedKeys(this.#layers, arena.integers(rows), seen);
    return { memory, positions: arena.integers(positions) };
  }

  [Symbol.dispose](): void {
    for (const { keys, values } of this.#layers) {
      this.#device.memory.free(keys.handle);
      if (values) this.#device.memory.free(values.handle);
    }
  }
}

/** Stores what the step computes, then attends over everything stored. */
class CachedKeys implements AttentionMemory {
  readonly #layers: readonly { readonly keys: Tensor; readonly values: Tensor | undefined }[];
  readonly #rows: Tensor;
  readonly #seen: AttentionRows;

  constructor(
    layers: readonly { readonly keys: Tensor; readonly values: Tensor | undefined }[],
    rows: Tensor,
    seen: AttentionRows,
  ) {
    this.#layers = layers;
    this.#rows = rows;
    this.#seen = seen;
  }

  attend(g: Graph, layer: number, q: Tensor, k: Tensor, v: Tensor, shape: AttentionShape): Tensor {
    const cache = this.#layers[layer];
    if (!cache) throw new Error(`layer ${layer}: the cache was made for ${this.#layers.length}`);
    g.storeRows(k, this.#rows, cache.keys);
    if (cache.values) g.storeRows(v, this.#rows, cache.values);
    return g.attention(q, cache.keys, cache.values ?? cache.keys, this.#seen, shape);
  }
}
