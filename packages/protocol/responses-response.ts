// The answers of `POST /responses`: a response, or its events.
//
// Owns their exact shape on the wire: items numbered in the order in which they begin, each closed before the next, events with
// sequence numbers. Knows nothing about SSE, HTTP or where responses are kept. There is no `[DONE]`.

import type { ChatEvent, FinishReason, TokenLogprobs, Usage } from './chat-event.ts';
import type { Message } from './chat-request.ts';
import { CustomToolInput, customToolArguments, customToolInput } from './custom-tool-input.ts';
import type { RequestEcho } from './responses-request.ts';

export type ResponseStatus = 'queued' | 'in_progress' | 'completed' | 'incomplete' | 'failed' | 'cancelled';

interface WireOutputLogprob {
  readonly token: string;
  readonly logprob: number;
  readonly bytes: readonly number[];
  readonly top_logprobs: readonly Omit<WireOutputLogprob, 'top_logprobs'>[];
}

interface OutputText {
  readonly type: 'output_text';
  readonly text: string;
  readonly annotations: readonly never[];
  readonly logprobs: readonly WireOutputLogprob[];
}

interface ReasoningText {
  readonly type: 'reasoning_text';
  readonly text: string;
}

type ItemStatus = 'in_progress' | 'completed' | 'incomplete';

export type OutputItem =
  | {
      readonly type: 'reasoning';
      readonly id: string;
      readonly status: ItemStatus;
      readonly summary: readonly never[];
      readonly content: readonly ReasoningText[];
    }
  | {
      readonly type: 'message';
      readonly id: string;
      readonly status: ItemStatus;
      readonly role: 'assistant';
      readonly content: readonly OutputText[];
    }
  | {
      readonly type: 'function_call';
      readonly id: string;
      readonly status: ItemStatus;
      readonly call_id: string;
      readonly name: string;
      readonly arguments: string;
    }
  | {
      readonly type: 'custom_tool_call';
      readonly id: string;
      readonly status: ItemStatus;
      readonly call_id: string;
      readonly name: string;
      readonly input: string;
    };

export interface WireResponse extends RequestEcho {
  readonly id: string;
  readonly object: 'response';
  readonly created_at: number;
  readonly completed_at: number | null;
  readonly status: ResponseStatus;
  readonly background: boolean;
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly incomplete_details: { readonly reason: 'max_output_tokens' | 'content_filter' } | null;
  readonly model: string;
  readonly output: readonly OutputItem[];
  readonly parallel_tool_calls: true;
  readonly store: boolean;
  readonly truncation: 'disabled';
  /** Once it is over. */
  readonly usage?: ResponseUsage;
}

export interface ResponseUsage {
  readonly input_tokens: number;
  readonly input_tokens_details: { readonly cached_tokens: number; readonly cache_write_tokens: number };
  readonly output_tokens: number;
  readonly output_tokens_details: { readonly reasoning_tokens: number };
  readonly total_tokens: number;
}

/** An event as it is sent; its other fields depend on its type. */
export interface ResponseEvent {
  readonly type: string;
  readonly sequence_number: number;
  readonly [field: string]: unknown;
}

export interface ResponseHead {
  readonly id: string;
  readonly model: string;
  /** Seconds since 1970. */
  readonly createdAt: number;
  readonly isBackground: boolean;
  readonly isStored: boolean;
  /** Tools that take text instead of JSON, by name. */
  readonly customTools: ReadonlySet<string>;
  readonly echo: RequestEcho;
  /** A new name for an item, which begins with `prefix`. */
  readonly newId: (prefix: string) => string;
  /** Seconds since 1970. */
  readonly now: () => number;
}

/** The item that is being written. */
interface OpenItem {
  readonly type: OutputItem['type'];
  readonly id: string;
  readonly callId: string;
  readonly name: string;
  text: string;
  readonly input: CustomToolInput;
  readonly logprobs: WireOutputLogprob[];
}

/** Writes one response from the events of an answer, and says at any time how far it is. */
export class ResponseWriter {
  readonly #head: ResponseHead;
  readonly #output: OutputItem[] = [];
  #open: OpenItem | undefined;
  #sequence = 0;
  #status: ResponseStatus = 'queued';
  #cutBy: 'max_output_tokens' | 'content_filter' = 'max_output_tokens';
  #completedAt: number | null = null;
  #usage: ResponseUsage | undefined;
  #error: WireResponse['error'] = null;

  constructor(head: ResponseHead) {
    this.#head = head;
  }

  /** The response as it stands. */
  get response(): WireResponse {
    const { id, model, createdAt, isBackground, isStored, echo } = this.#head;
    const status = this.#status;
    return {
      ...{ id, object: 'response', created_at: createdAt, completed_at: this.#completedAt, status },
      ...{ background: isBackground, error: this.#error, model, output: [...this.#output] },
      incomplete_details: status === 'incomplete' ? { reason: this.#cutBy } : null,
      ...{ parallel_tool_calls: true, store: isStored, truncation: 'disabled' },
      ...(this.#usage && { usage: this.#usage }),
      ...echo,
    };
  }

  events(event: ChatEvent): ResponseEvent[] {
    switch (event.type) {
      case 'start':
        this.#status = 'in_progress';
        return [
          this.#event('response.created', { response: this.response }),
          this.#event('response.in_progress', { response: this.response }),
        ];
      case 'reasoning':
        return [...this.#enter('reasoning'), this.#addText('response.reasoning_text.delta', event.text)];
      case 'content': {
        const logprobs = event.logprobs.map(wireLogprob);
        const begun = this.#enter('message');
        this.#open?.logprobs.push(...logprobs);
        return [...begun, this.#addText('response.output_text.delta', event.text, { logprobs })];
      }
      case 'tool-call': {
        const type = this.#head.customTools.has(event.name) ? 'custom_tool_call' : 'function_call';
        return [...this.#leave(), ...this.#enter(type, event.id, event.name)];
      }
      case 'tool-call-arguments':
        return this.#open?.type === 'custom_tool_call'
          ? this.#addInput(this.#open, event.text)
          : [this.#addText('response.function_call_arguments.delta', event.text)];
      case 'finish': {
        const isCut = statuses[event.reason] === 'incomplete';
        if (event.reason === 'content_filter') this.#cutBy = 'content_filter';
        const left = this.#leave(isCut ? 'incomplete' : 'completed');
        this.#status = statuses[event.reason];
        this.#completedAt = this.#head.now();
        this.#usage = responseUsage(event.usage);
        const name = this.#status === 'cancelled' ? 'incomplete' : this.#status;
        return [...left, this.#event(`response.${name}`, { response: this.response })];
      }
      default:
        return unreachable(event);
    }
  }

  /** The end of a response that could not be finished. */
  fail(message: string): ResponseEvent[] {
    this.#status = 'failed';
    this.#error = { code: 'server_error', message };
    return [...this.#leave('incomplete'), this.#event('response.failed', { response: this.response })];
  }

  #enter(type: OutputItem['type'], callId = '', name = ''): ResponseEvent[] {
    if (this.#open?.type === type) return [];
    const left = this.#leave();
    const id = this.#head.newId(prefixes[type]);
    this.#open = { type, id, callId, name, text: '', input: new CustomToolInput(), logprobs: [] };
    const added = this.#event('response.output_item.added', {
      output_index: this.#output.length,
      item: itemOf(this.#open, 'in_progress', 'empty'),
    });
    const part = partOf(type, '', []);
    return part === undefined
      ? [...left, added]
      : [...left, added, this.#place('response.content_part.added', { part })];
  }

  #addText(name: string, delta: string, more: object = {}): ResponseEvent {
    if (this.#open) this.#open.text += delta;
    return this.#place(name, { delta, ...more });
  }

  #addInput(open: OpenItem, argumentsText: string): ResponseEvent[] {
    open.text += argumentsText;
    const delta = open.input.push(argumentsText);
    return delta === '' ? [] : [this.#place('response.custom_tool_call_input.delta', { delta })];
  }

  #leave(status: ItemStatus = 'completed'): ResponseEvent[] {
    const open = this.#open;
    if (!open) return [];
    const done = this.#ends(open).map(([name, fields]) => this.#place(name, fields));
    const item = itemOf(open, status, 'whole');
    const last = this.#event('response.output_item.done', { output_index: this.#output.length, item });
    this.#output.push(item);
    this.#open = undefined;
    return [...done, last];
  }

  /** What is said of an item's parts when they are whole. */
  #ends({ type, name, text, logprobs }: OpenItem): [name: string, fields: object][] {
    const partDone = ['response.content_part.done', { part: partOf(type, text, logprobs) }] satisfies [string, object];
    switch (type) {
      case 'reasoning':
        return [['response.reasoning_text.done', { text }], partDone];
      case 'message':
        return [['response.output_text.done', { text, logprobs }], partDone];
      case 'function_call':
        return [['response.function_call_arguments.done', { name, arguments: text }]];
      case 'custom_tool_call':
        return [['response.custom_tool_call_input.done', { input: customToolInput(text) }]];
      default:
        return unreachable(type);
    }
  }

  /** An event about the item that is open. */
  #place(type: string, fields: object): ResponseEvent {
    const open = this.#open;
    const contentIndex = open?.type === 'reasoning' || open?.type === 'message' ? { content_index: 0 } : {};
    return this.#event(type, { item_id: open?.id, output_index: this.#output.length, ...contentIndex, ...fields });
  }

  #event(type: string, fields: object): ResponseEvent {
    return { type, sequence_number: this.#sequence++, ...fields };
  }
}

const prefixes = { reasoning: 'rs_', message: 'msg_', function_call: 'fc_', custom_tool_call: 'ctc_' } as const;

const statuses = {
  ...{ stop: 'completed', tool_calls: 'completed', length: 'incomplete', aborted: 'cancelled' },
  ...{ content_filter: 'incomplete', insufficient_system_resource: 'incomplete' },
} as const satisfies Record<FinishReason, ResponseStatus>;

function itemOf(
  { type, id, callId, name, text, logprobs }: OpenItem,
  status: ItemStatus,
  extent: 'empty' | 'whole',
): OutputItem {
  const content = extent === 'empty' ? [] : [partOf(type, text, logprobs)];
  switch (type) {
    case 'reasoning':
      return { type, id, status, summary: [], content: content as ReasoningText[] };
    case 'message':
      return { type, id, status, role: 'assistant', content: content as OutputText[] };
    case 'function_call':
      return { type, id, status, call_id: callId, name, arguments: extent === 'empty' ? '' : text };
    case 'custom_tool_call':
      return { type, id, status, call_id: callId, name, input: extent === 'empty' ? '' : customToolInput(text) };
    default:
      return unreachable(type);
  }
}

function partOf(
  type: OutputItem['type'],
  text: string,
  logprobs: readonly WireOutputLogprob[],
): OutputText | ReasoningText | undefined {
  if (type === 'function_call' || type === 'custom_tool_call') return undefined;
  return type === 'message'
    ? { type: 'output_text', text, annotations: [], logprobs: [...logprobs] }
    : { type: 'reasoning_text', text };
}

function wireLogprob({ token, logprob, bytes, top }: TokenLogprobs): WireOutputLogprob {
  const finite = (value: number) => Math.max(value, -9999);
  return {
    ...{ token, logprob: finite(logprob), bytes: [...bytes] },
    top_logprobs: top.map((one) => ({ token: one.token, logprob: finite(one.logprob), bytes: [...one.bytes] })),
  };
}

function responseUsage({ prompt, cacheHit, completion, reasoning }: Usage): ResponseUsage {
  return {
    input_tokens: prompt,
    // Writing to the cache is not charged apart.
    input_tokens_details: { cached_tokens: cacheHit, cache_write_tokens: 0 },
    output_tokens: completion,
    output_tokens_details: { reasoning_tokens: reasoning },
    total_tokens: prompt + completion,
  };
}

function unreachable(value: never): never {
  throw new Error(`expected a known event, got ${JSON.stringify(value)}`);
}

/** What the assistant said, as the message that a conversation goes on from. */
export function messageOf({ output }: WireResponse): Message {
  let [content, reasoning] = ['', ''];
  const toolCalls = output.flatMap((item) => {
    if (item.type === 'function_call') return [{ id: item.call_id, name: item.name, arguments: item.arguments }];
    if (item.type === 'custom_tool_call') {
      return [{ id: item.call_id, name: item.name, arguments: customToolArguments(item.input) }];
    }
    for (const { text } of item.content) {
      if (item.type === 'message') content += text;
      else reasoning += text;
    }
    return [];
  });
  return { role: 'assistant', content, reasoning, toolCalls };
}
