// Compression of a sequence into entries of several tokens (DeepSeek-V4, arXiv 2606.19348, section 2.3).
//
// Owns the projection of tokens, the learned bias by place in the window, and what becomes of the pooled window: norm and
// rotation at its first token's position. Entries lie in a store with one row for `ratio` tokens; a second one has a row
// for each page of 64 tokens with the state of the windows that are open after it, so that a page is all that is needed
// to go on from its end. Nothing else of a token is kept.

import { poolingWidth } from '@hadal/kernels/compressor';
import type { Graph } from '@hadal/tensor/graph';
import { poolTokens } from '@hadal/tensor/inference-operations';
import type { Tensor } from '@hadal/tensor/tensor';
import type { RowStore } from '../architecture.ts';
import { type WeightSource, whole } from '../weight-source.ts';
import type { AttentionMemory, Windows } from './attention-memory.ts';
import type { RopeTables } from './rotary.ts';

export interface CompressorConfig {
  /** Of the residual stream. */
  readonly width: number;
  /** Of an entry, whose last `rope` values are rotated. */
  readonly entryWidth: number;
  readonly rope: number;
  /** Tokens from one entry to the next. */
  readonly ratio: number;
  /** 2: an entry pools its own window and the one before it. */
  readonly series: 1 | 2;
  readonly eps: number;
}

/** The names of its two stores. */
export interface CompressorStores {
  readonly entries: string;
  readonly pools: string;
}

/** The entries of all sequences so far, and where each one's are. x [N, D], normed. */
export type Compressor = (g: Graph, x: Tensor, memory: AttentionMemory) => { entries: Tensor; windows: Windows };

/** Tokens of a page of the cache: the state of open windows is kept once for each. */
const pageTokens = 64;

export function compressorCache(config: CompressorConfig, names: CompressorStores): Record<string, RowStore> {
  const { entryWidth: W, ratio, series } = config;
  return {
    [names.entries]: { width: W, tokensPerRow: ratio },
    [names.pools]: { width: poolingWidth({ W, series }), tokensPerRow: pageTokens },
  };
}

/** The compressor of one layer, over the weights under `at` (`layers.2.attn.compressor`). */
export function compressor(
  source: WeightSource,
  at: string,
  layer: number,
  config: CompressorConfig,
  names: CompressorStores,
  tables: RopeTables,
): Compressor {
  const { width: D, entryWidth: W, rope, ratio, series, eps } = config;
  const values = source.matrix(whole('pooling', `${at}.wkv.weight`, series * W, D));
  const gates = source.matrix(whole('pooling', `${at}.wgate.weight`, series * W, D));
  const placeBias = source.tensor(whole('mixer', `${at}.ape`, ratio, series * W));
  const norm = source.tensor(whole('norm', `${at}.norm.weight`, W));
  const stores = compressorCache(config, names);
  return (g, x, memory) => {
    const [windows, pages] = [memory.windows(ratio), memory.windows(pageTokens)];
    const entries = memory.open(layer, names.entries, stores[names.entries] as RowStore);
    const pools = memory.open(layer, names.pools, stores[names.pools] as RowStore);
    const { count, places, positions } = windows.completed;
    const shape = { width: W, ratio, series, entries: count };
    const pooled = poolTokens(g, g.linear(x, values), g.linear(x, gates), placeBias, pools, pages.rows, shape);
    if (pooled) {
      const turned = { heads: 1, headDim: W, ropeDim: rope, ...tables };
      g.storeRows(g.rope(g.rmsNorm(pooled, norm, eps), positions, turned), places, entries);
    }
    return { entries, windows };
  };
}
