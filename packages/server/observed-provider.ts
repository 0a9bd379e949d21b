// A provider whose answers are watched.
//
// Owns when a watcher hears of an answer: that it was asked for, each of its events as it passes, and how it ended, exactly once.
// What watchers make of it (measurements, traces) is theirs. Neither events nor their order change.

import type { ChatEvent } from '@hadal/protocol/chat-event';
import type { ChatRequest, SamplingRequest } from '@hadal/protocol/chat-request';
import type { CompletionRequest } from '@hadal/protocol/completions-request';
import type { CompletionEvent } from '@hadal/protocol/completions-response';
import { modelBehind, type Provider } from './provider.ts';

/** An answer that is asked for. */
export interface WatchedAnswer {
  readonly kind: 'chat' | 'text-completion';
  /** The name that was asked for. */
  readonly name: string;
  /** The id of the model that stands behind it. */
  readonly model: string;
  readonly request: SamplingRequest & Pick<ChatRequest, 'maxTokens'>;
}

export type WatchedEvent = ChatEvent | CompletionEvent;

export interface AnswerWatch {
  /** What the answer does in between, in an asynchronous context of the watcher's. */
  within?<T>(work: () => T): T;
  event(event: WatchedEvent): void;
  /** `failure`: what was thrown; undefined where the answer ended, or was left. */
  end(failure: unknown): void;
}

/** Called when the answer is first asked to come, in the asynchronous context of whoever asks. */
export type Watcher = (answer: WatchedAnswer) => AnswerWatch;

export function observedProvider(provider: Provider, watchers: readonly Watcher[]): Provider {
  const { id: name } = provider.model;
  const model = modelBehind(provider);
  return {
    ...provider,
    chat: (request, signal) =>
      watched({ kind: 'chat', name, model, request }, watchers, () => provider.chat(request, signal)),
    complete: (request: CompletionRequest, signal) =>
      watched({ kind: 'text-completion', name, model, request }, watchers, () => provider.complete(request, signal)),
  };
}

async function* watched<E extends WatchedEvent>(
  answer: WatchedAnswer,
  watchers: readonly Watcher[],
  ask: () => AsyncGenerator<E, void, void>,
): AsyncGenerator<E, void, void> {
  const watches = watchers.map((watch) => watch(answer));
  const events = ask();
  const next = watches.reduce(
    (step, watch) => () => watch.within?.(step) ?? step(),
    () => events.next(),
  );
  let failure: unknown;
  try {
    for (let result = await next(); result.done !== true; result = await next()) {
      for (const watch of watches) watch.event(result.value);
      yield result.value;
    }
  } catch (error) {
    failure = error;
    throw error;
  } finally {
    await events.return();
    for (const watch of watches) watch.end(failure);
  }
}
