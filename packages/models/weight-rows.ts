// The rows of one weight, in order, whatever parts of a checkpoint they lie in.
//
// Owns the walk over the parts of a fused matrix (gate over up, expert after expert): rows are asked for in stretches, and a
// stretch may end one part and begin another. Files are mapped from the first row of a stretch to the run that decodes it, so
// what has been read is the system's again, however large a part is. Invariant: rows come in order, each once.

import type { Device } from '@hadal/kernels/device';
import type { Ref } from '@hadal/kernels/memory';
import { type MappedPart, mapPart } from './mapped-part.ts';
import { partBytes, type StoredPart } from './weight-parts.ts';

export class WeightRows implements Disposable {
  readonly #device: Device;
  readonly #parts: readonly StoredPart[];
  readonly #onRead: ((bytes: number) => void) | undefined;
  /** Mapped since the last run, by number. */
  readonly #mapped = new Map<number, MappedPart>();
  #part = 0;
  #row = 0;
  #bytes = 0;

  /** `onRead` hears, after every run, how many bytes of the files it took. */
  constructor(device: Device, parts: readonly StoredPart[], onRead?: (bytes: number) => void) {
    this.#device = device;
    this.#parts = parts;
    this.#onRead = onRead;
  }

  /** Records the decoding of the next `count` rows into `y`, float32 in lines of `columns`. */
  decode(count: number, columns: number, y: Ref): void {
    for (let filled = 0; filled < count; ) {
      const { mapped, part } = this.#open();
      if (mapped.columns !== columns) throw new Error(`rows: expected ${columns} columns, found ${mapped.columns}`);
      const taken = Math.min(count - filled, mapped.rows - this.#row);
      mapped.decode(this.#row, taken, {
        handle: y.handle,
        offset: y.offset + filled * columns,
        length: taken * columns,
      });
      filled += taken;
      this.#row += taken;
      this.#bytes += (partBytes(part) * taken) / mapped.rows;
      if (this.#row < mapped.rows) continue;
      this.#part++;
      this.#row = 0;
    }
  }

  /** Runs the recorded commands and lets go of the files. */
  run(): void {
    this.#device.commands.run();
    this[Symbol.dispose]();
    this.#onRead?.(this.#bytes);
    this.#bytes = 0;
  }

  [Symbol.dispose](): void {
    for (const mapped of this.#mapped.values()) mapped[Symbol.dispose]();
    this.#mapped.clear();
  }

  #open(): { part: StoredPart; mapped: MappedPart } {
    const part = this.#parts[this.#part];
    if (!part) throw new Error('rows: expected no more than the parts have');
    let mapped = this.#mapped.get(this.#part);
    if (!mapped) {
      mapped = mapPart(this.#device, part);
      this.#mapped.set(this.#part, mapped);
      if (this.#row === 0) mapped.prefetch();
    }
    return { part, mapped };
  }
}
