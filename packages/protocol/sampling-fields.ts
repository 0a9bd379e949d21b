// The fields that all ways to ask for text have in common, parsed once.
//
// Owns their wire schema, their defaults and what they mean: how tokens are chosen, how the answer is delivered, guessed ahead
// and scheduled. Knows nothing of messages or prompts.

import { z } from 'zod';
import type { JsonObject, MaxTokens, SamplingRequest, Speculation } from './chat-request.ts';
import type { ModelCard } from './models.ts';
import { requestError } from './request-error.ts';

/** How the caller wants the answer sent; `includeUsage` adds `usage: null` to the chunks before the last. */
export type Delivery = { readonly type: 'whole' } | { readonly type: 'stream'; readonly includeUsage: boolean };

/** The check failed because this was expected; the wording for every way in which it can fail. */
export const expecting = (what: string) => ({ error: `expected ${what}` });

export function integer(low: number, high: number) {
  const wording = expecting(
    high === Number.MAX_SAFE_INTEGER ? `integer of at least ${low}` : `integer from ${low} to ${high}`,
  );
  return z.int(wording).min(low, wording).max(high, wording);
}

const temperatureRange = expecting('number from 0 to 2');
const topPRange = expecting('number above 0 and at most 1');
const minPRange = expecting('number from 0 to 1');
const biasRange = expecting('number from -100 to 100');
const stopText = z.string().min(1, expecting('a text that is not empty'));

// Kept as it came: a copy by key would lose a key such as "__proto__".
export const jsonObject = z
  .custom<JsonObject>(
    (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
    expecting('object'),
  )
  // What a description of it says, which cannot look into the check.
  .meta({ type: 'object' });

export const modelName = z.string().describe('The name of a model, as `GET /models` has it.');

export const samplingFields = {
  stop: z
    .union(
      [stopText, z.array(stopText).max(16, expecting('at most 16 texts'))],
      expecting('string or array of strings'),
    )
    .nullish()
    .describe('Up to 16 texts that end the answer; they are no part of it.'),
  stream: z.boolean().nullish().describe('Whether the answer comes as server-sent events. Default: false.'),
  stream_options: z
    .object({
      include_usage: z
        .boolean()
        .nullish()
        .describe('Whether chunks before the last say `usage: null`; the last one has the usage anyway.'),
    })
    .nullish()
    .describe('Only together with `stream`.'),
  temperature: z
    .number(temperatureRange)
    .min(0, temperatureRange)
    .max(2, temperatureRange)
    .nullish()
    .describe("How freely tokens are drawn; 0 takes the likeliest. Default: what the model's publisher recommends."),
  top_p: z
    .number(topPRange)
    .gt(0, topPRange)
    .max(1, topPRange)
    .nullish()
    .describe(
      "The likeliest tokens that together have this probability are drawn from. Default: what the model's publisher recommends.",
    ),
  // -1 is another way to say that there is no limit.
  top_k: integer(-1, Number.MAX_SAFE_INTEGER)
    .nullish()
    .describe(
      "How many of the likeliest tokens are drawn from. Default, also for 0 and -1: what the model's publisher recommends, else all.",
    ),
  min_p: z
    .number(minPRange)
    .min(0, minPRange)
    .max(1, minPRange)
    .nullish()
    .describe("Tokens less likely than this share of the likeliest one's probability are left out. Default: 0."),
  // Never an error on DeepSeek, whatever they are; what makes no sense has no effect here either.
  frequency_penalty: z
    .number()
    .min(-2)
    .max(2)
    .nullish()
    .catch(null)
    .describe(
      'Taken off the logit of a token for each time that the answer has it. Default: 0. A value that makes no sense is no error and has no effect.',
    ),
  presence_penalty: z
    .number()
    .min(-2)
    .max(2)
    .nullish()
    .catch(null)
    .describe(
      'Taken off the logit of a token once the answer has it. Default: 0. A value that makes no sense is no error and has no effect.',
    ),
  logit_bias: z
    .record(
      z.string().regex(/^\d{1,9}$/, expecting('token ids as keys')),
      z.number(biasRange).min(-100, biasRange).max(100, biasRange),
    )
    .nullish()
    .describe('What is added to the logits of tokens, by their ids.'),
  speculative: z
    .object({
      method: z.enum(['mtp', 'ngram', 'draft', 'none']),
      num_draft_tokens: integer(1, 16).nullish().describe('Tokens guessed at a time. Default: as many as pay.'),
    })
    .nullish()
    .describe(
      "Who guesses the answer ahead: it changes when tokens come and never which. `mtp`: the model's own module; `ngram`: what the text has had before; `draft`: a smaller model. Default: the best that the server has.",
    ),
  service_tier: z.string().nullish().describe('`flex`: the request may wait for others. Anything else has no effect.'),
  n: integer(1, 128).nullish().describe('How many answers are wanted. The prompt is read once. Default: 1.'),
  seed: integer(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)
    .nullish()
    .describe('The same request with the same seed has the same answer. Default: another one each time.'),
  user_id: z
    .string()
    .regex(/^[a-zA-Z0-9_-]{0,512}$/, expecting('at most 512 letters, digits, _ or -'))
    .nullish()
    .describe('For whom the request is: caches are kept apart by it, and turns are shared out by it.'),
  user: z.string().nullish().describe("OpenAI's name for `user_id`, which goes first."),
};

const fieldsSchema = z.object(samplingFields);
type Wire = z.infer<typeof fieldsSchema>;

/** `card` gives the defaults. */
export function samplingOf(wire: Wire, card: ModelCard): Omit<SamplingRequest, 'speculation'> {
  return {
    temperature: wire.temperature ?? card.sampling.temperature,
    topP: wire.top_p ?? card.sampling.topP,
    topK: Math.max(0, wire.top_k ?? 0),
    minP: wire.min_p ?? 0,
    frequencyPenalty: wire.frequency_penalty ?? 0,
    presencePenalty: wire.presence_penalty ?? 0,
    logitBias: Object.entries(wire.logit_bias ?? {}).map(([id, bias]) => [Number(id), bias]),
    seed: wire.seed ?? undefined,
    stop: typeof wire.stop === 'string' ? [wire.stop] : (wire.stop ?? []),
    priority: wire.service_tier === 'flex' ? 'batch' : 'interactive',
    userId: wire.user_id ?? wire.user ?? '',
    contextWindow: card.contextWindow,
  };
}

/** `usual`: where the caller asks for no number. Throws `RequestError` for more than the model's name allows. */
export function maxTokensOf(
  { maxOutputTokens, contextWindow }: ModelCard,
  field: string,
  asked: number | null | undefined,
  usual: number,
): MaxTokens {
  if (asked == null) return { type: 'default', tokens: Math.min(usual, maxOutputTokens) };
  // Where the context is the only limit, the provider says so with both numbers.
  if (asked > maxOutputTokens && maxOutputTokens < contextWindow) {
    const problem = `expected integer from 1 to ${maxOutputTokens}, got ${asked}`;
    throw requestError('invalid-field', { field, problem });
  }
  return { type: 'asked', tokens: asked };
}

/** Throws `RequestError` where options of a stream come without one. */
export function deliveryOf(wire: Wire): Delivery {
  if (wire.stream_options != null && wire.stream !== true) {
    throw requestError('invalid-field', { field: 'stream_options', problem: 'only allowed when stream is true' });
  }
  if (wire.stream !== true) return { type: 'whole' };
  return { type: 'stream', includeUsage: wire.stream_options?.include_usage === true };
}

/** `isPredicted`: the caller has said what the answer may hold. */
export function speculationOf({ speculative }: Wire, isPredicted: boolean): Speculation {
  // A predicted output says how it wants to be used.
  if (speculative == null) {
    return isPredicted ? { method: 'ngram', draftTokens: 'adaptive' } : { method: 'default' };
  }
  const { method, num_draft_tokens: draftTokens } = speculative;
  if (method !== 'none') return { method, draftTokens: draftTokens ?? 'adaptive' };
  if (draftTokens != null) {
    const problem = 'cannot be set together with method "none"';
    throw requestError('invalid-field', { field: 'speculative.num_draft_tokens', problem });
  }
  return { method };
}
