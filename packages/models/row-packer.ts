// From rows of a checkpoint to rows of a packed matrix, through a few decoded rows at a time.
//
// Owns the buffer of decoded rows and its size: enough of them to occupy every thread, few enough for the caches, so decoding
// and packing cost one pass over memory. Knows nothing of where rows come from or what the matrix is for.

import type { Device } from '@hadal/kernels/device';
import type { Ref } from '@hadal/kernels/memory';
import { type PackedMatrix, panelRows } from '@hadal/tensor/packed-matrix';
import type { WeightRows } from './weight-rows.ts';

/** Less would leave threads idle at the barriers between decoding and packing, more would leave the caches. */
const chunkBytes = 2 ** 20;

/** Of decoded rows, before they are packed and their files let go. */
const runBytes = 64 * 2 ** 20;

export class RowPacker implements Disposable {
  readonly #device: Device;
  #chunk: Ref = { handle: 0, offset: 0, length: 0 };

  constructor(device: Device) {
    this.#device = device;
  }

  /** Packs the next `rows` of `from` as rows `row` .. of matrix `matrix`, from a multiple of `panelRows` on. */
  pack(
    from: WeightRows,
    into: PackedMatrix,
    { matrix, row, rows }: { matrix: number; row: number; rows: number },
  ): void {
    const { commands, threads } = this.#device;
    const { K } = into;
    const panelBytes = panelRows * K * 4;
    // Panels are what threads share when they pack.
    const panels = Math.max(2 * threads, Math.floor(chunkBytes / panelBytes));
    const chunkRows = Math.min(panels * panelRows, Math.ceil(rows / panelRows) * panelRows);
    const chunk = this.#take(chunkRows * K);
    let recorded = 0;
    for (let done = 0; done < rows; done += chunkRows) {
      const count = Math.min(chunkRows, rows - done);
      from.decode(count, K, chunk);
      into.packRows(commands, chunk, { matrix, row: row + done, rows: count, sourceDtype: 'f32' });
      recorded += count * K * 4;
      if (recorded < runBytes && done + count < rows) continue;
      from.run();
      recorded = 0;
    }
  }

  [Symbol.dispose](): void {
    if (this.#chunk.length > 0) this.#device.memory.free(this.#chunk.handle);
    this.#chunk = { handle: 0, offset: 0, length: 0 };
  }

  /** The buffer, at least so long. */
  #take(length: number): Ref {
    if (this.#chunk.length >= length) return this.#chunk;
    this[Symbol.dispose]();
    this.#chunk = { handle: this.#device.memory.allocate(length * 4), offset: 0, length };
    return this.#chunk;
  }
}
