// Answers that a policy gives in training.
//
// Owns how groups of answers are sampled to the same questions, and how an exchange of several turns becomes documents whose
// sampled tokens are supervised. The draws are a function of seed, step and place, so a repeated step samples the same.

import type { Candidate, Exchange, ExchangeOptions } from './exchange.ts';
import { converse } from './exchange.ts';
import type { TrainingPrompt } from './jobs/prompts.ts';
import type { TrainingDocument } from './packing.ts';
import { Random } from './tasks/random.ts';

/** One answer to one question. */
export interface Rollout {
  readonly prompt: TrainingPrompt;
  readonly exchange: Exchange;
}

export interface RolloutSettings extends Pick<ExchangeOptions, 'temperature' | 'maxTokens' | 'maxTurns'> {
  readonly groupSize: number;
  /** Decides the draws, together with the place of an answer in the step. */
  readonly seed: string;
}

/** A group of answers to each prompt, sampled all at once: [P][G]. */
export async function sampleGroups(
  candidate: Candidate,
  prompts: readonly TrainingPrompt[],
  { groupSize, seed, ...options }: RolloutSettings,
): Promise<Rollout[][]> {
  const random = new Random(seed);
  const seeds = prompts.map(() => Array.from({ length: groupSize }, () => random.integer(0, 2 ** 32 - 1)));
  return await Promise.all(
    prompts.map((prompt, p) =>
      Promise.all(
        (seeds[p] as number[]).map(async (each) => ({
          prompt,
          exchange: await converse(candidate, prompt.question, { ...options, seed: each, isScored: true }),
        })),
      ),
    ),
  );
}

/** A stretch of an exchange that is learned from as one: its tokens, and the log-probabilities of those that were sampled. */
export interface SampledDocument {
  readonly document: TrainingDocument;
  readonly sampled: Float32Array;
}

/**
 * The turns of an exchange as few documents: a turn whose prompt goes on from what was said before is one with it. Where a
 * dialect shows earlier turns in another way, such as without their reasoning, each is a document of its own.
 */
export function sampledDocuments({ turns }: Exchange): SampledDocument[] {
  const documents: { tokens: number[]; weights: number[]; sampled: number[] }[] = [];
  for (const { prompt, completion, logprobs } of turns) {
    let last = documents.at(-1);
    if (!last?.tokens.every((token, i) => token === prompt[i])) {
      last = { tokens: [], weights: [], sampled: [] };
      documents.push(last);
    }
    const unseen = prompt.slice(last.tokens.length);
    last.tokens.push(...unseen, ...completion);
    last.weights.push(...unseen.map(() => 0), ...completion.map(() => 1));
    last.sampled.push(...logprobs);
  }
  return documents
    .filter(({ sampled }) => sampled.length > 0)
    .map(({ tokens, weights, sampled }) => ({ document: { tokens, weights }, sampled: Float32Array.from(sampled) }));
}
