// The answers of `POST /chat/completions`: one object, or one chunk for each event.
//
// Owns their exact shape on the wire, DeepSeek's, which is OpenAI's plus reasoning and cache counts. Knows nothing about
// SSE or HTTP. Usage rides on the last chunk, always: there is no chunk without choices. Of several answers to one request
// the prompt is counted once.

import type { ChatEvent, FinishReason, TokenLogprob, TokenLogprobs, Usage } from './chat-event.ts';

/** What every chunk of one answer repeats. */
export interface CompletionHead {
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly model: string;
  readonly systemFingerprint: string;
  /** Whether the answer was asked to come with reasoning, even if that turns out empty. */
  readonly isThinking: boolean;
  readonly hasLogprobs: boolean;
}

export interface WireUsage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly prompt_tokens_details: { readonly cached_tokens: number };
  readonly completion_tokens_details: {
    readonly reasoning_tokens: number;
    readonly accepted_prediction_tokens: number;
    readonly rejected_prediction_tokens: number;
  };
  readonly prompt_cache_hit_tokens: number;
  readonly prompt_cache_miss_tokens: number;
}

interface WireTokenLogprob {
  readonly token: string;
  readonly logprob: number;
  readonly bytes: readonly number[];
}

type WireTokenLogprobs = WireTokenLogprob & { readonly top_logprobs: readonly WireTokenLogprob[] };

export interface WireLogprobs {
  readonly content: readonly WireTokenLogprobs[] | null;
  /** OpenAI's; no model here has a voice of its own for refusals. */
  readonly refusal: null;
  readonly reasoning_content: readonly WireTokenLogprobs[] | null;
}

export interface WireToolCall {
  readonly index: number;
  readonly id: string;
  readonly type: 'function';
  readonly function: { readonly name: string; readonly arguments: string };
}

interface WireHead<O extends string> {
  readonly id: string;
  readonly object: O;
  readonly created: number;
  readonly model: string;
  readonly system_fingerprint: string;
}

export interface WireChoice {
  readonly index: number;
  readonly message: {
    readonly role: 'assistant';
    readonly content: string;
    readonly refusal: null;
    /** Present while thinking. */
    readonly reasoning_content?: string;
    readonly tool_calls?: readonly WireToolCall[];
  };
  readonly logprobs: WireLogprobs | null;
  readonly finish_reason: FinishReason;
}

export interface ChatCompletion extends WireHead<'chat.completion'> {
  readonly choices: readonly WireChoice[];
  readonly usage: WireUsage;
}

export interface WireDelta {
  readonly role?: 'assistant' | null;
  readonly content?: string | null;
  readonly reasoning_content?: string | null;
  readonly tool_calls?: readonly [WireToolCallDelta];
}

export type WireToolCallDelta =
  | WireToolCall
  | { readonly index: number; readonly function: { readonly arguments: string } };

export interface ChatCompletionChunk extends WireHead<'chat.completion.chunk'> {
  readonly choices: readonly [
    {
      readonly index: number;
      readonly delta: WireDelta;
      readonly logprobs: WireLogprobs | null;
      readonly finish_reason: FinishReason | null;
    },
  ];
  /** On the last chunk; null before it when `stream_options.include_usage` asks for that. */
  readonly usage?: WireUsage | null;
}

/** An event of one of a request's answers. */
export interface ChoiceEvent {
  /** Which answer. */
  readonly index: number;
  readonly event: ChatEvent;
  /** On the very last event: what all answers took together. */
  readonly usage: Usage | undefined;
}

/** What answers took together, `choices` to each prompt: the first of them was the first to read it, and counts it. */
export function totalUsage(answers: readonly Usage[], choices: number): Usage {
  const sum = (of: (usage: Usage) => number, every = 1) =>
    answers.reduce((total, usage, i) => (i % every === 0 ? total + of(usage) : total), 0);
  return {
    prompt: sum(({ prompt }) => prompt, choices),
    cacheHit: sum(({ cacheHit }) => cacheHit, choices),
    completion: sum(({ completion }) => completion),
    reasoning: sum(({ reasoning }) => reasoning),
    acceptedPrediction: sum(({ acceptedPrediction }) => acceptedPrediction),
    rejectedPrediction: sum(({ rejectedPrediction }) => rejectedPrediction),
    ...(answers.some(({ isEstimate }) => isEstimate) && { isEstimate: true as const }),
  };
}

/** The chunk for one event. `includeUsage`: whether chunks before the last say `usage: null`. */
export function chatCompletionChunk(
  { index, event, usage }: ChoiceEvent,
  head: CompletionHead,
  includeUsage: boolean,
): ChatCompletionChunk {
  return {
    ...wireHead(head, 'chat.completion.chunk'),
    choices: [
      {
        index,
        delta: deltaOf(event, head.isThinking),
        logprobs: head.hasLogprobs && 'logprobs' in event ? wireLogprobs(event) : null,
        finish_reason: event.type === 'finish' ? event.reason : null,
      },
    ],
    ...(usage ? { usage: wireUsage(usage) } : includeUsage ? { usage: null } : {}),
  };
}

/** The whole answer, or all of them. Rejects when `events` fails or ends without its last event. */
export async function collectChatCompletion(
  events: AsyncIterable<ChoiceEvent>,
  head: CompletionHead,
): Promise<ChatCompletion> {
  const collector = new CompletionCollector(head);
  let completion: ChatCompletion | undefined;
  for await (const event of events) completion = collector.add(event);
  if (completion === undefined) throw new Error('events: expected a finish, but they ended without it');
  return completion;
}

/** Puts a completion together while its events pass. */
export class CompletionCollector {
  readonly #head: CompletionHead;
  readonly #choices: ChoiceCollector[] = [];

  constructor(head: CompletionHead) {
    this.#head = head;
  }

  /** The whole completion with the last event of all; before that undefined. */
  add({ index, event, usage }: ChoiceEvent): ChatCompletion | undefined {
    const choice = this.#choices[index] ?? new ChoiceCollector();
    this.#choices[index] = choice;
    choice.add(event);
    if (usage === undefined) return undefined;
    return {
      ...wireHead(this.#head, 'chat.completion'),
      choices: this.#choices.map((one, i) => one.end(i, this.#head)),
      usage: wireUsage(usage),
    };
  }
}

/** Puts one answer together. */
class ChoiceCollector {
  readonly #texts = { content: '', reasoning: '' };
  readonly #logprobs: Record<'content' | 'reasoning', WireTokenLogprobs[]> = { content: [], reasoning: [] };
  readonly #calls: { index: number; id: string; type: 'function'; function: { name: string; arguments: string } }[] =
    [];
  #reason: FinishReason | undefined;

  add(event: ChatEvent): void {
    switch (event.type) {
      case 'start':
        break;
      case 'reasoning':
      case 'content':
        this.#texts[event.type] += event.text;
        this.#logprobs[event.type].push(...event.logprobs.map(wireTokenLogprobs));
        break;
      case 'tool-call': {
        const { index, id, name } = event;
        this.#calls[index] = { index, id, type: 'function', function: { name, arguments: '' } };
        break;
      }
      case 'tool-call-arguments': {
        const call = this.#calls[event.index];
        if (call === undefined) throw new Error(`tool-call-arguments: expected a tool-call ${event.index} before it`);
        call.function.arguments += event.text;
        break;
      }
      case 'finish':
        this.#reason = event.reason;
        break;
      default:
        unreachable(event);
    }
  }

  end(index: number, { isThinking, hasLogprobs }: CompletionHead): WireChoice {
    if (this.#reason === undefined) throw new Error(`events: expected a finish of answer ${index}, got none`);
    const [texts, logprobs, calls] = [this.#texts, this.#logprobs, this.#calls];
    return {
      index,
      message: {
        role: 'assistant',
        content: texts.content,
        refusal: null,
        ...(isThinking && { reasoning_content: texts.reasoning }),
        ...(calls.length > 0 && { tool_calls: calls }),
      },
      logprobs: hasLogprobs
        ? { content: logprobs.content, refusal: null, reasoning_content: isThinking ? logprobs.reasoning : null }
        : null,
      finish_reason: this.#reason,
    };
  }
}

export function wireUsage(usage: Usage): WireUsage {
  const { prompt, cacheHit, completion, reasoning, acceptedPrediction, rejectedPrediction } = usage;
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: cacheHit },
    completion_tokens_details: {
      reasoning_tokens: reasoning,
      accepted_prediction_tokens: acceptedPrediction,
      rejected_prediction_tokens: rejectedPrediction,
    },
    prompt_cache_hit_tokens: cacheHit,
    prompt_cache_miss_tokens: prompt - cacheHit,
  };
}

function wireHead<O extends string>(head: CompletionHead, object: O): WireHead<O> {
  return {
    id: head.id,
    object,
    created: head.created,
    model: head.model,
    system_fingerprint: head.systemFingerprint,
  };
}

/**
 * The streamed sample of DeepSeek's reasoning guide reads both fields of every chunk, and adds up the content of all that have no
 * reasoning: so the first has `content: ''` where DeepSeek documents null, and the last has the field.
 */
function deltaOf(event: ChatEvent, isThinking: boolean): WireDelta {
  switch (event.type) {
    case 'start':
      // The role stands here only: some clients add up the strings of a field that is repeated.
      return isThinking
        ? { role: 'assistant', content: '', reasoning_content: '' }
        : { role: 'assistant', content: '' };
    case 'reasoning':
      return { content: null, reasoning_content: event.text };
    case 'content':
      return isThinking ? { content: event.text, reasoning_content: null } : { content: event.text };
    case 'tool-call':
      return {
        tool_calls: [
          { index: event.index, id: event.id, type: 'function', function: { name: event.name, arguments: '' } },
        ],
      };
    case 'tool-call-arguments':
      return { tool_calls: [{ index: event.index, function: { arguments: event.text } }] };
    case 'finish':
      return isThinking ? { content: '', reasoning_content: null, role: null } : { content: '', role: null };
    default:
      return unreachable(event);
  }
}

function wireLogprobs(event: Extract<ChatEvent, { type: 'reasoning' | 'content' }>): WireLogprobs {
  const items = event.logprobs.map(wireTokenLogprobs);
  return event.type === 'content'
    ? { content: items, refusal: null, reasoning_content: null }
    : { content: null, refusal: null, reasoning_content: items };
}

function wireTokenLogprobs(item: TokenLogprobs): WireTokenLogprobs {
  return { ...wireTokenLogprob(item), top_logprobs: item.top.map(wireTokenLogprob) };
}

function wireTokenLogprob({ token, bytes, logprob }: TokenLogprob): WireTokenLogprob {
  // JSON has no -Infinity; DeepSeek writes -9999 for what has no chance.
  return { token, logprob: Math.max(logprob, -9999), bytes: [...bytes] };
}

function unreachable(value: never): never {
  throw new Error(`expected a known event, got ${JSON.stringify(value)}`);
}

/** A completion as it is shown once it has been stored. */
export function wireStoredCompletion(completion: object, metadata: Readonly<Record<string, string>>) {
  return { ...(completion as ChatCompletion), metadata };
}

/** The messages that a stored completion answers. Those without an id get one by their place. */
export function wireStoredMessages(completionId: string, messages: readonly object[]) {
  return messages.map((message, i) => {
    const { content = null } = message as { readonly content?: unknown };
    const parts = Array.isArray(content) ? content : null;
    const text = parts === null ? content : parts.map(({ text = '' }) => text).join('\n\n');
    return { refusal: null, ...message, id: `${completionId}-${i}`, content: text, content_parts: parts };
  });
}
