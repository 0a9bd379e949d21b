// The rows of one weight, in order, whatever parts of a checkpoint they lie in.
//
// Owns the walk over the parts of a fused matrix (gate over up, expert after expert): rows are asked for in stretches, and a
// stretch may end one part and begin another. A part is mapped when its first row is asked for and let go after the run that
// decoded its last. Invariant: rows come in order, each once.

import type { Device } from '@hadal/kernels/device';
import type { Ref } from '@hadal/kernels/memory';
import { type MappedPart, mapPart } from './mapped-part.ts';
import { partBytes, type StoredPart } from './weight-parts.ts';

export class WeightRows implements Disposable {
  readonly #device: Device;
  readonly #parts: StoredPart[];
  #current: { readonly part: StoredPart; readonly mapped: MappedPart; row: number } | undefined;
  /** Decoded by commands that have not run yet. */
  #finished: { readonly part: StoredPart; readonly mapped: MappedPart }[] = [];

  constructor(device: Device, parts: readonly StoredPart[]) {
    this.#device = device;
    this.#parts = [...parts];
  }

  /** Records the decoding of the next `count` rows into `y`, float32 in lines of `columns`. */
  decode(count: number, columns: number, y: Ref): void {
    for (let filled = 0; filled < count; ) {
      const current = this.#current ?? this.#open();
      const { mapped, row } = current;
      if (mapped.columns !== columns) throw new Error(`rows: expected ${columns} columns, found ${mapped.columns}`);
      const taken = Math.min(count - filled, mapped.rows - row);
      mapped.decode(row, taken, { handle: y.handle, offset: y.offset + filled * columns, length: taken * columns });
      filled += taken;
      current.row += taken;
      if (current.row < mapped.rows) continue;
      this.#finished.push(current);
      this.#current = undefined;
    }
  }

  /** Runs the recorded commands. Returns the bytes of the files that have been read to their ends since the last time. */
  run(): number {
    this.#device.commands.run();
    const bytes = this.#finished.reduce((sum, { part }) => sum + partBytes(part), 0);
    this.#letGo();
    return bytes;
  }

  [Symbol.dispose](): void {
    this.#letGo();
    this.#current?.mapped[Symbol.dispose]();
    this.#current = undefined;
  }

  #open() {
    const part = this.#parts.shift();
    if (!part) throw new Error('rows: expected no more than the parts have');
    this.#current = { part, mapped: mapPart(this.#device, part), row: 0 };
    return this.#current;
  }

  #letGo(): void {
    for (const { mapped } of this.#finished) mapped[Symbol.dispose]();
    this.#finished = [];
  }
}
