// The answers of Anthropic's `POST /v1/messages`: one message, or its events.
//
// Owns their exact shape on the wire: blocks of thinking, text and tool use, numbered in the order in which they begin, and
// each closed before the next. Knows nothing about SSE or HTTP. What was read from the cache is counted apart from the other
// input, as Anthropic does.

import type { ChatEvent, FinishReason, Usage } from './chat-event.ts';

export interface AnthropicUsage {
  /** Without what the cache had. */
  readonly input_tokens: number;
  readonly cache_read_input_tokens: number;
  readonly cache_creation_input_tokens: number;
  readonly output_tokens: number;
  readonly output_tokens_details: { readonly thinking_tokens: number };
}

export type AnthropicBlock =
  | { readonly type: 'thinking'; readonly thinking: string; readonly signature: string }
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'tool_use'; readonly id: string; readonly name: string; readonly input: object };

export type AnthropicStopReason = 'end_turn' | 'max_tokens' | 'stop_sequence' | 'tool_use' | 'refusal';

export interface AnthropicMessage {
  readonly id: string;
  readonly type: 'message';
  readonly role: 'assistant';
  readonly model: string;
  readonly content: readonly AnthropicBlock[];
  readonly stop_reason: AnthropicStopReason | null;
  readonly stop_sequence: string | null;
  readonly usage: AnthropicUsage;
}

export type AnthropicEvent =
  | { readonly type: 'message_start'; readonly message: AnthropicMessage }
  | { readonly type: 'content_block_start'; readonly index: number; readonly content_block: AnthropicBlock }
  | { readonly type: 'content_block_delta'; readonly index: number; readonly delta: AnthropicDelta }
  | { readonly type: 'content_block_stop'; readonly index: number }
  | {
      readonly type: 'message_delta';
      readonly delta: { readonly stop_reason: AnthropicStopReason; readonly stop_sequence: string | null };
      readonly usage: AnthropicUsage;
    }
  | { readonly type: 'message_stop' };

type AnthropicDelta =
  | { readonly type: 'thinking_delta'; readonly thinking: string }
  | { readonly type: 'signature_delta'; readonly signature: string }
  | { readonly type: 'text_delta'; readonly text: string }
  | { readonly type: 'input_json_delta'; readonly partial_json: string };

/** What a message says of itself from the beginning. */
export interface AnthropicHead {
  readonly id: string;
  /** The one that answers, whatever the caller called it. */
  readonly model: string;
}

const stopReasons = {
  stop: 'end_turn',
  length: 'max_tokens',
  tool_calls: 'tool_use',
  content_filter: 'refusal',
  // Anthropic has no words for an answer that was cut off by somebody else.
  aborted: 'end_turn',
  insufficient_system_resource: 'max_tokens',
} as const satisfies Record<FinishReason, AnthropicStopReason>;

/** Turns the events of one answer into Anthropic's, in order. */
export class AnthropicWriter {
  readonly #head: AnthropicHead;
  /** The block that is open, and its number. */
  #open: AnthropicBlock['type'] | undefined;
  #index = -1;

  constructor(head: AnthropicHead) {
    this.#head = head;
  }

  events(event: ChatEvent): AnthropicEvent[] {
    switch (event.type) {
      case 'start':
        return [{ type: 'message_start', message: this.#message([], null, null, emptyUsage(event.promptTokens ?? 0)) }];
      case 'reasoning':
        return [
          ...this.#enter('thinking', { type: 'thinking', thinking: '', signature: '' }),
          this.#delta({ type: 'thinking_delta', thinking: event.text }),
        ];
      case 'content':
        return [
          ...this.#enter('text', { type: 'text', text: '' }),
          this.#delta({ type: 'text_delta', text: event.text }),
        ];
      case 'tool-call':
        return [
          ...this.#leave(),
          ...this.#enter('tool_use', { type: 'tool_use', id: event.id, name: event.name, input: {} }),
        ];
      case 'tool-call-arguments':
        return [this.#delta({ type: 'input_json_delta', partial_json: event.text })];
      case 'finish': {
        const [stop_reason, stop_sequence] = stopOf(event);
        return [
          ...this.#leave(),
          { type: 'message_delta', delta: { stop_reason, stop_sequence }, usage: anthropicUsage(event.usage) },
          { type: 'message_stop' },
        ];
      }
      default:
        return unreachable(event);
    }
  }

  /** The whole message. Rejects when `events` fails or ends without `finish`. */
  async collect(events: AsyncIterable<ChatEvent>): Promise<AnthropicMessage> {
    const blocks: { type: AnthropicBlock['type']; id: string; name: string; text: string }[] = [];
    let end: Extract<ChatEvent, { type: 'finish' }> | undefined;
    const add = (type: AnthropicBlock['type'], text: string) => {
      const last = blocks.at(-1);
      if (last?.type === type) last.text += text;
      else blocks.push({ type, id: '', name: '', text });
    };
    for await (const event of events) {
      if (event.type === 'reasoning') add('thinking', event.text);
      else if (event.type === 'content') add('text', event.text);
      else if (event.type === 'tool-call') blocks.push({ type: 'tool_use', id: event.id, name: event.name, text: '' });
      else if (event.type === 'tool-call-arguments') add('tool_use', event.text);
      else if (event.type === 'finish') end = event;
    }
    if (end === undefined) throw new Error('events: expected a finish, but they ended without it');
    const content = blocks.map(({ type, id, name, text }): AnthropicBlock => {
      if (type === 'thinking') return { type, thinking: text, signature: '' };
      return type === 'text' ? { type, text } : { type, id, name, input: inputOf(text) };
    });
    return this.#message(content, ...stopOf(end), anthropicUsage(end.usage));
  }

  #enter(type: AnthropicBlock['type'], block: AnthropicBlock): AnthropicEvent[] {
    if (this.#open === type) return [];
    const left = this.#leave();
    this.#open = type;
    this.#index++;
    return [...left, { type: 'content_block_start', index: this.#index, content_block: block }];
  }

  #leave(): AnthropicEvent[] {
    if (this.#open === undefined) return [];
    const isThinking = this.#open === 'thinking';
    this.#open = undefined;
    const stop: AnthropicEvent = { type: 'content_block_stop', index: this.#index };
    // Clients wait for a signature, which nobody here checks.
    return isThinking ? [this.#delta({ type: 'signature_delta', signature: '' }), stop] : [stop];
  }

  #delta(delta: AnthropicDelta): AnthropicEvent {
    return { type: 'content_block_delta', index: this.#index, delta };
  }

  #message(
    content: readonly AnthropicBlock[],
    stop_reason: AnthropicStopReason | null,
    stop_sequence: string | null,
    usage: AnthropicUsage,
  ): AnthropicMessage {
    const { id, model } = this.#head;
    return { id, type: 'message', role: 'assistant', model, content, stop_reason, stop_sequence, usage };
  }
}

function stopOf({ reason, stopString }: Extract<ChatEvent, { type: 'finish' }>): [AnthropicStopReason, string | null] {
  return reason === 'stop' && stopString !== undefined ? ['stop_sequence', stopString] : [stopReasons[reason], null];
}

function anthropicUsage({ prompt, cacheHit, completion, reasoning }: Usage): AnthropicUsage {
  return {
    input_tokens: prompt - cacheHit,
    cache_read_input_tokens: cacheHit,
    cache_creation_input_tokens: 0,
    output_tokens: completion,
    output_tokens_details: { thinking_tokens: reasoning },
  };
}

function emptyUsage(promptTokens: number): AnthropicUsage {
  const none = { acceptedPrediction: 0, rejectedPrediction: 0 };
  return anthropicUsage({ prompt: promptTokens, cacheHit: 0, completion: 0, reasoning: 0, ...none });
}

/** What a model that was cut off, or made a mistake, wrote as arguments is no object; Anthropic's type has room for nothing else. */
function inputOf(json: string): object {
  try {
    const value: unknown = JSON.parse(json);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  } catch {
    // Falls through.
  }
  return {};
}

function unreachable(value: never): never {
  throw new Error(`expected a known event, got ${JSON.stringify(value)}`);
}
