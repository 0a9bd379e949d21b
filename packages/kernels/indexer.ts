// The lightning indexer: which keys a query attends to.
//
// Owns the scores of keys by many light heads, and the choice of the best. Knows nothing of where queries, keys and
// weights come from. Inference only. Invariant: a query's picks depend on it and on the keys it sees, in bits; equal
// scores (zeros above all, which the rectifier makes many of) are decided by position: the earliest wins.

import type { Commands } from './commands.ts';
import type { Floats } from './elementwise.ts';
import type { Ref } from './memory.ts';
import { placedQueries, windowRow, windowsAmong } from './windows.ts';

/** Rows [firstRow, firstRow + rows) of the queries, so that a long context's scores need not all exist at once. */
export interface IndexedRows {
  readonly S: number;
  /** Rows of queries in the tables. */
  readonly NQ: number;
  readonly firstRow: number;
  readonly rows: number;
  /** Windows that there is room for in a row of scores; later ones have no score and are never picked. */
  readonly stride: number;
  /** Tokens that a key stands for. */
  readonly tokensPerRow: number;
}

/** `H` heads of width `D`. */
export interface IndexScoresOptions extends IndexedRows {
  readonly H: number;
  readonly D: number;
  /** Rows that see no more keys than this are left alone: all of them will be picked. */
  readonly enough: number;
  /** On every weight: D^-1/2 H^-1/2 as a rule. */
  readonly factor: number;
}

/**
 * scores[i - firstRow, w] = sum_h factor * weights[i, h] * max(0, q[i, h] . keys[row of window w]), for each window w that
 * query i sees; the rest of the row is left alone.
 *
 * q [NQ, H, D], weights [NQ, H], keys [any, D], scores [rows, stride], sequences int32 [S, 4] and blockStarts int32 as in
 * `attention`. DeepSeek-V3.2, arXiv 2512.02556, equation 1.
 */
export function indexScores(
  c: Commands,
  q: Ref,
  weights: Ref,
  keys: Ref,
  scores: Ref,
  sequences: Ref,
  blockStarts: Ref,
  o: IndexScoresOptions,
): void {
  if (!(o.H * o.D >= 1 && o.H * o.D <= MOST_VALUES)) {
    throw new Error(`indexScores: expected H * D from 1 to ${MOST_VALUES}, got ${o.H} * ${o.D}`);
  }
  const keyRows = Math.floor(keys.length / o.D);
  c.begin('indexScores');
  c.tensor(q, o.NQ * o.H * o.D);
  c.tensor(weights, o.NQ * o.H);
  c.tensor(keys, keyRows * o.D);
  c.tensor(scores, o.rows * o.stride);
  c.tensor(sequences, o.S * 4);
  c.tensor(blockStarts, blockStarts.length);
  for (const n of [o.S, o.NQ, o.H, o.D, keyRows, blockStarts.length, o.tokensPerRow]) c.int(n);
  for (const n of [o.enough, o.rows, o.firstRow, o.stride]) c.int(n);
  c.float(o.factor);
  c.end();
}

export function indexScoresTwin(
  q: Floats,
  weights: Floats,
  keys: Floats,
  scores: Floats,
  sequences: Int32Array,
  blockStarts: Int32Array,
  o: IndexScoresOptions,
): void {
  for (const { row, position, blockStart } of placedQueries(sequences, o.S)) {
    const seen = Math.min(windowsAmong(position + 1, o.tokensPerRow), o.stride);
    if (row < o.firstRow || row >= o.firstRow + o.rows || seen <= o.enough) continue;
    for (let window = 0; window < seen; window++) {
      const at = windowRow(window, o.tokensPerRow, (b) => blockStart(blockStarts, b));
      let score = 0;
      for (let h = 0; h < o.H; h++) {
        let dot = 0;
        for (let d = 0; d < o.D; d++) dot += q[(row * o.H + h) * o.D + d]! * keys[at * o.D + d]!;
        score += o.factor * weights[row * o.H + h]! * Math.max(0, dot);
      }
      scores[(row - o.firstRow) * o.stride + window] = score;
    }
  }
}

export interface SelectTopOptions extends IndexedRows {
  readonly K: number;
}

/**
 * picks[i - firstRow] = the min(K, seen) windows of largest score that query i sees, ascending, then -1.
 *
 * scores [rows, stride] (may be absent where no query sees more than K), picks int32 [rows, K], sequences int32 [S, 4] as
 * in `attention`; a row of no sequence picks nothing. Equal scores: the lowest window wins; NaN ranks as -infinity.
 */
export function selectTop(c: Commands, scores: Ref | undefined, picks: Ref, sequences: Ref, o: SelectTopOptions): void {
  if (o.K < 1) throw new Error(`selectTop: expected K of 1 or more, got ${o.K}`);
  if (!scores && o.stride > o.K)
    throw new Error(`selectTop: expected scores, as rows see up to ${o.stride} of ${o.K} keys`);
  c.begin('selectTop');
  c.optionalTensor(scores, o.rows * o.stride);
  c.tensor(picks, o.rows * o.K);
  c.tensor(sequences, o.S * 4);
  for (const n of [o.S, o.NQ, o.firstRow, o.rows, o.stride, o.tokensPerRow, o.K]) c.int(n);
  c.end();
}

export function selectTopTwin(
  scores: Floats | undefined,
  picks: Int32Array,
  sequences: Int32Array,
  o: SelectTopOptions,
): void {
  picks.fill(-1, 0, o.rows * o.K);
  for (const { row, position } of placedQueries(sequences, o.S)) {
    const i = row - o.firstRow;
    if (i < 0 || i >= o.rows) continue;
    const seen = Array.from({ length: Math.min(windowsAmong(position + 1, o.tokensPerRow), o.stride) }, (_, w) => w);
    const rank = (w: number) => {
      const score = scores?.[i * o.stride + w] ?? 0;
      return Number.isNaN(score) ? -Infinity : score;
    };
    const byScore = (a: number, b: number) => (rank(a) === rank(b) ? a - b : rank(b) > rank(a) ? 1 : -1);
    const best = [...seen].sort(byScore).slice(0, o.K);
    picks.set(
      best.sort((a, b) => a - b),
      i * o.K,
    );
  }
}

/** Floats of a query, of which a thread's scratch holds eight. */
const MOST_VALUES = 1 << 16;
