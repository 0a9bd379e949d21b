// One conversation with a model.
//
// Owns the messages said so far and how the next answer is asked for. Knows nothing about terminals. A turn that failed, or
// was stopped before anything was answered, leaves no trace: the conversation always ends with an answer or is empty.

import type { ChatEvent } from '@hadal/protocol/chat-event';
import type { Message, Thinking } from '@hadal/protocol/chat-request';
import type { AnswerSettings, AnswerSource } from './answer-source.ts';

export class Conversation {
  readonly #source: AnswerSource;
  readonly #opening: readonly Message[];
  #settings: AnswerSettings;
  #messages: Message[];

  /** `system`: said before everything else; undefined: nothing. */
  constructor(source: AnswerSource, settings: AnswerSettings, system: string | undefined) {
    this.#source = source;
    this.#settings = settings;
    this.#opening = system === undefined ? [] : [{ role: 'system', content: system }];
    this.#messages = [...this.#opening];
  }

  think(thinking: Thinking): void {
    this.#settings = { ...this.#settings, thinking };
  }

  forget(): void {
    this.#messages = [...this.#opening];
  }

  /** Says `text` and streams the answer. A `RequestError` tells what the model cannot take. */
  async *say(text: string, signal: AbortSignal): AsyncGenerator<ChatEvent, void, void> {
    const asked: Message[] = [...this.#messages, { role: 'user', content: text }];
    let content = '';
    for await (const event of this.#source.answer(asked, this.#settings, signal)) {
      if (event.type === 'content') content += event.text;
      if (event.type === 'finish' && content !== '') {
        // Reasoning is for its own turn only: DeepSeek's encodings leave it out of later prompts.
        this.#messages = [...asked, { role: 'assistant', content, reasoning: '', toolCalls: [] }];
      }
      yield event;
    }
  }
}
