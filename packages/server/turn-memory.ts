// What the model itself wrote in turns that call tools.
//
// Owns the text of such a turn, found again by the id of any of its calls. It serves twice: a client that sends the turn back
// gets exactly that text into the prompt, so that the cache hits to the last token however the model had spaced its JSON; and
// one that leaves out the reasoning, the most frequent mistake in clients, gets it back. A turn that a client has changed is the
// client's. Bounded: the oldest goes first. Knows nothing of prompts.

import type { Message } from '@hadal/protocol/chat-request';

export interface TurnMemoryOptions {
  /** Characters of all turns together. */
  readonly maxCharacters?: number;
}

export interface CallingTurn {
  /** As it was generated, from where the prompt left off to before the token that ended it. */
  readonly text: string;
  /** Whether the prompt had opened the reasoning. */
  readonly beginning: 'reasoning' | 'content';
  /** What of it the client was told. */
  readonly reasoning: string;
  readonly content: string;
  readonly toolCalls: readonly { readonly id: string; readonly name: string; readonly arguments: string }[];
}

export class TurnMemory {
  readonly #maxCharacters: number;
  /** By namespace and id of each call, oldest first. */
  readonly #turns = new Map<string, CallingTurn>();
  #characters = 0;

  constructor({ maxCharacters = 32 * 2 ** 20 }: TurnMemoryOptions = {}) {
    this.#maxCharacters = maxCharacters;
  }

  keep(namespace: string, turn: CallingTurn): void {
    for (const { id } of turn.toolCalls) {
      this.#forget(key(namespace, id));
      this.#turns.set(key(namespace, id), turn);
      this.#characters += turn.text.length;
    }
    for (const oldest of this.#turns.keys()) {
      if (this.#characters <= this.#maxCharacters) return;
      this.#forget(oldest);
    }
  }

  /** The messages, with the reasoning that is missing and the text that was written, where they are known. */
  recall(namespace: string, messages: readonly Message[]): Message[] {
    return messages.map((message) => {
      if (message.role !== 'assistant') return message;
      const [turn] = message.toolCalls.flatMap(({ id }) => this.#turns.get(key(namespace, id)) ?? []);
      if (turn === undefined) return message;
      const reasoning = message.reasoning === '' ? turn.reasoning : message.reasoning;
      const isAsTold =
        reasoning === turn.reasoning &&
        message.content === turn.content &&
        JSON.stringify(message.toolCalls.map(toldCall)) === JSON.stringify(turn.toolCalls.map(toldCall));
      return { ...message, reasoning, ...(isAsTold && { written: { text: turn.text, beginning: turn.beginning } }) };
    });
  }

  #forget(name: string): void {
    this.#characters -= this.#turns.get(name)?.text.length ?? 0;
    this.#turns.delete(name);
  }
}

function toldCall({ id, name, arguments: json }: CallingTurn['toolCalls'][number]): readonly string[] {
  return [id, name, json];
}

function key(namespace: string, callId: string): string {
  return `${namespace}\n${callId}`;
}
