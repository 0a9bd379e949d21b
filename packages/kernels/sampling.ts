// From logits to token ids: the largest, one drawn at random, and the few most probable.
//
// Owns temperature, the sets that a draw is restricted to and the log-probabilities that go with a choice. Knows nothing of
// random generators (the caller brings one uniform number for each row), of penalties or of constraints: a forbidden token
// has the logit -infinity. Invariant: a row's result depends on that row's logits and parameters alone.

import type { Commands } from './commands.ts';
import type { Floats } from './elementwise.ts';
import type { Ref } from './memory.ts';

/** `N` rows, `V` tokens in the vocabulary. */
export interface SamplingOptions {
  readonly N: number;
  readonly V: number;
}

/** Bounds the kernel's scratch memory, 8 bytes for each token of a row. */
const MAX_VOCABULARY = 500_000;

/** ids[n] = index of the largest logits[n, v], the lowest of equals; NaN never wins. logits [N, V], ids int32 [N]. */
export function argmax(c: Commands, logits: Ref, ids: Ref, { N, V }: SamplingOptions): void {
  c.begin('argmax');
  c.tensor(logits, N * V);
  c.tensor(ids, N);
  c.int(N);
  c.int(V);
  c.end();
}

export function argmaxTwin(logits: Floats, ids: Int32Array, { N, V }: SamplingOptions): void {
  for (let n = 0; n < N; n++) ids[n] = largestOf(logits.subarray(n * V, (n + 1) * V));
}

/** How each of N rows is drawn: floats but for `topK`, int32. */
export interface SamplingRows<T = Ref> {
  readonly temperature: T;
  /** Weights below this share of the largest are left out; 0: none. */
  readonly minP: T;
  /** Tokens at most, the most probable; 0: all. */
  readonly topK: T;
  /** Mass of the nucleus; 1: all. */
  readonly topP: T;
  /** In [0, 1): decides the draw. */
  readonly uniform: T;
}

/**
 * Draws one token for each row.
 *
 * logits [N, V]; ids int32 [N]; logprobs [N]: log-softmax of the untempered logits at the chosen token, in nats.
 * Temperature 0 (or below) takes the largest logit. Otherwise p = softmax(logits / temperature) is restricted three times,
 * each time to a part of what is left: to the tokens with p >= minP max(p) (Nguyen et al. 2024), to the topK most probable
 * (Fan et al. 2018), to the nucleus, the smallest set of most probable tokens whose mass is at least topP of what is left,
 * one token at least (Holtzman et al. 2020). Of equal logits the lowest index counts as more probable. The draw is the first
 * token, by index, at which the running sum exceeds uniform times the mass of the set. A row without a finite maximum takes
 * its argmax.
 */
export function sample(
  c: Commands,
  logits: Ref,
  rows: SamplingRows,
  ids: Ref,
  logprobs: Ref,
  { N, V }: SamplingOptions,
): void {
  if (V > MAX_VOCABULARY) throw new Error(`sample: expected at most ${MAX_VOCABULARY} tokens, got ${V}`);
  c.begin('sample');
  c.tensor(logits, N * V);
  c.tensor(rows.temperature, N);
  c.tensor(rows.minP, N);
  c.tensor(rows.topK, N);
  c.tensor(rows.topP, N);
  c.tensor(rows.uniform, N);
  c.tensor(ids, N);
  c.tensor(logprobs, N);
  c.int(N);
  c.int(V);
  c.end();
}

export function sampleTwin(
  logits: Floats,
  rows: SamplingRows<Floats | Int32Array>,
  ids: Int32Array,
  logprobs: Floats,
  { N, V }: SamplingOptions,
): void {
  for (let n = 0; n < N; n++) {
    const row = logits.subarray(n * V, (n + 1) * V);
    const { temperature, minP, topK, topP, uniform } = rows;
    const id = draw(row, {
      ...{ temperature: temperature[n]!, minP: minP[n]!, topK: topK[n]!, topP: topP[n]!, uniform: uniform[n]! },
    });
    ids[n] = id;
    logprobs[n] = row[id]! - logSumExp(row);
  }
}

/**
 * logits[row[i], token[i]] += delta[i], in order: logit biases and penalties. logits [N, V]; row and token int32 [count],
 * delta [count]. -infinity forbids a token.
 */
export function adjustLogits(
  c: Commands,
  logits: Ref,
  row: Ref,
  token: Ref,
  delta: Ref,
  { N, V, count }: SamplingOptions & { readonly count: number },
): void {
  c.begin('adjustLogits');
  c.tensor(logits, N * V);
  c.tensor(row, count);
  c.tensor(token, count);
  c.tensor(delta, count);
  c.int(N);
  c.int(V);
  c.int(count);
  c.end();
}

export function adjustLogitsTwin(
  logits: Floats,
  row: Int32Array,
  token: Int32Array,
  delta: Floats,
  { V, count }: SamplingOptions & { readonly count: number },
): void {
  for (let i = 0; i < count; i++) logits[row[i]! * V + token[i]!]! += delta[i]!;
}

/**
 * The `top` largest log-softmax values of each row, best first, equal logits by lowest index; NaN comes last.
 * logits [N, V], ids int32 [N, top], values [N, top] in nats.
 */
export function topLogprobs(
  c: Commands,
  logits: Ref,
  ids: Ref,
  values: Ref,
  { N, V, top }: SamplingOptions & { readonly top: number },
): void {
  if (top < 1 || top > V) throw new Error(`topLogprobs: expected top from 1 to ${V}, got ${top}`);
  c.begin('topLogprobs');
  c.tensor(logits, N * V);
  c.tensor(ids, N * top);
  c.tensor(values, N * top);
  c.int(N);
  c.int(V);
  c.int(top);
  c.end();
}

export function topLogprobsTwin(
  logits: Floats,
  ids: Int32Array,
  values: Floats,
  { N, V, top }: SamplingOptions & { readonly top: number },
): void {
  for (let n = 0; n < N; n++) {
    const row = logits.subarray(n * V, (n + 1) * V);
    const normalizer = logSumExp(row);
    byLogit(row)
      .slice(0, top)
      .forEach((id, i) => {
        ids[n * top + i] = id;
        values[n * top + i] = row[id]! - normalizer;
      });
  }
}

function draw(row: Floats, { temperature, minP, topK, topP, uniform }: SamplingRows<number>): number {
  const best = largestOf(row);
  const max = row[best]!;
  if (!(temperature > 0) || !Number.isFinite(max)) return best;
  const weights = Array.from(row, (x) => (x > -Infinity ? Math.exp((x - max) / temperature) : 0));
  const likely = byLogit(row).filter((id) => weights[id]! > 0 && weights[id]! >= Math.min(1, minP));
  const few = topK > 0 ? likely.slice(0, topK) : likely;
  const total = few.reduce((sum, id) => sum + weights[id]!, 0);
  const nucleus: number[] = [];
  let mass = 0;
  for (const id of few) {
    if (nucleus.length > 0 && mass >= topP * total) break;
    nucleus.push(id);
    mass += weights[id]!;
  }
  nucleus.sort((a, b) => a - b);
  let running = 0;
  // Rounding can leave the last sum short of the mass: the last token that can be drawn takes what remains.
  return (
    nucleus.find((id) => {
      running += weights[id]!;
      return running > uniform * mass;
    }) ?? nucleus.at(-1)!
  );
}

function largestOf(row: Floats): number {
  let best = 0;
  let value = -Infinity;
  for (const [id, x] of row.entries()) {
    if (x > value) [best, value] = [id, x];
  }
  return best;
}

/** All ids, the largest logit first, equal ones by index, NaN last. */
function byLogit(row: Floats): number[] {
  const rank = Array.from(row, (x) => (Number.isNaN(x) ? -Infinity : x));
  return Array.from(row.keys()).sort((a, b) => (rank[a] === rank[b] ? a - b : rank[b]! > rank[a]! ? 1 : -1));
}

function logSumExp(row: Floats): number {
  const max = row[largestOf(row)]!;
  let total = 0;
  for (const x of row) total += Math.exp(x - max);
  return max + Math.log(total);
}
