// Operations that have no gradient: what only inference computes.
//
// Owns the recording of the kernels of sparse attention, compression and hyper-connections into a graph, with results from
// its arena. Apart from `Graph`, whose operations all have a rule in the table of gradients. Each refuses a graph with a tape.

import { compress } from '@hadal/kernels/compressor';
import { hyperCollapse, hyperExpand, hyperWeights } from '@hadal/kernels/hyper-connections';
import { indexScores, selectTop } from '@hadal/kernels/indexer';
import { matmul } from '@hadal/kernels/matmul';
import { layerNorm } from '@hadal/kernels/norm';
import { type RouteOptions, routeByToken } from '@hadal/kernels/routing';
import {
  type KeySource as KernelKeySource,
  sparseAttention as recordSparseAttention,
} from '@hadal/kernels/sparse-attention';
import { clampedSwiglu } from '@hadal/kernels/swiglu';
import type { AttentionShape, RopeShape } from './gradients.ts';
import type { AttentionRows, Graph } from './graph.ts';
import { AdaptedMatrix } from './low-rank.ts';
import { PackedMatrix, type Weight } from './packed-matrix.ts';
import { Tensor } from './tensor.ts';

/** Keys and values (the same tensor where they are the same), and which of their rows are whose. */
export interface KeySource {
  readonly keys: Tensor;
  readonly values: Tensor;
  readonly rows: AttentionRows;
}

/** What queries [N, H * dk] attend to: see `kernels/sparse-attention`. */
export interface SparseAttentionInputs {
  readonly q: Tensor;
  readonly near?: (KeySource & { readonly window: number }) | undefined;
  readonly far?: (KeySource & { readonly tokensPerRow: number }) | undefined;
  /** i32 [N, K]: windows of `far`; absent: all of them. */
  readonly picks?: Tensor | undefined;
  /** [H]. */
  readonly sinks?: Tensor | undefined;
}

/** Attention over the last tokens, over rows that stand for windows of tokens, or both. [N, H * dv]. */
export function sparseAttention(g: Graph, inputs: SparseAttentionInputs, shape: AttentionShape): Tensor {
  g.inferenceOnly('sparseAttention');
  const { q, near, far, picks, sinks } = inputs;
  const { H, Hkv, dk, dv, scale, kStride = Hkv * dk, vStride = Hkv * dv } = shape;
  const rows = (near ?? far)?.rows;
  if (!rows) throw new Error('sparseAttention: expected near or far keys, got neither');
  const out = g.arena.take([q.rows, H * dv]);
  const tensors = { q, near: near && sourceOf(near), far: far && sourceOf(far), picks, sinks, out };
  recordSparseAttention(
    g.device.commands,
    { ...tensors, sequences: rows.sequences },
    {
      ...{ S: rows.sequences.dim(0), NQ: q.rows, H, Hkv, dk, dv, scale },
      ...{ qStride: H * dk, kStride, vStride, outStride: H * dv },
      ...{ window: near?.window ?? 1, K: picks?.dim(-1) ?? 0, tokensPerRow: far?.tokensPerRow ?? 1 },
    },
  );
  return out;
}

function sourceOf({ keys, values, rows }: KeySource): KernelKeySource {
  return { keys, values, blockStarts: rows.blockStarts };
}

export interface PickShape {
  readonly heads: number;
  readonly headDim: number;
  readonly tokensPerRow: number;
  /** The most windows that any sequence has; one at least. */
  readonly most: number;
  readonly topk: number;
  /** Scores that may exist at a time: queries of a long context are scored in pieces. 2^24 where absent. */
  readonly mostScores?: number;
}

/**
 * The windows that each query attends to, i32 [N, min(topk, most)]: those that the indexer scores highest. q
 * [N, heads * headDim], weights [N, heads], keys [any, headDim]. DeepSeek-V3.2, arXiv 2512.02556, section 2.1.
 */
export function pickKeys(
  g: Graph,
  q: Tensor,
  weights: Tensor,
  keys: Tensor,
  rows: AttentionRows,
  { heads, headDim, tokensPerRow, most, topk, mostScores = 1 << 24 }: PickShape,
): Tensor {
  g.inferenceOnly('pickKeys');
  const { commands } = g.device;
  const NQ = q.rows;
  const K = Math.min(topk, most);
  const picks = g.arena.take([NQ, K], 'i32');
  const shape = { S: rows.sequences.dim(0), NQ, stride: most, tokensPerRow };
  if (most <= topk) {
    selectTop(commands, undefined, picks, rows.sequences, { ...shape, firstRow: 0, rows: NQ, K });
    return picks;
  }
  const atOnce = Math.min(NQ, Math.max(1, Math.floor(mostScores / most)));
  const scores = g.arena.take([atOnce, most]);
  const scoring = { H: heads, D: headDim, enough: K, factor: (heads * headDim) ** -0.5 };
  for (let firstRow = 0; firstRow < NQ; firstRow += atOnce) {
    const piece = { ...shape, firstRow, rows: Math.min(atOnce, NQ - firstRow) };
    indexScores(commands, q, weights, keys, scores, rows.sequences, rows.blockStarts, { ...piece, ...scoring });
    selectTop(commands, scores, picks.slice(firstRow, piece.rows), rows.sequences, { ...piece, K });
  }
  return picks;
}

export interface PoolingShape {
  readonly width: number;
  readonly ratio: number;
  readonly series: 1 | 2;
  /** How many entries this step's tokens complete. */
  readonly entries: number;
}

/**
 * The entries that this step's tokens complete, [entries, width], or undefined where there are none. kv and gate
 * [N, series * width], bias [ratio, series * width], state: a row for each block of 64 tokens, at `rows`. See
 * `kernels/compressor`.
 */
export function poolTokens(
  g: Graph,
  kv: Tensor,
  gate: Tensor,
  bias: Tensor,
  state: Tensor,
  rows: AttentionRows,
  { width, ratio, series, entries }: PoolingShape,
): Tensor | undefined {
  g.inferenceOnly('poolTokens');
  const pooled = entries > 0 ? g.arena.take([entries, width]) : undefined;
  compress(g.device.commands, kv, gate, bias, state, pooled, rows.sequences, rows.blockStarts, {
    ...{ S: rows.sequences.dim(0), NQ: kv.rows, W: width, ratio, series, entries },
  });
  return pooled;
}

/** The learned projection of one hyper-connection and what shapes its results. */
export interface HyperShape {
  readonly streams: number;
  readonly iterations: number;
  readonly eps: number;
}

export interface StreamWeights {
  readonly pre: Tensor;
  readonly post: Tensor;
  readonly comb: Tensor;
}

/** Weights by which streams are collapsed and spread, from mixes [N, (2 + streams) streams]; see `kernels/hyper-connections`. */
export function streamWeights(g: Graph, mixes: Tensor, scale: Tensor, base: Tensor, shape: HyperShape): StreamWeights {
  g.inferenceOnly('streamWeights');
  const [N, S] = [mixes.rows, shape.streams];
  const [pre, post, comb] = [g.arena.take([N, S]), g.arena.take([N, S]), g.arena.take([N, S * S])];
  hyperWeights(g.device.commands, mixes, scale, base, { pre, onward: { post, comb } }, { N, ...shape });
  return { pre, post, comb };
}

/** Only those by which the streams are collapsed, after the last layer; mixes [N, streams]. */
export function lastStreamWeights(g: Graph, mixes: Tensor, scale: Tensor, base: Tensor, shape: HyperShape): Tensor {
  g.inferenceOnly('lastStreamWeights');
  const pre = g.arena.take([mixes.rows, shape.streams]);
  hyperWeights(g.device.commands, mixes, scale, base, { pre, onward: undefined }, { N: mixes.rows, ...shape });
  return pre;
}

/** The weighted sum of a token's streams: x [N, streams * D], pre [N, streams]; [N, D]. */
export function collapseStreams(g: Graph, x: Tensor, pre: Tensor): Tensor {
  g.inferenceOnly('collapseStreams');
  const [N, streams] = [x.rows, pre.dim(-1)];
  const D = x.dim(-1) / streams;
  const y = g.arena.take([N, D]);
  hyperCollapse(g.device.commands, x, pre, y, { N, streams, D });
  return y;
}

/** Mixed streams plus each one's share of `added` [N, D]: x [N, streams * D]; the same shape. */
export function expandStreams(g: Graph, x: Tensor, added: Tensor, { post, comb }: StreamWeights): Tensor {
  g.inferenceOnly('expandStreams');
  const y = g.arena.take(x.shape);
  const [N, streams, D] = [x.rows, post.dim(-1), added.dim(-1)];
  hyperExpand(g.device.commands, x, added, post, comb, y, { N, streams, D });
  return y;
}

/** (x - mean) / deviation, times w, plus b, row by row. */
export function normalizeRows(g: Graph, x: Tensor, w: Tensor, b: Tensor, eps: number): Tensor {
  g.inferenceOnly('normalizeRows');
  const y = g.arena.take(x.shape);
  layerNorm(g.device.commands, x, w, b, y, { N: x.rows, D: x.dim(-1), eps });
  return y;
}

/** Turns back what `Graph.rope` turns at the same positions. */
export function unrotate(g: Graph, x: Tensor, positions: Tensor, shape: RopeShape): Tensor {
  g.inferenceOnly('unrotate');
  const y = g.arena.take(x.shape);
  g.rotate(x, 0, y, positions, shape, 'backward');
  return y;
}

/** `Graph.swiglu` of a gate of at most `limit` and of values within it. x [N, 2F]; [N, F]. */
export function swigluWithin(g: Graph, x: Tensor, limit: number): Tensor {
  g.inferenceOnly('swigluWithin');
  const F = x.dim(-1) / 2;
  const y = g.arena.take([x.rows, F]);
  clampedSwiglu(g.device.commands, x, y, { N: x.rows, F, limit });
  return y;
}

/** Experts that `table` i32 [V, K] has for each token, with weights from `logits` [N, E]; see `kernels/routing`. */
export function routeTokens(
  g: Graph,
  logits: Tensor,
  table: Tensor,
  tokens: Tensor,
  counts: Tensor,
  { scoring, normalize, scale }: Pick<RouteOptions, 'scoring' | 'normalize' | 'scale'>,
): { ids: Tensor; weights: Tensor } {
  g.inferenceOnly('routeTokens');
  const [N, E, V, K] = [logits.rows, logits.dim(-1), table.dim(0), table.dim(1)];
  const ids = g.arena.take([N, K], 'i32');
  const weights = g.arena.take([N, K]);
  const options = { N, V, E, K, scoring, normalize, scale };
  routeByToken(g.device.commands, logits, table, tokens, ids, weights, counts, options);
  return { ids, weights };
}

/** A block-diagonal product: columns i * I.. of x [N, G * I] times w[i] [O, I], into columns i * O.. of [N, G * O]. */
export function blockLinear(g: Graph, x: Tensor, w: readonly Weight[]): Tensor {
  g.inferenceOnly('blockLinear');
  const [N, ldx] = [x.rows, x.dim(-1)];
  const [G, I] = [w.length, ldx / w.length];
  const [first] = w;
  const O = first instanceof PackedMatrix ? first.N : first instanceof Tensor ? first.dim(0) : 0;
  const ldy = G * O;
  const y = g.arena.take([N, ldy]);
  for (const [i, block] of w.entries()) {
    if (block instanceof AdaptedMatrix) throw new Error('blockLinear: expected weights without room for adapters');
    const [from, into] = [columnsFrom(x, i * I), columnsFrom(y, i * O)];
    if (block instanceof PackedMatrix) {
      block.multiply(g.device.commands, from, into, N, { ldx, ldy });
    } else {
      matmul(g.device.commands, from, block, into, { M: N, N: O, K: I, lda: ldx, ldc: ldy, transB: true });
    }
  }
  return y;
}

/** The same values as rows of another width. */
export function reshaped({ handle, offset, dtype }: Tensor, shape: readonly number[]): Tensor {
  return new Tensor(handle, offset, shape, dtype);
}

/** `x` from a column of its first row on: what a product with row strides reads. */
function columnsFrom(x: Tensor, column: number): Tensor {
  return new Tensor(x.handle, x.offset + column, [x.length - column]);
}
