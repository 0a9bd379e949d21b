// How the server knows a model: events out of a request.
//
// Owns the contract between routes and whatever answers them, be it an engine in this process or a service elsewhere.
// Knows nothing about HTTP. An answer is one `start`, then text and tool calls, then one `finish`.

import type { ChatEvent } from '@hadal/protocol/chat-event';
import type { ChatRequest } from '@hadal/protocol/chat-request';
import type { CompletionRequest } from '@hadal/protocol/completions-request';
import type { CompletionEvent } from '@hadal/protocol/completions-response';
import type { ModelCard } from '@hadal/protocol/models';

/** What a provider has to do at a moment, and room for. */
export interface ProviderLoad {
  readonly waiting: number;
  readonly running: number;
  /** Of its cache, where that is known; 0 otherwise. */
  readonly pages: number;
  readonly availablePages: number;
}

export interface Provider {
  readonly model: ModelCard;
  /** The id of the model behind a name that is not its own. */
  readonly behind?: string;
  /** Changes whenever weights or code change such that the same seed may give another answer. */
  readonly fingerprint: string;
  /**
   * Answers `request`. A `RequestError` comes before `start`, and `start` as soon as the request is accepted, not when
   * the model first speaks. After `signal` aborts, `finish` follows with reason `aborted`. Leaving the stream early
   * frees what it held.
   */
  chat(request: ChatRequest, signal: AbortSignal): AsyncGenerator<ChatEvent, void, void>;
  /** Goes on with a text, or fills a gap in it; otherwise as `chat`. */
  complete(request: CompletionRequest, signal: AbortSignal): AsyncGenerator<CompletionEvent, void, void>;
  /** The model's tokens for a text as it stands, or for the prompt that a request would be answered to. */
  tokenize(input: string | ChatRequest): readonly number[] | Promise<readonly number[]>;
  /** Throws `RequestError` for an id that the model does not have. */
  detokenize(tokens: readonly number[]): string | Promise<string>;
  /** Where it is known here. */
  load?(): Promise<ProviderLoad>;
}

/** The id of the model that answers. */
export function modelBehind({ behind, model }: Provider): string {
  return behind ?? model.id;
}

/** The provider of a model that a request was found to name. */
export function providerOf(providers: readonly Provider[], id: string): Provider {
  const provider = providers.find(({ model }) => model.id === id);
  if (provider === undefined) throw new Error(`model ${id}: expected a provider, found none`);
  return provider;
}

/** The same, for requests that may wait. */
export function patientProvider(provider: Provider): Provider {
  return {
    ...provider,
    chat: (request, signal) => provider.chat({ ...request, priority: 'batch' }, signal),
    complete: (request, signal) => provider.complete({ ...request, priority: 'batch' }, signal),
  };
}
