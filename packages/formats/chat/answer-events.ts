// What every parser of answers does with the text it has understood.
//
// Owns the events that are not taken yet, what is told of a call that nobody asked for, and the search for markers in text that is
// still growing. Knows no grammar. Neighbouring events of one kind are one event, so that a parser may emit as finely as suits it.

import { dsml, specialTokens } from '../special-tokens.ts';
import type { AnswerEnd, AnswerEvent, CallReading } from './dialect.ts';

type Said = 'reasoning' | 'content';

/** The events between two pushes. */
export class AnswerEvents {
  readonly #calls: CallReading;
  #events: AnswerEvent[] = [];
  #callCount = 0;
  /** Where a call told as text stands. */
  #toldIn: Said = 'content';
  #hasSaid = false;
  /** Whether a call told as text has ended, and what follows is to stand on a line of its own. */
  #owesBreak = false;

  constructor(calls: CallReading) {
    this.#calls = calls;
  }

  text(type: Said, text: string): void {
    if (text === '') return;
    if (this.#owesBreak) this.#say({ type, text: '\n', isTold: true });
    this.#owesBreak = false;
    this.#say({ type, text });
  }

  /** `within`: what the call would be part of if it is told as text. */
  startCall(name: string, within: Said): void {
    if (this.#calls === 'as-text') {
      this.#toldIn = within;
      this.#tell(`${this.#hasSaid ? '\n' : ''}${name}(`);
      this.#owesBreak = false;
      return;
    }
    this.#events.push({ type: 'tool-call-start', index: this.#callCount++, name });
  }

  /** The next part of the last started call's arguments. */
  callArguments(text: string): void {
    if (this.#calls === 'as-text') {
      this.#tell(text);
      return;
    }
    const last = this.#events.at(-1);
    if (last?.type === 'tool-call-arguments') {
      this.#events[this.#events.length - 1] = { ...last, text: last.text + text };
    } else if (text !== '') {
      this.#events.push({ type: 'tool-call-arguments', index: this.#callCount - 1, text });
    }
  }

  endCall(): void {
    if (this.#calls === 'as-text') {
      this.#tell(')');
      this.#owesBreak = true;
      return;
    }
    this.#events.push({ type: 'tool-call-end', index: this.#callCount - 1 });
  }

  take(): AnswerEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }
  #tell(text: string): void {
    if (text !== '') this.#say({ type: this.#toldIn, text, isTold: true });
  }

  #say(said: Extract<AnswerEvent, { text: string; type: Said }>): void {
    this.#hasSaid = true;
    const last = this.#events.at(-1);
    if (last?.type === said.type && last.isTold === said.isTold) {
      this.#events[this.#events.length - 1] = { ...last, text: last.text + said.text };
    } else {
      this.#events.push(said);
    }
  }
}

/** Special tokens that are nobody's text in an answer: of roles, ends, calls, gaps and tasks. Those of thoughts are plain text, too. */
export const controlMarks: readonly string[] = specialTokens.filter((token) => token.startsWith('<｜'));

/**
 * The first of the markers in the text and its index; without one, the index from where a marker may have begun. A longer marker
 * that may have begun earlier is waited for.
 */
export function findFirst(text: string, markers: readonly string[]): { index: number; marker?: string } {
  let first: { index: number; marker?: string } = { index: text.length };
  for (const marker of markers) {
    const index = text.indexOf(marker);
    if (index >= 0 && index < first.index) first = { index, marker };
  }
  const longest = markers.reduce((length, marker) => Math.max(length, marker.length), 0);
  for (let index = Math.max(0, text.length - longest + 1); index < first.index; index++) {
    const rest = text.slice(index);
    if (markers.some((marker) => marker.startsWith(rest))) return { index };
  }
  return first;
}

/** So much space at the end of a text may be padding. */
export const maxPadding = 200;

/** The text without the space at its end. Of endless space, which a model that has lost itself may write, only so much is held back. */
export function trimPadding(text: string): string {
  let length = text.length;
  while (length > text.length - maxPadding && /\s/.test(text.charAt(length - 1))) length--;
  return text.slice(0, length);
}

/** What may be shown of text that was held back as the possible beginning of a marker, when nothing follows it. */
export function withoutMarkPart(held: string): string {
  return held.replace(unfinishedMark, '');
}

/** As `withoutMarkPart`, in a call's arguments: of those that were cut off, a bracket too few is better than one too many. */
export function heldArgument(held: string, how: AnswerEnd): string {
  return how === 'cut-off' ? '' : withoutMarkPart(held);
}

/** A bar or a bracket alone is a text's own more often than not. */
const unfinishedMark = new RegExp(`\\n{0,2}(?:</?｜.*|${dsml.slice(0, 2)}.*)$`);
