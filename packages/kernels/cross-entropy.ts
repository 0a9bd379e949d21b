// Cross-entropy over a vocabulary, fused with its gradient.
//
// Owns the loss of next-token prediction: softmax, negative log-likelihood and the gradient of the logits in one pass
// over each row while it lies in cache. Knows nothing of averages: the caller's `weights` carry masks and 1 / tokens.
// Invariant: a row's loss and gradient depend on that row alone.

import type { Commands } from './commands.ts';
import type { Floats } from './elementwise.ts';
import type { Ref } from './memory.ts';

/** `N` rows (tokens), `V` classes (the vocabulary). */
export interface CrossEntropyOptions {
  readonly N: number;
  readonly V: number;
}

/**
 * loss[n] = log sum_v exp(logits[n, v]) - logits[n, targets[n]];
 * dLogits[n, v] = weights[n] * (softmax(logits[n])[v] - [v = targets[n]]).
 *
 * logits [N, V], targets int32 [N], weights [N], loss [N] in nats and unweighted, dLogits [N, V] (may be `logits`).
 * A target outside [0, V), by custom -1, is ignored: its loss and gradient are 0.
 */
export function crossEntropy(
  c: Commands,
  logits: Ref,
  targets: Ref,
  weights: Ref,
  loss: Ref,
  dLogits: Ref,
  { N, V }: CrossEntropyOptions,
): void {
  c.begin('crossEntropy');
  c.tensor(logits, N * V);
  c.tensor(targets, N);
  c.tensor(weights, N);
  c.tensor(loss, N);
  c.tensor(dLogits, N * V);
  c.int(N);
  c.int(V);
  c.end();
}

export function crossEntropyTwin(
  logits: Floats,
  targets: Int32Array,
  weights: Floats,
  loss: Floats,
  dLogits: Floats,
  { N, V }: CrossEntropyOptions,
): void {
  for (let n = 0; n < N; n++) {
    const row = logits.slice(n * V, (n + 1) * V);
    const target = targets[n]!;
    const isIgnored = target < 0 || target >= V;
    const normalizer = logSumExp(row);
    loss[n] = isIgnored ? 0 : normalizer - row[target]!;
    for (let v = 0; v < V; v++) {
      const p = Math.exp(row[v]! - normalizer);
      dLogits[n * V + v] = isIgnored ? 0 : weights[n]! * (p - (v === target ? 1 : 0));
    }
  }
}

/** The loss of `crossEntropy` without the gradient. logits [N, V], targets int32 [N], loss [N]. */
export function crossEntropyForward(
  c: Commands,
  logits: Ref,
  targets: Ref,
  loss: Ref,
  { N, V }: CrossEntropyOptions,
): void {
  c.begin('crossEntropyForward');
  c.tensor(logits, N * V);
  c.tensor(targets, N);
  c.tensor(loss, N);
  c.int(N);
  c.int(V);
  c.end();
}

export function crossEntropyForwardTwin(
  logits: Floats,
  targets: Int32Array,
  loss: Floats,
  { N, V }: CrossEntropyOptions,
): void {
  for (let n = 0; n < N; n++) {
    const row = logits.subarray(n * V, (n + 1) * V);
    const target = targets[n]!;
    loss[n] = target < 0 || target >= V ? 0 : logSumExp(row) - row[target]!;
  }
}

function logSumExp(row: Floats): number {
  let max = -Infinity;
  for (const x of row) max = Math.max(max, x);
  let total = 0;
  for (const x of row) total += Math.exp(x - max);
  return max + Math.log(total);
}
