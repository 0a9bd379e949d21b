// Manifold-constrained hyper-connections: a residual stream that is several.
//
// Owns how the streams of a token are collapsed into a layer's input and how its output is spread over them again, and
// the weights of both from a learned projection. Knows nothing of the layers. Inference only. Invariant: a token's
// weights and streams depend on that token alone.

import type { Commands } from './commands.ts';
import type { Floats } from './elementwise.ts';
import type { Ref } from './memory.ts';

/** `N` tokens with `streams` streams each; `iterations` of balancing, `eps` added wherever something is divided by. */
export interface HyperWeightsOptions {
  readonly N: number;
  readonly streams: number;
  readonly iterations: number;
  readonly eps: number;
}

/** Where the weights of a layer go; `post` and `comb` are absent where streams are only collapsed, after the last one. */
export interface HyperWeights<T> {
  /** [N, streams]: what each stream gives to the layer's input. */
  readonly pre: T;
  /** [N, streams]: what each takes of its output; [N, streams, streams]: what stream k takes of stream j. */
  readonly onward: { readonly post: T; readonly comb: T } | undefined;
}

/**
 * With the columns of mixes [N, (2 + S) S] divided into S, S and S x S, x = mixes * scale[part] + base, and eps:
 * pre = sigmoid(x) + eps; post = 2 sigmoid(x); comb = softmax of the rows of x, + eps, then columns divided by their
 * sums, then `iterations` - 1 times rows and columns. Without `onward`: mixes [N, S], scale [1], base [S], and pre alone.
 * Xie et al. 2025, arXiv 2512.24880; DeepSeek-V4, arXiv 2606.19348, section 2.2.
 */
export function hyperWeights(
  c: Commands,
  mixes: Ref,
  scale: Ref,
  base: Ref,
  { pre, onward }: HyperWeights<Ref>,
  o: HyperWeightsOptions,
): void {
  if (!(o.streams >= 1 && o.streams <= MOST_STREAMS)) {
    throw new Error(`hyperWeights: expected from 1 to ${MOST_STREAMS} streams, got ${o.streams}`);
  }
  const width = onward ? (2 + o.streams) * o.streams : o.streams;
  c.begin('hyperWeights');
  c.tensor(mixes, o.N * width);
  c.tensor(scale, onward ? 3 : 1);
  c.tensor(base, width);
  c.tensor(pre, o.N * o.streams);
  c.optionalTensor(onward?.post, o.N * o.streams);
  c.optionalTensor(onward?.comb, o.N * o.streams ** 2);
  c.int(o.N);
  c.int(o.streams);
  c.int(o.iterations);
  c.float(o.eps);
  c.end();
}

export function hyperWeightsTwin(
  mixes: Floats,
  scale: Floats,
  base: Floats,
  { pre, onward }: HyperWeights<Floats>,
  { N, streams: S, iterations, eps }: HyperWeightsOptions,
): void {
  const width = onward ? (2 + S) * S : S;
  for (let n = 0; n < N; n++) {
    const x = (column: number, part: number) => mixes[n * width + column]! * scale[part]! + base[column]!;
    for (let k = 0; k < S; k++) pre[n * S + k] = sigmoid(x(k, 0)) + eps;
    if (!onward) continue;
    for (let k = 0; k < S; k++) onward.post[n * S + k] = 2 * sigmoid(x(S + k, 1));
    let m = Array.from({ length: S }, (_, j) => {
      const row = Array.from({ length: S }, (_, k) => x(2 * S + j * S + k, 2));
      const top = Math.max(...row);
      const total = row.reduce((sum, value) => sum + Math.exp(value - top), 0);
      return row.map((value) => Math.exp(value - top) / total + eps);
    });
    m = transposed(withRowSums(transposed(m), eps));
    for (let i = 1; i < iterations; i++) m = transposed(withRowSums(transposed(withRowSums(m, eps)), eps));
    onward.comb.set(m.flat(), n * S * S);
  }
}

/** y[n, d] = sum_j pre[n, j] x[n, j, d]. x [N, streams, D], pre [N, streams], y [N, D]. */
export function hyperCollapse(c: Commands, x: Ref, pre: Ref, y: Ref, { N, streams, D }: HyperStreamsOptions): void {
  c.begin('hyperCollapse');
  c.tensor(x, N * streams * D);
  c.tensor(pre, N * streams);
  c.tensor(y, N * D);
  c.int(N);
  c.int(streams);
  c.int(D);
  c.end();
}

export function hyperCollapseTwin(x: Floats, pre: Floats, y: Floats, { N, streams, D }: HyperStreamsOptions): void {
  for (let n = 0; n < N; n++) {
    for (let d = 0; d < D; d++) {
      let total = 0;
      for (let j = 0; j < streams; j++) total += pre[n * streams + j]! * x[(n * streams + j) * D + d]!;
      y[n * D + d] = total;
    }
  }
}

/** `D`: width of a stream. */
export interface HyperStreamsOptions {
  readonly N: number;
  readonly streams: number;
  readonly D: number;
}

/**
 * y[n, k, d] = post[n, k] added[n, d] + sum_j comb[n, j, k] x[n, j, d].
 * x, y [N, streams, D] (apart), added [N, D], post [N, streams], comb [N, streams, streams].
 */
export function hyperExpand(
  c: Commands,
  x: Ref,
  added: Ref,
  post: Ref,
  comb: Ref,
  y: Ref,
  { N, streams, D }: HyperStreamsOptions,
): void {
  c.begin('hyperExpand');
  c.tensor(x, N * streams * D);
  c.tensor(added, N * D);
  c.tensor(post, N * streams);
  c.tensor(comb, N * streams ** 2);
  c.tensor(y, N * streams * D);
  c.int(N);
  c.int(streams);
  c.int(D);
  c.end();
}

export function hyperExpandTwin(
  x: Floats,
  added: Floats,
  post: Floats,
  comb: Floats,
  y: Floats,
  { N, streams: S, D }: HyperStreamsOptions,
): void {
  for (let n = 0; n < N; n++) {
    for (let k = 0; k < S; k++) {
      for (let d = 0; d < D; d++) {
        let total = post[n * S + k]! * added[n * D + d]!;
        for (let j = 0; j < S; j++) total += comb[(n * S + j) * S + k]! * x[(n * S + j) * D + d]!;
        y[(n * S + k) * D + d] = total;
      }
    }
  }
}

/** The kernel balances a token's matrix in registers. */
const MOST_STREAMS = 8;

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

function withRowSums(m: readonly (readonly number[])[], eps: number): number[][] {
  return m.map((row) => {
    const total = row.reduce((sum, value) => sum + value, 0);
    return row.map((value) => value / (total + eps));
  });
}

function transposed(m: readonly (readonly number[])[]): number[][] {
  return m.map((_, k) => m.map((row) => row[k]!));
}
