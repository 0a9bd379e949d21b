// Grouped-query attention (Ainslie et al. 2023, arXiv 2305.13245) with rotary positions: Llama's and Qwen2's.
//
// Owns the weights' names and shapes and what is computed with them. Query, key and value projections are one weight and
// one product: their rows follow one another, and the rotation reads its heads from where the product left them. One key
// head for each query head is ordinary multi-head attention, one for all is multi-query attention.

import type { RowDtype } from '@hadal/kernels/rows';
import type { RowStore } from '../architecture.ts';
import { type Part, type WeightSource, whole } from '../weight-source.ts';
import { attend } from './attention-memory.ts';
import type { Attention } from './decoder.ts';
import type { RopeTables } from './rotary.ts';

export interface GroupedQueryConfig {
  /** Of the residual stream. */
  readonly width: number;
  readonly heads: number;
  /** Key and value heads; a divisor of `heads`. */
  readonly keyHeads: number;
  readonly headDim: number;
  /** Which projections add a bias: none, query, key and value (Qwen2), or the output's too (Llama's `attention_bias`). */
  readonly bias: 'none' | 'input' | 'all';
}

/** What one layer keeps of a token. */
export function groupedQueryCache(
  { keyHeads, headDim }: GroupedQueryConfig,
  dtype: RowDtype,
): Record<string, RowStore> {
  const store = { width: keyHeads * headDim, dtype };
  return { keys: store, values: store };
}

/** The attention of one layer, over the weights under `at` (`model.layers.0.self_attn`). */
export function groupedQueryAttention(
  source: WeightSource,
  at: string,
  layer: number,
  config: GroupedQueryConfig,
  tables: RopeTables,
): Attention {
  const { width: D, heads, keyHeads, headDim, bias } = config;
  const [queries, keys] = [heads * headDim, keyHeads * headDim];
  const projections = { q_proj: queries, k_proj: keys, v_proj: keys };
  const parts = (kind: 'weight' | 'bias'): Part[] =>
    Object.entries(projections).map(([name, rows]) => ({
      name: `${at}.${name}.${kind}`,
      shape: kind === 'weight' ? [rows, D] : [rows],
    }));
  const rows = queries + 2 * keys;
  const wIn = source.matrix({ kind: 'matrix', shape: [rows, D], parts: parts('weight') });
  const bIn = bias === 'none' ? undefined : source.tensor({ kind: 'bias', shape: [rows], parts: parts('bias') });
  const wOut = source.matrix(whole('matrix', `${at}.o_proj.weight`, D, queries));
  const bOut = bias === 'all' ? source.tensor(whole('bias', `${at}.o_proj.bias`, D)) : undefined;

  const shape = { H: heads, Hkv: keyHeads, dk: headDim, dv: headDim, scale: headDim ** -0.5 };
  const head = { headDim, ropeDim: headDim, ...tables };
  return (g, x, positions, memory) => {
    const qkv = g.linear(x, wIn, bIn);
    const q = g.rope(qkv, positions, { ...head, heads });
    const k = g.rope(qkv, positions, { ...head, heads: keyHeads }, queries);
    const v = g.columns(qkv, queries + keys, keys);
    return g.linear(attend(g, memory, layer, q, k, v, shape), wOut, bOut);
  };
}
