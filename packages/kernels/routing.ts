// Mixture of experts: which experts a token goes to, and the way there and back.
//
// Owns the router's choice and weights (DeepSeekMoE with group limits), the stable sorting of tokens by expert, and the
// gather and combine around the grouped products of matmul.ts. Knows nothing of experts themselves or of how the
// router's bias is balanced. Invariant: a token's experts, weights and combined row depend on that token alone; ids are
// constants to the gradient, and the bias, which only takes part in the choice, has none.
//
// Words: token n has K assignments, numbered n * K + k. Sorted by expert they lie in slots; `order` maps slot to
// assignment, `slots` maps assignment to slot. An assignment whose id is outside [0, E) goes to no expert: its slot is
// -1, and so are the entries of `order` past offsets[E].

import type { Commands } from './commands.ts';
import type { Floats } from './elementwise.ts';
import type { Ref } from './memory.ts';

/** The score s of an expert: sigmoid of its logit x, softmax over all experts, or the root of log(1 + exp(x)) (V4). */
export type Scoring = 'sigmoid' | 'softmax' | 'sqrtsoftplus';

/** `N` tokens, `E` experts, `K` chosen for each token. */
export interface RouteOptions {
  readonly N: number;
  readonly E: number;
  readonly K: number;
  /** Experts lie in `groups` equal groups, of which a token may use `topkGroups`. 1 and 1: no limit. */
  readonly groups: number;
  readonly topkGroups: number;
  readonly scoring: Scoring;
  /** A group's score: the sum of its two largest s + bias (V3), or the largest (V2). */
  readonly groupScore: 'top2sum' | 'max';
  /** Divides a token's weights by their sum + 1e-20. */
  readonly normalize: boolean;
  /** Multiplies the weights at the end (`routed_scaling_factor`). */
  readonly scale: number;
}

/** What sorting needs: `N` tokens, `K` assignments each, `E` experts. */
export interface GroupOptions {
  readonly N: number;
  readonly K: number;
  readonly E: number;
}

/** What moving rows needs: `N` tokens, `K` assignments each, `D` width. */
export interface RowsOptions {
  readonly N: number;
  readonly K: number;
  readonly D: number;
}

/**
 * Chooses experts by s + bias, in groups of the highest score first, and weighs them by s alone.
 *
 * logits [N, E], bias [E], ids int32 [N, K] (best first), weights [N, K], counts int32 [E] (raised by the tokens that
 * each expert receives). Equal values: the lowest index wins; NaN ranks as -infinity, so ids are always K different experts.
 * DeepSeek-V3 (2024) §2.1.2 (`noaux_tc`); with softmax, 'max' and a zero bias DeepSeek-V2's `group_limited_greedy`.
 */
export function route(c: Commands, logits: Ref, bias: Ref, ids: Ref, weights: Ref, counts: Ref, o: RouteOptions): void {
  checkRoute(o);
  c.begin('route');
  c.tensor(logits, o.N * o.E);
  c.tensor(bias, o.E);
  c.tensor(ids, o.N * o.K);
  c.tensor(weights, o.N * o.K);
  c.tensor(counts, o.E);
  c.int(o.N);
  c.int(o.E);
  c.int(o.K);
  c.int(o.groups);
  c.int(o.topkGroups);
  c.int(scoringCodes[o.scoring]);
  c.int(o.groupScore === 'max' ? 1 : 0);
  c.int(o.normalize ? 1 : 0);
  c.float(o.scale);
  c.end();
}

/** Scores and s + bias are float32 values, or ties (saturated sigmoids above all) would not be ties here. */
export function routeTwin(
  logits: Floats,
  bias: Floats,
  ids: Int32Array,
  weights: Floats,
  counts: Int32Array,
  o: RouteOptions,
): void {
  const size = o.E / o.groups;
  for (let n = 0; n < o.N; n++) {
    const scores = scoresOf(logits.subarray(n * o.E, (n + 1) * o.E), o.scoring);
    const choice = Array.from(scores, (s, e) => rankable(Math.fround(Math.fround(s) + bias[e]!)));
    const groupScores = Array.from({ length: o.groups }, (_, group) => {
      const best = choice.slice(group * size, (group + 1) * size).sort((a, b) => b - a);
      return rankable(o.groupScore === 'max' || size === 1 ? best[0]! : Math.fround(best[0]! + best[1]!));
    });
    const kept = largest(groupScores, indices(o.groups), o.topkGroups);
    const candidates = indices(o.E).filter((e) => kept.includes(Math.floor(e / size)));
    const chosen = largest(choice, candidates, o.K);
    const total = o.normalize ? chosen.reduce((acc, e) => acc + scores[e]!, 0) + 1e-20 : 1;
    chosen.forEach((e, k) => {
      ids[n * o.K + k] = e;
      weights[n * o.K + k] = (o.scale * scores[e]!) / total;
      counts[e] = counts[e]! + 1;
    });
  }
}

/** `N` tokens out of a vocabulary of `V`, `E` experts, `K` for each token; the rest as in `RouteOptions`. */
export interface RouteByTokenOptions extends Pick<RouteOptions, 'N' | 'E' | 'K' | 'scoring' | 'normalize' | 'scale'> {
  readonly V: number;
}

/**
 * Takes the experts of a token from a table and weighs them by their scores, as `route` does.
 *
 * logits [N, E], table int32 [V, K], tokens int32 [N], ids int32 [N, K], weights [N, K], counts int32 [E]. An expert that
 * the table names and that does not exist, or a token outside the vocabulary, gives id -1 and weight 0. Roller et al.
 * 2021, arXiv 2106.04426; the first layers of DeepSeek-V4.
 */
export function routeByToken(
  c: Commands,
  logits: Ref,
  table: Ref,
  tokens: Ref,
  ids: Ref,
  weights: Ref,
  counts: Ref,
  o: RouteByTokenOptions,
): void {
  checkExperts('routeByToken', o.E);
  c.begin('routeByToken');
  c.tensor(logits, o.N * o.E);
  c.tensor(table, o.V * o.K);
  c.tensor(tokens, o.N);
  c.tensor(ids, o.N * o.K);
  c.tensor(weights, o.N * o.K);
  c.tensor(counts, o.E);
  c.int(o.N);
  c.int(o.V);
  c.int(o.E);
  c.int(o.K);
  c.int(scoringCodes[o.scoring]);
  c.int(o.normalize ? 1 : 0);
  c.float(o.scale);
  c.end();
}

export function routeByTokenTwin(
  logits: Floats,
  table: Int32Array,
  tokens: Int32Array,
  ids: Int32Array,
  weights: Floats,
  counts: Int32Array,
  o: RouteByTokenOptions,
): void {
  for (let n = 0; n < o.N; n++) {
    const scores = scoresOf(logits.subarray(n * o.E, (n + 1) * o.E), o.scoring);
    const token = tokens[n]!;
    const chosen = indices(o.K).map((k) => (token >= 0 && token < o.V ? table[token * o.K + k]! : -1));
    const total = o.normalize ? chosen.reduce((sum, e) => sum + (scores[e] ?? 0), 0) + 1e-20 : 1;
    chosen.forEach((e, k) => {
      const isThere = e >= 0 && e < o.E;
      ids[n * o.K + k] = isThere ? e : -1;
      weights[n * o.K + k] = isThere ? (o.scale * scores[e]!) / total : 0;
      if (isThere) counts[e] = counts[e]! + 1;
    });
  }
}

/**
 * dLogits [N, E] from dWeights [N, K], through normalization and score; ids int32 [N, K] are those `route` chose.
 * Written, not accumulated: an expert that was not chosen gets 0 under sigmoid, and its share under softmax.
 */
export function routeBackward(c: Commands, logits: Ref, ids: Ref, dWeights: Ref, dLogits: Ref, o: RouteOptions): void {
  checkRoute(o);
  c.begin('routeBackward');
  c.tensor(logits, o.N * o.E);
  c.tensor(ids, o.N * o.K);
  c.tensor(dWeights, o.N * o.K);
  c.tensor(dLogits, o.N * o.E);
  c.int(o.N);
  c.int(o.E);
  c.int(o.K);
  c.int(scoringCodes[o.scoring]);
  c.int(o.normalize ? 1 : 0);
  c.float(o.scale);
  c.end();
}

export function routeBackwardTwin(
  logits: Floats,
  ids: Int32Array,
  dWeights: Floats,
  dLogits: Floats,
  o: RouteOptions,
): void {
  for (let n = 0; n < o.N; n++) {
    const scores = scoresOf(logits.subarray(n * o.E, (n + 1) * o.E), o.scoring);
    const chosen = Array.from(ids.subarray(n * o.K, (n + 1) * o.K));
    const dScores = new Float64Array(o.E);
    // w_k = scale s_k / S, S = sum_j s_j + 1e-20: dw_k / ds_j = scale ([k = j] / S - s_k / S^2).
    const total = o.normalize ? chosen.reduce((acc, e) => acc + scores[e]!, 0) + 1e-20 : 1;
    const shared = chosen.reduce((acc, e, k) => acc + (dWeights[n * o.K + k]! * scores[e]!) / total, 0);
    chosen.forEach((e, k) => {
      dScores[e] = (o.scale * (dWeights[n * o.K + k]! - (o.normalize ? shared : 0))) / total;
    });
    const mean = scores.reduce((acc, s, e) => acc + s * dScores[e]!, 0);
    for (let e = 0; e < o.E; e++) {
      const s = scores[e]!;
      dLogits[n * o.E + e] =
        o.scoring === 'softmax' ? s * (dScores[e]! - mean) : dScores[e]! * slopeOf(logits[n * o.E + e]!, s, o.scoring);
    }
  }
}

/**
 * Sorts the N * K assignments by expert, keeping their order inside each.
 *
 * ids int32 [N, K]; order int32 [N * K]: slot -> assignment; slots int32 [N * K]: assignment -> slot; offsets int32
 * [E + 1]: expert e owns the slots offsets[e] .. offsets[e + 1].
 */
export function groupByExpert(
  c: Commands,
  ids: Ref,
  order: Ref,
  slots: Ref,
  offsets: Ref,
  { N, K, E }: GroupOptions,
): void {
  checkExperts('groupByExpert', E);
  c.begin('groupByExpert');
  c.tensor(ids, N * K);
  c.tensor(order, N * K);
  c.tensor(slots, N * K);
  c.tensor(offsets, E + 1);
  c.int(N);
  c.int(K);
  c.int(E);
  c.end();
}

export function groupByExpertTwin(
  ids: Int32Array,
  order: Int32Array,
  slots: Int32Array,
  offsets: Int32Array,
  { N, K, E }: GroupOptions,
): void {
  order.fill(-1, 0, N * K);
  slots.fill(-1, 0, N * K);
  let slot = 0;
  for (let e = 0; e < E; e++) {
    offsets[e] = slot;
    for (let assignment = 0; assignment < N * K; assignment++) {
      if (ids[assignment] !== e) continue;
      order[slot] = assignment;
      slots[assignment] = slot++;
    }
  }
  offsets[E] = slot;
}

/** xg[slot, :] = x[order[slot] / K, :], zeros where order is -1. x [N, D], order int32 [N * K], xg [N * K, D]. */
export function gatherRows(c: Commands, x: Ref, order: Ref, xg: Ref, { N, K, D }: RowsOptions): void {
  c.begin('gatherRows');
  c.tensor(x, N * D);
  c.tensor(order, N * K);
  c.tensor(xg, N * K * D);
  c.int(N);
  c.int(K);
  c.int(D);
  c.end();
}

export function gatherRowsTwin(x: Floats, order: Int32Array, xg: Floats, { N, K, D }: RowsOptions): void {
  for (let slot = 0; slot < N * K; slot++) {
    const token = Math.floor(order[slot]! / K);
    for (let d = 0; d < D; d++) xg[slot * D + d] = token >= 0 ? x[token * D + d]! : 0;
  }
}

/** dx[n, :] += sum over k of dxg[slots[n, k], :], k in order. dxg [N * K, D], slots int32 [N, K], dx [N, D]. */
export function gatherRowsBackward(c: Commands, dxg: Ref, slots: Ref, dx: Ref, { N, K, D }: RowsOptions): void {
  c.begin('gatherRowsBackward');
  c.tensor(dxg, N * K * D);
  c.tensor(slots, N * K);
  c.tensor(dx, N * D);
  c.int(N);
  c.int(K);
  c.int(D);
  c.end();
}

export function gatherRowsBackwardTwin(dxg: Floats, slots: Int32Array, dx: Floats, { N, K, D }: RowsOptions): void {
  for (let n = 0; n < N; n++) {
    for (let d = 0; d < D; d++) {
      let total = dx[n * D + d]!;
      for (let k = 0; k < K; k++) {
        const slot = slots[n * K + k]!;
        if (slot >= 0) total += dxg[slot * D + d]!;
      }
      dx[n * D + d] = total;
    }
  }
}

/**
 * y[n, :] (+)= sum over k of weights[n, k] * yg[slots[n, k], :], k in order.
 * yg [N * K, D] (rows by slot), slots int32 [N, K], weights [N, K], y [N, D].
 */
export function combineRows(
  c: Commands,
  yg: Ref,
  slots: Ref,
  weights: Ref,
  y: Ref,
  { N, K, D, accumulate }: RowsOptions & { readonly accumulate?: boolean },
): void {
  c.begin('combineRows');
  c.tensor(yg, N * K * D);
  c.tensor(slots, N * K);
  c.tensor(weights, N * K);
  c.tensor(y, N * D);
  c.int(N);
  c.int(K);
  c.int(D);
  c.int(accumulate ? 1 : 0);
  c.end();
}

export function combineRowsTwin(
  yg: Floats,
  slots: Int32Array,
  weights: Floats,
  y: Floats,
  { N, K, D, accumulate }: RowsOptions & { readonly accumulate?: boolean },
): void {
  for (let n = 0; n < N; n++) {
    for (let d = 0; d < D; d++) {
      let total = accumulate ? y[n * D + d]! : 0;
      for (let k = 0; k < K; k++) {
        const slot = slots[n * K + k]!;
        if (slot >= 0) total += weights[n * K + k]! * yg[slot * D + d]!;
      }
      y[n * D + d] = total;
    }
  }
}

/**
 * dyg[slots[n, k], :] = weights[n, k] * dy[n, :]; dWeights[n, k] = dy[n, :] . yg[slots[n, k], :], or 0 without a slot.
 * dy [N, D], yg and dyg [N * K, D] (dyg may be yg; rows past the last slot in use are left alone), dWeights [N, K].
 */
export function combineRowsBackward(
  c: Commands,
  dy: Ref,
  yg: Ref,
  slots: Ref,
  weights: Ref,
  dyg: Ref,
  dWeights: Ref,
  { N, K, D }: RowsOptions,
): void {
  c.begin('combineRowsBackward');
  c.tensor(dy, N * D);
  c.tensor(yg, N * K * D);
  c.tensor(slots, N * K);
  c.tensor(weights, N * K);
  c.tensor(dyg, N * K * D);
  c.tensor(dWeights, N * K);
  c.int(N);
  c.int(K);
  c.int(D);
  c.end();
}

export function combineRowsBackwardTwin(
  dy: Floats,
  yg: Floats,
  slots: Int32Array,
  weights: Floats,
  dyg: Floats,
  dWeights: Floats,
  { N, K, D }: RowsOptions,
): void {
  for (let assignment = 0; assignment < N * K; assignment++) {
    const slot = slots[assignment]!;
    const token = Math.floor(assignment / K);
    let dot = 0;
    for (let d = 0; d < D && slot >= 0; d++) {
      dot += dy[token * D + d]! * yg[slot * D + d]!;
      dyg[slot * D + d] = weights[assignment]! * dy[token * D + d]!;
    }
    dWeights[assignment] = dot;
  }
}

/** Bounds the memory for counts of every thread; real models have a few hundred. */
const MAX_EXPERTS = 1 << 14;

function checkExperts(op: string, E: number): void {
  if (E < 1 || E > MAX_EXPERTS) throw new Error(`${op}: expected from 1 to ${MAX_EXPERTS} experts, got ${E}`);
}

function checkRoute({ E, K, groups, topkGroups }: RouteOptions): void {
  checkExperts('route', E);
  if (groups < 1 || E % groups !== 0) throw new Error(`route: expected E divisible into ${groups} groups, got ${E}`);
  if (topkGroups < 1 || topkGroups > groups) {
    throw new Error(`route: expected topkGroups from 1 to ${groups}, got ${topkGroups}`);
  }
  const reachable = (E / groups) * topkGroups;
  if (K < 1 || K > reachable) {
    throw new Error(`route: expected K from 1 to ${reachable} (experts in ${topkGroups} groups), got ${K}`);
  }
}

/** native/routing.cc has the same numbers. */
const scoringCodes: Readonly<Record<Scoring, number>> = { sigmoid: 0, softmax: 1, sqrtsoftplus: 2 };

function scoresOf(logits: Floats, scoring: Scoring): Float64Array {
  if (scoring === 'sigmoid') return Float64Array.from(logits, sigmoid);
  if (scoring === 'sqrtsoftplus') {
    return Float64Array.from(logits, (x) => Math.sqrt(Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))));
  }
  const max = Math.max(...logits);
  const exps = Float64Array.from(logits, (x) => Math.exp(x - max));
  const total = exps.reduce((a, b) => a + b, 0);
  return exps.map((e) => e / total);
}

/** ds/dx of a score that depends on its own logit alone. */
function slopeOf(x: number, s: number, scoring: 'sigmoid' | 'sqrtsoftplus'): number {
  if (scoring === 'sigmoid') return s * (1 - s);
  return s > 0 ? sigmoid(x) / (2 * s) : 0;
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

function rankable(value: number): number {
  return Number.isNaN(value) ? -Infinity : value;
}

function indices(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

/** The `count` members of `among` with the largest values, best first; equal values by lowest index. */
function largest(values: readonly number[], among: readonly number[], count: number): number[] {
  return [...among]
    .sort((a, b) => (values[a]! === values[b]! ? a - b : values[b]! > values[a]! ? 1 : -1))
    .slice(0, count);
}
