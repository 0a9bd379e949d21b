// Operations on tensors, and the tape.
//
// A graph records kernels into the device's command buffer and takes their results from an arena. With a tape it also
// notes each operation, so that `backward` can walk them in reverse through the table of gradient rules; without one it
// is plain inference. The forward code of a model is the same in both. Nothing is computed before `run` or `backward`.
// The gradient of what was computed is dead once the rule of its operation has run, and its memory goes to the next one.

import { attention } from '@hadal/kernels/attention';
import { crossEntropy, crossEntropyForward } from '@hadal/kernels/cross-entropy';
import type { Device } from '@hadal/kernels/device';
import { type DivergenceShape, divergence, divergenceForward, type Teacher } from '@hadal/kernels/divergence';
import { add, copyColumns, fill } from '@hadal/kernels/elementwise';
import { embedding } from '@hadal/kernels/embedding';
import { groupedMatmul, matmul } from '@hadal/kernels/matmul';
import { mlaAssemble } from '@hadal/kernels/mla';
import { rmsNorm } from '@hadal/kernels/norm';
import { rope } from '@hadal/kernels/rope';
import { combineRows, gatherRows, groupByExpert, route, routeByToken } from '@hadal/kernels/routing';
import { type RowDtype, storeRows } from '@hadal/kernels/rows';
import { argmax } from '@hadal/kernels/sampling';
import { swiglu } from '@hadal/kernels/swiglu';
import type { Arena } from './arena.ts';
import {
  type AttentionShape,
  gradRules,
  type HeadShape,
  type RopeShape,
  type Routing,
  type Step,
  type UpdateStep,
} from './gradients.ts';
import type { PassRouting } from './kept-routing.ts';
import { AdaptedMatrix, type AdapterRows, addLowRanks, isAdapted } from './low-rank.ts';
import { multiplyBack } from './packed-gradients.ts';
import { PackedMatrix, type PlainWeight, type Weight } from './packed-matrix.ts';
import { Tensor } from './tensor.ts';

/** Which rows attend to which: `sequences` i32 [S, 4] and `blockStarts` i32, as `kernels/attention` defines them. */
export interface AttentionRows {
  readonly sequences: Tensor;
  readonly blockStarts: Tensor;
}

/** Tokens sorted by expert. `order`: slot to token * K + k; `slots`: its inverse; `offsets`: [E + 1] into the slots. */
export interface Groups {
  /** i32 [tokens, perToken]: the expert of each. */
  readonly ids: Tensor;
  readonly order: Tensor;
  readonly slots: Tensor;
  readonly offsets: Tensor;
  readonly tokens: number;
  readonly perToken: number;
  /** What adapters' rows are sorted by, by the first token of each: made when first needed. */
  readonly own: Map<number, { readonly groups: Groups; readonly rows: Tensor }>;
}

/** Rows of logits that exist at a time inside the loss: few enough for the cache, many enough for the matrix product. */
const lossChunkRows = 512;

/** Rows whose loss is to be recorded; where their gradient is wanted, weighted, it takes the place of their logits. */
interface LossChunk {
  /** [M, V] */
  readonly logits: Tensor;
  /** [M], unweighted. */
  readonly loss: Tensor;
  /** The same rows of another tensor. */
  readonly rows: (t: Tensor) => Tensor;
  readonly purpose: 'loss' | 'gradient';
}

/** `recomputing`: training in which the backward pass computes once more what `Graph.update` kept nothing of. */
export type GraphMode = 'training' | 'recomputing' | 'inference';

/** A step on the tape, and the tensors that it was the first to write. */
interface NotedStep {
  readonly step: Step;
  readonly made: readonly Tensor[];
}

export class Graph {
  readonly device: Device;
  readonly arena: Arena;
  readonly #mode: GraphMode;
  readonly #kept: PassRouting | undefined;
  #tape: NotedStep[] | undefined;
  /** Memory of gradients that are dead, by their length. */
  #spares = new Map<number, Tensor[]>();
  /** Whether what is recorded has been recorded before. */
  #isAgain = false;
  #adapterRows: readonly AdapterRows[] | undefined;
  #rowNumbers: Tensor | undefined;

  /** `kept`: routers choose what they chose when the same pass was first recorded. */
  constructor(device: Device, arena: Arena, mode: GraphMode, kept?: PassRouting) {
    this.device = device;
    this.arena = arena;
    this.#mode = mode;
    this.#kept = kept;
    this.#tape = mode === 'inference' ? undefined : [];
  }

  /** y[n, o] = sum_i x[n, i] w[o, i] + bias[o]. x [N, I], w [O, I], bias [O] or none; y [N, O]. */
  linear(x: Tensor, w: Weight, bias?: Tensor): Tensor {
    if (w instanceof AdaptedMatrix) return addLowRanks(this, w, x, this.linear(x, w.base, bias));
    const N = x.rows;
    if (w instanceof PackedMatrix) {
      const y = this.arena.take([N, w.N]);
      w.multiply(this.device.commands, x, y, N);
      if (bias) this.#addToRows(bias, y);
      return this.note(y, bias ? [x, bias] : [x], () => ({ op: 'linear', x, w, bias, y }));
    }
    const [O, I] = [w.dim(0), w.dim(1)];
    const y = this.arena.take([N, O]);
    matmul(this.device.commands, x, w, y, { M: N, N: O, K: I, transB: true });
    if (bias) this.#addToRows(bias, y);
    return this.note(y, bias ? [x, w, bias] : [x, w], () => ({ op: 'linear', x, w, bias, y }));
  }

  /** `linear` with the matrix of each row's expert. x [R, I] in the order of `groups`, w [E, O, I]; y [R, O]. */
  groupedLinear(x: Tensor, w: Weight, groups: Groups): Tensor {
    if (w instanceof AdaptedMatrix) return addLowRanks(this, w, x, this.groupedLinear(x, w.base, groups), groups);
    if (w instanceof PackedMatrix) {
      const y = this.arena.take([x.rows, w.N]);
      w.multiplyGroups(this.device.commands, x, y, groups.offsets, x.rows);
      return this.note(y, [x], () => ({ op: 'groupedLinear', x, w, y, groups }));
    }
    const [E, O, I] = [w.dim(0), w.dim(1), w.dim(2)];
    const y = this.arena.take([x.rows, O]);
    const shape = { R: x.rows, E, N: O, K: I, transB: true, kind: 'rows' as const };
    groupedMatmul(this.device.commands, x, w, y, groups.offsets, shape);
    return this.note(y, [x, w], () => ({ op: 'groupedLinear', x, w, y, groups }));
  }

  /** swiglu(linear(x, w, bias)): w holds gate over up, [2F, I]; y [N, F]. The same bits as those two, in one pass if it can. */
  gatedLinear(x: Tensor, w: Weight, bias?: Tensor): Tensor {
    const packed = bias ? undefined : this.#appliesSwiglu(w);
    if (!packed) return this.#swiglu(this.linear(x, w, bias), 'only');
    const y = this.arena.take([x.rows, packed.N / 2]);
    packed.multiply(this.device.commands, x, y, x.rows, { activation: 'swiglu' });
    return y;
  }

  /** `gatedLinear` with the matrix of each row's expert. x [R, I] in the order of `groups`, w [E, 2F, I]; y [R, F]. */
  groupedGatedLinear(x: Tensor, w: Weight, groups: Groups): Tensor {
    const packed = this.#appliesSwiglu(w);
    if (!packed) return this.#swiglu(this.groupedLinear(x, w, groups), 'only');
    const y = this.arena.take([x.rows, packed.N / 2]);
    packed.multiplyGroups(this.device.commands, x, y, groups.offsets, x.rows, 'swiglu');
    return y;
  }

  /** The rows of `table` [V, D] that `ids` i32 [N] names; [N, D]. Also selects rows of an activation. */
  embedding(table: Weight, ids: Tensor): Tensor {
    if (table instanceof AdaptedMatrix) throw new Error('embedding: expected a table without adapters');
    if (table instanceof PackedMatrix) {
      const y = this.arena.take([ids.length, table.K]);
      table.gatherRows(this.device.commands, ids, y, ids.length);
      return y;
    }
    const [V, D] = [table.dim(0), table.dim(1)];
    const y = this.arena.take([ids.length, D]);
    embedding(this.device.commands, table, ids, y, { N: ids.length, V, D });
    return this.note(y, [table], () => ({ op: 'embedding', table, ids, y }));
  }

  /** y[n, d] = x[n, d] w[d] / rms(x[n]). Zhang & Sennrich 2019. */
  rmsNorm(x: Tensor, w: Tensor, eps: number): Tensor {
    const y = this.arena.take(x.shape);
    rmsNorm(this.device.commands, x, w, y, { N: x.rows, D: x.dim(-1), eps });
    return this.note(y, [x, w], () => ({ op: 'rmsNorm', x, w, y, eps }));
  }

  /**
   * Rotates `ropeDim` values of each head, as a rule the last, by its row's position; y [N, heads * headDim]. The heads stand in
   * columns `column` .. of x, which may be wider: queries and keys of one product need no copies. Su et al. 2021.
   */
  rope(x: Tensor, positions: Tensor, shape: RopeShape, column = 0): Tensor {
    const y = this.arena.take([x.rows, shape.heads * shape.headDim]);
    this.rotate(x, column, y, positions, shape, 'forward');
    return this.note(y, [x], () => ({ op: 'rope', x, column, y, positions, shape }));
  }

  /** The rotation itself, also by the negative angle: what its gradient needs. y [N, heads * headDim]. */
  rotate(
    x: Tensor,
    column: number,
    y: Tensor,
    positions: Tensor,
    shape: RopeShape,
    direction: 'forward' | 'backward',
  ): void {
    const { heads, headDim, ropeDim, style, cos, sin } = shape;
    const [N, row] = [x.rows, heads * headDim];
    const still = shape.place === 'first' ? 0 : headDim - ropeDim;
    if (headDim > ropeDim) this.copyColumns(x, column, y, 0, row, 'write');
    rope(this.device.commands, tail(x, column + still), tail(y, still), cos, sin, positions, {
      ...{ N, H: heads, ropeDim, style, inverse: direction === 'backward' },
      ...{ xRowStride: x.dim(-1), xHeadStride: headDim, yRowStride: row, yHeadStride: headDim },
    });
  }

  /** Keys and values of every head from the up-projected latent and the shared rotary key; see `kernels/mla`. */
  assembleKeys(kv: Tensor, kPe: Tensor, shape: HeadShape): { k: Tensor; v: Tensor } {
    const { heads, nope, rope: ropeDim, vDim } = shape;
    const k = this.arena.take([kv.rows, heads * (nope + ropeDim)]);
    const v = this.arena.take([kv.rows, heads * vDim]);
    mlaAssemble(this.device.commands, kv, kPe, k, v, {
      ...{ N: kv.rows, H: heads, nope, rope: ropeDim, vDim, kPeStride: ropeDim },
    });
    this.note(k, [kv, kPe], () => ({ op: 'assembleKeys', kv, kPe, k, v, shape }), v);
    return { k, v };
  }

  /** Causal attention of `q` [N, H * dk] over rows of `k` and `v` (f32 or bf16) as `rows` says; [N, H * dv]. */
  attention(q: Tensor, k: Tensor, v: Tensor, rows: AttentionRows, shape: AttentionShape): Tensor {
    const { H, dv } = shape;
    const out = this.arena.take([q.rows, H * dv]);
    const lse = this.arena.take([q.rows, H]);
    attention(this.device.commands, q, k, v, out, lse, rows.sequences, rows.blockStarts, {
      ...attentionStrides(q, rows, shape),
      keyDtype: rowDtype(k),
    });
    return this.note(out, [q, k, v], () => ({ op: 'attention', q, k, v, out, lse, rows, shape }));
  }

  /** y[h] = x[h] w[h] for each head: x [N, heads * inDim], w [heads, inDim, outDim] or its transpose; inference only. */
  headLinear(x: Tensor, w: Tensor, shape: HeadLinearShape): Tensor {
    this.inferenceOnly('headLinear');
    const { heads, inDim, outDim, xHeadStride, wHeadStride, transposed } = shape;
    const N = x.rows;
    const y = this.arena.take([N, heads * outDim]);
    matmul(this.device.commands, x, w, y, {
      ...{ M: N, N: outDim, K: inDim, lda: x.dim(-1), ldb: transposed ? inDim : outDim, ldc: heads * outDim },
      ...{ transB: transposed, batch: heads, strideA: xHeadStride, strideB: wHeadStride, strideC: outDim },
    });
    return y;
  }

  /** silu(first half) * second half of each row. x [N, 2F]; [N, F]. Shazeer 2020. */
  swiglu(x: Tensor): Tensor {
    return this.#swiglu(x, 'one of several');
  }

  /** x + y, in the memory of `y`, which must have no other reader. */
  residual(x: Tensor, y: Tensor): Tensor {
    const sum = new Tensor(y.handle, y.offset, y.shape);
    add(this.device.commands, x, y, sum);
    return this.note(sum, [x, y], () => ({ op: 'residual', x, y, sum }));
  }

  /** [a | b]: the columns of both, side by side. */
  concat(a: Tensor, b: Tensor): Tensor {
    const y = this.arena.take([a.rows, a.dim(-1) + b.dim(-1)]);
    this.copyColumns(a, 0, y, 0, a.dim(-1), 'write');
    this.copyColumns(b, 0, y, a.dim(-1), b.dim(-1), 'write');
    return this.note(y, [a, b], () => ({ op: 'concat', a, b, y }));
  }

  /** Columns `column` .. of x, `width` of them, as a tensor of their own: the inverse of `concat`. */
  columns(x: Tensor, column: number, width: number): Tensor {
    const y = this.arena.take([x.rows, width]);
    this.copyColumns(x, column, y, 0, width, 'write');
    return this.note(y, [x], () => ({ op: 'columns', x, column, y }));
  }

  /** into[rows[i]] = x[i]: how new keys and values enter a cache, rounded if it is bf16. `rows` i32 [N]. Not differentiable. */
  storeRows(x: Tensor, rows: Tensor, into: Tensor): void {
    const shape = { N: rows.length, R: into.rows, D: x.dim(-1) };
    storeRows(this.device.commands, x, rows, into, { ...shape, dtype: rowDtype(into) });
  }

  /**
   * Chooses experts, or takes those that are kept; see `kernels/routing`. `counts` i32 [E] gains each expert's load. The bias gets
   * no gradient.
   */
  route(logits: Tensor, bias: Tensor, counts: Tensor, routing: Routing): { ids: Tensor; weights: Tensor } {
    const [N, E, { K }] = [logits.rows, logits.dim(-1), routing];
    const { commands } = this.device;
    const weights = this.arena.take([N, K]);
    // Computed again, the same tokens choose the same experts and are no further load.
    const load = this.#isAgain ? this.arena.take([E], 'i32') : counts;
    const kept = this.#kept?.choices.get(counts);
    const ids = kept || !this.#kept ? this.arena.take([N, K], 'i32') : this.#kept.take(N, K);
    if (kept) {
      // A table with a row for each row of the step.
      const shape = { ...routing, N, V: N, E };
      routeByToken(commands, logits, kept, this.rowNumbers(N), ids, weights, load, shape);
    } else {
      route(commands, logits, bias, ids, weights, load, { N, E, ...routing });
      this.#kept?.choices.set(counts, ids);
    }
    this.note(weights, [logits], () => ({ op: 'route', logits, ids, weights, routing }));
    return { ids, weights };
  }

  /** Sorts (token, choice) pairs by expert, keeping the order of tokens within one. */
  group(ids: Tensor, experts: number): Groups {
    const [tokens, perToken] = [ids.dim(0), ids.dim(1)];
    const order = this.arena.take([tokens * perToken], 'i32');
    const slots = this.arena.take([tokens * perToken], 'i32');
    const offsets = this.arena.take([experts + 1], 'i32');
    groupByExpert(this.device.commands, ids, order, slots, offsets, { N: tokens, K: perToken, E: experts });
    return { ids, order, slots, offsets, tokens, perToken, own: new Map() };
  }

  /** Each token's row once for every expert that it goes to, in the order of `groups`. x [N, D]; [N * K, D]. */
  gather(x: Tensor, groups: Groups): Tensor {
    const y = this.arena.take([groups.tokens * groups.perToken, x.dim(-1)]);
    gatherRows(this.device.commands, x, groups.order, y, { N: groups.tokens, K: groups.perToken, D: x.dim(-1) });
    return this.note(y, [x], () => ({ op: 'gather', x, y, groups }));
  }

  /** y[n] = sum_k weights[n, k] x[slot of (n, k)]. x [N * K, D]; [N, D]. */
  combine(x: Tensor, weights: Tensor, groups: Groups): Tensor {
    const D = x.dim(-1);
    const y = this.arena.take([groups.tokens, D]);
    const shape = { N: groups.tokens, K: groups.perToken, D, accumulate: false };
    combineRows(this.device.commands, x, groups.slots, weights, y, shape);
    return this.note(y, [x, weights], () => ({ op: 'combine', x, weights, y, groups }));
  }

  /**
   * Negative log-likelihood of `targets` i32 [N] (-1: none) under softmax(x wT); [N], unweighted. The loss that
   * `backward` starts from is sum_n weights[n] * nll[n]. `likeliest` i32 [N], where given, is what a greedy choice would be.
   */
  linearCrossEntropy(x: Tensor, w: Weight, targets: Tensor, weights: Tensor, likeliest?: Tensor): Tensor {
    return this.#linearLoss(x, w, ({ logits, loss, rows, purpose }) => {
      const { commands } = this.device;
      const shape = { N: logits.rows, V: logits.dim(-1) };
      // First, for the gradient takes the place of the logits.
      if (likeliest) argmax(commands, logits, rows(likeliest), shape);
      if (purpose === 'loss') crossEntropyForward(commands, logits, rows(targets), loss, shape);
      else crossEntropy(commands, logits, rows(targets), rows(weights), loss, logits, shape);
    });
  }

  /**
   * Divergence of softmax(x wT) from a teacher of whom each row's likeliest tokens are known, as `kernels/divergence` defines
   * it; [N], unweighted. teacher: [N, K] each. `backward` starts from sum_n weights[n] * loss[n].
   */
  linearDivergence(
    x: Tensor,
    w: Weight,
    teacher: Teacher<Tensor, Tensor>,
    weights: Tensor,
    how: DivergenceShape,
  ): Tensor {
    return this.#linearLoss(x, w, ({ logits, loss, rows, purpose }) => {
      const { commands } = this.device;
      const of = { ids: rows(teacher.ids), logprobs: rows(teacher.logprobs) };
      const options = { ...how, N: logits.rows, V: logits.dim(-1), K: of.ids.dim(1) };
      if (purpose === 'loss') divergenceForward(commands, logits, of, loss, options);
      else divergence(commands, logits, of, rows(weights), loss, logits, options);
    });
  }

  fill(x: Tensor, value: number): void {
    fill(this.device.commands, x, value);
  }

  copy(x: Tensor, y: Tensor): void {
    this.copyColumns(x, 0, y, 0, x.dim(-1), 'write');
  }

  /**
   * compute(x), of the same shape. Without a tape the result takes the place of `x`, which must be nobody else's, and all that
   * `compute` took from the arena is free again: a network needs the memory of one block, not of all of them. The same when
   * recomputing, but that `x` is kept: from it `backward` records the block again, with its tape (Chen et al. 2016, arXiv
   * 1604.06174). `compute` must then read only what lives as long as the graph, and record the same at any time.
   */
  update(x: Tensor, compute: (x: Tensor) => Tensor): Tensor {
    if (this.#mode === 'training') return compute(x);
    const y = this.#mode === 'inference' ? x : this.arena.take(x.shape);
    const mark = this.arena.mark();
    const { result } = this.#onTapeOfItsOwn(() => compute(x));
    this.copy(result, y);
    this.arena.rewind(mark);
    if (!result.needsGrad) return y;
    y.needsGrad = true;
    const rows = this.#adapterRows;
    const again = rows ? (input: Tensor) => this.withAdapters(rows, () => compute(input)) : compute;
    this.#tape?.push({ step: { op: 'update', x, y, compute: again }, made: [y] });
    return y;
  }

  /** The rule of `update`. The values of y have no more readers: the gradient of x takes their place. */
  updateBackward({ x, y, compute }: UpdateStep): void {
    const dy = this.gradOf(y);
    const known = x.grad;
    const mark = this.arena.mark();
    const [isAgain, spares] = [this.#isAgain, this.#spares];
    this.#isAgain = true;
    this.#spares = new Map();
    const { result, tape } = this.#onTapeOfItsOwn(() => compute(x));
    result.grad = dy;
    this.#walkBack(tape);
    if (x.grad && !known) {
      const dx = new Tensor(y.handle, y.offset, y.shape);
      this.copy(x.grad, dx);
      x.grad = dx;
    }
    this.arena.rewind(mark);
    [this.#isAgain, this.#spares] = [isAgain, spares];
  }

  /** Keeps what `record` notes apart. Without a tape there is nothing to keep. */
  #onTapeOfItsOwn(record: () => Tensor): { readonly result: Tensor; readonly tape: NotedStep[] } {
    const [outer, tape]: [NotedStep[] | undefined, NotedStep[]] = [this.#tape, []];
    if (outer) this.#tape = tape;
    const result = record();
    this.#tape = outer;
    return { result, tape };
  }

  /** Columns of `x` from `xColumn` on into, or onto, columns of `y` from `yColumn` on. */
  copyColumns(x: Tensor, xColumn: number, y: Tensor, yColumn: number, cols: number, how: 'write' | 'add'): void {
    copyColumns(this.device.commands, tail(x, xColumn), tail(y, yColumn), {
      ...{ rows: x.rows, cols, srcStride: x.dim(-1), dstStride: y.dim(-1), accumulate: how === 'add' },
    });
  }

  /** Which rows of what `record` records are whose: adapters add to the products of their own rows only. */
  withAdapters<T>(rows: readonly AdapterRows[], record: () => T): T {
    const before = this.#adapterRows;
    this.#adapterRows = rows;
    try {
      return record();
    } finally {
      this.#adapterRows = before;
    }
  }

  /** The rows of each adapter in a step of `total`: all of them, of none, where nobody has said otherwise. */
  adapterRows(total: number): readonly AdapterRows[] {
    const rows = this.#adapterRows ?? [{ adapter: undefined, begin: 0, count: total }];
    const end = rows.reduce((sum, { count }) => sum + count, 0);
    if (end !== total) throw new Error(`adapters: expected the rows of ${end} tokens, got ${total}`);
    return rows;
  }

  /** i32 [count]: 0, 1, 2 and so on. */
  rowNumbers(count: number): Tensor {
    if (!this.#rowNumbers || this.#rowNumbers.length < count) {
      this.#rowNumbers = this.arena.integers(Int32Array.from({ length: count }, (_, i) => i));
    }
    return this.#rowNumbers;
  }

  /** Refuses an operation that has no gradient where one may be asked for. */
  inferenceOnly(operation: string): void {
    if (this.#tape) throw new Error(`${operation} has no gradient: it serves inference only`);
  }

  /** The gradient tensor of `t`, made of zeros if nothing has reached it yet. */
  gradOf(t: Tensor): Tensor {
    if (!t.grad) {
      t.grad = this.borrow(t.shape);
      this.fill(t.grad, 0);
    }
    return t.grad;
  }

  /** Memory for a gradient, of undefined content. */
  borrow(shape: readonly number[]): Tensor {
    const spare = this.#spares.get(elementsOf(shape))?.pop();
    return spare ? new Tensor(spare.handle, spare.offset, shape) : this.arena.take(shape);
  }

  /** `x` is dead, for commands that are recorded from here on. */
  giveBack(x: Tensor): void {
    const spares = this.#spares.get(x.length);
    if (spares) spares.push(x);
    else this.#spares.set(x.length, [x]);
  }

  /** Executes everything recorded so far. */
  run(): void {
    this.device.commands.run();
  }

  /**
   * Records the gradient of everything on the tape, last operation first, then forgets the tape. What remains are the gradients
   * of weights and other leaves.
   */
  backward(): void {
    const tape = this.#tape;
    if (!tape) throw new Error('backward: this graph has no tape');
    this.#walkBack(tape);
  }

  #walkBack(tape: NotedStep[]): void {
    for (let noted = tape.pop(); noted; noted = tape.pop()) {
      applyRule(this, noted.step);
      for (const each of noted.made) {
        if (each.grad) this.giveBack(each.grad);
        each.grad = undefined;
      }
    }
  }

  /**
   * A loss of each row of logits x wT; [N]. With a tape the gradients of x and w are made here too, chunk by chunk, so that
   * the logits [N, V] never exist at once.
   */
  #linearLoss(x: Tensor, w: Weight, record: (chunk: LossChunk) => void): Tensor {
    if (w instanceof AdaptedMatrix) throw new Error('the loss: expected a head without adapters');
    const { commands } = this.device;
    const [V, D] = w instanceof PackedMatrix ? [w.N, w.K] : [w.dim(0), w.dim(1)];
    const N = x.rows;
    const loss = this.arena.take([N]);
    const taped = this.#tape !== undefined && (x.needsGrad || (w instanceof Tensor && w.needsGrad));
    const dx = taped ? this.arena.take(x.shape) : undefined;
    const dw = taped && w instanceof Tensor && w.needsGrad ? this.gradOf(w) : undefined;
    const mark = this.arena.mark();
    const logits = this.arena.take([Math.min(N, lossChunkRows), V]);
    for (let begin = 0; begin < N; begin += lossChunkRows) {
      const M = Math.min(lossChunkRows, N - begin);
      const rows = (t: Tensor) => t.slice(begin, M);
      const chunk = logits.slice(0, M);
      if (w instanceof PackedMatrix) w.multiply(commands, rows(x), chunk, M);
      else matmul(commands, rows(x), w, chunk, { M, N: V, K: D, transB: true });
      record({ logits: chunk, loss: rows(loss), rows, purpose: dx ? 'gradient' : 'loss' });
      if (!dx) continue;
      multiplyBack(this, chunk, w, rows(dx), false);
      if (dw) matmul(commands, chunk, rows(x), dw, { M: V, N: D, K: M, transA: true, accumulate: true });
    }
    this.arena.rewind(mark);
    return dx ? this.note(loss, [x], () => ({ op: 'linearLoss', x, loss, dx })) : loss;
  }

  #swiglu(x: Tensor, reader: 'only' | 'one of several'): Tensor {
    const F = x.dim(-1) / 2;
    const y = this.arena.take([x.rows, F]);
    swiglu(this.device.commands, x, y, { N: x.rows, F });
    return this.note(y, [x], () => ({ op: 'swiglu', x, y, reader }));
  }

  /** The matrix, if a product with it can apply swiglu and nothing comes between the two. */
  #appliesSwiglu(w: Weight): PackedMatrix | undefined {
    if (this.#tape) return undefined;
    if (w instanceof AdaptedMatrix && isAdapted(w, this.#adapterRows)) return undefined;
    const plain: PlainWeight = w instanceof AdaptedMatrix ? w.base : w;
    return plain instanceof PackedMatrix && plain.appliesSwiglu ? plain : undefined;
  }

  /** y[n, c] += row[c]. */
  #addToRows(row: Tensor, y: Tensor): void {
    const cols = row.length;
    copyColumns(this.device.commands, row, y, { rows: y.rows, cols, srcStride: 0, dstStride: cols, accumulate: true });
  }

  /** Puts a step on the tape, where there is one and a gradient is wanted of any of its inputs; y, its output, and `others`. */
  note(y: Tensor, inputs: readonly Tensor[], step: () => Step, ...others: readonly Tensor[]): Tensor {
    if (!this.#tape || !inputs.some((input) => input.needsGrad)) return y;
    const made = [y, ...others].filter((output) => !output.needsGrad);
    for (const output of made) output.needsGrad = true;
    this.#tape.push({ step: step(), made });
    return y;
  }
}

export interface HeadLinearShape {
  readonly heads: number;
  readonly inDim: number;
  readonly outDim: number;
  readonly xHeadStride: number;
  readonly wHeadStride: number;
  /** Whether w's matrices are [outDim, inDim] rather than [inDim, outDim]. */
  readonly transposed: boolean;
}

/** The options that attention and its gradient share. */
export function attentionStrides(q: Tensor, rows: AttentionRows, shape: AttentionShape) {
  const { H, Hkv, dk, dv, kStride = Hkv * dk, vStride = Hkv * dv } = shape;
  return {
    ...{ S: rows.sequences.dim(0), NQ: q.rows, H, Hkv, dk, dv, scale: shape.scale },
    ...{ qStride: H * dk, kStride, vStride, outStride: H * dv },
  };
}

function elementsOf(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

function rowDtype({ dtype }: Tensor): RowDtype {
  return dtype === 'bf16' ? 'bf16' : 'f32';
}

/** `x` from an element of its first row on. */
function tail(x: Tensor, elements: number): Tensor {
  return elements === 0 ? x : new Tensor(x.handle, x.offset + elements, [x.length - elements], x.dtype);
}

function applyRule<K extends Step['op']>(graph: Graph, step: Extract<Step, { op: K }>): void {
  const rule = gradRules[step.op as K] as (g: Graph, step: Extract<Step, { op: K }>) => void;
  rule(graph, step);
}
