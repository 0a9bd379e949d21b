// What rows and guesses cost, measured as they are computed.
//
// Owns a line through the times of the latest steps without prompts (a step takes a while whatever it reads, and a little
// more for each row) and the time that each drafter takes for a guess. It decides how far to guess and never what comes out.

import type { DrafterName } from './speculation.ts';

/** What an old step still counts when the next one is noted. */
const memory = 0.98;

/** Times of a drafter that are looked at: the one in the middle counts, as the first ones of a process and some others are slow. */
const remembered = 9;

export class StepTimes {
  /** Weighted sums over steps of 1, rows, ms, rows^2 and rows ms. */
  #sums = { count: 0, rows: 0, ms: 0, rowsRows: 0, rowsMs: 0 };
  readonly #draftMs = new Map<DrafterName, number[]>();

  /** A step that read `rows` tokens, none of them of a prompt. */
  noteStep(rows: number, ms: number): void {
    const { count, rows: sumRows, ms: sumMs, rowsRows, rowsMs } = this.#sums;
    this.#sums = {
      count: count * memory + 1,
      rows: sumRows * memory + rows,
      ms: sumMs * memory + ms,
      rowsRows: rowsRows * memory + rows * rows,
      rowsMs: rowsMs * memory + rows * ms,
    };
  }

  /** A drafter that made `depth` guesses for each of some sequences. */
  noteDraft(drafter: DrafterName, depth: number, ms: number): void {
    this.#draftMs.set(drafter, [...(this.#draftMs.get(drafter) ?? []), ms / depth].slice(-remembered));
  }

  /**
   * Of the time of a step with one row for each of `sequences`, what one more guess for all of them takes, to be made and to
   * be read; `expected` until steps of different sizes have been seen.
   */
  draftCost(drafter: DrafterName, sequences: number, expected: number): number {
    const { count, rows, ms, rowsRows, rowsMs } = this.#sums;
    const spread = count * rowsRows - rows * rows;
    if (spread <= 1e-9 * count * rowsRows) return expected;
    const slope = Math.max(0, (count * rowsMs - rows * ms) / spread);
    const whole = (ms - slope * rows) / count + slope * sequences;
    if (!(whole > 0)) return expected;
    return (median(this.#draftMs.get(drafter) ?? []) + slope * sequences) / whole;
  }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
}
