// The gradient of every operation, in one table.
//
// A rule reads the gradient of its step's output and adds to the gradients of its inputs; it knows nothing of the steps
// around it. The table is typed by the steps: an operation without a rule does not compile. Invariant: a rule runs once,
// after every reader of its output has run, so that output's gradient is complete, and nobody reads it afterwards.

import { attentionBackward } from '@hadal/kernels/attention';
import { axpy } from '@hadal/kernels/elementwise';
import { embeddingBackward } from '@hadal/kernels/embedding';
import { groupedMatmul, matmul } from '@hadal/kernels/matmul';
import { mlaAssembleBackward } from '@hadal/kernels/mla';
import { rmsNormBackward } from '@hadal/kernels/norm';
import { combineRowsBackward, gatherRowsBackward, routeBackward, type Scoring } from '@hadal/kernels/routing';
import { swigluBackward } from '@hadal/kernels/swiglu';
import { type AttentionRows, attentionStrides, type Graph, type Groups } from './graph.ts';
import { type LowRankStep, lowRankBackward } from './low-rank.ts';
import { multiplyBack, multiplyGroupsBack } from './packed-gradients.ts';
import type { PlainWeight } from './packed-matrix.ts';
import { Tensor } from './tensor.ts';

export interface RopeShape {
  readonly heads: number;
  readonly headDim: number;
  /** The last `ropeDim` of each head's `headDim` values turn, or the first. */
  readonly ropeDim: number;
  readonly place?: 'last' | 'first';
  readonly style: 'interleaved' | 'half';
  /** [positions, ropeDim / 2] each. */
  readonly cos: Tensor;
  readonly sin: Tensor;
}

export interface HeadShape {
  readonly heads: number;
  readonly nope: number;
  readonly rope: number;
  readonly vDim: number;
}

export interface AttentionShape {
  readonly H: number;
  readonly Hkv: number;
  readonly dk: number;
  readonly dv: number;
  readonly scale: number;
  /** Elements between rows of keys and of values, where they are not packed tightly. */
  readonly kStride?: number;
  readonly vStride?: number;
}

export interface Routing {
  readonly K: number;
  readonly groups: number;
  readonly topkGroups: number;
  readonly scoring: Scoring;
  readonly groupScore: 'top2sum' | 'max';
  readonly normalize: boolean;
  readonly scale: number;
}

interface AttentionStep {
  q: Tensor;
  k: Tensor;
  v: Tensor;
  out: Tensor;
  lse: Tensor;
  rows: AttentionRows;
  shape: AttentionShape;
}

/** What `Graph.update` leaves on the tape: all of a block, which is not there. */
export interface UpdateStep {
  readonly x: Tensor;
  readonly y: Tensor;
  readonly compute: (x: Tensor) => Tensor;
}

/** What each operation leaves on the tape. */
interface Steps {
  linear: { x: Tensor; w: PlainWeight; bias: Tensor | undefined; y: Tensor };
  groupedLinear: { x: Tensor; w: PlainWeight; y: Tensor; groups: Groups };
  lowRank: LowRankStep;
  embedding: { table: Tensor; ids: Tensor; y: Tensor };
  rmsNorm: { x: Tensor; w: Tensor; y: Tensor; eps: number };
  rope: { x: Tensor; column: number; y: Tensor; positions: Tensor; shape: RopeShape };
  assembleKeys: { kv: Tensor; kPe: Tensor; k: Tensor; v: Tensor; shape: HeadShape };
  attention: AttentionStep;
  swiglu: { x: Tensor; y: Tensor };
  residual: { x: Tensor; y: Tensor; sum: Tensor };
  concat: { a: Tensor; b: Tensor; y: Tensor };
  columns: { x: Tensor; column: number; y: Tensor };
  route: { logits: Tensor; ids: Tensor; weights: Tensor; routing: Routing };
  gather: { x: Tensor; y: Tensor; groups: Groups };
  combine: { x: Tensor; weights: Tensor; y: Tensor; groups: Groups };
  linearLoss: { x: Tensor; loss: Tensor; dx: Tensor };
  update: UpdateStep;
}

export type Step = { [K in keyof Steps]: { readonly op: K } & Readonly<Steps[K]> }[keyof Steps];

type GradRules = { readonly [K in keyof Steps]: (g: Graph, step: Readonly<Steps[K]>) => void };

export const gradRules: GradRules = {
  linear: (g, { x, w, bias, y }) => {
    const dy = g.gradOf(y);
    const { commands } = g.device;
    give(g, x, (dx, accumulate) => multiplyBack(g, dy, w, dx, accumulate));
    if (w instanceof Tensor) {
      const shape = { M: w.dim(0), N: w.dim(1), K: x.rows, transA: true };
      give(g, w, (dw, accumulate) => matmul(commands, dy, x, dw, { ...shape, accumulate }));
    }
    if (!bias?.needsGrad) return;
    // The bias is a weight whose input is 1 in every row: its gradient sums the rows of dy, in their order.
    const ones = g.arena.take([1, x.rows]);
    g.fill(ones, 1);
    const shape = { M: 1, N: bias.length, K: x.rows };
    give(g, bias, (db, accumulate) => matmul(commands, ones, dy, db, { ...shape, accumulate }));
  },

  groupedLinear: (g, { x, w, y, groups }) => {
    const dy = g.gradOf(y);
    give(g, x, (dx, accumulate) => multiplyGroupsBack(g, dy, w, dx, groups.offsets, accumulate));
    if (!(w instanceof Tensor && w.needsGrad)) return;
    const shape = { R: x.rows, E: w.dim(0), N: w.dim(1), K: w.dim(2), kind: 'weights' as const };
    groupedMatmul(g.device.commands, dy, x, g.gradOf(w), groups.offsets, shape);
  },

  lowRank: (g, step) => lowRankBackward(g, step, (x, write) => give(g, x, write)),

  embedding: (g, { table, ids, y }) => {
    const [V, D] = [table.dim(0), table.dim(1)];
    embeddingBackward(g.device.commands, ids, g.gradOf(y), g.gradOf(table), { N: ids.length, V, D });
  },

  rmsNorm: (g, { x, w, y, eps }) => {
    const dy = g.gradOf(y);
    const dw = w.needsGrad ? g.gradOf(w) : discarded(g, w);
    give(g, x, (dx, accumulateDx) =>
      rmsNormBackward(g.device.commands, x, w, dy, dx, dw, { N: x.rows, D: x.dim(-1), eps, accumulateDx }),
    );
  },

  // A rotation's transpose is its inverse.
  rope: (g, { x, column, y, positions, shape }) =>
    giveColumns(g, x, column, y.dim(-1), (dx) => g.rotate(g.gradOf(y), 0, dx, positions, shape, 'backward')),

  assembleKeys: (g, { kv, kPe, k, v, shape }) => {
    const { heads: H, nope, rope, vDim } = shape;
    const options = { N: kv.rows, H, nope, rope, vDim, kPeStride: rope };
    giveFresh(g, kv, (dkv) =>
      giveFresh(g, kPe, (dkPe) => mlaAssembleBackward(g.device.commands, g.gradOf(k), g.gradOf(v), dkv, dkPe, options)),
    );
  },

  attention: (g, { q, k, v, out, lse, rows, shape }) => {
    const options = attentionStrides(q, rows, shape);
    giveFresh(g, q, (dq) =>
      giveFresh(g, k, (dk) =>
        giveFresh(g, v, (dv) =>
          attentionBackward(
            ...([g.device.commands, q, k, v, out, g.gradOf(out), lse, dq, dk, dv] as const),
            ...([rows.sequences, rows.blockStarts, options] as const),
          ),
        ),
      ),
    );
  },

  swiglu: (g, { x, y }) =>
    giveFresh(g, x, (dx) => swigluBackward(g.device.commands, x, g.gradOf(y), dx, { N: x.rows, F: y.dim(-1) })),

  // `sum` took y's memory, so y has no other reader and may take the gradient as it is. x has other readers, whose
  // gradients are added to its own copy.
  residual: (g, { x, y, sum }) => {
    const dSum = g.gradOf(sum);
    if (y.needsGrad) [y.grad, sum.grad] = [dSum, undefined];
    give(g, x, (dx, accumulate) => g.copyColumns(dSum, 0, dx, 0, x.dim(-1), accumulate ? 'add' : 'write'));
  },

  concat: (g, { a, b, y }) => {
    const dy = g.gradOf(y);
    give(g, a, (da, add) => g.copyColumns(dy, 0, da, 0, a.dim(-1), add ? 'add' : 'write'));
    give(g, b, (db, add) => g.copyColumns(dy, a.dim(-1), db, 0, b.dim(-1), add ? 'add' : 'write'));
  },

  columns: (g, { x, column, y }) => {
    if (x.needsGrad) g.copyColumns(g.gradOf(y), 0, g.gradOf(x), column, y.dim(-1), 'add');
  },

  route: (g, { logits, ids, weights, routing }) =>
    giveFresh(g, logits, (dLogits) =>
      routeBackward(g.device.commands, logits, ids, g.gradOf(weights), dLogits, {
        ...{ N: logits.rows, E: logits.dim(-1) },
        ...routing,
      }),
    ),

  gather: (g, { x, y, groups: { slots, tokens: N, perToken: K } }) => {
    if (!x.needsGrad) return;
    gatherRowsBackward(g.device.commands, g.gradOf(y), slots, g.gradOf(x), { N, K, D: x.dim(-1) });
  },

  combine: (g, { x, weights, y, groups: { slots, tokens: N, perToken: K } }) =>
    giveFresh(g, x, (dx) =>
      giveFresh(g, weights, (dWeights) =>
        combineRowsBackward(g.device.commands, g.gradOf(y), x, slots, weights, dx, dWeights, { N, K, D: x.dim(-1) }),
      ),
    ),

  linearLoss: (g, { x, dx: made }) => {
    if (!x.needsGrad) return;
    if (!x.grad) {
      x.grad = made;
      return;
    }
    axpy(g.device.commands, 1, made, x.grad);
    g.giveBack(made);
  },

  update: (g, step) => g.updateBackward(step),
};

/** Lets `write` put a gradient into, or add it onto, that of `x`; the first to come need not find zeros there. */
function give(g: Graph, x: Tensor, write: (dx: Tensor, accumulate: boolean) => void): void {
  if (!x.needsGrad) return;
  if (x.grad) {
    write(x.grad, true);
  } else {
    x.grad = g.borrow(x.shape);
    write(x.grad, false);
  }
}

/** For a kernel that adds to the gradient of a weight which needs none. */
function discarded(g: Graph, w: Tensor): Tensor {
  const dw = g.arena.take(w.shape);
  g.fill(dw, 0);
  return dw;
}

/** `give` for kernels that overwrite. Called for its side effects too, so it runs even where nobody wants the result. */
function giveFresh(g: Graph, x: Tensor, write: (dx: Tensor) => void): void {
  const made = g.borrow(x.shape);
  write(made);
  if (x.needsGrad && !x.grad) {
    x.grad = made;
    return;
  }
  if (x.grad) axpy(g.device.commands, 1, made, x.grad);
  g.giveBack(made);
}

/** `giveFresh` for `width` columns of `x` from `column` on; the others have readers, and gradients, of their own. */
function giveColumns(g: Graph, x: Tensor, column: number, width: number, write: (dx: Tensor) => void): void {
  if (width === x.dim(-1)) {
    giveFresh(g, x, write);
  } else if (x.needsGrad) {
    const made = g.borrow([x.rows, width]);
    write(made);
    g.copyColumns(made, 0, g.gradOf(x), column, width, 'add');
    g.giveBack(made);
  }
}
