// Rules: the automata over bytes that a grammar is made of, and their calls of each other.
//
// Owns the form in which schemas, tool calls and patterns reach the matcher. Symbols 0 to 255 are bytes, and 256 + i reads
// whatever `calls[i]` reads. Knows nothing of tokens. Invariants: no rule calls itself before it has read a byte; bytes
// are valid UTF-8, and 0xff, which UTF-8 never has, begins the spelling of a special token.

import { type Dfa, emptyDfa, stateCount, trim } from './dfa.ts';
import { Nfa } from './nfa.ts';

export interface Rule {
  readonly dfa: Dfa;
  readonly calls: readonly Rule[];
  /** Where whole classes of tokens can be allowed at once; undefined: nowhere. */
  readonly runs: Runs | undefined;
  /** A character is never empty and calls nothing, so whoever calls it can read its first byte as his own. */
  readonly isCharacter: boolean;
}

/**
 * At a state with slice k (an index of `slices`, or -1) exactly the words of 1 to `length` characters of that slice can be
 * read next, if only characters of the slice are read; unlimited where length is `unlimited`.
 */
export interface Runs {
  readonly slice: Int8Array;
  readonly length: Int32Array;
  /**
   * In a JSON string of any characters: how many more there must be before the quote, up to `length` of which may come.
   * -1: it is not as simple as that.
   */
  readonly least: Int32Array;
}

export const unlimited = 2 ** 31 - 1;

/** States of one rule that is put together from literals and calls. */
const maxRuleStates = 100_000;

/** A rule that can be called before its body is known: schemas are recursive. */
export class RuleDraft implements Rule {
  dfa: Dfa = emptyDfa;
  calls: readonly Rule[] = [];
  readonly runs = undefined;
  readonly isCharacter = false;

  define({ dfa, calls }: Pick<Rule, 'dfa' | 'calls'>): void {
    this.dfa = dfa;
    this.calls = calls;
  }
}

/** Collects the pieces of one rule: `start` to `accept` over literals and calls. */
export class RuleBuilder {
  readonly start: number;
  readonly accept: number;
  readonly #nfa = new Nfa();
  readonly #calls: Rule[] = [];

  constructor() {
    this.start = this.#nfa.state();
    this.accept = this.#nfa.state();
  }

  state(): number {
    return this.#nfa.state();
  }

  silent(source: number, target: number): void {
    this.#nfa.silent(source, target);
  }

  /** Reads the UTF-8 of the text. */
  text(source: number, text: string, target?: number): number {
    return this.#nfa.word(source, utf8.encode(text), target);
  }

  bytes(source: number, bytes: Iterable<number>, target?: number): number {
    return this.#nfa.word(source, bytes, target);
  }

  call(source: number, rule: Rule, target = this.state()): number {
    let index = this.#calls.indexOf(rule);
    if (index < 0) index = this.#calls.push(rule) - 1;
    this.#nfa.edge(source, 256 + index, 256 + index, target);
    return target;
  }

  build(): Rule {
    const rule = new RuleDraft();
    rule.define({ dfa: this.#nfa.determinize(this.start, this.accept, maxRuleStates), calls: this.#calls });
    return rule;
  }
}

const utf8 = new TextEncoder();

/** Every rule that `root` calls, itself included. */
export function reachableRules(root: Rule): Set<Rule> {
  const rules = new Set([root]);
  for (const rule of rules) for (const called of rule.calls) rules.add(called);
  return rules;
}

/**
 * Takes calls that can never come to an end out of the drafts (a value that requires a value like itself), so that every
 * text that was begun can be finished. Rules that are not drafts are leaves, which call nothing of the kind.
 */
export function dropEndless(root: Rule): void {
  const rules = reachableRules(root);
  const canEnd = new Set<Rule>();
  const pending = new Set(rules);
  for (let isChanged = true; isChanged; ) {
    isChanged = false;
    for (const rule of pending) {
      const keeps = (symbol: number) => symbol < 256 || canEnd.has(rule.calls[symbol - 256]!);
      if (!canAccept(rule.dfa, keeps)) continue;
      canEnd.add(rule);
      pending.delete(rule);
      isChanged = true;
    }
  }
  for (const rule of rules) {
    if (!(rule instanceof RuleDraft)) continue;
    rule.dfa = trim(rule.dfa, (symbol) => symbol < 256 || canEnd.has(rule.calls[symbol - 256]!));
  }
}

function canAccept(dfa: Dfa, keeps: (symbol: number) => boolean): boolean {
  const seen = new Uint8Array(stateCount(dfa));
  const pending = [0];
  seen[0] = 1;
  for (let state = pending.pop(); state !== undefined; state = pending.pop()) {
    if (dfa.accepting[state] === 1) return true;
    for (let e = dfa.first[state]!; e < dfa.first[state + 1]!; e++) {
      const next = dfa.target[e]!;
      if (seen[next] === 1 || !keeps(dfa.from[e]!)) continue;
      seen[next] = 1;
      pending.push(next);
    }
  }
  return false;
}
