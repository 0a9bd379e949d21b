// One response of the Responses API, on its way or over.
//
// Owns the events that there have been so far, and lets any number of readers follow them, from the beginning or from where
// they were: whoever asked may be gone while it goes on in the background. What an event looks like is `protocol`'s.

import { type ChatEvent, noUsage, type Usage } from '@hadal/protocol/chat-event';
import type { ResponseEvent, ResponseWriter, WireResponse } from '@hadal/protocol/responses-response';

/** What a reader sees: the response has begun, its events, and what it took. */
export type RunEvent =
  | { readonly type: 'start' }
  | { readonly type: 'event'; readonly event: ResponseEvent }
  | { readonly type: 'finish'; readonly reason: string; readonly usage: Usage };

export interface ResponseRun {
  readonly response: WireResponse;
  readonly isOver: boolean;
  /** All events numbered after `after`, as they come. */
  follow(after?: number): AsyncGenerator<RunEvent, void, void>;
}

export type RunFinish = Extract<RunEvent, { type: 'finish' }>;

/** One that ended earlier. */
export function finishedRun(response: WireResponse, events: readonly ResponseEvent[]): ResponseRun {
  return {
    ...{ response, isOver: true },
    async *follow(after = -1) {
      yield { type: 'start' };
      for (const event of events.slice(after + 1)) yield { type: 'event', event };
      yield { type: 'finish', reason: response.status, usage: noUsage };
    },
  };
}

export interface LiveRunOptions {
  readonly writer: ResponseWriter;
  readonly answer: AsyncGenerator<ChatEvent, void, void>;
  /** Turns a failure into what the caller may read of it. */
  readonly explain: (error: unknown) => string;
  /** Called before anybody learns that it is over; may take its time. */
  readonly onEnd: (response: WireResponse, events: readonly ResponseEvent[], finish: RunFinish) => Promise<void>;
}

export class LiveRun implements ResponseRun {
  readonly #options: LiveRunOptions;
  readonly #events: ResponseEvent[] = [];
  #finish: RunFinish | undefined;
  /** As it stood before its end, while nobody may learn of that. */
  #before: WireResponse | undefined;
  #changed = Promise.withResolvers<void>();
  readonly #over = Promise.withResolvers<void>();

  constructor(options: LiveRunOptions) {
    this.#options = options;
  }

  /** Resolves when the request has been understood, and goes on from there. Rejects with the caller's mistake. */
  async start(): Promise<void> {
    const { answer, writer } = this.#options;
    try {
      const { value } = await answer.next();
      if (value === undefined) throw new Error('expected an answer to start, it is empty');
      this.#note(writer.events(value));
    } catch (error) {
      this.#over.resolve();
      throw error;
    }
    void this.#read();
  }

  /** Never rejects. */
  get over(): Promise<void> {
    return this.#over.promise;
  }

  get response(): WireResponse {
    return this.#before ?? this.#options.writer.response;
  }

  get isOver(): boolean {
    return this.#finish !== undefined;
  }

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
    const { answer, writer, explain, onEnd } = this.#options;
    let finish: RunFinish = { type: 'finish', reason: 'failed', usage: noUsage };
    let last: readonly ResponseEvent[] = [];
    try {
      for await (const event of answer) {
        if (event.type !== 'finish') {
          this.#note(writer.events(event));
          continue;
        }
        finish = { type: 'finish', reason: event.reason, usage: event.usage };
        this.#before = writer.response;
        last = writer.events(event);
      }
      await onEnd(writer.response, [...this.#events, ...last], finish);
    } catch (error) {
      this.#before ??= writer.response;
      last = writer.fail(explain(error));
      // Where it cannot be kept it still ends for those who are there.
      finish = { type: 'finish', reason: 'failed', usage: noUsage };
      await onEnd(writer.response, [...this.#events, ...last], finish).catch(explain);
    }
    this.#finish = finish;
    this.#before = undefined;
    this.#note(last);
    this.#over.resolve();
  }

  #note(events: readonly ResponseEvent[]): void {
    this.#events.push(...events);
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}
