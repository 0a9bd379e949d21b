// From the chunks of an upstream's text completion to the events of one.
//
// Owns the two forms of log-probabilities there are, and how the text ended. A prompt that is wanted back comes as text, for upstreams do
// not say where it ends.

import { type FinishReason, noUsage, type Usage } from '@hadal/protocol/chat-event';
import type { CompletionRequest } from '@hadal/protocol/completions-request';
import type { CompletionEvent, ScoredToken } from '@hadal/protocol/completions-response';
import {
  type EventReader,
  finishReasonOf,
  listOf,
  objectOf,
  readChunk,
  textOf,
  tokenLogprobOf,
  unknownUsage,
  unreadable,
  type Wire,
} from './upstream-chunk.ts';

export class CompletionEventReader implements EventReader<CompletionEvent> {
  readonly #request: CompletionRequest;
  hasBegun = false;
  #usage: Usage | undefined;
  #reason: FinishReason | undefined;

  constructor(request: CompletionRequest) {
    this.#request = request;
  }

  get isOver(): boolean {
    return this.#reason !== undefined;
  }

  read(data: string): CompletionEvent[] {
    const { choice, usage } = readChunk(data);
    if (usage) this.#usage = usage;
    if (choice === undefined) return [];
    const text = textOf(choice.text, 'text');
    const reason = finishReasonOf(choice);
    this.hasBegun ||= text !== '' || reason !== undefined;
    this.#reason ??= reason;
    const logprobs = this.#request.topLogprobs === undefined ? [] : logprobsOf(choice);
    return text === '' && logprobs.length === 0 ? [] : [{ type: 'text', text, logprobs }];
  }

  end(): CompletionEvent[] {
    return [this.#finish(this.#reason ?? 'insufficient_system_resource')];
  }

  leave(reason: 'aborted' | 'insufficient_system_resource', isSent: boolean): CompletionEvent[] {
    if (!isSent) this.#usage = noUsage;
    return [this.#finish(reason)];
  }

  #finish(reason: FinishReason): CompletionEvent {
    return { type: 'finish', reason, usage: this.#usage ?? unknownUsage };
  }
}

function logprobsOf(choice: Wire): ScoredToken[] {
  const wire = objectOf(choice.logprobs, 'logprobs');
  if (wire === undefined) return [];
  // llama-server writes those of a chat.
  if (wire.content !== undefined) {
    return listOf(wire.content, 'logprobs').map((item) => ({
      ...tokenLogprobOf(item),
      top: listOf(item.top_logprobs, 'top_logprobs').map(tokenLogprobOf),
    }));
  }
  const { tokens, token_logprobs: logprobs, top_logprobs: tops } = wire;
  if (!Array.isArray(tokens) || !Array.isArray(logprobs)) throw unreadable('logprobs', tokens);
  return tokens.map((value, place): ScoredToken => {
    const token = textOf(value, 'a token');
    const logprob: unknown = logprobs[place];
    if (typeof logprob !== 'number') return { token, logprob: undefined };
    const top = objectOf(Array.isArray(tops) ? tops[place] : undefined, 'top_logprobs') ?? {};
    return {
      ...scored(token, logprob),
      top: Object.entries(top)
        .map(([text, value]) => scored(text, typeof value === 'number' ? value : -9999))
        .sort((a, b) => b.logprob - a.logprob),
    };
  });
}

function scored(token: string, logprob: number) {
  return { token, bytes: new TextEncoder().encode(token), logprob };
}
