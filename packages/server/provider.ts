// How the server knows a model: events out of a request.
//
// Owns the contract between routes and whatever answers them, be it an engine in this process or a service elsewhere.
// Knows nothing about HTTP. An answer is one `start`, then text and tool calls, then one `finish`.

import type { ChatEvent } from '@hadal/protocol/chat-event';
import type { ChatRequest } from '@hadal/protocol/chat-request';
import type { ModelCard } from '@hadal/protocol/models';

export interface Provider {
  readonly model: ModelCard;
  /** Changes whenever weights or code change such that the same seed may give another answer. */
  readonly fingerprint: string;
  /**
   * Answers `request`. A `RequestError` comes before `start`, and `start` as soon as the request is accepted, not when
   * the model first speaks. After `signal` aborts, `finish` follows with reason `aborted`. Leaving the stream early
   * frees what it held.
   */
  chat(request: ChatRequest, signal: AbortSignal): AsyncGenerator<ChatEvent, void, void>;
}
