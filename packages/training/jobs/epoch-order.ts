// In which order rows are seen, epoch after epoch.
//
// Owns a fresh permutation for each epoch. Invariant: the row at a place is a pure function of the seed and the place, so the
// whole state of the data is a number.

import { Random } from '../tasks/random.ts';

export class EpochOrder {
  readonly #rows: number;
  readonly #seed: string;
  #epoch = -1;
  #permutation: readonly number[] = [];

  constructor(rows: number, seed: string) {
    this.#rows = rows;
    this.#seed = seed;
  }

  /** Index of the row at `place`, counted over all epochs. */
  at(place: number): number {
    const epoch = Math.floor(place / this.#rows);
    if (epoch !== this.#epoch) {
      const rows = Array.from({ length: this.#rows }, (_, i) => i);
      this.#permutation = new Random(`${this.#seed}/epoch/${epoch}`).shuffle(rows);
      this.#epoch = epoch;
    }
    return this.#permutation[place % this.#rows] as number;
  }
}
