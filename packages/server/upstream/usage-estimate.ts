// Answers whose usage is known in the end, said or not.
//
// Owns when what an answer took is estimated: where its upstream has said nothing, or nothing of the text that came. What it has said
// stands. An estimate is marked as one, and never more than the request has allowed.

import type { ChatEvent, Usage } from '@hadal/protocol/chat-event';
import type { ChatRequest } from '@hadal/protocol/chat-request';
import type { CompletionRequest } from '@hadal/protocol/completions-request';
import type { CompletionEvent } from '@hadal/protocol/completions-response';
import type { TokenCounter } from './token-counter.ts';

export interface EstimateOptions {
  readonly counter: TokenCounter;
  /** Hears of every estimate. */
  readonly onEstimate: () => void;
}

/** What came of an answer so far. */
interface Received {
  reasoning: string;
  /** All else that a model has written. */
  rest: string;
}

export function withChatUsage(
  events: AsyncIterable<ChatEvent>,
  request: ChatRequest,
  options: EstimateOptions,
): AsyncGenerator<ChatEvent, void, void> {
  const { maxTokens, maxReasoning } = request;
  return withUsage(events, options, {
    countPrompt: () => options.counter.chat(request),
    maxCompletion: maxTokens.tokens + (maxReasoning ?? 0),
    echoed: '',
  });
}

export function withCompletionUsage(
  events: AsyncIterable<CompletionEvent>,
  { prompt, suffix = '', maxTokens, echo }: CompletionRequest,
  options: EstimateOptions,
): AsyncGenerator<CompletionEvent, void, void> {
  return withUsage(events, options, {
    countPrompt: async () =>
      typeof prompt === 'string'
        ? await options.counter.text(prompt + suffix)
        : prompt.length + (await options.counter.text(suffix)),
    maxCompletion: maxTokens.tokens,
    echoed: echo && typeof prompt === 'string' ? prompt : '',
  });
}

interface Asked {
  readonly countPrompt: () => Promise<number>;
  readonly maxCompletion: number;
  /** What of the prompt stands before the answer. */
  readonly echoed: string;
}

async function* withUsage<E extends ChatEvent | CompletionEvent>(
  events: AsyncIterable<E>,
  options: EstimateOptions,
  asked: Asked,
): AsyncGenerator<E, void, void> {
  const received: Received = { reasoning: '', rest: '' };
  for await (const event of events) {
    if (event.type === 'finish') {
      yield { ...event, usage: await completed(event.usage, received, options, asked) };
      continue;
    }
    if (event.type === 'tool-call') received.rest += event.name;
    else if ('text' in event) received[event.type === 'reasoning' ? 'reasoning' : 'rest'] += event.text;
    yield event;
  }
}

async function completed(
  said: Usage,
  { reasoning, rest }: Received,
  { counter, onEstimate }: EstimateOptions,
  { countPrompt, maxCompletion, echoed }: Asked,
): Promise<Usage> {
  const written = rest.startsWith(echoed) ? rest.slice(echoed.length) : rest;
  // Some say once, at the beginning, what the prompt took, and never come to say the rest.
  const isWhole = said.completion > 0 || reasoning + written === '';
  if (said.isEstimate !== true && isWhole) return said;
  onEstimate();
  const thought = await counter.text(reasoning);
  const completion = Math.min(thought + (await counter.text(written)), maxCompletion);
  const prompt = said.isEstimate === true ? await countPrompt() : said.prompt;
  return { ...said, prompt, completion, reasoning: Math.min(thought, completion), isEstimate: true };
}
