// The reasoning behind calls of tools, for clients that do not send it back.
//
// Owns what was thought before each call, found again by the call's id: DeepSeek's models are to see it in the turns that
// follow, and leaving it out is the most frequent mistake in clients. Bounded: the oldest goes first. Knows nothing of prompts.
// What a client does send back is never replaced.

import type { Message } from '@hadal/protocol/chat-request';

export interface ReasoningMemoryOptions {
  /** Characters of all reasoning together. */
  readonly maxCharacters?: number;
}

export class ReasoningMemory {
  readonly #maxCharacters: number;
  /** By namespace and id of the call, oldest first. */
  readonly #reasoning = new Map<string, string>();
  #characters = 0;

  constructor({ maxCharacters = 32 * 2 ** 20 }: ReasoningMemoryOptions = {}) {
    this.#maxCharacters = maxCharacters;
  }

  /** Notes what was thought before these calls. */
  keep(namespace: string, callIds: readonly string[], reasoning: string): void {
    if (reasoning === '') return;
    for (const id of callIds) {
      this.#forget(key(namespace, id));
      this.#reasoning.set(key(namespace, id), reasoning);
      this.#characters += reasoning.length;
    }
    for (const oldest of this.#reasoning.keys()) {
      if (this.#characters <= this.#maxCharacters) return;
      this.#forget(oldest);
    }
  }

  /** The messages, with the reasoning that is missing where it is known. */
  recall(namespace: string, messages: readonly Message[]): Message[] {
    return messages.map((message) => {
      if (message.role !== 'assistant' || message.reasoning !== '') return message;
      const [known] = message.toolCalls.flatMap(({ id }) => this.#reasoning.get(key(namespace, id)) ?? []);
      return known === undefined ? message : { ...message, reasoning: known };
    });
  }

  #forget(name: string): void {
    this.#characters -= this.#reasoning.get(name)?.length ?? 0;
    this.#reasoning.delete(name);
  }
}

function key(namespace: string, callId: string): string {
  return `${namespace}\n${callId}`;
}
