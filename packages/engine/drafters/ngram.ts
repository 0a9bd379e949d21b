// Guesses from what has been said before (prompt lookup).
//
// Owns, for each sequence, where its last few tokens stood together the last time: what followed then is the guess. A text
// that the caller expects (OpenAI's predicted outputs) counts as said before everything else. Needs no model, so a guess
// costs only its verification.

import type { Graph } from '@hadal/tensor/graph';
import type { Tensor } from '@hadal/tensor/tensor';
import type { Sequence } from '../sequence.ts';
import type { Drafter, ReadSpan } from '../speculation.ts';

/** Longer matches first: what follows three tokens is surer than what follows two. */
const lengths = [4, 3, 2] as const;

export class NgramDrafter implements Drafter {
  readonly cost = 0.15;
  readonly followsEveryRow = false;
  readonly #texts = new Map<Sequence, Lookup>();

  draft(_g: Graph, _hidden: Tensor, spans: readonly ReadSpan[]): void {
    for (const { sequence, wanted } of spans) {
      if (wanted > 0) sequence.draft = this.guess(sequence, wanted);
    }
  }

  /** What followed the sequence's last tokens when they last stood together; empty when they never did. */
  guess(sequence: Sequence, wanted: number): number[] {
    let lookup = this.#texts.get(sequence);
    if (!lookup) {
      lookup = new Lookup(sequence.request.prediction);
      this.#texts.set(sequence, lookup);
    }
    lookup.extend(sequence.tokens);
    return lookup.following(wanted);
  }

  forget(sequence: Sequence): void {
    if (sequence.isOver) this.#texts.delete(sequence);
  }

  [Symbol.dispose](): void {
    this.#texts.clear();
  }
}

/** A text that grows, and where each few tokens of it stood last. */
class Lookup {
  readonly #text: number[] = [];
  /** For each length: the tokens joined, to the place just after them. */
  readonly #places = lengths.map(() => new Map<string, number>());
  #seen = 0;

  constructor(before: readonly number[]) {
    for (const id of before) this.#push(id);
    // No token: nothing that spans both texts was ever said.
    if (before.length > 0) this.#push(-1);
  }

  /** `tokens`: all of the sequence; those seen before are passed over. */
  extend(tokens: readonly number[]): void {
    for (; this.#seen < tokens.length; this.#seen++) this.#push(tokens[this.#seen] as number);
  }

  following(count: number): number[] {
    const text = this.#text;
    for (const [i, length] of lengths.entries()) {
      // The last tokens themselves are not noted yet, so what is found stood there before.
      const place = this.#places[i]?.get(text.slice(-length).join());
      if (place === undefined) continue;
      const following = text.slice(place, place + count);
      const end = following.indexOf(-1);
      return end < 0 ? following : following.slice(0, end);
    }
    return [];
  }

  #push(id: number): void {
    const text = this.#text;
    for (const [i, length] of lengths.entries()) {
      if (text.length >= length) this.#places[i]?.set(text.slice(-length).join(), text.length);
    }
    text.push(id);
  }
}
