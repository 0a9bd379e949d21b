// What adapters add to products (LoRA: Hu et al. 2021, arXiv 2106.09685).
//
// Owns y += (x (scale A)ᵀ) Bᵀ over a weight that stays as it is, with its gradient, for a plain weight and for one of experts, for
// all rows of a step or for those of each adapter. Knows nothing of files or of which weights have adapters. Invariant: what is
// added to a row depends on that row and its adapter alone, so the rows of others change no bit of it.

import { scale as scaleBy } from '@hadal/kernels/elementwise';
import { embedding } from '@hadal/kernels/embedding';
import { groupedMatmul, matmul } from '@hadal/kernels/matmul';
import type { Graph, Groups, HeadLinearShape } from './graph.ts';
import { multiplyBack, multiplyGroupsBack } from './packed-gradients.ts';
import { PackedMatrix, type PlainWeight } from './packed-matrix.ts';
import { Tensor } from './tensor.ts';

/** Pairs of matrices that one adapter has for the parts of one weight: plain to be trained, packed as float32 to be served. */
export interface LowRank {
  /** A of all parts, one below the other: [R, I], or [E, R, I] for experts. */
  readonly down: PlainWeight;
  /** In the order of their rows in `down`. */
  readonly parts: readonly LowRankPart[];
  /** What `down` is still to be multiplied by. */
  readonly scale: number;
}

export interface LowRankPart {
  /** B: [O, r], or [E, O, r]. */
  readonly up: PlainWeight;
  /** Of the product, where the part begins. */
  readonly column: number;
}

/** Names an adapter; undefined: the one of all rows that name none, as in training, or none. */
export type AdapterName = string | undefined;

/** Rows of a step, or tokens of its groups, that belong to one adapter. */
export interface AdapterRows {
  readonly adapter: AdapterName;
  readonly begin: number;
  readonly count: number;
}

/** A weight that stays as it is, and what each adapter adds to products with it. */
export class AdaptedMatrix {
  readonly base: PlainWeight;
  /** Its owner may change it between steps. */
  readonly lowRanks: ReadonlyMap<AdapterName, readonly LowRank[]>;

  constructor(base: PlainWeight, lowRanks: AdaptedMatrix['lowRanks']) {
    this.base = base;
    this.lowRanks = lowRanks;
  }
}

/** Whether any of these rows has an adapter with something to add to products with `w`. */
export function isAdapted(w: AdaptedMatrix, rows: readonly AdapterRows[] | undefined): boolean {
  return rows ? rows.some(({ adapter }) => w.lowRanks.has(adapter)) : w.lowRanks.has(undefined);
}

/** Adds onto y what the adapters of its rows add to x wT; returns y. x [N, I], y [N, O], in the order of `groups` if there are any. */
export function addLowRanks(g: Graph, w: AdaptedMatrix, x: Tensor, y: Tensor, groups?: Groups): Tensor {
  if (w.lowRanks.size === 0) return y;
  const total = groups?.tokens ?? x.rows;
  for (const { adapter, begin, count } of g.adapterRows(total)) {
    const lowRanks = w.lowRanks.get(adapter);
    if (!lowRanks || count === 0) continue;
    if (count === total) {
      for (const lowRank of lowRanks) addLowRank(g, lowRank, x, y, groups);
      continue;
    }
    g.inferenceOnly('an adapter of some rows');
    if (groups) addToGroupedRows(g, lowRanks, x, y, groups, begin, count);
    else for (const lowRank of lowRanks) addLowRank(g, lowRank, x.slice(begin, count), y.slice(begin, count));
  }
  return y;
}

/**
 * Adds onto y what adapters add to `Graph.headLinear` of x. A head's stretch of the weight begins with row `firstRow`, heads
 * `wHeadStride` elements apart: (s B A) x is two small products here too, one of them with the head's rows of B. Inference only.
 */
export function addHeadLowRanks(
  g: Graph,
  w: AdaptedMatrix,
  x: Tensor,
  y: Tensor,
  shape: HeadLinearShape & { readonly firstRow: number },
): void {
  g.inferenceOnly('addHeadLowRanks');
  if (w.lowRanks.size === 0) return;
  for (const { adapter, begin, count } of g.adapterRows(x.rows)) {
    for (const lowRank of (count > 0 && w.lowRanks.get(adapter)) || []) {
      addHeadLowRank(g, lowRank, x.slice(begin, count), y.slice(begin, count), shape);
    }
  }
}

function addHeadLowRank(
  g: Graph,
  lowRank: LowRank,
  x: Tensor,
  y: Tensor,
  { heads, inDim, outDim, xHeadStride, wHeadStride, transposed, firstRow }: Parameters<typeof addHeadLowRanks>[4],
): void {
  const { commands } = g.device;
  const down = plainOf(scaled(g, lowRank));
  const [N, I] = [x.rows, down.dim(-1)];
  const rowStride = wHeadStride / I;
  for (const { up, rank, rankBegin } of placed(lowRank.parts)) {
    const low = g.arena.take([N, heads * rank]);
    const a = down.slice(rankBegin, rank);
    const b = from(plainOf(up), firstRow * rank);
    const perHead = { batch: heads, strideB: rowStride * rank, ldb: rank };
    if (transposed) {
      matmul(commands, x, a, low, { M: N * heads, N: rank, K: inDim, transB: true });
      matmul(commands, low, b, y, {
        ...{ M: N, N: outDim, K: rank, ...perHead, lda: heads * rank, strideA: rank },
        ...{ ldc: heads * outDim, strideC: outDim, transB: true, accumulate: true },
      });
    } else {
      matmul(commands, x, b, low, {
        ...{ M: N, N: rank, K: inDim, ...perHead, lda: x.dim(-1), strideA: xHeadStride },
        ...{ ldc: heads * rank, strideC: rank },
      });
      matmul(commands, low, a, y, { M: N * heads, N: outDim, K: rank, accumulate: true });
    }
  }
}

function addLowRank(g: Graph, lowRank: LowRank, x: Tensor, y: Tensor, groups?: Groups): void {
  const { parts } = lowRank;
  const down = scaled(g, lowRank);
  const R = rowsOf(down);
  const low = g.arena.take([x.rows, R]);
  product(g, x, down, low, groups);
  for (const { up, column, rank, rankBegin } of placed(parts)) {
    if (!groups) {
      product(g, from(low, rankBegin), up, from(y, column), undefined, { M: x.rows, ldx: R, ldy: y.dim(-1) });
      continue;
    }
    // Products of experts know no columns of wider rows.
    const mark = g.arena.mark();
    const added = g.arena.take([x.rows, rowsOf(up)]);
    product(g, cut(g, low, rankBegin, rank), up, added, groups);
    g.copyColumns(added, 0, y, column, added.dim(-1), 'add');
    g.arena.rewind(mark);
  }
  const trained = [lowRank.down, ...parts.map(({ up }) => up)].filter((w) => w instanceof Tensor);
  g.note(y, [x, ...trained], () => ({ op: 'lowRank', x, down, low, y, lowRank, groups }));
}

/** y = x wT, or onto columns of wider rows y += x wT; by expert where there are groups. */
function product(
  g: Graph,
  x: Tensor,
  w: PlainWeight,
  y: Tensor,
  groups?: Groups,
  onto?: { readonly M: number; readonly ldx: number; readonly ldy: number },
): void {
  const { commands } = g.device;
  const accumulate = onto !== undefined;
  const M = onto?.M ?? x.rows;
  if (w instanceof PackedMatrix) {
    if (groups) w.multiplyGroups(commands, x, y, groups.offsets, M);
    else w.multiply(commands, x, y, M, { ...onto, accumulate });
    return;
  }
  const [N, K] = [w.dim(-2), w.dim(-1)];
  if (groups) {
    const shape = { R: M, E: w.dim(0), N, K, transB: true, kind: 'rows' as const };
    groupedMatmul(commands, x, w, y, groups.offsets, shape);
  } else {
    matmul(commands, x, w, y, { M, N, K, lda: onto?.ldx, ldc: onto?.ldy, transB: true, accumulate });
  }
}

/** scale A: what rows are multiplied by. */
function scaled(g: Graph, { down, scale }: LowRank): PlainWeight {
  if (scale === 1) return down;
  const a = plainOf(down);
  const result = g.arena.take(a.shape);
  scaleBy(g.device.commands, a, result, scale);
  return result;
}

function rowsOf(w: PlainWeight): number {
  return w instanceof PackedMatrix ? w.N : w.dim(-2);
}

function plainOf(w: PlainWeight): Tensor {
  if (w instanceof PackedMatrix) throw new Error('adapter: expected a plain matrix, got a packed one');
  return w;
}

/** What `addLowRank` leaves on the tape. */
export interface LowRankStep {
  readonly x: Tensor;
  /** scale A. */
  readonly down: PlainWeight;
  /** x (scale A)ᵀ. */
  readonly low: Tensor;
  readonly y: Tensor;
  readonly lowRank: LowRank;
  readonly groups: Groups | undefined;
}

/** Lets `write` put a gradient into, or add it onto, that of a tensor which wants one. */
type Give = (x: Tensor, write: (dx: Tensor, accumulate: boolean) => void) => void;

/** dLow = dy B; dB += dyT low; dx += dLow (scale A); dA += (scale dLow)T x. y's own gradient goes on to the base's product as it is. */
export function lowRankBackward(g: Graph, step: LowRankStep, give: Give): void {
  const { commands } = g.device;
  const { x, low, y, lowRank, groups } = step;
  const [down, a] = [plainOf(step.down), plainOf(lowRank.down)];
  const [R, I] = [down.dim(-2), down.dim(-1)];
  const N = x.rows;
  const dy = g.gradOf(y);
  const dLow = g.borrow([N, R]);
  for (const { up, column, rank, rankBegin } of placed(lowRank.parts)) {
    const b = plainOf(up);
    const O = b.dim(-2);
    if (groups) {
      const { offsets } = groups;
      const dUp = g.gradOf(b);
      const mark = g.arena.mark();
      const [dPart, lowPart] = [cut(g, dy, column, O), cut(g, low, rankBegin, rank)];
      const dLowPart = g.arena.take([N, rank]);
      const E = b.dim(0);
      groupedMatmul(commands, dPart, b, dLowPart, offsets, { R: N, E, N: rank, K: O, kind: 'rows' });
      g.copyColumns(dLowPart, 0, dLow, rankBegin, rank, 'write');
      groupedMatmul(commands, dPart, lowPart, dUp, offsets, { R: N, E, N: O, K: rank, kind: 'weights' });
      g.arena.rewind(mark);
      continue;
    }
    const dPart = from(dy, column);
    matmul(commands, dPart, b, from(dLow, rankBegin), { M: N, N: rank, K: O, lda: dy.dim(-1), ldc: R });
    give(b, (dUp, accumulate) => {
      const shape = { M: O, N: rank, K: N, lda: dy.dim(-1), ldb: R, transA: true, accumulate };
      matmul(commands, dPart, from(low, rankBegin), dUp, shape);
    });
  }
  give(x, (dx, accumulate) =>
    groups
      ? multiplyGroupsBack(g, dLow, down, dx, groups.offsets, accumulate)
      : multiplyBack(g, dLow, down, dx, accumulate),
  );
  scaleBy(commands, dLow, dLow, lowRank.scale);
  if (groups) {
    const shape = { R: N, E: a.dim(0), N: R, K: I, kind: 'weights' as const };
    groupedMatmul(commands, dLow, x, g.gradOf(a), groups.offsets, shape);
  } else {
    give(a, (dA, accumulate) => matmul(commands, dLow, x, dA, { M: R, N: I, K: N, transA: true, accumulate }));
  }
  g.giveBack(dLow);
}

/** The rows of tokens `begin` to `begin + count` lie among those of others, expert by expert: they are taken out and put back. */
function addToGroupedRows(
  g: Graph,
  lowRanks: readonly LowRank[],
  x: Tensor,
  y: Tensor,
  groups: Groups,
  begin: number,
  count: number,
): void {
  const { groups: own, rows } = ownGroups(g, groups, begin, count);
  const [xOwn, yOwn] = [g.embedding(x, rows), g.embedding(y, rows)];
  for (const lowRank of lowRanks) addLowRank(g, lowRank, xOwn, yOwn, own);
  g.storeRows(yOwn, rows, y);
}

/** The groups of some tokens alone, and where among the rows of all each of theirs lies. */
function ownGroups(g: Graph, groups: Groups, begin: number, count: number): { groups: Groups; rows: Tensor } {
  const known = groups.own.get(begin);
  if (known) return known;
  const { ids, slots, offsets, perToken: K } = groups;
  const own = g.group(ids.slice(begin, count), offsets.length - 1);
  const rows = g.arena.take([count * K], 'i32');
  // A row of the table is one slot: the look-up moves bits, whatever they mean.
  embedding(g.device.commands, slots.slice(begin * K, count * K), own.order, rows, {
    N: count * K,
    V: count * K,
    D: 1,
  });
  const made = { groups: own, rows };
  groups.own.set(begin, made);
  return made;
}

/** Parts with their columns of x Aᵀ. */
function placed(parts: readonly LowRankPart[]): (LowRankPart & { rank: number; rankBegin: number })[] {
  let end = 0;
  return parts.map((part) => {
    const rank = part.up instanceof PackedMatrix ? part.up.K : part.up.dim(-1);
    end += rank;
    return { ...part, rank, rankBegin: end - rank };
  });
}

/** `x` from a column of its first row on: what a product with row strides reads. */
function from(x: Tensor, column: number): Tensor {
  return new Tensor(x.handle, x.offset + column, [x.length - column]);
}

/** Columns of x as a tensor of their own, off the tape; x itself where they are all of it. */
function cut(g: Graph, x: Tensor, column: number, width: number): Tensor {
  if (width === x.dim(-1)) return x;
  const y = g.arena.take([x.rows, width]);
  g.copyColumns(x, column, y, 0, width, 'write');
  return y;
}
