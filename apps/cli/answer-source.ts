// Where a conversation's answers come from.
//
// Owns the contract between the commands and a model, be it opened in this process or served elsewhere, and which of the two
// the options ask for. Knows nothing about what is asked.

import type { ChatEvent } from '@hadal/protocol/chat-event';
import type { Message, Thinking } from '@hadal/protocol/chat-request';
import type { LocalModelOptions } from './local-model.ts';
import type { Remote } from './remote-model.ts';
import type { Terminal } from './terminal.ts';

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

export type SourceOptions = ({ readonly kind: 'local' } & LocalModelOptions) | ({ readonly kind: 'remote' } & Remote);

/** Opens the server at an address, or a model itself, with a bar that shows how far that is. */
export async function openAnswerSource(options: SourceOptions, terminal: Terminal): Promise<AnswerSource> {
  // Imported when needed: the engine takes longer to load than a server takes to answer.
  switch (options.kind) {
    case 'remote': {
      const { openRemoteModel } = await import('./remote-model.ts');
      return await openRemoteModel(options);
    }
    case 'local': {
      const { openLocalModel } = await import('./local-model.ts');
      return await openLocalModel(options, terminal);
    }
    default:
      return unreachable(options);
  }
}

function unreachable(value: never): never {
  throw new Error(`expected a known source, got ${JSON.stringify(value)}`);
}
