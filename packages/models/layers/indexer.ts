// The lightning indexer of DeepSeek-V3.2 (arXiv 2512.02556, section 2.1): which tokens a query attends to.
//
// Owns the indexer's weights and its own small keys, one for each token, which it has kept beside those of the attention
// that it serves. Knows nothing of that attention but the bottleneck of its queries. Released checkpoints score in FP8
// after a Hadamard rotation of queries and keys, which leaves their products as they are: here they are float32.

import type { Graph } from '@hadal/tensor/graph';
import { normalizeRows, pickKeys } from '@hadal/tensor/inference-operations';
import type { Tensor } from '@hadal/tensor/tensor';
import type { RowStore } from '../architecture.ts';
import { type WeightSource, whole } from '../weight-source.ts';
import type { AttentionMemory } from './attention-memory.ts';
import type { RopeTables } from './rotary.ts';

/** The reference's LayerNorm, whatever `rms_norm_eps` says of the other norms. */
const keyEps = 1e-6;

export interface IndexerConfig {
  /** Of the residual stream. */
  readonly width: number;
  readonly queryRank: number;
  readonly heads: number;
  readonly headDim: number;
  /** Rotated values of a head: its first, in two halves, where attention rotates its last, in pairs. */
  readonly rope: number;
  readonly topk: number;
}

/**
 * Lists for each query the tokens that it attends to, i32 [N, K]. x [N, D], normed; `queryLatent` [N, queryRank] is the
 * normed bottleneck of attention's queries.
 */
export type KeyPicker = (
  g: Graph,
  x: Tensor,
  queryLatent: Tensor,
  positions: Tensor,
  memory: AttentionMemory,
) => Tensor;

/** Makes what picks the keys of one layer's attention, which is under `at` (`model.layers.0.self_attn`). */
export type MakeKeyPicker = (at: string, layer: number, tables: RopeTables) => KeyPicker;

/** What it keeps of a token. */
export function indexerCache({ headDim }: IndexerConfig): Record<string, RowStore> {
  return { indexKeys: { width: headDim } };
}

/** The indexer of one layer, over the weights under `at` (`model.layers.0.self_attn.indexer`). */
export function lightningIndexer(
  source: WeightSource,
  at: string,
  layer: number,
  config: IndexerConfig,
  { cos, sin }: RopeTables,
): KeyPicker {
  const { width: D, queryRank, heads, headDim, rope, topk } = config;
  const query = source.matrix(whole('matrix', `${at}.wq_b.weight`, heads * headDim, queryRank));
  const key = source.matrix(whole('matrix', `${at}.wk.weight`, headDim, D));
  const keyNorm = source.tensor(whole('norm', `${at}.k_norm.weight`, headDim));
  const keyBias = source.tensor(whole('bias', `${at}.k_norm.bias`, headDim));
  const headWeights = source.matrix(whole('mixer', `${at}.weights_proj.weight`, heads, D));
  const turned = { headDim, ropeDim: rope, place: 'first', style: 'half', cos, sin } as const;
  return (g, x, queryLatent, positions, memory) => {
    const q = g.rope(g.linear(queryLatent, query), positions, { heads, ...turned });
    const k = g.rope(normalizeRows(g, g.linear(x, key), keyNorm, keyBias, keyEps), positions, { heads: 1, ...turned });
    const keys = memory.keep(g, layer, 'indexKeys', k);
    const { rows, most, tokensPerRow } = memory.windows(1);
    return pickKeys(g, q, g.linear(x, headWeights), keys, rows, { heads, headDim, tokensPerRow, most, topk });
  };
}
