// Text that goes on, or that fills a gap, from the model in this process.
//
// Owns the prompt of a completion and the order of its events: the prompt itself where it is wanted back, then the text.

import type { Engine } from '@hadal/engine/engine';
import type { Choice } from '@hadal/engine/sampler';
import { encodeFillMiddle } from '@hadal/formats/fill-middle';
import { fimBegin, fimEnd, fimHole } from '@hadal/formats/special-tokens';
import type { Tokenizer } from '@hadal/formats/tokenizer';
import type { CompletionRequest } from '@hadal/protocol/completions-request';
import type { CompletionEvent } from '@hadal/protocol/completions-response';
import { requestError } from '@hadal/protocol/request-error';
import { finishReasons, tokenLogprobs, usageOf } from './engine-words.ts';
import { admitted, type GenerationOptions, noLimits } from './generation-options.ts';
import type { PromptEncoder } from './prompt-encoder.ts';

export interface CompletionParts {
  readonly engine: Engine;
  readonly encoder: PromptEncoder;
  readonly options: GenerationOptions;
}

export async function* completeText(
  { engine, encoder, options }: CompletionParts,
  request: CompletionRequest,
  signal: AbortSignal,
): AsyncGenerator<CompletionEvent, void, void> {
  const { tokenizer } = engine;
  const { maxTokens, topLogprobs, echo, contextWindow } = request;
  const { opening, own } = promptOf(request, encoder, tokenizer);
  const prompt = [...opening, ...own];
  if (prompt.length === 0) throw requestError('invalid-field', { field: 'prompt', problem: 'expected a text' });
  encoder.checkRoom(prompt.length, maxTokens.type === 'asked' ? maxTokens.tokens : 1, contextWindow);
  const isScored = topLogprobs !== undefined;
  await using generation = engine.generate(
    {
      ...options.of(request),
      prompt,
      maxTokens: Math.min(maxTokens.tokens, encoder.room(contextWindow) - prompt.length),
      ...noLimits,
      constraint: undefined,
      promptLogprobs: echo && isScored ? 'all' : 'none',
      prediction: [],
    },
    signal,
  );
  await admitted(generation, ({ reason }) => new Error(reason));
  yield { type: 'start' };
  const scored = (choice: Choice) => (isScored ? [tokenLogprobs(tokenizer, choice)] : []);
  if (echo && !isScored) yield { type: 'prompt', text: tokenizer.decode(own), logprobs: [] };
  const decoder = tokenizer.decoder();
  if (echo && isScored && opening.length === 0) {
    // Nothing comes before it, so nothing says how likely it was.
    const token = tokenizer.decode(own.slice(0, 1));
    yield { type: 'prompt', text: decoder.push(own[0] as number), logprobs: [{ token, logprob: undefined }] };
  }
  for await (const event of generation) {
    if (event.type === 'prompt') {
      const text = event.logprobs.map(({ id }) => decoder.push(id)).join('');
      yield { type: 'prompt', text, logprobs: event.logprobs.flatMap(scored) };
    } else if (event.type === 'token') {
      yield { type: 'text', text: event.text, logprobs: scored(event) };
    } else if (event.type === 'finish') {
      const { queuedMs } = event;
      yield { type: 'finish', reason: finishReasons[event.reason], usage: usageOf(event, 0), queuedMs };
    }
  }
}

/** What the model reads: the caller's own tokens, and what belongs before them. A prompt in tokens is taken as it stands. */
function promptOf(
  { prompt, suffix }: CompletionRequest,
  encoder: PromptEncoder,
  tokenizer: Tokenizer,
): { readonly opening: readonly number[]; readonly own: readonly number[] } {
  if (typeof prompt !== 'string') {
    encoder.checkIds(prompt, 'prompt');
    return { opening: [], own: prompt };
  }
  if (suffix === undefined) return { opening: encoder.beginTokens, own: encoder.encode(prompt, 0) };
  if ([fimBegin, fimHole, fimEnd].some((token) => tokenizer.tokenId(token) === undefined)) {
    throw requestError('invalid-field', {
      field: 'suffix',
      problem: 'this model was not taught to fill in the middle',
    });
  }
  return { opening: [], own: encoder.encode(encodeFillMiddle(prompt, suffix), 0) };
}
