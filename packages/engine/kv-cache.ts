// Cached rows: keys, values, and whatever else an architecture keeps of every token, or of every few.
//
// Owns one block of native memory for each row store of each layer, all cut into pages of 64 tokens, and which page holds
// which span of which sequence. Whatever a sequence needs to go on is in its pages: there is no state beside them. Knows
// nothing of sampling or requests. A sequence takes all the pages it may ever need
// before it starts, or none, so that what was admitted can always be finished.

import { KEY_BLOCK } from '@hadal/kernels/attention';
import type { Device } from '@hadal/kernels/device';
import { rowsPerBlock } from '@hadal/kernels/windows';
import type { CacheLayout, RowStore } from '@hadal/models/architecture';
import {
  type AttentionMemory,
  type WindowedSequence,
  type Windows,
  windowsOf,
} from '@hadal/models/layers/attention-memory';
import type { Arena } from '@hadal/tensor/arena';
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

/** Memory of one layer's row stores, by name. */
type LayerStores = ReadonlyMap<string, Tensor>;

/** What 64 tokens take, all layers together. */
export function pageBytes(layout: CacheLayout): number {
  const bytes = layout.flatMap((stores) => Object.values(stores).map((store) => rowBytes(store) * rowsPerPage(store)));
  return bytes.reduce((sum, count) => sum + count, 0);
}

function rowBytes({ width, dtype }: RowStore): number {
  return width * (dtype === 'bf16' ? 2 : 4);
}

/** A page has one row at least, also where a row stands for more tokens than a page holds. */
function rowsPerPage({ tokensPerRow = 1 }: RowStore): number {
  return rowsPerBlock(tokensPerRow);
}

export class KvCache {
  readonly pageCount: number;
  readonly #device: Device;
  readonly #layers: readonly LayerStores[];
  readonly #free: number[];

  /** As many pages as fit into `bytes`, for all layers together; at least one. */
  constructor(device: Device, layout: CacheLayout, bytes: number) {
    this.pageCount = Math.max(1, Math.floor(bytes / pageBytes(layout)));
    this.#device = device;
    const block = (store: RowStore) => {
      const rows = this.pageCount * rowsPerPage(store);
      return new Tensor(device.memory.allocate(rows * rowBytes(store)), 0, [rows, store.width], store.dtype);
    };
    this.#layers = layout.map((stores) => new Map(Object.entries(stores).map(([name, store]) => [name, block(store)])));
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
    const sequences: WindowedSequence[] = [];
    let token = 0;
    for (const { lease, count } of extensions) {
      const length = lease.length + count;
      const blockStart = (block: number, tokensPerRow: number) =>
        (lease.pages[block] as number) * rowsPerBlock(tokensPerRow);
      sequences.push({ queryStart: token, queryCount: count, keyCount: length, blockStart });
      for (let position = lease.length; position < length; position++, token++) {
        rows[token] = blockStart(Math.floor(position / KEY_BLOCK), 1) + (position % KEY_BLOCK);
        positions[token] = position;
      }
    }
    const memory = new CachedRows(this.#layers, arena.integers(rows), windowsOf(arena, sequences));
    return { memory, positions: arena.integers(positions) };
  }

  [Symbol.dispose](): void {
    for (const stores of this.#layers) {
      for (const { handle } of stores.values()) this.#device.memory.free(handle);
    }
  }
}

/** Stores what the step computes among everything stored before. */
class CachedRows implements AttentionMemory {
  readonly rows: AttentionRows;
  readonly windows: (tokensPerRow: number) => Windows;
  readonly #layers: readonly LayerStores[];
  /** i32 [N]: where this step's tokens go. */
  readonly #places: Tensor;

  constructor(layers: readonly LayerStores[], places: Tensor, windows: (tokensPerRow: number) => Windows) {
    this.rows = windows(1).rows;
    this.windows = windows;
    this.#layers = layers;
    this.#places = places;
  }

  keep(g: Graph, layer: number, store: string, x: Tensor): Tensor {
    const into = this.open(layer, store, { width: x.dim(-1) });
    g.storeRows(x, this.#places, into);
    return into;
  }

  open(layer: number, store: string, { width }: RowStore): Tensor {
    const tensor = this.#layers[layer]?.get(store);
    if (!tensor) throw new Error(`layer ${layer}: the cache has no store named ${store}`);
    if (tensor.dim(-1) !== width) {
      throw new Error(`layer ${layer}: the cache's ${store} are ${tensor.dim(-1)} wide, the layer's ${width}`);
    }
    return tensor;
  }
}
