// Windows of tokens and the rows that stand for them.
//
// Owns where a store that keeps one row for every so many tokens has a token's row, given where its 64-token blocks
// begin; native/gathered.h is the other half. A window is the run of tokens that one row stands for, numbered in its
// sequence; it is seen from its last token on. A row for each token is the case of windows of one.

import { KEY_BLOCK } from './attention.ts';

/** Rows that 64 tokens take in a store with a row for every `tokensPerRow` tokens. */
export function rowsPerBlock(tokensPerRow: number): number {
  return Math.max(1, KEY_BLOCK / tokensPerRow);
}

/** Throws unless a row's tokens fill a block of 64 evenly, or several. `what` names them. */
export function checkTokensPerRow(tokensPerRow: number, what: string): void {
  const isEven = Number.isInteger(tokensPerRow) && tokensPerRow >= 1;
  if (isEven && (KEY_BLOCK % tokensPerRow === 0 || tokensPerRow % KEY_BLOCK === 0)) return;
  throw new Error(`${what}: expected a divisor or a multiple of ${KEY_BLOCK} tokens, got ${tokensPerRow}`);
}

/** Whole windows among the first `tokens` tokens of a sequence. */
export function windowsAmong(tokens: number, tokensPerRow: number): number {
  return Math.floor(tokens / tokensPerRow);
}

/** The row of a window, given where the sequence's blocks begin. It lies with the window's last token. */
export function windowRow(window: number, tokensPerRow: number, blockStart: (block: number) => number): number {
  const last = (window + 1) * tokensPerRow - 1;
  const within = Math.floor((last % KEY_BLOCK) / Math.min(tokensPerRow, KEY_BLOCK));
  return blockStart(Math.floor(last / KEY_BLOCK)) + within;
}

/** A query as the tables of `attention` place it. */
export interface PlacedQuery {
  /** Row of the queries. */
  readonly row: number;
  readonly position: number;
  /** Where the 64-token blocks of its sequence begin, by the table of one store. */
  readonly blockStart: (starts: Int32Array, block: number) => number;
}

/** Every query of the sequences of a table int32 [S, 4], as `attention` defines it. Twins walk these. */
export function* placedQueries(sequences: Int32Array, S: number): Generator<PlacedQuery> {
  for (let s = 0; s < S; s++) {
    const at = (i: number) => sequences[4 * s + i] as number;
    const [queryStart, queryCount, keyCount, firstBlock] = [at(0), at(1), at(2), at(3)];
    for (let i = 0; i < queryCount; i++) {
      yield {
        row: queryStart + i,
        position: keyCount - queryCount + i,
        blockStart: (starts, block) => starts[firstBlock + block] as number,
      };
    }
  }
}
