// Where a conversation's answers come from.
//
// Owns the contract between the commands and a model, be it opened in this process or served elsewhere, and which of the two
// the options ask for. Knows nothing about terminals.

import type { ChatEvent } from '@hadal/protocol/chat-event';
import type { Message, Thinking } from '@hadal/protocol/chat-request';

export interface AnswerSettings {
  readonly thinking: Thinking;
  /** These three: what the model's publisher advises where undefined. */
  readonly temperature: number | undefined;
  readonly topP: number | undefined;
  readonly maxTokens: number | undefined;
  readonly seed: number | undefined;
}

export interface AnswerSource extends AsyncDisposable {
  /** The name of the model. */
  readonly model: string;
  /** The model and where it runs, for a person: `hadal-nano (8.2 million parameters)`. */
  readonly description: string;
  /** Ends with one `finish`, of reason `aborted` once `signal` has aborted. */
  answer(
    messages: readonly Message[],
    settings: AnswerSettings,
    signal: AbortSignal,
  ): AsyncGenerator<ChatEvent, void, void>;
}

export interface SourceOptions {
  /** Where a checkpoint is; with `url`, the name of one of the server's models. */
  readonly model: string | undefined;
  readonly url: URL | undefined;
  readonly threads: number | undefined;
  readonly apiKey: string | undefined;
}

/** Opens the server at `url`, or without one the model itself. */
export async function openAnswerSource({ model, url, threads, apiKey }: SourceOptions): Promise<AnswerSource> {
  // Imported when needed: the engine takes longer to load than a server takes to answer.
  if (url !== undefined) {
    const { openRemoteModel } = await import('./remote-model.ts');
    return await openRemoteModel({ url, model, apiKey });
  }
  const { openLocalModel } = await import('./local-model.ts');
  return await openLocalModel({ path: model, threads });
}
