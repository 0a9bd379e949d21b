// Divergence of a student from a teacher of whom the likeliest tokens are known, fused with its gradient.
//
// Owns the loss of distilling logits: which buckets the vocabulary falls into, the divergences over them, and their
// gradients, in a few passes over each row while it lies in cache. Knows nothing of averages: the caller's `weights` carry
// masks and 1 / tokens. Invariant: a row's loss and gradient depend on that row alone.

import type { Commands } from './commands.ts';
import type { Floats } from './elementwise.ts';
import type { Ref } from './memory.ts';

/**
 * How far student q is from teacher p, in nats. forward_kl: KL(p || q), which covers all that the teacher may say;
 * reverse_kl: KL(q || p), which keeps to what it would say. jsd: beta KL(p || m) + (1 - beta) KL(q || m) with
 * m = beta p + (1 - beta) q, for beta between 0 and 1 (Agarwal et al. 2023, arXiv 2306.13649). At both ends it is 0 for
 * any q, and so is its gradient; near them it is beta times forward_kl and (1 - beta) times reverse_kl.
 */
export type Divergence =
  | { readonly kind: 'forward_kl' }
  | { readonly kind: 'reverse_kl' }
  | { readonly kind: 'jsd'; readonly beta: number };

/** What is compared, and how. */
export interface DivergenceShape {
  readonly divergence: Divergence;
  /**
   * What becomes of the tokens that the teacher does not name. tail: they are one more bucket, with what the teacher has left;
   * where the student has nothing left for them (or K is V) there is none. renormalize: they are left out, and both
   * distributions are over the named tokens alone.
   */
  readonly rest: 'tail' | 'renormalize';
  /**
   * T: the student is softmax(logits / T). The teacher's log-probabilities are taken as they are, so they have to be at T too:
   * those of the named tokens alone do not tell what would be left at another. With `renormalize` they need not add up to
   * anything, and log-probabilities at 1 divided by T will do.
   */
  readonly temperature: number;
}

/** `N` rows (tokens), `V` tokens in the vocabulary, `K` named by the teacher. */
export interface DivergenceOptions extends DivergenceShape {
  readonly N: number;
  readonly V: number;
  readonly K: number;
}

/** ids int32 [N, K], distinct in a row, -1 (or any other that is no token) for none; logprobs [N, K] in nats. */
export interface Teacher<Ids = Ref, Logprobs = Ref> {
  readonly ids: Ids;
  readonly logprobs: Logprobs;
}

/** Bound the kernel's scratch memory: 4 bytes for each token of a row, and 28 for each that is named. */
const MAX_VOCABULARY = 500_000;
const MAX_NAMED = 50_000;

/**
 * loss[n] = T^2 D(p, q), p the teacher's and q the student's probabilities of row n's buckets;
 * dLogits[n, v] = weights[n] dloss[n] / dlogits[n, v]. T^2 keeps gradients as large at any T (Hinton et al. 2015).
 *
 * logits [N, V], weights [N], loss [N] in nats and unweighted, dLogits [N, V] (may be `logits`). With g_b = dD / dq_b the
 * gradient of D in a logit / T is q_v (g_b(v) - sum_b q_b g_b). A row in which teacher or student leave no bucket anything is
 * ignored: its loss and gradient are 0. Where reverse_kl needs the logarithm of what the teacher thinks impossible, a named
 * token counts as exp(-100) at least and the tail as 2^-24, which is lost in the rounding of the others.
 */
export function divergence(
  c: Commands,
  logits: Ref,
  teacher: Teacher,
  weights: Ref,
  loss: Ref,
  dLogits: Ref,
  options: DivergenceOptions,
): void {
  const { N, V, K } = options;
  c.begin('divergence');
  c.tensor(logits, N * V);
  c.tensor(teacher.ids, N * K);
  c.tensor(teacher.logprobs, N * K);
  c.tensor(weights, N);
  c.tensor(loss, N);
  c.tensor(dLogits, N * V);
  recordOptions(c, options);
  c.end();
}

export function divergenceTwin(
  logits: Floats,
  teacher: Teacher<Int32Array, Floats>,
  weights: Floats,
  loss: Floats,
  dLogits: Floats,
  options: DivergenceOptions,
): void {
  const { N, V, temperature: T } = options;
  for (let n = 0; n < N; n++) {
    const row = Float64Array.from(logits.subarray(n * V, (n + 1) * V), (x) => x / T);
    const buckets = bucketsOf(row, n, teacher, options);
    const terms = buckets.map((bucket) => term(bucket, options.divergence));
    const along = total(terms.map(({ slope }) => slope));
    loss[n] = T ** 2 * total(terms.map(({ value }) => value));
    dLogits.fill(0, n * V, (n + 1) * V);
    for (const [i, { tokens, logQ }] of buckets.entries()) {
      const perBucket = weights[n]! * T * (terms[i]!.slope - Math.exp(logQ) * along);
      const inside = logSumExp(tokens.map((v) => row[v]!));
      for (const v of tokens) dLogits[n * V + v] = perBucket * Math.exp(row[v]! - inside);
    }
  }
}

/** The loss of `divergence` without the gradient. */
export function divergenceForward(
  c: Commands,
  logits: Ref,
  teacher: Teacher,
  loss: Ref,
  options: DivergenceOptions,
): void {
  const { N, V, K } = options;
  c.begin('divergenceForward');
  c.tensor(logits, N * V);
  c.tensor(teacher.ids, N * K);
  c.tensor(teacher.logprobs, N * K);
  c.tensor(loss, N);
  recordOptions(c, options);
  c.end();
}

export function divergenceForwardTwin(
  logits: Floats,
  teacher: Teacher<Int32Array, Floats>,
  loss: Floats,
  options: DivergenceOptions,
): void {
  const { N, V, temperature: T } = options;
  for (let n = 0; n < N; n++) {
    const row = Float64Array.from(logits.subarray(n * V, (n + 1) * V), (x) => x / T);
    const terms = bucketsOf(row, n, teacher, options).map((bucket) => term(bucket, options.divergence));
    loss[n] = T ** 2 * total(terms.map(({ value }) => value));
  }
}

/** As native/divergence.cc numbers them. */
const kinds = { forward_kl: 0, reverse_kl: 1, jsd: 2 } as const satisfies Record<Divergence['kind'], number>;

function recordOptions(c: Commands, { N, V, K, divergence: by, rest, temperature }: DivergenceOptions): void {
  if (V > MAX_VOCABULARY) throw new Error(`divergence: expected at most ${MAX_VOCABULARY} tokens, got ${V}`);
  if (K > MAX_NAMED) throw new Error(`divergence: expected at most ${MAX_NAMED} named tokens, got ${K}`);
  if (!(temperature > 0)) throw new Error(`divergence: expected a temperature above 0, got ${temperature}`);
  const beta = by.kind === 'jsd' ? by.beta : 0.5;
  if (!(beta > 0 && beta < 1)) {
    throw new Error(`divergence: expected a beta between 0 (forward_kl) and 1 (reverse_kl), got ${beta}`);
  }
  c.int(N);
  c.int(V);
  c.int(K);
  c.int(kinds[by.kind]);
  c.int(rest === 'tail' ? 1 : 0);
  c.float(beta);
  c.float(temperature);
}

/** Least log-probabilities of the teacher's that reverse_kl counts with. */
const namedFloor = -100;
const tailFloor = -24 * Math.LN2;

interface Bucket {
  readonly tokens: readonly number[];
  readonly logP: number;
  readonly logQ: number;
  readonly floor: number;
}

/** What row n's vocabulary falls into; nothing where the row is ignored. `logits` are at the temperature already. */
function bucketsOf(
  logits: Float64Array,
  n: number,
  { ids, logprobs }: Teacher<Int32Array, Floats>,
  { V, K, rest }: DivergenceOptions,
): Bucket[] {
  const places = Array.from({ length: K }, (_, k) => n * K + k).filter((at) => ids[at]! >= 0 && ids[at]! < V);
  const named = places.map((at) => ({ tokens: [ids[at]!], logit: logits[ids[at]!]!, logP: logprobs[at]! }));
  const isNamed = new Set(named.flatMap(({ tokens }) => tokens));
  const others = Array.from(logits.keys()).filter((v) => !isNamed.has(v));
  const left = logSumExp(others.map((v) => logits[v]!));
  const hasTail = rest === 'tail' && left !== -Infinity;

  const mass = logSumExp(named.map(({ logP }) => logP));
  const teacherNormalizer = hasTail ? Math.max(0, mass) : mass;
  const studentNormalizer = logSumExp([...named.map(({ logit }) => logit), ...(hasTail ? [left] : [])]);
  if (teacherNormalizer === -Infinity || studentNormalizer === -Infinity) return [];
  const buckets = named.map(({ tokens, logit, logP }) => ({
    ...{ tokens, logP: logP - teacherNormalizer, logQ: logit - studentNormalizer, floor: namedFloor },
  }));
  if (!hasTail) return buckets;
  const logP = Math.log(Math.max(0, -Math.expm1(mass)));
  return [...buckets, { tokens: others, logP, logQ: left - studentNormalizer, floor: tailFloor }];
}

/**
 * A bucket's part of D, and q_b dD / dq_b; a multiple of q_b is left out of it where there is one, since
 * q_v (g_b(v) - sum_b q_b g_b) does not change when all g_b grow alike. Nothing times the logarithm of nothing is 0.
 */
function term({ logP, logQ, floor }: Bucket, by: Divergence): { readonly value: number; readonly slope: number } {
  const [p, q] = [Math.exp(logP), Math.exp(logQ)];
  switch (by.kind) {
    case 'forward_kl':
      return { value: p === 0 ? 0 : p * (logP - logQ), slope: -p };
    case 'reverse_kl': {
      const value = q === 0 ? 0 : q * (logQ - Math.max(logP, floor));
      return { value, slope: value };
    }
    case 'jsd': {
      const m = by.beta * p + (1 - by.beta) * q;
      const ofP = p === 0 ? 0 : by.beta * p * (logP - Math.log(m));
      const ofQ = q === 0 ? 0 : (1 - by.beta) * q * (logQ - Math.log(m));
      return { value: ofP + ofQ, slope: ofQ };
    }
  }
}

function total(values: readonly number[]): number {
  return values.reduce((sum, x) => sum + x, 0);
}

/** -Infinity where there is nothing to sum. */
function logSumExp(values: readonly number[]): number {
  const max = values.reduce((most, x) => Math.max(most, x), -Infinity);
  if (max === -Infinity) return max;
  return max + Math.log(total(values.map((x) => Math.exp(x - max))));
}
