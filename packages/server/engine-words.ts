// What the engine says, in the words of the API.
//
// Owns the translation of its endings, counts and log-probabilities, which every kind of answer needs. Knows nothing of text
// that is held back or of markup.

import type { TokenEvent } from '@hadal/engine/engine';
import type { Choice } from '@hadal/engine/sampler';
import type { Tokenizer } from '@hadal/formats/tokenizer';
import type { FinishReason, TokenLogprobs, Usage } from '@hadal/protocol/chat-event';

export type EngineFinish = Extract<TokenEvent, { type: 'finish' }>;

export const finishReasons = {
  ...{ stop: 'stop', length: 'length', aborted: 'aborted', deadline: 'insufficient_system_resource' },
} as const satisfies Record<EngineFinish['reason'], FinishReason>;

/** `reasoning`: tokens of the completion that were. */
export function usageOf(finish: EngineFinish, reasoning: number): Usage {
  return {
    prompt: finish.promptTokens,
    cacheHit: finish.cacheHitTokens,
    completion: finish.completionTokens,
    reasoning,
    acceptedPrediction: finish.acceptedDraftTokens,
    rejectedPrediction: finish.rejectedDraftTokens,
  };
}

export function tokenLogprobs(tokenizer: Tokenizer, { id, logprob, top }: Choice): TokenLogprobs {
  const named = (one: { readonly id: number; readonly logprob: number }) => ({
    token: tokenizer.decode([one.id]),
    bytes: tokenizer.bytes(one.id),
    logprob: one.logprob,
  });
  return { ...named({ id, logprob }), top: top.map(named) };
}
