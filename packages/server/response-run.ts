// One response of the Responses API on its way.
//
// Owns the events that there have been so far, and lets any number of readers follow them, from the beginning or from where
// they were: whoever asked may be gone while it goes on in the background. What an event looks like is `protocol`'s.

import type { ChatEvent, Usage } from '@hadal/protocol/chat-event';
import type { Message } from '@hadal/protocol/chat-request';
import { customToolArguments } from '@hadal/protocol/custom-tool-input';
import type { ResponseEvent, ResponseWriter, WireResponse } from '@hadal/protocol/responses-response';

/** What a reader sees: the response has begun, its events, and what it took. */
export type RunEvent =
  | { readonly type: 'start' }
  | { readonly type: 'event'; readonly event: ResponseEvent }
  | { readonly type: 'finish'; readonly reason: string; readonly usage: Usage };

const noUsage: Usage = {
  ...{ prompt: 0, cacheHit: 0, completion: 0, reasoning: 0, acceptedPrediction: 0, rejectedPrediction: 0 },
};

export class ResponseRun {
  readonly #writer: ResponseWriter;
  readonly #answer: AsyncGenerator<ChatEvent, void, void>;
  readonly #explain: (error: unknown) => string;
  readonly #events: ResponseEvent[] = [];
  #finish: Extract<RunEvent, { type: 'finish' }> | undefined;
  #changed = Promise.withResolvers<void>();

  /** `explain` turns a failure into what the caller may read of it. */
  constructor(
    writer: ResponseWriter,
    answer: AsyncGenerator<ChatEvent, void, void>,
    explain: (error: unknown) => string,
  ) {
    this.#writer = writer;
    this.#answer = answer;
    this.#explain = explain;
  }

  /** Resolves when the request has been understood, and goes on from there. Rejects with the caller's mistake. */
  async start(): Promise<void> {
    const { value } = await this.#answer.next();
    if (value === undefined) throw new Error('expected an answer to start, it is empty');
    this.#note(this.#writer.events(value));
    void this.#read();
  }

  get response(): WireResponse {
    return this.#writer.response;
  }

  get isOver(): boolean {
    return this.#finish !== undefined;
  }

  /** What the assistant said, as the message that a conversation goes on from. */
  get message(): Message {
    let [content, reasoning] = ['', ''];
    const toolCalls = this.response.output.flatMap((item) => {
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

  /** All events numbered after `after`, as they come. */
  async *follow(after = -1): AsyncGenerator<RunEvent, void, void> {
    yield { type: 'start' };
    for (let next = after + 1; ; ) {
      const changed = this.#changed.promise;
      for (; next < this.#events.length; next++) yield { type: 'event', event: this.#events[next] as ResponseEvent };
      if (this.#finish) {
        yield this.#finish;
        return;
      }
      await changed;
    }
  }

  async #read(): Promise<void> {
    let finish: RunEvent & { readonly type: 'finish' } = { type: 'finish', reason: 'failed', usage: noUsage };
    try {
      for await (const event of this.#answer) {
        if (event.type === 'finish') finish = { type: 'finish', reason: event.reason, usage: event.usage };
        this.#note(this.#writer.events(event));
      }
    } catch (error) {
      this.#note(this.#writer.fail(this.#explain(error)));
    }
    this.#finish = finish;
    this.#note([]);
  }

  #note(events: readonly ResponseEvent[]): void {
    this.#events.push(...events);
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}
