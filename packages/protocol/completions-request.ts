// The body of `POST /completions`, parsed once: text goes on, or a gap in it is filled.
//
// Owns the wire schema: DeepSeek's fill-in-the-middle (prompt, suffix), and what OpenAI's older API has beside it, which
// evaluation harnesses use: prompts as token ids, several of them, and `echo` with log-probabilities of the prompt itself.
// Knows nothing about tokens: whether a prompt fits is the provider's to say.

import { z } from 'zod';
import type { MaxTokens, SamplingRequest } from './chat-request.ts';
import { cardNamed, type ModelCard } from './models.ts';
import { requestError } from './request-error.ts';
import {
  type Delivery,
  deliveryOf,
  expecting,
  integer,
  maxTokensOf,
  modelName,
  samplingFields,
  samplingOf,
  speculationOf,
} from './sampling-fields.ts';
import { checkShape } from './shape-error.ts';

export interface CompletionRequest extends SamplingRequest {
  readonly model: string;
  /** Text, or token ids as they stand. */
  readonly prompt: string | readonly number[];
  /** What comes after the text that is asked for; undefined: nothing, the prompt goes on. */
  readonly suffix: string | undefined;
  /** At least 1. */
  readonly maxTokens: MaxTokens;
  /** Whether the prompt's own tokens are wanted before the text, with their log-probabilities where those are wanted. */
  readonly echo: boolean;
  /** Alternatives wanted beside each token's log-probability, 0 to 20; undefined when none are wanted at all. */
  readonly topLogprobs: number | undefined;
}

export interface CompletionsRequest {
  /** One for each text that is wanted, in the order of their numbers: `n` for each prompt. */
  readonly completions: readonly CompletionRequest[];
  /** The place of each completion among those of its prompt. */
  readonly choices: number;
  readonly delivery: Delivery;
  /** With `echo`, nothing but the prompt itself may be wanted. */
  readonly hasText: boolean;
}

/**
 * Parses a body that has been JSON; `cards` are the models there are. Throws `RequestError` for the first mistake. DeepSeek
 * API reference, FIM completion, October 2026, and OpenAI's "Create completion".
 */
export function parseCompletionsRequest(body: unknown, cards: readonly ModelCard[]): CompletionsRequest {
  const wire = checkShape(completionsBody, body);
  const card = cardNamed(cards, wire.model);
  const echo = wire.echo === true;
  if (echo && wire.suffix != null) {
    throw requestError('invalid-field', { field: 'echo', problem: 'cannot be set together with suffix' });
  }
  if (wire.max_tokens === 0 && !echo) {
    throw requestError('invalid-field', { field: 'max_tokens', problem: 'expected integer of at least 1, got 0' });
  }
  const choices = wire.n ?? 1;
  const prompts = promptsOf(wire.prompt);
  return {
    choices,
    delivery: deliveryOf(wire),
    hasText: wire.max_tokens !== 0,
    completions: prompts.flatMap((prompt) =>
      Array.from({ length: choices }, () => ({
        model: card.id,
        prompt,
        suffix: wire.suffix ?? undefined,
        // Where nothing but the prompt is wanted back, a token is chosen all the same.
        maxTokens: maxTokensOf(card, 'max_tokens', wire.max_tokens === 0 ? 1 : wire.max_tokens, defaultMaxTokens),
        ...samplingOf(wire, card),
        speculation: speculationOf(wire, false),
        echo,
        topLogprobs: wire.logprobs ?? undefined,
      })),
    ),
  };
}

/** DeepSeek's limit; OpenAI's default of 16 surprises everybody. */
const defaultMaxTokens = 4096;

const tokenIds = z.array(integer(0, Number.MAX_SAFE_INTEGER)).min(1, expecting('at least one token'));

export const completionsBody = z.object({
  ...samplingFields,
  model: modelName,
  prompt: z
    .union(
      [
        z.string(),
        tokenIds,
        z.array(z.string()).min(1, expecting('at least one prompt')),
        z.array(tokenIds).min(1, expecting('at least one prompt')),
      ],
      expecting('string, token ids, or array of either'),
    )
    .describe('What to go on with: a text or tokens as they stand, or several of either.'),
  suffix: z.string().nullish().describe('What comes after the text that is wanted: the gap between both is filled.'),
  echo: z
    .boolean()
    .nullish()
    .describe('Whether the prompt is wanted back before the text. Not together with `suffix`.'),
  max_tokens: integer(0, Number.MAX_SAFE_INTEGER)
    .nullish()
    .describe('How many tokens the text may have; 0 only with `echo`. Default: 4096, or what the context has left.'),
  logprobs: integer(0, 20)
    .nullish()
    .describe(
      'How many alternatives are wanted beside the log-probability of each token. Default: no log-probabilities.',
    ),
});

function promptsOf(prompt: z.infer<typeof completionsBody>['prompt']): (string | readonly number[])[] {
  if (typeof prompt === 'string') return [prompt];
  return typeof prompt[0] === 'number' ? [prompt as number[]] : (prompt as (string | number[])[]);
}
