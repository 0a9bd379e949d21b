// Pooling of runs of tokens into single entries, one channel at a time.
//
// Owns the softmax-weighted mean of each window of `ratio` tokens, and the state that a window leaves behind when a step
// ends inside it. Knows nothing of projections, norms or rotation around it. Inference only. Invariant: tokens are added
// one by one, in order, so an entry has the same bits however its tokens were divided into steps.

import { KEY_BLOCK } from './attention.ts';
import type { Commands } from './commands.ts';
import type { Floats } from './elementwise.ts';
import type { Ref } from './memory.ts';

/** `W` channels of an entry, of `ratio` tokens each; `NQ` rows of tokens. */
export interface CompressOptions {
  readonly S: number;
  readonly NQ: number;
  readonly W: number;
  readonly ratio: number;
  /**
   * 1: an entry pools its window. 2: windows overlap; a token has two halves, of which the second goes into its own
   * window's entry and the first into the next one's, so an entry pools two windows.
   */
  readonly series: 1 | 2;
  /** Rows of `pooled`: the entries that these tokens complete, sequence after sequence. */
  readonly entries: number;
}

/** Width of a row of state: largest gate, sum of weights and weighted sum of each pool that is open. */
export function poolingWidth({ W, series }: Pick<CompressOptions, 'W' | 'series'>): number {
  return series * 3 * W;
}

/**
 * With g = gate + bias[position modulo ratio] and softmax over the tokens t of an entry, channel by channel:
 * pooled[e, w] = sum_t softmax(g[., w])[t] kv[t, w], for the entries that the new tokens complete, in order.
 *
 * kv, gate [NQ, series * W], bias [ratio, series * W], pooled [entries, W] (absent where there are none). state
 * [any, poolingWidth]: one row for each block of 64 tokens, at blockStarts, which holds the open pools after the block's
 * last token so far; it is read where the new tokens are not a sequence's first, and written for every block they reach.
 * sequences int32 [S, 4] and blockStarts int32 as in `attention`. DeepSeek-V4, arXiv 2606.19348, section 2.3.
 */
export function compress(
  c: Commands,
  kv: Ref,
  gate: Ref,
  bias: Ref,
  state: Ref,
  pooled: Ref | undefined,
  sequences: Ref,
  blockStarts: Ref,
  o: CompressOptions,
): void {
  const width = o.series * o.W;
  const stateRows = Math.floor(state.length / poolingWidth(o));
  c.begin('compress');
  c.tensor(kv, o.NQ * width);
  c.tensor(gate, o.NQ * width);
  c.tensor(bias, o.ratio * width);
  c.tensor(state, stateRows * poolingWidth(o));
  c.optionalTensor(pooled, o.entries * o.W);
  c.tensor(sequences, o.S * 4);
  c.tensor(blockStarts, blockStarts.length);
  for (const n of [o.S, o.NQ, o.W, o.series, o.ratio, stateRows, blockStarts.length, pooled ? o.entries : 0]) c.int(n);
  c.end();
}

export function compressTwin(
  kv: Floats,
  gate: Floats,
  bias: Floats,
  state: Floats,
  pooled: Floats,
  sequences: Int32Array,
  blockStarts: Int32Array,
  o: CompressOptions,
): void {
  const { W, ratio, series } = o;
  const width = series * W;
  let entry = 0;
  for (let s = 0; s < o.S; s++) {
    const at = (i: number) => sequences[4 * s + i]!;
    const [queryStart, keyCount, firstBlock] = [at(0), at(2), at(3)];
    const begin = keyCount - at(1);
    const rowOf = (token: number) => blockStarts[firstBlock + Math.floor(token / KEY_BLOCK)]! * poolingWidth(o);
    const firstEntry = entry;
    for (let w = 0; w < W; w++) {
      // pools[0] is of the window that goes on, pools[1] of the one after it.
      const read = (row: number, j: number): Pool =>
        [0, 1, 2].map((part) => state[row + (3 * j + part) * W + w]!) as unknown as Pool;
      let pools: Pool[] = Array.from({ length: series }, (_, j) => (begin > 0 ? read(rowOf(begin - 1), j) : emptyPool));
      entry = firstEntry;
      for (let token = begin; token < keyCount; token++) {
        const phase = token % ratio;
        pools = pools.map((pool, j) => {
          const column = (series - 1 - j) * W + w;
          const from = (queryStart + token - begin) * width + column;
          return added(pool, gate[from]! + bias[phase * width + column]!, kv[from]!);
        });
        if (phase === ratio - 1) {
          const [, total, sum] = pools[0]!;
          pooled[entry++ * W + w] = sum / total;
          pools = [...pools.slice(1), emptyPool];
        }
        const row = rowOf(token);
        pools.forEach((pool, j) => {
          pool.forEach((value, part) => {
            state[row + (3 * j + part) * W + w] = value;
          });
        });
      }
    }
  }
}

type Pool = readonly [max: number, total: number, sum: number];

const emptyPool: Pool = [-Infinity, 0, 0];

function added([max, total, sum]: Pool, gate: number, value: number): Pool {
  const top = Math.max(max, gate);
  const [keep, weight] = [Math.exp(max - top), Math.exp(gate - top)];
  return [top, total * keep + weight, sum * keep + weight * value];
}
