// The objective of GRPO, and its derivative.
//
// Owns the mathematics from log-probabilities and advantages to a loss: ratios by token or by sequence, clipping, the divergence
// from a reference, and how tokens are averaged. Everything is a function of log-probabilities, so the trainer needs none of
// it. Knows nothing of rewards or models.

import type { GrpoOptions } from '@hadal/protocol/training-order';

/** One sampled answer as the objective sees it. */
export interface PolicySample {
  /** Of its tokens, when they were sampled, in nats: [T]. */
  readonly sampled: Float32Array;
  /** Of its tokens under the reference, [T]; needed where the divergence has a weight. */
  readonly reference: Float32Array | undefined;
  readonly advantage: number;
  /** Of the whole answer, where this is a turn of it that cannot be one document with the others; else T. */
  readonly answerTokens?: number;
}

export type PolicyOptions = Pick<
  GrpoOptions,
  'lossType' | 'clipLow' | 'clipHigh' | 'klCoefficient' | 'klEstimator' | 'importanceLevel' | 'maxCompletionTokens'
>;

/** Over what the sums of a loss are averaged, by `lossType`. */
export interface PolicySizes {
  /** Of the step, those that are left out of the loss too. */
  readonly samples: number;
  /** Of the sample's packed row, times the rows of the update: so the rows' means have their mean. */
  readonly tokens: number;
  /** Of the update. */
  readonly meanTokens: number;
}

export interface PolicyLoss {
  readonly loss: number;
  /** Derivative of the loss by each log-probability, [T]. */
  readonly derivative: Float32Array;
  /** Sums over the tokens, for the step's measurements. */
  readonly kl: number;
  readonly clippedLow: number;
  readonly clippedHigh: number;
  readonly ratio: number;
}

/**
 * The share of one sample in the loss of an update, where `logprobs` [T] are those of its tokens now.
 *
 * The surrogate is min(r A, clip(r, 1 - clipLow, 1 + clipHigh) A), negated: PPO (arXiv 1707.06347), as GRPO uses it (DeepSeekMath,
 * arXiv 2402.03300, eq. 3). `clipHigh` above `clipLow`: DAPO (arXiv 2503.14476, section 3.1). r is the ratio of a token's
 * probabilities, or for `sequence` the geometric mean of them all (GSPO, arXiv 2507.18071, eq. 7); of an answer whose turns are several
 * documents each has its own.
 *
 * The divergence is estimated by k3 (Schulman 2020; DeepSeekMath, eq. 4), or by k3 times the ratio, whose gradient is unbiased
 * where the sample is no longer the policy's own (DeepSeek-V3.2, arXiv 2512.02556, section 3.1).
 *
 * Averages: `grpo` of each answer's mean; `bnpo` of each packed row's; `dapo` over all tokens alike, whichever row they
 * are in (DAPO, section 3.3); `dr_grpo` over a constant, so that no length is favoured (arXiv 2503.20783, section 3.1).
 */
export function policyLoss(
  { sampled, reference, advantage, answerTokens }: PolicySample,
  logprobs: Float32Array,
  options: PolicyOptions,
  sizes: PolicySizes,
): PolicyLoss {
  const T = sampled.length;
  const { clipLow, clipHigh, klCoefficient, klEstimator } = options;
  const weight = tokenWeight(options, sizes, answerTokens ?? T);
  const derivative = new Float32Array(T);
  const bySequence = options.importanceLevel === 'sequence';
  let logRatioSum = 0;
  for (let t = 0; t < T; t++) logRatioSum += at(logprobs, t) - at(sampled, t);
  const sequenceRatio = Math.exp(logRatioSum / Math.max(1, T));
  let [loss, kl, clippedLow, clippedHigh, ratioSum] = [0, 0, 0, 0, 0];
  for (let t = 0; t < T; t++) {
    const tokenRatio = Math.exp(at(logprobs, t) - at(sampled, t));
    const ratio = bySequence ? sequenceRatio : tokenRatio;
    const clipped = Math.min(Math.max(ratio, 1 - clipLow), 1 + clipHigh);
    const isClipped = clipped * advantage < ratio * advantage;
    loss -= weight * Math.min(ratio * advantage, clipped * advantage);
    // Of a sequence's ratio each token moves a T-th; all T terms have it.
    if (!isClipped) derivative[t] = -weight * ratio * advantage;
    if (isClipped && ratio < 1) clippedLow++;
    if (isClipped && ratio > 1) clippedHigh++;
    ratioSum += ratio;
    if (reference === undefined) continue;
    const behind = at(reference, t) - at(logprobs, t);
    const k3 = Math.expm1(behind) - behind;
    kl += k3;
    if (klCoefficient === 0) continue;
    const slope = -Math.expm1(behind);
    const [value, derivativeOfIt] = klEstimator === 'k3' ? [k3, slope] : [tokenRatio * k3, tokenRatio * (k3 + slope)];
    loss += weight * klCoefficient * value;
    derivative[t] = at(derivative, t) + weight * klCoefficient * derivativeOfIt;
  }
  return { loss, derivative, kl, clippedLow, clippedHigh, ratio: ratioSum };
}

function tokenWeight(
  { lossType, maxCompletionTokens }: PolicyOptions,
  { samples, tokens, meanTokens }: PolicySizes,
  T: number,
): number {
  switch (lossType) {
    case 'grpo':
      return 1 / (samples * Math.max(1, T));
    case 'bnpo':
      return 1 / tokens;
    case 'dapo':
      return 1 / meanTokens;
    case 'dr_grpo':
      return 1 / (samples * maxCompletionTokens);
  }
}

/**
 * What each answer of a group is worth beyond its fellows: its reward less their mean, divided by their spread (DeepSeekMath,
 * section 4.1.2), by that of the whole step, or by nothing (Dr. GRPO, arXiv 2503.20783, section 3.1). rewards_P_G; the same shape.
 * undefined: nobody knows what that answer is worth. It counts for none of the others, and its own advantage is 0.
 */
export function groupAdvantages(
  rewards_P_G: readonly (readonly (number | undefined)[])[],
  scale: GrpoOptions['scaleRewards'],
): number[][] {
  const centered = rewards_P_G.map((rewards_G) => {
    const mean = meanOf(known(rewards_G));
    return rewards_G.map((reward) => (reward ?? mean) - mean);
  });
  const all = scale === 'batch' ? spreadOf(known(rewards_P_G.flat())) : 1;
  // As TRL does: no group is divided by nothing.
  const epsilon = 1e-4;
  return centered.map((values, p) => {
    const spread = scale === 'group' ? spreadOf(known(rewards_P_G[p] ?? [])) : all;
    return values.map((value) => (scale === 'none' ? value : value / (spread + epsilon)));
  });
}

/** Those there are. */
export function known(values: readonly (number | undefined)[]): number[] {
  return values.filter((value) => value !== undefined);
}

export function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}

/** Standard deviation, of a sample. */
export function spreadOf(values: readonly number[]): number {
  const mean = meanOf(values);
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return Math.sqrt(squares / Math.max(1, values.length - 1));
}

function at(values: Float32Array, t: number): number {
  return values[t] as number;
}
