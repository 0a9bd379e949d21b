// DeepSeek-V4's attention (arXiv 2606.19348, section 2.3): a window of the last tokens and, in most layers, compressed
// entries of everything.
//
// Owns the queries, the one key-value head that all of them share, the learned sinks, the grouped projection of the
// output, and the indexer over entries. Keys are values here, so values are rotated too, and the output is turned back at
// the query's position. Three kinds of layer: `windowed` has no entries; `heavilyCompressed` attends to all its entries;
// `compressedSparse` has many, of which the indexer picks.

import type { RopeShape } from '@hadal/tensor/gradients';
import type { Graph } from '@hadal/tensor/graph';
import { blockLinear, pickKeys, reshaped, sparseAttention, unrotate } from '@hadal/tensor/inference-operations';
import type { Tensor } from '@hadal/tensor/tensor';
import type { RowStore } from '../architecture.ts';
import { type Part, type WeightSource, whole } from '../weight-source.ts';
import type { AttentionMemory, Windows } from './attention-memory.ts';
import { type CompressorConfig, compressor, compressorCache } from './compressor.ts';
import type { Attention } from './decoder.ts';
import type { RopeTables } from './rotary.ts';

export interface CompressedAttentionConfig {
  /** Of the residual stream. */
  readonly width: number;
  readonly queryRank: number;
  readonly heads: number;
  readonly headDim: number;
  /** Rotated values of a head, its last. */
  readonly rope: number;
  /** Tokens that a query sees as they are, itself the last. */
  readonly window: number;
  /** The output's heads are projected in groups, each to `groupRank` values, before they are joined. */
  readonly groups: number;
  readonly groupRank: number;
  readonly indexer: { readonly heads: number; readonly headDim: number; readonly topk: number };
  readonly eps: number;
}

export type Compression =
  | { readonly kind: 'windowed' }
  | { readonly kind: 'heavilyCompressed'; readonly ratio: number }
  | { readonly kind: 'compressedSparse'; readonly ratio: number };

/** Entries of a layer and those that each query attends to: all where nobody picked. */
interface Far {
  readonly entries: Tensor;
  readonly windows: Windows;
  readonly picks: Tensor | undefined;
}

/** x [N, D] and the normed bottleneck of the queries [N, queryRank] to what lies beyond the window, if anything. */
type LookBack = (
  g: Graph,
  x: Tensor,
  queryLatent: Tensor,
  positions: Tensor,
  memory: AttentionMemory,
) => Far | undefined;

const entryStores = { entries: 'entries', pools: 'pools' };
const indexStores = { entries: 'indexEntries', pools: 'indexPools' };

/** What a layer keeps. Tokens that have left the window keep their rows until the sequence ends. */
export function compressedAttentionCache(
  config: CompressedAttentionConfig,
  compression: Compression,
): Record<string, RowStore> {
  const keys = { keys: { width: config.headDim } };
  switch (compression.kind) {
    case 'windowed':
      return keys;
    case 'heavilyCompressed':
      return { ...keys, ...compressorCache(entriesOf(config, compression), entryStores) };
    case 'compressedSparse':
      return {
        ...{ ...keys, ...compressorCache(entriesOf(config, compression), entryStores) },
        ...compressorCache(indexEntriesOf(config, compression), indexStores),
      };
    default:
      return unreachable(compression);
  }
}

/** The attention of one layer, over the weights under `at` (`layers.0.attn`). */
export function compressedAttention(
  source: WeightSource,
  at: string,
  layer: number,
  config: CompressedAttentionConfig,
  compression: Compression,
  tables: RopeTables,
): Attention {
  const { width: D, queryRank, heads, headDim, rope, window, groups, groupRank, eps } = config;
  const matrix = (name: string, out: number, into: number) =>
    source.matrix(whole('matrix', `${at}.${name}.weight`, out, into));
  const sinks = source.tensor(whole('mixer', `${at}.attn_sink`, heads));
  const queryDown = matrix('wq_a', queryRank, D);
  const queryNorm = source.tensor(whole('norm', `${at}.q_norm.weight`, queryRank));
  const queryUp = matrix('wq_b', heads * headDim, queryRank);
  const ones = source.constant([headDim], () => new Float32Array(headDim).fill(1));
  const keyValue = matrix('wkv', headDim, D);
  const keyNorm = source.tensor(whole('norm', `${at}.kv_norm.weight`, headDim));
  const groupWidth = (heads * headDim) / groups;
  const outDown = Array.from({ length: groups }, (_, group) => {
    const rows = [group * groupRank, (group + 1) * groupRank] as const;
    const part: Part = { name: `${at}.wo_a.weight`, shape: [groups * groupRank, groupWidth], rows };
    return source.matrix({ kind: 'matrix', shape: [groupRank, groupWidth], parts: [part] });
  });
  const outUp = matrix('wo_b', D, groups * groupRank);
  const lookBack = makeLookBack(source, at, layer, config, compression, tables);

  const turned = (count: number): RopeShape => ({ heads: count, headDim, ropeDim: rope, ...tables });
  const shape = { H: heads, Hkv: 1, dk: headDim, dv: headDim, scale: headDim ** -0.5 };
  return (g, x, positions, memory) => {
    const queryLatent = g.rmsNorm(g.linear(x, queryDown), queryNorm, eps);
    const perHead = reshaped(g.linear(queryLatent, queryUp), [x.rows * heads, headDim]);
    const q = g.rope(reshaped(g.rmsNorm(perHead, ones, eps), [x.rows, heads * headDim]), positions, turned(heads));
    const kv = g.rope(g.rmsNorm(g.linear(x, keyValue), keyNorm, eps), positions, turned(1));
    const keys = memory.keep(g, layer, 'keys', kv);
    const near = { keys, values: keys, rows: memory.rows, window };
    const far = lookBack(g, x, queryLatent, positions, memory);
    const inputs = { q, near, sinks, far: far && sourceOf(far), picks: far?.picks };
    const out = unrotate(g, sparseAttention(g, inputs, shape), positions, turned(heads));
    return g.linear(blockLinear(g, out, outDown), outUp);
  };
}

function makeLookBack(
  source: WeightSource,
  at: string,
  layer: number,
  config: CompressedAttentionConfig,
  compression: Compression,
  tables: RopeTables,
): LookBack {
  switch (compression.kind) {
    case 'windowed':
      return () => undefined;
    case 'heavilyCompressed': {
      const compress = compressor(
        source,
        `${at}.compressor`,
        layer,
        entriesOf(config, compression),
        entryStores,
        tables,
      );
      return (g, x, _queryLatent, _positions, memory) => {
        const { entries, windows } = compress(g, x, memory);
        return windows.most > 0 ? { entries, windows, picks: undefined } : undefined;
      };
    }
    case 'compressedSparse': {
      const compress = compressor(
        source,
        `${at}.compressor`,
        layer,
        entriesOf(config, compression),
        entryStores,
        tables,
      );
      const pick = entryPicker(source, `${at}.indexer`, layer, config, compression, tables);
      return (g, x, queryLatent, positions, memory) => {
        const { entries, windows } = compress(g, x, memory);
        const picks = pick(g, x, queryLatent, positions, memory);
        return picks && { entries, windows, picks };
      };
    }
    default:
      return unreachable(compression);
  }
}

/** The lightning indexer over entries of its own, smaller ones of the same windows; nothing while there are none. */
function entryPicker(
  source: WeightSource,
  at: string,
  layer: number,
  config: CompressedAttentionConfig,
  compression: { readonly ratio: number },
  tables: RopeTables,
) {
  const { width: D, queryRank, rope } = config;
  const { heads, headDim, topk } = config.indexer;
  const query = source.matrix(whole('matrix', `${at}.wq_b.weight`, heads * headDim, queryRank));
  const headWeights = source.matrix(whole('mixer', `${at}.weights_proj.weight`, heads, D));
  const compress = compressor(
    source,
    `${at}.compressor`,
    layer,
    indexEntriesOf(config, compression),
    indexStores,
    tables,
  );
  return (g: Graph, x: Tensor, queryLatent: Tensor, positions: Tensor, memory: AttentionMemory): Tensor | undefined => {
    const { entries, windows } = compress(g, x, memory);
    const { rows, most, tokensPerRow } = windows;
    if (most === 0) return undefined;
    const q = g.rope(g.linear(queryLatent, query), positions, { heads, headDim, ropeDim: rope, ...tables });
    return pickKeys(g, q, g.linear(x, headWeights), entries, rows, { heads, headDim, tokensPerRow, most, topk });
  };
}

function entriesOf(
  config: CompressedAttentionConfig,
  compression: Exclude<Compression, { kind: 'windowed' }>,
): CompressorConfig {
  const { width, headDim, rope, eps } = config;
  const series = compression.kind === 'compressedSparse' ? 2 : 1;
  return { width, entryWidth: headDim, rope, ratio: compression.ratio, series, eps };
}

function indexEntriesOf(config: CompressedAttentionConfig, { ratio }: { readonly ratio: number }): CompressorConfig {
  const { width, rope, eps, indexer } = config;
  return { width, entryWidth: indexer.headDim, rope, ratio, series: 2, eps };
}

function sourceOf({ entries, windows }: Far) {
  return { keys: entries, values: entries, rows: windows.rows, tokensPerRow: windows.tokensPerRow };
}

function unreachable(value: never): never {
  throw new Error(`unreachable: ${JSON.stringify(value)}`);
}
