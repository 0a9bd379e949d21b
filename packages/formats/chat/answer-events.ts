// What every parser of answers does with the text it has understood.
//
// Owns the events that are not taken yet, and the search for markers in text that is still growing. Knows no grammar.
// Neighbouring events of one kind are one event, so that a parser may emit as finely as suits it.

import type { AnswerEvent } from './dialect.ts';

/** The events between two pushes. */
export class AnswerEvents {
  #events: AnswerEvent[] = [];
  #callCount = 0;

  text(type: 'reasoning' | 'content', text: string): void {
    const last = this.#events.at(-1);
    if (last?.type === type) this.#events[this.#events.length - 1] = { type, text: last.text + text };
    else if (text !== '') this.#events.push({ type, text });
  }

  startCall(name: string): void {
    this.#events.push({ type: 'tool-call-start', index: this.#callCount++, name });
  }

  /** The next part of the last started call's arguments. */
  callArguments(text: string): void {
    const last = this.#events.at(-1);
    if (last?.type === 'tool-call-arguments') {
      this.#events[this.#events.length - 1] = { ...last, text: last.text + text };
    } else if (text !== '') {
      this.#events.push({ type: 'tool-call-arguments', index: this.#callCount - 1, text });
    }
  }

  endCall(): void {
    this.#events.push({ type: 'tool-call-end', index: this.#callCount - 1 });
  }

  take(): AnswerEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }
}

/** The first of the markers in the text and its index; without one, the index from where a marker may have begun. */
export function findFirst(text: string, markers: readonly string[]): { index: number; marker?: string } {
  let first: { index: number; marker?: string } = { index: text.length };
  for (const marker of markers) {
    const index = text.indexOf(marker);
    if (index >= 0 && index < first.index) first = { index, marker };
  }
  if (first.marker !== undefined) return first;
  const longest = Math.max(...markers.map((marker) => marker.length));
  for (let index = Math.max(0, text.length - longest + 1); index < text.length; index++) {
    const rest = text.slice(index);
    if (markers.some((marker) => marker.startsWith(rest))) return { index };
  }
  return { index: text.length };
}
