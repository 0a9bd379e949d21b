// Cached rows: keys, values, and whatever else an architecture keeps of every token, or of every few.
//
// Owns one block of native memory for each row store of each layer, all cut into pages of 64 tokens. Which page holds which
// span of which sequence is the caller's to say; whatever a sequence needs to go on is in its pages, there is no state beside
// them. Knows nothing of sampling or requests.

import { KEY_BLOCK } from '@hadal/kernels/attention';
import type { Device } from '@hadal/kernels/device';
import type { Ref } from '@hadal/kernels/memory';
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
  readonly length: number;
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

function rowBytes({ width, dtype }: { readonly width: number; readonly dtype?: Tensor['dtype'] }): number {
  return width * (dtype === 'bf16' ? 2 : 4);
}

/** A page has one row at least, also where a row stands for more tokens than a page holds. */
function rowsPerPage({ tokensPerRow = 1 }: RowStore): number {
  return rowsPerBlock(tokensPerRow);
}

export class KvCache {
  readonly pageCount: number;
  /** Tokens in a page: the keys that attention reads together. */
  readonly pageTokens = KEY_BLOCK;
  readonly #device: Device;
  readonly #layers: readonly LayerStores[];

  /** As many pages as fit into `bytes`, for all layers together; at least one. */
  constructor(device: Device, layout: CacheLayout, bytes: number) {
    this.pageCount = Math.max(1, Math.floor(bytes / pageBytes(layout)));
    this.#device = device;
    const block = (store: RowStore) => {
      const rows = this.pageCount * rowsPerPage(store);
      return new Tensor(device.memory.allocate(rows * rowBytes(store)), 0, [rows, store.width], store.dtype);
    };
    this.#layers = layout.map((stores) => new Map(Object.entries(stores).map(([name, store]) => [name, block(store)])));
  }

  /** What one page holds, all layers together. */
  get pageBytes(): number {
    return this.#pageBytes(0).reduce((sum, { length }) => sum + length, 0);
  }

  /** A copy of a page: [pageBytes], store after store. */
  readPage(page: number): Uint8Array {
    const bytes = new Uint8Array(this.pageBytes);
    let offset = 0;
    for (const stretch of this.#pageBytes(page)) {
      this.#device.memory.read(stretch, bytes.subarray(offset, offset + stretch.length));
      offset += stretch.length;
    }
    return bytes;
  }

  /** Puts back what `readPage` gave. */
  writePage(page: number, bytes: Uint8Array): void {
    let offset = 0;
    for (const stretch of this.#pageBytes(page)) {
      this.#device.memory.write(stretch, bytes.subarray(offset, offset + stretch.length));
      offset += stretch.length;
    }
  }

  /** The stretches of memory that a page is made of, in bytes. */
  #pageBytes(page: number): Ref[] {
    return this.#layers.flatMap((stores) =>
      [...stores.values()].map((store) => {
        const length = (rowBytes({ width: store.dim(-1), dtype: store.dtype }) * store.rows) / this.pageCount;
        return { handle: store.handle, offset: page * length, length };
      }),
    );
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
